//! A peer that holds the key and breaks every rule: what it says is authentic, and still nothing panics, grows or reuses what is spent.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::isakmp_sa::Protection;
use crate::iv::Iv;
use crate::nat::Path;
use crate::wire::{Delete, ExchangeType, Identification, Notification, NotifyType, PayloadType, ProtocolId};
use crate::{ConnectionConfig, ConnectionId, Endpoint, Event, Group, Identity, NatTraversal, ProxyIdentity, Psk, Start, TrafficSelectors};

const CONN: ConnectionId = ConnectionId(1);

/// An honest responder, and the keys of the ISAKMP SA that the peer has with it.
struct Victim {
    now: Instant,
    endpoint: Endpoint,
    /// As the victim sees it.
    path: Path,
    protection: Arc<Protection>,
    iv: Iv,
    pairs: usize,
}

fn config() -> ConnectionConfig {
    let proxy = |net: &str| ProxyIdentity { net: net.parse().unwrap(), protocol: 0, port: 0 };
    let (local, remote) = ([198, 51, 100, 20].into(), [203, 0, 113, 21].into());
    ConnectionConfig {
        name: "conn1".into(),
        local,
        remote,
        psk: Psk::new("key"),
        psk_next: None,
        local_id: Identity::Address(local),
        remote_id: Identity::Address(remote),
        start: Start::Always,
        ike_proposals: vec!["aes128-sha1-group2".parse().unwrap()],
        ike_lifetime: Duration::from_secs(86_400),
        esp_proposals: vec!["aes128-sha1".parse().unwrap()],
        pfs: Some(Group::Modp1024),
        esp_lifetime: Duration::from_secs(86_400),
        dpd: None,
        nat_traversal: NatTraversal::Off,
        children: vec![TrafficSelectors { local: proxy("192.168.0.0/24"), remote: proxy("172.16.0.0/16") }],
    }
}

fn mirrored(config: &ConnectionConfig) -> ConnectionConfig {
    let mut other = config.clone();
    std::mem::swap(&mut other.local, &mut other.remote);
    std::mem::swap(&mut other.local_id, &mut other.remote_id);
    other.children.iter_mut().for_each(|child| std::mem::swap(&mut child.local, &mut child.remote));
    other.start = Start::Passive;
    other
}

impl Victim {
    /// After main mode and one quick mode with an honest peer, whose place is then taken.
    fn new() -> Self {
        let now = Instant::now();
        let (mut peer, mut endpoint) = (Endpoint::new([1; 32]), Endpoint::new([2; 32]));
        peer.configure(now, CONN, config());
        endpoint.configure(now, CONN, mirrored(&config()));
        peer.connect(now, CONN);
        loop {
            while peer.poll_event().is_some() {}
            while endpoint.poll_event().is_some() {}
            let to: Vec<_> = std::iter::from_fn(|| peer.poll_transmit()).collect();
            let back: Vec<_> = std::iter::from_fn(|| endpoint.poll_transmit()).collect();
            if to.is_empty() && back.is_empty() {
                break;
            }
            to.iter().for_each(|message| endpoint.handle(now, message.remote, message.local, &message.payload));
            back.iter().for_each(|message| peer.handle(now, message.remote, message.local, &message.payload));
        }
        let session = &endpoint.connections[&CONN].sessions[0];
        let sa = &session.established().unwrap().sa;
        let (path, protection, iv) = (session.path, Arc::clone(&sa.protection), sa.iv);
        Self { now, endpoint, path, protection, iv, pairs: 1 }
    }

    /// An authentic message; gives the answers' number.
    fn hear(&mut self, exchange: ExchangeType, message_id: u32, payloads: &[(PayloadType, Vec<u8>)]) -> usize {
        let mut iv = self.iv.for_message_id(self.protection.hash, message_id);
        let hash = |rest: &[u8]| self.protection.keys.a.hash1(message_id, rest);
        let message = self.protection.seal(&mut iv, exchange, message_id, payloads, hash);
        self.endpoint.handle(self.now, self.path.local, self.path.remote, &message);
        self.drain()
    }

