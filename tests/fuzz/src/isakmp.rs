//! One datagram, as it comes from anybody.

use std::net::SocketAddr;
use std::time::Instant;

use tandem_ike::Endpoint;
use tandem_ike::wire::{
    Attribute, Chain, Delete, Header, Identification, Malformed, Notification, PayloadType, Payloads, SecurityAssociation, VendorId, hash,
    ke, nonce,
};

use crate::captures;
use crate::pair::{CONN, Pair, config_a, mirror, secs};

/// A first message and its answers, at most.
const MOST_ANSWERS: usize = 1;

/// Reads the datagram payload by payload; what can be read can be written, and reads the same again. Then an endpoint gets it, from its peer
/// and from a stranger: at most one answer, and state for one half-open exchange that is gone after its time.
pub fn isakmp(data: &[u8]) {
    if let Ok((header, body)) = Header::parse(data) {
        assert_eq!(Header::parse(&[&header.encode(), body].concat()).ok(), Some((header, body)), "a header is what it was read from");
        if let Err(malformed) = chain(header.next_payload, body) {
            assert!(!malformed.to_string().is_empty());
        }
    }
    let peer = answers(SocketAddr::new(mirror(&config_a()).remote, 500), data);
    assert!(peer <= MOST_ANSWERS, "{peer} answers to one datagram");
    let stranger = answers(SocketAddr::from(([192, 0, 2, 66], 500)), data);
    assert_eq!(stranger, 0, "a stranger gets no answer");
}

fn chain(first: PayloadType, bytes: &[u8]) -> Result<(), Malformed> {
    let payloads = Payloads::parse(first, bytes)?;
    let mut written = Chain::new();
    for payload in payloads.iter() {
        written.push(payload.kind, payload.body);
        // Each in its own right: one that cannot be read says nothing of the others.
        let _malformed = read(payload.kind, payload.body);
    }
    let again = Payloads::parse(written.first(), written.bytes())?;
    assert!(payloads.iter().map(|p| (p.kind, p.body)).eq(again.iter().map(|p| (p.kind, p.body))), "a chain is what it was read from");
    Ok(())
}

fn read(kind: PayloadType, body: &[u8]) -> Result<(), Malformed> {
    match kind {
        PayloadType::SA => {
            for proposal in SecurityAssociation::parse(body)?.proposals {
                assert!(proposal.spi.len() < 256);
                for transform in &proposal.transforms {
                    assert_eq!(Attribute::parse_all(&transform.body[4..]).as_ref(), Ok(&transform.attributes));
                }
            }
        }
        PayloadType::ID => {
            let id = Identification::parse(body)?;
            assert_eq!(Identification::parse(&id.encode()).as_ref(), Ok(&id));
            assert!(!id.to_string().is_empty());
            if let Some(identity) = id.identity() {
                assert_eq!(Identification::of_identity(&identity).identity(), Some(identity));
            }
            if let Some(proxy) = id.proxy_identity() {
                assert_eq!(Identification::of_proxy(&proxy).proxy_identity(), Some(proxy));
            }
        }
        PayloadType::NOTIFY => {
            let notification = Notification::parse(body)?;
            assert_eq!(Notification::parse(&notification.encode())?.notify_type, notification.notify_type);
            Attribute::parse_all(notification.data)?;
        }
        PayloadType::DELETE => {
            let delete = Delete::parse(body)?;
            assert!(delete.esp_spis().count() * 4 <= body.len());
        }
        PayloadType::VENDOR_ID => drop(VendorId::recognise(body)),
        PayloadType::KE => drop(ke::parse(body)?.len()),
        PayloadType::NONCE => assert!((8..=256).contains(&nonce::parse(body)?.len())),
        PayloadType::HASH => drop(hash::parse(body)?.len()),
        _ => {}
    }
    Ok(())
}

/// How many datagrams a fresh responder sends for this one.
fn answers(remote: SocketAddr, datagram: &[u8]) -> usize {
    let config = mirror(&config_a());
    let local = SocketAddr::new(config.local, 500);
    let now = Instant::now();
    let mut endpoint = Endpoint::new([7; 32]);
    endpoint.configure(now, CONN, config);
    endpoint.handle(now, local, remote, datagram);
    while endpoint.poll_event().is_some() {}
    let answers = std::iter::from_fn(|| endpoint.poll_transmit()).count();
    endpoint.handle_timeout(now + secs(31));
    while endpoint.poll_event().is_some() {}
    assert!(endpoint.poll_transmit().is_none(), "a passive end repeats nothing by itself");
    assert_eq!(endpoint.poll_timeout(), None, "nothing of a half-open exchange is left");
    answers
}

/// The nine messages of a handshake, and what others sent.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let pair = Pair::default_up();
    let own = pair.log.iter().filter(|datagram| datagram.repetition == 0).map(|datagram| datagram.message().to_vec());
    own.chain(captures()).collect()
}
