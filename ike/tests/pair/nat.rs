//! NAT between the two ends, pretended, absent or switched off.

use crate::harness::*;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tandem_ike::*;

/// A source NAT in front of A: its datagrams come from `ports[..]` of 198.51.100.20's public side, answers find their way back.
fn natted(a: ConnectionConfig, b: ConnectionConfig) -> (Pair, Arc<Mutex<u16>>) {
    let shift = Arc::new(Mutex::new(20_000_u16));
    let inside: SocketAddr = SocketAddr::new(a.local, 500);
    let outside = b.remote;
    let mut pair = Pair::new(a, b);
    let shared = Arc::clone(&shift);
    pair.translate = Box::new(move |from, source, destination| {
        let shift = *shared.lock().unwrap();
        if from == A {
            (SocketAddr::new(outside, source.port() + shift), destination)
        } else if destination.port() >= shift {
            (source, SocketAddr::new(inside.ip(), destination.port() - shift))
        } else {
            // A mapping that is gone.
            (source, SocketAddr::new(ip("192.0.2.1"), 9))
        }
    });
    (pair, shift)
}

fn behind_nat() -> (ConnectionConfig, ConnectionConfig) {
    let a = ConnectionConfig { local: ip("10.0.0.5"), ..config_a() };
    let b = mirror(&config_a());
    (a, b)
}

#[test]
fn initiator_behind_a_nat_moves_to_port_4500_with_message_5_and_keeps_the_mapping_alive() {
    let (a, b) = behind_nat();
    let (mut pair, _) = natted(a, b);
    pair.connect(A);
    pair.run(secs(3));
    pair.assert_up();
    assert_eq!(pair.sides[A].ike.as_ref().unwrap().nat, NatStatus::Local);
    assert_eq!(pair.sides[B].ike.as_ref().unwrap().nat, NatStatus::Remote);
    let ports: Vec<_> = pair.log.iter().take(9).map(|datagram| datagram.local.port()).collect();
    assert_eq!(ports, [500, 500, 500, 500, 4500, 4500, 4500, 4500, 4500]);
    assert!(pair.log[4].payload.starts_with(&[0; 4]));
    let outer = "198.51.100.20:24500".parse().unwrap();
    let expected = Encapsulation::Udp { local: "203.0.113.21:4500".parse().unwrap(), remote: outer };
    assert_eq!(pair.sides[B].outbound(0).unwrap().encapsulation, expected);
    pair.run(secs(65));
    let keepalives = |from| pair.log.iter().filter(|datagram| datagram.from == from && datagram.payload == [0xff]).count();
    assert_eq!((keepalives(A), keepalives(B)), (3, 0), "only the end behind the NAT");
    assert_eq!(pair.drops(B)["ike_keepalive"], 3);
}

#[test]
fn responder_follows_a_mapping_that_changes_only_after_an_authentic_packet() {
    let (a, b) = behind_nat();
    let (mut pair, shift) = natted(a, b);
    pair.connect(A);
    pair.run(secs(3));
    // A forged datagram from elsewhere moves nothing.
    let recorded = pair.log[6].payload.clone();
    let mut damaged = recorded.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for payload in [recorded, damaged] {
        pair.inject(B, "192.0.2.66:4500".parse().unwrap(), "203.0.113.21:4500".parse().unwrap(), payload, millis(1));
    }
    pair.run(secs(2));
    assert!(pair.sides[B].moved.is_empty());
    *shift.lock().unwrap() = 30_000;
    pair.run(secs(30));
    let moved = Encapsulation::Udp { local: "203.0.113.21:4500".parse().unwrap(), remote: "198.51.100.20:34500".parse().unwrap() };
    assert_eq!(pair.sides[B].moved, [moved], "by the R-U-THERE of A");
    assert_eq!(pair.sides[A].dead + pair.sides[B].dead, 0);
    pair.assert_up();
}

#[test]
fn esp_from_a_new_address_moves_the_peer_too() {
    let (a, b) = behind_nat();
    let (mut pair, _) = natted(a, b);
    pair.connect(A);
    pair.run(secs(3));
    let spi = pair.sides[B].outbound(0).unwrap().spi_in;
    let (local, remote) = ("203.0.113.21:4500".parse().unwrap(), "198.51.100.20:40000".parse().unwrap());
    pair.act(B, |endpoint, now| endpoint.esp_moved(now, spi, local, remote));
    assert_eq!(pair.sides[B].moved, [Encapsulation::Udp { local, remote }]);
}