    fn drain(&mut self) -> usize {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::ChildInstalled { keys, .. } => {
                    assert!(keys.spi_in >= 256 && keys.spi_out >= 256, "reserved SPIs: {keys:?}");
                    self.pairs += 1;
                }
                Event::ChildDeleted { .. } => self.pairs -= 1,
                _ => {}
            }
        }
        assert!(self.pairs <= 32, "{} pairs", self.pairs);
        std::iter::from_fn(|| self.endpoint.poll_transmit()).count()
    }

    fn lives(&self) -> bool {
        self.endpoint.connections[&CONN].sessions.iter().any(|session| session.established().is_some())
    }
}

/// The SA payload of a quick mode with this SPI and so many transforms.
fn offer(spi: &[u8], transforms: usize) -> Vec<u8> {
    let attributes = [0x80, 1, 0, 1, 0x80, 2, 0x0e, 0x10, 0x80, 4, 0, 1, 0x80, 5, 0, 2, 0x80, 6, 0, 128, 0x80, 3, 0, 2];
    let mut body = Vec::new();
    for n in 1..=transforms {
        body.extend([if n < transforms { 3 } else { 0 }, 0, 0, 8 + attributes.len() as u8, n as u8, 12, 0, 0]);
        body.extend(attributes);
    }
    let mut sa = vec![0, 0, 0, 1, 0, 0, 0, 1, 0, 0];
    sa.extend((8 + spi.len() as u16 + body.len() as u16).to_be_bytes());
    sa.extend([1, 3, spi.len() as u8, transforms as u8]);
    sa.extend(spi);
    sa.extend(body);
    sa
}

/// A whole message 1, with these parts changed.
fn message1(spi: &[u8], nonce: usize, public: Vec<u8>) -> Vec<(PayloadType, Vec<u8>)> {
    let child = config().children[0];
    vec![
        (PayloadType::SA, offer(spi, 1)),
        (PayloadType::NONCE, vec![7; nonce]),
        (PayloadType::KE, public),
        (PayloadType::ID, Identification::of_proxy(&child.local).encode()),
        (PayloadType::ID, Identification::of_proxy(&child.remote).encode()),
    ]
}

fn public() -> Vec<u8> {
    [vec![0x55; 127], vec![2]].concat()
}

#[test]
fn a_whole_quick_mode_of_this_peer_is_accepted_once() {
    let mut victim = Victim::new();
    assert_eq!(victim.hear(ExchangeType::QUICK, 77, &message1(&[0, 0, 1, 0], 32, public())), 1);
    assert_eq!(victim.pairs, 2);
    // The same id with another body is another exchange that pretends to be this one.
    assert_eq!(victim.hear(ExchangeType::QUICK, 77, &message1(&[0, 0, 2, 0], 32, public())), 0);
    assert_eq!(victim.hear(ExchangeType::INFORMATIONAL, 77, &[(PayloadType::DELETE, Delete::encode_esp(&[0x100]))]), 0);
    assert_eq!(victim.pairs, 2, "a message id is spent");
    assert_eq!(victim.hear(ExchangeType::QUICK, 0, &message1(&[0, 0, 3, 0], 32, public())), 0);
    assert_eq!(victim.pairs, 2, "0 belongs to main mode");
}

