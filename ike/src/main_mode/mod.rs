//! Main mode with a pre-shared key (RFC 2409 section 5.4): what both roles share. The roles themselves read in message order in
//! [`initiator`] and [`responder`].
//!
//! ```text
//!  initiator                      responder
//!  1  HDR, SA, VID        ->
//!                         <-      HDR, SA, VID          2
//!  3  HDR, KE, Ni, NAT-D  ->
//!                         <-      HDR, KE, Nr, NAT-D    4
//!  5  HDR*, IDii, HASH_I  ->                               (to port 4500 if there is a NAT)
//!                         <-      HDR*, IDir, HASH_R    6
//! ```

pub(crate) mod initiator;
pub(crate) mod responder;

use std::time::Duration;

use crate::config::{ConnectionConfig, Identity};
use crate::error::{Error, Fatal, NotNow};
use crate::isakmp_sa::Protection;
use crate::keys::{Exchanged, SessionKeys, Skeyid};
use crate::proposal::{self, IkeProposal};
use crate::wire::notify::isakmp_spi;
use crate::wire::{
    Chain, Cookie, Identification, Malformed, Notification, NotifyType, PayloadType, Payloads, ProtocolId, SecurityAssociation, VendorId,
    nonce,
};

/// The SA payload and the vendor ids of message 1 or 2.
fn first_chain(config: &ConnectionConfig, security_association: &[u8]) -> Chain {
    let mut chain = Chain::new();
    chain.push(PayloadType::SA, security_association);
    chain.push(PayloadType::VENDOR_ID, VendorId::DeadPeerDetection.bytes());
    for id in crate::nat::vendor_ids(config.nat_traversal) {
        chain.push(PayloadType::VENDOR_ID, id.bytes());
    }
    chain
}

fn announces_dpd(payloads: &Payloads<'_>) -> bool {
    payloads.all(PayloadType::VENDOR_ID).any(|payload| VendorId::recognise(payload.body) == Some(VendorId::DeadPeerDetection))
}

fn security_association<'a>(payloads: &Payloads<'a>) -> Result<SecurityAssociation<'a>, Error> {
    Ok(SecurityAssociation::parse(payloads.require(PayloadType::SA, "SA payload")?.body)?)
}

/// The public value and the nonce of message 3 or 4. The value's length and range are for the group to check.
fn key_exchange<'a>(payloads: &Payloads<'a>) -> Result<(&'a [u8], &'a [u8]), Malformed> {
    Ok((
        payloads.require(PayloadType::KE, "key exchange payload")?.body,
        nonce::parse(payloads.require(PayloadType::NONCE, "nonce payload")?.body)?,
    ))
}

/// What HASH_I and HASH_R cover, kept until both have been checked.
#[derive(Clone)]
struct Transcript {
    gxi: Vec<u8>,
    gxr: Vec<u8>,
    initiator_cookie: Cookie,
    responder_cookie: Cookie,
    sai_b: Vec<u8>,
}

impl Transcript {
    fn exchanged(&self) -> Exchanged<'_> {
        Exchanged {
            gxi: &self.gxi,
            gxr: &self.gxr,
            initiator_cookie: self.initiator_cookie,
            responder_cookie: self.responder_cookie,
            sai_b: &self.sai_b,
        }
    }

    fn protection(&self, proposal: IkeProposal, keys: SessionKeys) -> Protection {
        let cipher = keys.e.cipher(proposal.encryption);
        Protection { initiator_cookie: self.initiator_cookie, responder_cookie: self.responder_cookie, hash: proposal.hash, keys, cipher }
    }
}

/// Which of the two hashes of main mode.
#[derive(Clone, Copy)]
enum Side {
    Initiator,
    Responder,
}

/// What message 5 or 6 says once its hash has been checked.
struct Proven {
    initial_contact: bool,
    /// The peer keeps the SA for less long than was agreed.
    responder_lifetime: Option<Duration>,
}

/// Checks the decrypted payloads of message 5 or 6: first that they are payloads at all, then the hash, then who it is.
fn prove(
    payloads: &Payloads<'_>,
    skeyid: &Skeyid,
    exchanged: &Exchanged<'_>,
    sender: Side,
    config: &ConnectionConfig,
) -> Result<Proven, Error> {
    let (id, hash) = match (payloads.first(PayloadType::ID), payloads.first(PayloadType::HASH)) {
        (Some(id), Some(hash)) if payloads.looks_decrypted() => (id, hash),
        _ => return Err(NotNow::Undecipherable.into()),
    };
    let expected = match sender {
        Side::Initiator => skeyid.hash_i(exchanged, id.body),
        Side::Responder => skeyid.hash_r(exchanged, id.body),
    };
    if !expected.ct_eq(hash.body) {
        return Err(NotNow::Undecipherable.into());
    }
    check_identity(&Identification::parse(id.body)?, &config.remote_id)?;
    let mut proven = Proven { initial_contact: false, responder_lifetime: None };
    for payload in payloads.all(PayloadType::NOTIFY) {
        let notification = Notification::parse(payload.body)?;
        // HASH_I and HASH_R leave notifications out, so a changed last block could pass and break the IV chain. These name the SA: RFC 2407
        // section 4.6.3 puts both cookies into their SPI, and garbage there shows.
        if !notification.spi.is_empty() && notification.spi != isakmp_spi(exchanged.initiator_cookie, exchanged.responder_cookie) {
            return Err(NotNow::Undecipherable.into());
        }
        match notification.notify_type {
            NotifyType::INITIAL_CONTACT => proven.initial_contact = true,
            NotifyType::RESPONDER_LIFETIME => proven.responder_lifetime = proposal::ike::LIFETIME.decode(notification.data)?.duration(),
            _ => {}
        }
    }
    Ok(proven)
}

/// The identity must be the configured one; protocol and port 0/0 or UDP 500 (RFC 2407 section 4.6.2), or UDP 4500 after the move.
fn check_identity(theirs: &Identification, expected: &Identity) -> Result<(), Error> {
    let ports_fit = matches!((theirs.protocol, theirs.port), (0, 0) | (17, 0 | 500 | 4500));
    let matches = match (theirs.identity(), expected) {
        (Some(Identity::Fqdn(theirs)), Identity::Fqdn(expected)) => theirs.eq_ignore_ascii_case(expected),
        (Some(theirs), expected) => theirs == *expected,
        (None, _) => false,
    };
    if ports_fit && matches {
        return Ok(());
    }
    Err(Fatal::WrongIdentity { expected: Identification::of_identity(expected).to_string(), found: theirs.to_string() }.into())
}

/// A notification about the ISAKMP SA itself.
fn isakmp_notification(protection: &Protection, notify_type: NotifyType, data: &[u8]) -> Vec<u8> {
    Notification { protocol: ProtocolId::ISAKMP, spi: &protection.spi(), notify_type, data }.encode()
}
