//! Both directions of the packet path between two gateways: what goes in at one end comes out at the other, and what must not, does not.

#![allow(clippy::unwrap_used)]

mod tunnel;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::prelude::*;
use tandem::datapath::{InboundBatch, OutboundBatch};
use tandem::icmp;
use tandem::ip::{self, Header, v4};
use tandem::sadb::{EchoEntry, Notice, OutboundEntry, OuterPath, RouteEntry, SaFacts};
use tandem::stats::DropReason;
use tandem_esp::{HEADROOM, Packet, TAILROOM};
use tunnel::{Gateway, Link, Wire, keymat, link, outbound_batch, pair, selectors, udp, wires};

impl Gateway {
    fn inject(&mut self, connection: usize, packet: &[u8]) -> Vec<Wire> {
        let mut batch = outbound_batch(&[packet.to_vec()]);
        self.outbound.inject(connection, &mut batch);
        wires(&batch)
    }

    /// The facts of the child's SA to send on.
    fn facts(&self, connection: usize, child: usize) -> Arc<SaFacts> {
        Arc::clone(&self.tables.connections[connection].outbound[child].as_ref().unwrap().facts)
    }

    fn hears(&mut self, capacity: usize) {
        self.notices.lock().unwrap().capacity = capacity;
    }
}

const CLIENT: [u8; 4] = [192, 168, 0, 10];
const ECS: [u8; 4] = [172, 16, 1, 10];

fn packet(len: usize) -> Vec<u8> {
    udp(CLIENT, ECS, (5000, 53), len)
}