#[test]
fn spis_nonces_and_public_values_that_must_not_be_make_no_pair() {
    let mut victim = Victim::new();
    let mut all_ones = vec![0xff; 128];
    let bad: Vec<(&[u8], usize, Vec<u8>)> = vec![
        (&[0, 0, 0, 0], 32, public()),
        (&[0, 0, 0, 255], 32, public()),
        (&[], 32, public()),
        (&[1, 2, 3], 32, public()),
        (&[1; 8], 32, public()),
        (&[0, 0, 1, 0], 7, public()),
        (&[0, 0, 1, 0], 257, public()),
        (&[0, 0, 1, 0], 0, public()),
        (&[0, 0, 1, 0], 32, vec![0; 128]),
        (&[0, 0, 1, 0], 32, [vec![0; 127], vec![1]].concat()),
        (&[0, 0, 1, 0], 32, std::mem::take(&mut all_ones)),
        (&[0, 0, 1, 0], 32, vec![2; 127]),
        (&[0, 0, 1, 0], 32, vec![]),
    ];
    for (id, (spi, nonce, public)) in (100..).zip(bad) {
        let answers = victim.hear(ExchangeType::QUICK, id, &message1(spi, nonce, public));
        assert!(answers <= 1);
        assert_eq!(victim.pairs, 1, "exchange {id}: SPI {spi:?}, nonce of {nonce}");
    }
    assert!(victim.lives());
    assert_eq!(victim.hear(ExchangeType::QUICK, 77, &message1(&[0, 0, 1, 0], 32, public())), 1, "a good one is still taken");
}

#[test]
fn quick_modes_without_end_and_one_spi_for_all_are_bounded() {
    let mut victim = Victim::new();
    for id in 1..400 {
        assert!(victim.hear(ExchangeType::QUICK, id, &message1(&[0, 0, 1, 0], 32, public())) <= 3);
    }
    assert!(victim.lives());
    victim.now += Duration::from_secs(120);
    victim.endpoint.handle_timeout(victim.now);
    victim.drain();
    assert!(victim.pairs <= 16);
    let mut transforms = message1(&[0, 0, 1, 0], 32, public());
    transforms[0].1 = offer(&[0, 0, 1, 0], 255);
    victim.hear(ExchangeType::QUICK, 1000, &transforms);
    assert!(victim.lives());
}

#[test]
fn arbitrary_authentic_payloads_bring_few_answers_and_no_end() {
    let mut rng = StdRng::seed_from_u64(9);
    let mut victim = Victim::new();
    let good = message1(&[0, 0, 1, 0], 32, public());
    for round in 0..20_000_u32 {
        if !victim.lives() {
            victim = Victim::new();
        }
        let payloads = (0..rng.random_range(0..6)).map(|_| {
            let kind = PayloadType([1, 4, 5, 8, 10, 11, 12, 13, 21, rng.random_range(1..=255)][rng.random_range(0..10)]);
            let mut body = match kind {
                PayloadType::NOTIFY => {
                    let types = [1, 14, 18, 24576, 24577, 24578, 36136, 36137, rng.random()];
                    let notify_type = NotifyType(types[rng.random_range(0..types.len())]);
                    let protocol = ProtocolId(rng.random_range(0..5));
                    Notification { protocol, spi: &victim.protection.spi(), notify_type, data: &[0, 0, 0, rng.random()] }.encode()
                }
                PayloadType::DELETE => Delete::encode_esp(&[rng.random(), 0x100, 0]),
                kind => good.iter().find(|(other, _)| *other == kind).map_or_else(|| vec![rng.random(); 20], |(_, body)| body.clone()),
            };
            for _ in 0..rng.random_range(0..3) {
                let at = rng.random_range(0..body.len().max(1));
                match body.get_mut(at) {
                    Some(byte) if rng.random() => *byte = rng.random(),
                    _ => body.truncate(at),
                }
            }
            (kind, body)
        });
        let mut payloads: Vec<_> = payloads.collect();
        if rng.random_range(0..4) == 0 {
            payloads = good.clone();
            let at = rng.random_range(0..payloads.len());
            let body = &mut payloads[at].1;
            let byte = rng.random_range(0..body.len());
            body[byte] ^= 1 << rng.random_range(0..8);
        }
        let exchange = if rng.random() { ExchangeType::QUICK } else { ExchangeType::INFORMATIONAL };
        assert!(victim.hear(exchange, round + 1, &payloads) <= 4);
        if round % 64 == 0 {
            victim.now += Duration::from_secs(rng.random_range(0..90));
            victim.endpoint.handle_timeout(victim.now);
            victim.drain();
        }
    }
}
