//! Main mode as initiator, in message order.

use std::sync::Arc;
use std::time::Duration;

use rand::CryptoRng;

use super::{Proven, Side, Transcript, announces_dpd, first_chain, isakmp_notification, key_exchange, prove, security_association};
use crate::config::{ConnectionConfig, NatTraversal, Psk};
use crate::dh::KeyPair;
use crate::error::{Error, NotNow};
use crate::event::Role;
use crate::isakmp_sa::{IsakmpSa, KeyChoice, Protection};
use crate::iv::Iv;
use crate::keys::Skeyid;
use crate::nat::{self, Detection, Nat, Path, Traversal};
use crate::proposal::{self, IkeProposal, Lifetime};
use crate::wire::{Chain, Cookie, ExchangeType, Header, Identification, NotifyType, PayloadType, Payloads, nonce};

/// What an attempt is made with.
#[derive(Clone)]
pub(crate) struct Attempt {
    pub(crate) config: Arc<ConnectionConfig>,
    pub(crate) key: KeyChoice,
}

impl Attempt {
    fn psk(&self) -> &Psk {
        match self.key {
            KeyChoice::Present => &self.config.psk,
            KeyChoice::Next => self.config.psk_next.as_ref().unwrap_or(&self.config.psk),
        }
    }
}

/// Message 1 has left.
pub(crate) struct ExpectMessage2 {
    attempt: Attempt,
    cookie: Cookie,
    sai_b: Vec<u8>,
}

impl ExpectMessage2 {
    /// Makes message 1.
    pub(crate) fn begin(attempt: Attempt, cookie: Cookie) -> (Self, Vec<u8>) {
        let sai_b = proposal::ike::offer(&attempt.config.ike_proposals, attempt.config.ike_lifetime);
        let message1 = first_chain(&attempt.config, &sai_b).message(&Header::new(cookie, Cookie::ZERO, ExchangeType::MAIN, 0));
        (Self { attempt, cookie, sai_b }, message1)
    }

    /// Takes message 2, makes message 3.
    pub(crate) fn message2(
        &self,
        rng: &mut (impl CryptoRng + ?Sized),
        header: &Header,
        body: &[u8],
        path: Path,
    ) -> Result<(ExpectMessage4, Vec<u8>), Error> {
        let config = &self.attempt.config;
        let payloads = Payloads::parse(header.next_payload, body)?;
        let choice = proposal::ike::accept(&config.ike_proposals, &security_association(&payloads)?)?;
        let key_pair = KeyPair::generate(choice.proposal.group, rng);
        let ni = nonce::random(rng);
        let traversal = nat::agree(config.nat_traversal, &payloads);
        let next = ExpectMessage4 {
            attempt: self.attempt.clone(),
            initiator_cookie: self.cookie,
            responder_cookie: header.responder_cookie,
            sai_b: self.sai_b.clone(),
            proposal: choice.proposal,
            lifetime: choice.lifetime.agreed(config.ike_lifetime),
            dpd: announces_dpd(&payloads),
            traversal,
            key_pair,
            ni,
        };
        let mut chain = Chain::new();
        chain.push(PayloadType::KE, next.key_pair.public());
        chain.push(PayloadType::NONCE, &next.ni);
        if let Some(detection) = next.detection(path) {
            for (kind, hash) in detection.payloads(rng) {
                chain.push(kind, &hash);
            }
        }
        let message3 = chain.message(&Header::new(next.initiator_cookie, next.responder_cookie, ExchangeType::MAIN, 0));
        Ok((next, message3))
    }
}

/// Message 3 has left.
pub(crate) struct ExpectMessage4 {
    attempt: Attempt,
    initiator_cookie: Cookie,
    responder_cookie: Cookie,
    sai_b: Vec<u8>,
    proposal: IkeProposal,
    lifetime: Duration,
    dpd: bool,
    traversal: Option<Traversal>,
    key_pair: KeyPair,
    ni: Vec<u8>,
}

impl ExpectMessage4 {
    fn detection(&self, path: Path) -> Option<Detection> {
        Some(Detection {
            traversal: self.traversal?,
            hash: self.proposal.hash,
            initiator_cookie: self.initiator_cookie,
            responder_cookie: self.responder_cookie,
            path,
            force: self.attempt.config.nat_traversal == NatTraversal::Force,
        })
    }