#[test]
fn rekeying_main_mode_through_a_nat_begins_on_port_4500() {
    let (a, b) = behind_nat();
    let (mut pair, _) = natted(a, b);
    pair.connect(A);
    pair.run(secs(3));
    let sent = pair.log.len();
    pair.act(B, |endpoint, now| endpoint.rekey(now, CONN));
    pair.run(secs(3));
    assert_eq!(pair.sides[B].established, 2, "{}", pair.story());
    assert!(pair.log[sent..].iter().all(|datagram| datagram.local.port() == 4500));
    assert!(pair.flows());
}

#[test]
fn force_makes_the_peer_see_a_nat_in_either_role() {
    for forced in [A, B] {
        let mut configs = [config_a(), mirror(&config_a())];
        configs[forced].nat_traversal = NatTraversal::Force;
        let [a, b] = configs;
        let mut pair = Pair::up(a, b);
        assert_eq!(pair.sides[forced].ike.as_ref().unwrap().nat, NatStatus::Forced);
        assert_eq!(pair.sides[1 - forced].ike.as_ref().unwrap().nat, NatStatus::Remote);
        for side in &pair.sides {
            assert!(matches!(side.outbound(0).unwrap().encapsulation, Encapsulation::Udp { .. }));
        }
        pair.run(secs(65));
        assert!(pair.log.iter().all(|datagram| datagram.payload != [0xff]), "a pretended NAT forgets nothing");
    }
}

#[test]
fn both_ends_may_force() {
    let config = ConnectionConfig { nat_traversal: NatTraversal::Force, ..config_a() };
    let pair = Pair::up(config.clone(), mirror(&config));
    assert!(pair.sides.iter().all(|side| side.ike.as_ref().unwrap().nat == NatStatus::Forced));
}

#[test]
fn without_a_nat_everything_stays_on_port_500_and_protocol_50() {
    let pair = Pair::default_up();
    assert!(pair.log.iter().all(|datagram| datagram.local.port() == 500 && datagram.remote.port() == 500));
    assert_eq!(pair.sides[A].ike.as_ref().unwrap().nat, NatStatus::None);
    assert_eq!(pair.sides[A].outbound(0).unwrap().encapsulation, Encapsulation::Esp);
}

#[test]
fn off_on_either_end_means_no_nat_traversal() {
    for off in [A, B] {
        let mut configs = [config_a(), mirror(&config_a())];
        configs[off].nat_traversal = NatTraversal::Off;
        let [a, b] = configs;
        let pair = Pair::up(a, b);
        assert_eq!(pair.sides[A].ike.as_ref().unwrap().nat, NatStatus::None);
        let vendor_id = b"\x4a\x13\x1c\x81\x07\x03\x58\x45\x5c\x57\x28\xf2\x0e\x95\x45\x2f";
        let offered = |datagram: &Datagram| datagram.payload.windows(16).any(|window| window == vendor_id);
        assert!(!pair.log.iter().any(|datagram| datagram.from == off && offered(datagram)));
    }
}

#[test]
fn drafts_are_spoken_where_the_rfc_is_not_known() {
    // The peer's RFC 3947 vendor ids are made unknown on the wire, so both see only the drafts; SAi_b is not touched.
    let (a, b) = behind_nat();
    let (mut pair, _) = natted(a, b);
    pair.rule = Box::new(|datagram| {
        let vendor_id = b"\x4a\x13\x1c\x81\x07\x03\x58\x45\x5c\x57\x28\xf2\x0e\x95\x45\x2f";
        match datagram.payload.windows(16).position(|window| window == vendor_id) {
            Some(at) => {
                let mut payload = datagram.payload.clone();
                payload[at] ^= 0xff;
                Fate::Replace(payload)
            }
            None => Fate::Deliver,
        }
    });
    pair.connect(A);
    pair.run(secs(3));
    pair.assert_up();
    assert_eq!(pair.sides[A].ike.as_ref().unwrap().nat, NatStatus::Local);
    // Message 3 carries payload type 130 after the nonce.
    assert!(pair.log[2].payload.windows(4).any(|window| window == [130, 0, 0, 24] || window == [0, 0, 0, 24]));
}