fn ipv4(protocol: u8, source: [u8; 4], destination: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut p = udp(source, destination, (0, 0), 28 + payload.len());
    p.drain(20..28);
    p.truncate(20);
    p[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
    p[9] = protocol;
    ip::set_v4_checksum(&mut p);
    p.extend(payload);
    p
}

fn changed(mut packet: Vec<u8>, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    change(&mut packet);
    ip::set_v4_checksum(&mut packet[..20]);
    packet
}

fn dont_fragment(packet: Vec<u8>) -> Vec<u8> {
    changed(packet, |p| p[6] |= 0x40)
}

/// Seals at one end a packet that its own tables would not let pass: the SA's selectors, policy and routes are widened there.
fn smuggled(a: &mut Gateway, packet: Vec<u8>) -> Vec<Wire> {
    let wide = ("0.0.0.0/0", "0.0.0.0/0");
    let old = a.tables.connections[0].outbound[0].clone().unwrap();
    let facts = SaFacts {
        id: old.facts.id,
        connection: 0,
        selectors: selectors(wide.0, wide.1),
        spi_in: old.facts.spi_in,
        spi_out: old.facts.spi_out,
        counters: Default::default(),
        tell_authentic: Default::default(),
    };
    a.connection(&[(wide.0, wide.1, true)]);
    a.tables.connections.swap_remove(0);
    a.tables.connections[0].outbound[0] =
        Some(Arc::new(OutboundEntry { facts: Arc::new(facts), sa: old.sa.clone(), path: old.path, max_inner: old.max_inner }));
    a.tables.routes.clear();
    a.route(wide.1, 0);
    a.commit();
    let wires = a.seal(&[packet]).0;
    assert_eq!(wires.len(), 1, "{:?}", a.dropped());
    wires
}

/// Seals by hand what follows the IV in clear: inner packet, padding, pad length and next header, as a faulty holder of the keys might.
fn sealed_by_hand(a: &Gateway, b: &Gateway, clear: &[u8]) -> Wire {
    use aes::cipher::{BlockCipherEncrypt, KeyInit};
    use hmac::Mac;

    let keys = keymat(1, 2);
    let (encryption, integrity) = keys.split_at(16);
    let cipher = aes::Aes128::new_from_slice(encryption).unwrap();
    let mut bytes = [&0x2001u32.to_be_bytes()[..], &1u32.to_be_bytes()[..], &[0x5a; 16]].concat();
    for block in clear.chunks_exact(16) {
        let previous = bytes.last_chunk::<16>().unwrap();
        let mut block: [u8; 16] = std::array::from_fn(|i| block[i] ^ previous[i]);
        cipher.encrypt_block((&mut block).into());
        bytes.extend(block);
    }
    let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(integrity).unwrap();
    mac.update(&bytes);
    bytes.extend(&mac.finalize().into_bytes()[..12]);
    Wire { bytes, path: OuterPath::Esp { local: a.address, remote: b.address }, tos: 0 }
}

/// Inner packet of 30 bytes and its trailer.
fn with_trailer(inner: Vec<u8>, trailer: [u8; 2]) -> Vec<u8> {
    assert_eq!(inner.len(), 30);
    [inner, trailer.to_vec()].concat()
}

#[test]
fn a_packet_sealed_by_hand_is_opened() {
    let (a, mut b) = pair(1, Link::default());
    let wire = sealed_by_hand(&a, &b, &with_trailer(packet(30), [0, 4]));
    assert_eq!(b.open(&[wire]), [packet(30)]);
}

#[track_caller]
fn assert_dropped(gateway: &Gateway, reason: DropReason) {
    assert_eq!(gateway.dropped(), [(reason, 1)]);
}

#[test]
fn a_packet_comes_out_as_it_went_in_and_is_counted_at_both_ends() {
    let (mut a, mut b) = pair(1, Link::default());
    let (wires, returned) = a.seal(&[packet(100), packet(1400)]);
    assert!(returned.is_empty());
    assert_eq!(wires[0].path, OuterPath::Esp { local: a.address, remote: b.address });
    assert_eq!(b.open(&wires), [packet(100), packet(1400)]);
    let (sent, heard) = (a.facts(0, 0), b.facts(0, 0));
    assert_eq!((sent.counters.outbound.packets(), sent.counters.outbound.bytes()), (2, 1500));
    assert_eq!((heard.counters.inbound.packets(), heard.counters.inbound.bytes()), (2, 1500));
    assert_eq!(a.tables.connections[0].counters.outbound.bytes(), 1500);
    assert_eq!(b.tables.connections[0].counters.inbound.bytes(), 1500);
    assert!(a.dropped().is_empty() && b.dropped().is_empty());
}

#[test]
fn ipv6_travels_inside_ipv4() {
    let (mut a, mut b) = (Gateway::new([198, 51, 100, 20]), Gateway::new([203, 0, 113, 21]));
    a.connection(&[("fd00::/64", "fd01::/64", true)]);
    b.connection(&[("fd01::/64", "fd00::/64", true)]);
    a.route("fd01::/64", 0);
    link(&mut a, &mut b, Link { max_inner: 1300, ..Link::default() }, selectors("fd00::/64", "fd01::/64"));
    a.commit();
    b.commit();
    let v6 = |len: usize| {
        let mut p = vec![0x6b, 0x80, 0, 0, 0, 0, 59, 64];
        p[4..6].copy_from_slice(&(len as u16 - 40).to_be_bytes());
        p.extend("fd00::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
        p.extend("fd01::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
        p.resize(len, 7);
        p
    };
    let (wires, returned) = a.seal(&[v6(1300), v6(1301)]);
    assert_eq!((wires[0].tos, b.open(&wires)), (0xb8, vec![v6(1300)]));
    assert_eq!(returned[0][40..48], [2, 0, returned[0][42], returned[0][43], 0, 0, 0x05, 0x14], "packet too big, 1300");
    assert_dropped(&a, DropReason::TooBig);
}

#[test]
fn bytes_behind_the_ip_packet_are_not_sent() {
    let (mut a, mut b) = pair(1, Link::default());
    let padded = [packet(60), vec![0; 20]].concat();
    let wires = a.seal(&[padded]).0;
    assert_eq!(b.open(&wires), [packet(60)]);
    assert_eq!(a.facts(0, 0).counters.outbound.bytes(), 60);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_flow_arrives_whole_and_in_order(
        packets in proptest::collection::vec((0u8..4, 0u8..3, 1u16..5, 28usize..1438), 1..120),
        batch in 1usize..70,
        in_udp: bool,
    ) {
        let (mut a, mut b) = pair(2, Link { in_udp, ..Link::default() });
        a.tables.routes.insert(0, RouteEntry { destination: "172.16.2.0/24".parse().unwrap(), connection: 1 });
        a.commit();
        let sent: Vec<_> = packets
            .iter()
            .enumerate()
            .map(|(i, &(host, net, port, len))| {
                changed(udp([192, 168, 0, host], [172, 16, net, 1], (port, 53), len), |p| p[4..6].copy_from_slice(&(i as u16).to_be_bytes()))
            })
            .collect();
        let mut arrived = Vec::new();
        for sent in sent.chunks(batch) {
            let wires = a.seal(sent).0;
            prop_assert_eq!(wires.len(), sent.len());
            arrived.extend(b.open(&wires));
        }
        let by_flow = |packets: &[Vec<u8>]| {
            let mut flows: HashMap<Vec<u8>, Vec<Vec<u8>>> = HashMap::new();
            for p in packets {
                flows.entry(p[12..24].to_vec()).or_default().push(p.clone());
            }
            flows
        };
        prop_assert_eq!(by_flow(&arrived), by_flow(&sent));
        prop_assert!(a.dropped().is_empty() && b.dropped().is_empty());
    }

    #[test]
    fn no_bytes_from_either_side_make_the_path_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), first in prop_oneof![Just(0x45u8), Just(0x60), any::<u8>()]) {
        let (mut a, _) = pair(1, Link::default());
        let mut inner = bytes.clone();
        inner.insert(0, first);
        let _ = a.seal(&[inner]);
        let path = OuterPath::Esp { local: [203, 0, 113, 21].into(), remote: a.address };
        let known = [0x1001u32.to_be_bytes().to_vec(), bytes.clone()].concat();
        let wires = [bytes, known].map(|bytes| Wire { bytes, path, tos: 0 });
        prop_assert!(a.open(&wires).is_empty());
    }
}

#[test]
fn routes_choose_between_connections_of_equal_selectors() {
    let (mut a, mut b) = pair(2, Link::default());
    let count = |g: &Gateway| [0, 1].map(|c: usize| g.tables.connections[c].counters.outbound.packets());
    a.seal(&[packet(100)]);
    assert_eq!(count(&a), [1, 0]);
    a.tables.routes.insert(0, RouteEntry { destination: "172.16.1.10/32".parse().unwrap(), connection: 1 });
    a.commit();
    let wires = a.seal(&[packet(100)]).0;
    assert_eq!(count(&a), [1, 1]);
    assert_eq!(b.open(&wires).len(), 1, "and every live SA is heard");
    assert_eq!(b.tables.connections[1].counters.inbound.packets(), 1);
}

#[test]
fn what_cannot_be_sent_is_counted_by_its_reason_and_never_sealed() {
    type Change = fn(&mut Gateway);
    let cases: [(DropReason, Vec<u8>, Change); 9] = [
        (DropReason::NotIp, vec![0x45, 0, 0], |_| {}),
        (DropReason::NotIp, vec![], |_| {}),
        // A fragment that would replace TCP flags: the other end would refuse it.
        (DropReason::NotIp, changed(ipv4(6, CLIENT, ECS, &[0; 24]), |p| p[7] = 1), |_| {}),
        (DropReason::NoRoute, udp(CLIENT, [10, 0, 0, 1], (1, 2), 60), |_| {}),
        (DropReason::NoPolicy, udp([192, 168, 9, 9], ECS, (1, 2), 60), |_| {}),
        (DropReason::NoPolicy, packet(60), |a| {
            a.connection(&[("192.168.0.10/32", "172.16.0.0/16", false), ("192.168.0.0/24", "172.16.0.0/16", true)]);
            let outbound = a.tables.connections[0].outbound.clone();
            a.tables.connections.swap_remove(0);
            a.tables.connections[0].outbound = outbound;
        }),
        (DropReason::NoSa, packet(60), |a| a.tables.connections[0].outbound = vec![None]),
        (DropReason::TooBig, dont_fragment(packet(1439)), |_| {}),
        (DropReason::SequenceExhausted, packet(60), |a| {
            let entry = a.tables.connections[0].outbound[0].as_ref().unwrap().clone();
            a.tables.connections[0].outbound = vec![None];
            a.commit();
            let mut sa = entry.sa.take().unwrap();
            sa.skip_to(u64::from(u32::MAX));
            entry.sa.put_back(sa);
            a.tables.connections[0].outbound = vec![Some(entry)];
        }),
    ];
    for (reason, packet, change) in cases {
        let (mut a, _) = pair(1, Link::default());
        change(&mut a);
        a.commit();
        assert!(a.seal(std::slice::from_ref(&packet)).0.is_empty(), "{reason:?}");
        assert_dropped(&a, reason);
        assert_eq!(a.tables.connections[0].counters.outbound.packets(), 0);
    }
}

#[test]
fn what_must_not_come_in_is_counted_by_its_reason_and_never_delivered() {
    type Case = (DropReason, fn(&mut Gateway, &mut Gateway) -> Vec<Wire>);
    fn good(a: &mut Gateway) -> Wire {
        a.seal(&[packet(100)]).0.remove(0)
    }
    let cases: [Case; 15] = [
        (DropReason::BadPadding, |a, b| vec![sealed_by_hand(a, b, &with_trailer(packet(30), [9, 4]))]),
        (DropReason::BadNextHeader, |a, b| vec![sealed_by_hand(a, b, &with_trailer(packet(30), [0, 6]))]),
        (DropReason::Dummy, |a, b| vec![sealed_by_hand(a, b, &with_trailer(packet(30), [0, 59]))]),
        (DropReason::InnerMalformed, |a, b| vec![sealed_by_hand(a, b, &with_trailer(vec![7; 30], [0, 4]))]),
        (DropReason::UnknownSpi, |a, _| vec![Wire { bytes: vec![9; 100], ..good(a) }]),
        (DropReason::WrongPeer, |a, b| {
            let (local, remote) = (SocketAddr::new(a.address, 4500), SocketAddr::new(b.address, 4500));
            vec![Wire { path: OuterPath::Udp { local, remote }, ..good(a) }]
        }),
        (DropReason::Malformed, |a, _| vec![Wire { bytes: vec![0, 0, 0x20, 1, 0], ..good(a) }]),
        (DropReason::Malformed, |a, _| {
            let mut wire = good(a);
            wire.bytes.truncate(99);
            vec![wire]
        }),
        (DropReason::BadIcv, |a, _| {
            let mut wire = good(a);
            wire.bytes[40] ^= 1;
            vec![wire]
        }),
        (DropReason::InnerMalformed, |a, b| {
            // A fragment that would replace TCP flags.
            vec![sealed_by_hand(a, b, &with_trailer(changed(ipv4(6, CLIENT, ECS, &[0; 10]), |p| p[7] = 1), [0, 4]))]
        }),
        (DropReason::SelectorMismatch, |a, _| smuggled(a, udp([192, 168, 1, 10], ECS, (1, 2), 60))),
        (DropReason::SelectorMismatch, |a, _| smuggled(a, udp(CLIENT, [172, 17, 0, 1], (1, 2), 60))),
        (DropReason::NoPolicy, |a, b| {
            b.connection(&[("172.16.1.10/32", "192.168.0.0/24", false), ("172.16.0.0/16", "192.168.0.0/24", true)]);
            b.tables.connections.swap_remove(0);
            b.commit();
            vec![good(a)]
        }),
        (DropReason::EcnInvalid, |a, _| vec![Wire { tos: 3, ..good(a) }]),
        (DropReason::Replayed, |a, b| {
            let wire = good(a);
            assert_eq!(b.open(std::slice::from_ref(&wire)).len(), 1);
            vec![wire]
        }),
    ];
    for (reason, wires) in cases {
        let (mut a, mut b) = pair(1, Link::default());
        let wires = wires(&mut a, &mut b);
        assert!(b.open(&wires).is_empty(), "{reason:?}");
        assert_dropped(&b, reason);
    }
}

#[test]
fn a_packet_twice_in_one_batch_is_delivered_once() {
    let (mut a, mut b) = pair(1, Link::default());
    let wire = a.seal(&[packet(100)]).0.remove(0);
    assert_eq!(b.open(&[wire.clone(), wire]).len(), 1);
    assert_dropped(&b, DropReason::Replayed);
}

#[test]
fn later_fragments_reassemble_at_the_far_end() {
    let (mut a, mut b) = pair(1, Link { max_inner: 500, ..Link::default() });
    let whole = packet(1400);
    let wires = a.seal(&[packet(60), whole.clone(), packet(61)]).0;
    let arrived = b.open(&wires);
    assert_eq!((&arrived[0], arrived.last().unwrap()), (&packet(60), &packet(61)), "order is kept around the fragments");
    let mut data: Vec<u8> = Vec::new();
    for fragment in &arrived[1..arrived.len() - 1] {
        assert!(fragment.len() <= 500 && ip::checksum(&fragment[..20]) == 0);
        assert_eq!(Header::parse(fragment).unwrap().fragment.unwrap().offset, data.len());
        data.extend(&fragment[20..]);
    }
    assert_eq!(data, whole[20..]);
    assert_eq!(a.facts(0, 0).counters.outbound.packets(), 2 + 3);
}

#[test]
fn a_too_large_packet_that_must_not_be_fragmented_is_answered() {
    let (mut a, _) = pair(1, Link { max_inner: 1422, ..Link::default() });
    let big = dont_fragment(packet(1500));
    let (wires, returned) = a.seal(&[big.clone(), packet(100)]);
    assert_eq!((wires.len(), returned.len()), (1, 1));
    let error = Header::parse(&returned[0]).unwrap();
    assert_eq!((error.source, error.destination), (ECS.into(), CLIENT.into()));
    assert_eq!(returned[0][20..28], [3, 4, returned[0][22], returned[0][23], 0, 0, 0x05, 0x8e], "fragmentation needed, 1422");
    assert_eq!(returned[0][28..], big[..548]);
    assert_dropped(&a, DropReason::TooBig);
    let burst = vec![big; 300];
    assert_eq!(a.seal(&burst).1.len(), 99, "one of a hundred was used");
    a.now_ms += 1000;
    assert_eq!(a.seal(&burst).1.len(), 100);
}

fn syn(mss: u16) -> Vec<u8> {
    let mut tcp = vec![0x13, 0x88, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 0xff, 0xff, 0, 0, 0, 0, 2, 4];
    tcp.extend(mss.to_be_bytes());
    let sum = ip::transport_checksum(CLIENT.into(), ECS.into(), 6, &tcp).to_be_bytes();
    tcp[16..18].copy_from_slice(&sum);
    ipv4(6, CLIENT, ECS, &tcp)
}

#[test]
fn the_mss_is_lowered_by_the_sender_and_by_the_receiver() {
    for (ours, theirs, expected) in [(1422, 1438, 1382), (1438, 1422, 1382), (1438, 1438, 1398), (9000, 9000, 1460)] {
        let (mut a, mut b) = pair(1, Link::default());
        for (gateway, max_inner) in [(&mut a, ours), (&mut b, theirs)] {
            let old = gateway.tables.connections[0].outbound[0].clone().unwrap();
            let entry = OutboundEntry { facts: Arc::clone(&old.facts), sa: old.sa.clone(), path: old.path, max_inner };
            gateway.tables.connections[0].outbound[0] = Some(Arc::new(entry));
            gateway.commit();
        }
        let wires = a.seal(&[syn(1460)]).0;
        let arrived = b.open(&wires).remove(0);
        assert_eq!(u16::from_be_bytes([arrived[42], arrived[43]]), expected);
        assert_eq!(ip::transport_checksum(CLIENT.into(), ECS.into(), 6, &arrived[20..]), 0);
    }
}

#[test]
fn dscp_and_ecn_go_out_and_congestion_comes_in() {
    for inner in 0..4u8 {
        for outer in 0..4u8 {
            let (mut a, mut b) = pair(1, Link::default());
            let mut wires = a.seal(&[changed(packet(100), |p| p[v4::TOS] = 0xb8 | inner)]).0;
            assert_eq!(wires[0].tos, 0xb8 | inner, "normal mode copies both (RFC 6040 section 4.1)");
            wires[0].tos = outer;
            let arrived = b.open(&wires);
            match ip::ecn::decapsulate(inner, outer) {
                Some(ecn) => {
                    assert_eq!(arrived[0][v4::TOS], 0xb8 | ecn, "the inner DSCP stays");
                    assert_eq!(ip::checksum(&arrived[0][..20]), 0);
                }
                None => assert_dropped(&b, DropReason::EcnInvalid),
            }
        }
    }
}

#[test]
fn no_sa_is_told_ten_times_a_second_for_each_child() {
    let (mut a, _) = pair(1, Link::default());
    a.tables.connections[0].outbound = vec![None];
    a.commit();
    let mut told = 0;
    for now_ms in [0, 500, 999, 1000] {
        a.now_ms = now_ms;
        a.seal(&vec![packet(60); 8]);
        told += a.told().iter().filter(|n| matches!(n, Notice::NoSa { connection: 0, child: 0 })).count();
    }
    assert_eq!((told, a.drops.get(DropReason::NoSa)), (18, 32));
}

#[test]
fn an_unknown_spi_is_told_once_a_second_for_each_source() {
    let (_, mut b) = pair(1, Link::default());
    let from = |last| Wire { bytes: vec![7; 60], path: OuterPath::Esp { local: [203, 0, 113, last].into(), remote: b.address }, tos: 0 };
    let wires = [from(1), from(1), from(2), from(1)];
    b.open(&wires);
    let sources: Vec<IpAddr> =
        b.told().iter().map(|n| if let Notice::UnknownSpi { remote, .. } = n { *remote } else { panic!("{n:?}") }).collect();
    assert_eq!(sources, [IpAddr::from([203, 0, 113, 1]), IpAddr::from([203, 0, 113, 2])]);
    b.now_ms = 1000;
    b.open(&wires);
    assert_eq!((b.told().len(), b.drops.get(DropReason::UnknownSpi)), (2, 8));
}

#[test]
fn three_quarters_of_the_sequence_numbers_are_told_once() {
    let (mut a, _) = pair(1, Link::default());
    let entry = a.tables.connections[0].outbound[0].take().unwrap();
    a.commit();
    let mut sa = entry.sa.take().unwrap();
    sa.skip_to((3 << 30) - 2);
    entry.sa.put_back(sa);
    a.tables.connections[0].outbound[0] = Some(entry);
    a.commit();
    a.seal(&[packet(60)]);
    assert!(a.told().is_empty());
    a.seal(&[packet(60)]);
    a.seal(&[packet(60)]);
    assert!(matches!(a.told()[..], [Notice::SequenceLow { .. }]));
}

#[test]
fn the_next_authentic_packet_is_told_when_asked_for_and_only_an_authentic_one() {
    let (mut a, mut b) = pair(1, Link::default());
    let facts = b.facts(0, 0);
    let mut wires = a.seal(&vec![packet(60); 4]).0;
    b.open(&wires[..1]);
    assert!(b.told().is_empty(), "nobody asked");
    facts.tell_authentic.store(true, Ordering::Relaxed);
    wires[1].bytes[30] ^= 1;
    b.open(&wires[1..2]);
    assert!(b.told().is_empty() && facts.tell_authentic.load(Ordering::Relaxed), "forged");
    b.hears(0);
    b.open(&wires[2..3]);
    assert!(facts.tell_authentic.load(Ordering::Relaxed), "the control path could not hear it");
    b.hears(10);
    b.open(&wires[3..]);
    assert!(matches!(b.told()[..], [Notice::Authentic { spi_in: 0x2001, remote: None }]));
    assert!(!facts.tell_authentic.load(Ordering::Relaxed));
}

#[test]
fn a_peer_that_moved_behind_its_nat_is_told_once_and_an_old_packet_does_not_move_it_back() {
    let (mut a, mut b) = pair(1, Link { in_udp: true, ..Link::default() });
    let wires = a.seal(&vec![packet(60); 6]).0;
    let moved = |wire: &Wire, port| {
        let OuterPath::Udp { local, remote } = wire.path else { panic!() };
        Wire { path: OuterPath::Udp { local: SocketAddr::new(local.ip(), port), remote }, ..wire.clone() }
    };
    b.open(&wires[..1]);
    assert!(b.told().is_empty(), "from where we send to");
    let mut forged = moved(&wires[1], 666);
    forged.bytes[30] ^= 1;
    b.open(&[forged]);
    assert!(b.told().is_empty());
    b.open(&[moved(&wires[3], 1024), wires[1].clone()]);
    b.open(&[moved(&wires[4], 1024)]);
    let told = b.told();
    assert!(matches!(told[..], [Notice::Authentic { remote: Some(remote), .. }] if remote.port() == 1024), "{told:?}");
    assert_eq!(b.open(&[wires[2].clone()]).len(), 1);
    assert!(b.told().is_empty(), "older than the newest");
}

const ECHO: EchoEntry = EchoEntry { id: 77, token: *b"sixteen bytes it" };

/// Turns an echo request into its reply, as the far end's machine does.
fn reply_to(request: &[u8]) -> Vec<u8> {
    let mut reply = request.to_vec();
    reply[12..16].copy_from_slice(&request[16..20]);
    reply[16..20].copy_from_slice(&request[12..16]);
    reply[20] = 0;
    reply[22..24].fill(0);
    let sum = ip::checksum(&reply[20..]).to_be_bytes();
    reply[22..24].copy_from_slice(&sum);
    reply
}

#[test]
fn our_own_echo_goes_through_its_connection_and_only_its_reply_is_consumed() {
    let (mut a, mut b) = pair(2, Link::default());
    b.tables.echoes = vec![ECHO];
    b.commit();
    let request = |echo: &EchoEntry| icmp::echo_packet([172, 16, 20, 1].into(), [192, 168, 0, 2].into(), echo, 5).unwrap();
    let wires = b.inject(1, &request(&ECHO));
    assert_eq!(b.tables.connections[1].counters.outbound.packets(), 1, "whatever the routes say");
    let asked = a.open(&wires);
    assert_eq!(asked, [request(&ECHO)]);

    a.tables.routes[0].connection = 1;
    a.commit();
    let others = [EchoEntry { id: 78, ..ECHO }, EchoEntry { token: [0; 16], ..ECHO }].map(|echo| reply_to(&request(&echo)));
    let replies = [reply_to(&asked[0]), others[0].clone(), others[1].clone()];
    let wires = a.seal(&replies).0;
    assert_eq!(b.open(&wires), others, "other people's replies are delivered");
    assert!(matches!(b.told()[..], [Notice::EchoReply { connection: 1, id: 77, sequence: 5 }]));
    assert_eq!(b.tables.connections[1].counters.inbound.packets(), 3, "the reply is traffic too");
}

#[test]
fn an_echo_without_an_sa_that_may_carry_it_is_dropped() {
    let (mut a, _) = pair(1, Link::default());
    let outside = icmp::echo_packet([10, 0, 0, 1].into(), ECS.into(), &ECHO, 1).unwrap();
    assert!(a.inject(0, &outside).is_empty() && a.inject(9, &packet(60)).is_empty());
    assert_eq!(a.dropped(), [(DropReason::NoSa, 2)]);
    assert!(a.told().is_empty());
}

#[test]
fn an_echo_takes_the_newest_sa_whose_selectors_contain_it() {
    let (mut a, mut b) = (Gateway::new([198, 51, 100, 20]), Gateway::new([203, 0, 113, 21]));
    let nets = ["172.16.0.0/16", "172.16.1.0/24", "172.17.0.0/16"];
    a.connection(&nets.map(|net| ("192.168.0.0/24", net, true)));
    b.connection(&nets.map(|net| (net, "192.168.0.0/24", true)));
    for (child, net) in nets.into_iter().enumerate() {
        link(&mut a, &mut b, Link { child, id: 1 + child as u32, ..Link::default() }, selectors("192.168.0.0/24", net));
    }
    a.commit();
    let spi = a.inject(0, &packet(60))[0].bytes[..4].to_vec();
    assert_eq!(spi, 0x2002u32.to_be_bytes());
}

#[test]
fn new_tables_keep_sequence_numbers_and_replay_windows() {
    let (mut a, mut b) = pair(1, Link::default());
    let mut wires = a.seal(&[packet(60), packet(60)]).0;
    b.open(&wires);
    a.commit();
    b.commit();
    let more = a.seal(&[packet(60)]).0;
    assert_eq!(more[0].bytes[4..8], 3u32.to_be_bytes());
    wires.extend(more);
    assert_eq!(b.open(&wires).len(), 1, "the first two are still known");
}

#[test]
fn an_sa_that_comes_back_after_a_newer_one_failed_goes_on_counting() {
    let (mut a, mut b) = pair(1, Link::default());
    a.seal(&[packet(60), packet(60)]);
    let older = a.tables.connections[0].outbound[0].clone();
    link(&mut a, &mut b, Link { id: 9, ..Link::default() }, selectors("192.168.0.0/24", "172.16.0.0/16"));
    a.commit();
    let wire = a.seal(&[packet(60)]).0.remove(0);
    assert_eq!((&wire.bytes[..4], &wire.bytes[4..8]), (&0x2009u32.to_be_bytes()[..], &1u32.to_be_bytes()[..]));
    a.tables.connections[0].outbound[0] = older;
    a.commit();
    let wire = a.seal(&[packet(60)]).0.remove(0);
    assert_eq!((&wire.bytes[..4], &wire.bytes[4..8]), (&0x2001u32.to_be_bytes()[..], &3u32.to_be_bytes()[..]));
}

#[test]
fn a_changed_access_list_counts_for_flows_that_are_known() {
    let (mut a, mut b) = pair(1, Link::default());
    let wires = a.seal(&[packet(60), packet(60)]).0;
    assert_eq!(b.open(&wires[..1]).len(), 1);
    b.connection(&[("172.16.1.10/32", "192.168.0.0/24", false), ("172.16.0.0/16", "192.168.0.0/24", true)]);
    b.tables.connections.swap_remove(0);
    b.commit();
    assert!(b.open(&wires[1..]).is_empty());
    assert_dropped(&b, DropReason::NoPolicy);
}

#[test]
fn a_deleted_sa_neither_sends_nor_receives() {
    let (mut a, mut b) = pair(1, Link::default());
    let wire = a.seal(&[packet(60)]).0;
    b.tables.inbound.clear();
    b.commit();
    assert!(b.open(&wire).is_empty());
    assert_dropped(&b, DropReason::UnknownSpi);
}

#[test]
fn an_sa_carries_only_what_was_negotiated_for_it() {
    let (mut a, mut b) = (Gateway::new([198, 51, 100, 20]), Gateway::new([203, 0, 113, 21]));
    a.connection(&[("192.168.0.0/16", "172.16.0.0/16", true)]);
    b.connection(&[("172.16.0.0/16", "192.168.0.0/16", true)]);
    a.route("172.16.0.0/16", 0);
    link(&mut a, &mut b, Link::default(), selectors("192.168.0.0/24", "172.16.0.0/16"));
    a.commit();
    assert_eq!(a.seal(&[packet(60)]).0.len(), 1);
    assert!(a.seal(&[udp([192, 168, 7, 1], ECS, (1, 2), 60)]).0.is_empty());
    assert_dropped(&a, DropReason::NoSa);
}

/// After the first batches have grown the buffers, nothing on the way allocates.
#[test]
fn ten_thousand_packets_pass_without_an_allocation() {
    let (mut a, mut b) = pair(2, Link::default());
    a.tables.routes.insert(0, RouteEntry { destination: "172.16.2.0/24".parse().unwrap(), connection: 1 });
    a.commit();
    let tables = Arc::new(a.tables.clone());
    a.outbound.update(&tables);
    let flows: Vec<_> =
        (0..50u8).map(|i| udp([192, 168, 0, i], [172, 16, i % 3, 1], (u16::from(i), 53), 100 + usize::from(i) * 20)).collect();
    let stride = HEADROOM + 1500 + TAILROOM;
    let mut out = OutboundBatch { arena: vec![0; stride * flows.len()], ..OutboundBatch::default() };
    let mut into = InboundBatch { arena: vec![0; stride * flows.len()], ..InboundBatch::default() };
    let mut delivered = 0;
    let mut round = |rounds: usize| {
        for _ in 0..rounds {
            for (i, flow) in flows.iter().enumerate() {
                let packet = Packet { start: i * stride + HEADROOM, len: flow.len() };
                out.arena[packet.range()].copy_from_slice(flow);
                out.packets.push(packet);
            }
            a.outbound.update(&tables);
            a.outbound.process(0, &mut out);
            for (i, sealed) in out.sealed.iter().enumerate() {
                let packet = Packet { start: i * stride, len: sealed.packet.len };
                into.arena[packet.range()].copy_from_slice(&out.arena[sealed.packet.range()]);
                into.received.push(tunnel::received(packet, sealed.path, sealed.tos));
            }
            b.inbound.process(0, &mut into);
            delivered += into.delivered.len();
        }
    };
    assert!(allocation_counter::measure(|| round(2)).count_total > 0, "the counter counts");
    let counted = allocation_counter::measure(|| round(200));
    assert_eq!((counted.count_total, delivered), (0, 202 * 50));
}