    /// Takes message 4, makes message 5 with or without INITIAL-CONTACT.
    pub(crate) fn message4(
        &self,
        header: &Header,
        body: &[u8],
        path: Path,
        initial_contact: bool,
    ) -> Result<(ExpectMessage6, Vec<u8>), Error> {
        let payloads = Payloads::parse(header.next_payload, body)?;
        let (gxr, nr) = key_exchange(&payloads)?;
        let shared = self.key_pair.shared_secret(gxr)?;
        let nat = match self.detection(path) {
            Some(detection) => detection.judge(&payloads),
            None => Nat { traversal: None, local: false, remote: false, forced: false },
        };
        let transcript = Transcript {
            gxi: self.key_pair.public().to_vec(),
            gxr: gxr.to_vec(),
            initiator_cookie: self.initiator_cookie,
            responder_cookie: self.responder_cookie,
            sai_b: self.sai_b.clone(),
        };
        let skeyid = Skeyid::from_psk(self.proposal.hash, self.attempt.psk().as_bytes(), &self.ni, nr);
        let keys = skeyid.derive(&shared, self.initiator_cookie, self.responder_cookie);
        let protection = transcript.protection(self.proposal, keys);
        let mut iv = Iv::phase_one(self.proposal.hash, &transcript.gxi, &transcript.gxr, &protection.cipher);

        let idii_b = Identification::of_identity(&self.attempt.config.local_id).encode();
        let mut chain = Chain::new();
        chain.push(PayloadType::ID, &idii_b);
        chain.push(PayloadType::HASH, &skeyid.hash_i(&transcript.exchanged(), &idii_b));
        if initial_contact {
            chain.push(PayloadType::NOTIFY, &isakmp_notification(&protection, NotifyType::INITIAL_CONTACT, &[]));
        }
        let message5 = iv.seal(&protection.cipher, &protection.header(ExchangeType::MAIN, 0), &chain);
        let next = ExpectMessage6 {
            attempt: self.attempt.clone(),
            proposal: self.proposal,
            lifetime: self.lifetime,
            dpd: self.dpd,
            nat,
            transcript,
            skeyid,
            protection: Arc::new(protection),
            iv,
        };
        Ok((next, message5))
    }
}

/// Message 5 has left.
pub(crate) struct ExpectMessage6 {
    attempt: Attempt,
    proposal: IkeProposal,
    lifetime: Duration,
    dpd: bool,
    nat: Nat,
    transcript: Transcript,
    skeyid: Skeyid,
    protection: Arc<Protection>,
    iv: Iv,
}

impl ExpectMessage6 {
    /// What NAT detection found: whether message 5 leaves from port 4500.
    pub(crate) fn nat(&self) -> Nat {
        self.nat
    }

    /// With which keys an informational message would come that refuses message 5: strongSwan sends one under the keys of the unfinished SA.
    pub(crate) fn protection(&self) -> (&Protection, Iv) {
        (&self.protection, self.iv)
    }

    /// Takes message 6.
    pub(crate) fn message6(&self, header: &Header, body: &[u8]) -> Result<IsakmpSa, Error> {
        let opened = self.iv.open(&self.protection.cipher, body)?;
        let payloads = Payloads::parse(header.next_payload, &opened.plaintext).map_err(|_| Error::from(NotNow::Undecipherable))?;
        let Proven { initial_contact, responder_lifetime } =
            prove(&payloads, &self.skeyid, &self.transcript.exchanged(), Side::Responder, &self.attempt.config)?;
        let mut iv = self.iv;
        iv.confirm(opened.next);
        let lifetime = responder_lifetime.map_or(self.lifetime, |theirs| theirs.min(self.lifetime));
        Ok(IsakmpSa {
            role: Role::Initiator,
            protection: Arc::clone(&self.protection),
            iv,
            proposal: self.proposal,
            nat: self.nat,
            lifetime,
            lifetime_remark: Lifetime::of(lifetime).remark(self.attempt.config.ike_lifetime, "ISAKMP SA"),
            dpd: self.dpd,
            initial_contact,
            key: self.attempt.key,
        })
    }
}
