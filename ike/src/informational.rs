//! Informational exchanges (RFC 2409 section 5.7): NOTIFY, DELETE and dead peer detection (RFC 3706), one message each, always under an
//! ISAKMP SA's HASH(1). The one clear notification refuses a message of main mode, where there are no keys yet.

use rand::{CryptoRng, RngExt as _};

use crate::error::Error;
use crate::isakmp_sa::Protection;
use crate::iv::Iv;
use crate::wire::{Chain, Cookie, Delete, ExchangeType, Header, Notification, NotifyType, PayloadType, Payloads, ProtocolId};

/// What an authenticated informational message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// R-U-THERE with its sequence number.
    AreYouThere(u32),
    /// R-U-THERE-ACK with the sequence number it echoes.
    IAmHere(u32),
    /// The sender has removed these IPsec SAs, named by the SPIs of packets to it.
    DeletedEsp(Vec<u32>),
    /// The sender has removed these ISAKMP SAs, named by both cookies.
    DeletedIsakmp(Vec<[u8; 16]>),
    /// Any other notification.
    Notification {
        /// Its type.
        notify_type: NotifyType,
        /// The SPI that it is about, if it names one of ESP.
        spi: Option<u32>,
    },
}

/// Reads an encrypted informational message; `phase_one` is main mode's last IV.
pub(crate) fn open(protection: &Protection, phase_one: &Iv, header: &Header, body: &[u8]) -> Result<Vec<Statement>, Error> {
    let iv = phase_one.for_message_id(protection.hash, header.message_id);
    let hash = |rest: &[u8]| protection.keys.a.hash1(header.message_id, rest);
    let (statements, _) = protection.open(&iv, header, body, hash, |payloads| read(payloads, &protection.spi()))?;
    statements
}

fn read(payloads: &Payloads<'_>, cookies: &[u8; 16]) -> Result<Vec<Statement>, Error> {
    let mut statements = Vec::new();
    for payload in payloads.iter() {
        match payload.kind {
            PayloadType::NOTIFY => {
                let notification = Notification::parse(payload.body)?;
                statements.extend(notified(&notification, cookies));
            }
            PayloadType::DELETE => {
                let delete = Delete::parse(payload.body)?;
                statements.push(match delete.protocol {
                    ProtocolId::ISAKMP => {
                        Statement::DeletedIsakmp(delete.spis.iter().filter_map(|spi| <[u8; 16]>::try_from(*spi).ok()).collect())
                    }
                    _ => Statement::DeletedEsp(delete.esp_spis().collect()),
                });
            }
            _ => {}
        }
    }
    Ok(statements)
}

/// R-U-THERE and its ACK must carry both cookies of the SA they come under (RFC 3706 section 5.3); others are not understood.
fn notified(notification: &Notification<'_>, cookies: &[u8; 16]) -> Option<Statement> {
    let sequence = || {
        let ours = notification.spi == cookies;
        ours.then(|| notification.data.try_into().ok().map(u32::from_be_bytes)).flatten()
    };
    match notification.notify_type {
        NotifyType::R_U_THERE => sequence().map(Statement::AreYouThere),
        NotifyType::R_U_THERE_ACK => sequence().map(Statement::IAmHere),
        notify_type => {
            let esp = notification.protocol == ProtocolId::ESP;
            let spi = notification.spi.try_into().ok().filter(|_| esp).map(u32::from_be_bytes);
            Some(Statement::Notification { notify_type, spi })
        }
    }
}

/// An encrypted informational message of one payload.
pub(crate) fn message(protection: &Protection, phase_one: &Iv, message_id: u32, kind: PayloadType, body: Vec<u8>) -> Vec<u8> {
    let mut iv = phase_one.for_message_id(protection.hash, message_id);
    let hash = |rest: &[u8]| protection.keys.a.hash1(message_id, rest);
    protection.seal(&mut iv, ExchangeType::INFORMATIONAL, message_id, &[(kind, body)], hash)
}

/// R-U-THERE or R-U-THERE-ACK.
pub(crate) fn dpd(protection: &Protection, notify_type: NotifyType, sequence: u32) -> Vec<u8> {
    Notification { protocol: ProtocolId::ISAKMP, spi: &protection.spi(), notify_type, data: &sequence.to_be_bytes() }.encode()
}

/// A notification about the ISAKMP SA itself.
pub(crate) fn isakmp_notification(protection: &Protection, notify_type: NotifyType) -> Vec<u8> {
    Notification { protocol: ProtocolId::ISAKMP, spi: &protection.spi(), notify_type, data: &[] }.encode()
}

/// A refusal of one quick mode, by the SPI that the peer offered in it.
pub(crate) fn esp_notification(notify_type: NotifyType, spi: Option<u32>) -> Vec<u8> {
    let spi = spi.map(u32::to_be_bytes);
    Notification { protocol: ProtocolId::ESP, spi: spi.as_ref().map_or(&[], |spi| &spi[..]), notify_type, data: &[] }.encode()
}

/// A clear notification that refuses a message of an exchange without keys.
pub(crate) fn clear_notification(
    initiator_cookie: Cookie,
    responder_cookie: Cookie,
    rng: &mut (impl CryptoRng + ?Sized),
    notify_type: NotifyType,
) -> Vec<u8> {
    let spi = crate::wire::notify::isakmp_spi(initiator_cookie, responder_cookie);
    let mut chain = Chain::new();
    chain.push(PayloadType::NOTIFY, &Notification { protocol: ProtocolId::ISAKMP, spi: &spi, notify_type, data: &[] }.encode());
    let message_id = rng.random_range(1..=u32::MAX);
    chain.message(&Header::new(initiator_cookie, responder_cookie, ExchangeType::INFORMATIONAL, message_id))
}

/// The first error notification in a clear informational message: a hint that anybody may have written.
pub(crate) fn clear_hint(header: &Header, body: &[u8]) -> Option<NotifyType> {
    let payloads = Payloads::parse(header.next_payload, body).ok()?;
    let mut types = payloads.all(PayloadType::NOTIFY).filter_map(|payload| Some(Notification::parse(payload.body).ok()?.notify_type));
    types.find(|notify_type| notify_type.is_error())
}
