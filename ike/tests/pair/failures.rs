//! Two ends that do not fit: each says why, nothing loops.

use crate::harness::*;
use tandem_ike::*;

fn fails(a: ConnectionConfig, b: ConnectionConfig) -> Pair {
    let mut pair = Pair::new(a, b);
    pair.connect(A);
    pair.run(secs(40));
    assert!(!pair.is_up());
    let sent = pair.log.len();
    assert!(sent < 60, "{sent} datagrams in 40 s are a loop");
    pair
}

#[test]
fn wrong_key_is_named_on_both_ends() {
    let b = ConnectionConfig { psk: Psk::new("incorrect horse"), ..mirror(&config_a()) };
    let pair = fails(config_a(), b);
    assert_eq!(pair.sides[A].codes()[0], Code::PskMismatch, "{}", pair.story());
    assert_eq!(pair.sides[B].codes()[0], Code::PskMismatch);
    assert!(pair.sides[A].failures[0].0 - pair.start < secs(1), "said at once");
    for side in &pair.sides {
        for (_, event) in &side.events {
            assert!(!event.contains("horse"), "a key in an event");
        }
    }
}

#[test]
fn each_phase_1_difference_has_its_code_as_responder() {
    for (theirs, code) in [
        ("aes256-sha1-group2", Code::EncryptionAlgorithmMismatch),
        ("aes128-md5-group2", Code::AuthAlgorithmMismatch),
        ("aes128-sha1-group5", Code::DhGroupMismatch),
    ] {
        let b = ConnectionConfig { ike_proposals: vec![theirs.parse().unwrap()], ..mirror(&config_a()) };
        let pair = fails(config_a(), b);
        assert_eq!(pair.sides[B].codes()[0], code, "{}", pair.story());
        assert_eq!(pair.sides[A].codes()[0], Code::NoProposalChosen);
    }
}

#[test]
fn each_phase_2_difference_has_its_code_as_responder() {
    let base = mirror(&config_a());
    for (b, code) in [
        (ConnectionConfig { esp_proposals: vec!["aes256-sha1".parse().unwrap()], ..base.clone() }, Code::IpsecEncryptionAlgorithmMismatch),
        (ConnectionConfig { esp_proposals: vec!["aes128-sha256".parse().unwrap()], ..base.clone() }, Code::IpsecAuthAlgorithmMismatch),
        (ConnectionConfig { pfs: None, ..base.clone() }, Code::PfsMismatch),
        (ConnectionConfig { pfs: Some(Group::Modp1536), ..base.clone() }, Code::PfsMismatch),
    ] {
        let pair = fails(config_a(), b);
        assert_eq!(pair.sides[B].codes()[0], code, "{}", pair.story());
        assert_eq!(pair.sides[A].codes()[0], Code::NoProposalChosen);
        assert_eq!(pair.sides[A].established, 1, "the ISAKMP SA is not to blame");
    }
}

#[test]
fn different_selectors_are_named_with_both_values() {
    let mut b = mirror(&config_a());
    b.children[0].local = proxy("172.16.0.0/24");
    let pair = fails(config_a(), b);
    assert_eq!(pair.sides[A].codes()[0], Code::SelectorMismatch);
    let failure = &pair.sides[B].failures[0].1;
    assert_eq!(failure.code, Code::SelectorMismatch);
    assert!(failure.message.contains("172.16.0.0/16") && failure.message.contains("172.16.0.0/24"), "{}", failure.message);
}

#[test]
fn one_child_that_differs_does_not_harm_the_others() {
    let mut a = config_a();
    a.children.push(TrafficSelectors { local: proxy("192.168.0.0/24"), remote: proxy("10.0.0.0/8") });
    let mut b = mirror(&a);
    b.children[1].local = proxy("10.1.0.0/16");
    let mut pair = Pair::new(a, b);
    pair.connect(A);
    pair.run(secs(100));
    pair.assert_up();
    assert_eq!(pair.sides[A].established, 1);
    assert_eq!(pair.sides[A].last_code(), Some(Code::SelectorMismatch));
}

#[test]
fn wrong_identity_is_named_on_both_ends_whichever_end_notices() {
    let responder_expects = ConnectionConfig { remote_id: Identity::Fqdn("branch".into()), ..mirror(&config_a()) };
    let responder_is = ConnectionConfig { local_id: Identity::Address(ip("10.9.9.9")), ..mirror(&config_a()) };
    let pair = fails(config_a(), responder_expects);
    assert_eq!((pair.sides[A].codes()[0], pair.sides[B].codes()[0]), (Code::IdMismatch, Code::IdMismatch), "{}", pair.story());
    let pair = fails(config_a(), responder_is);
    assert_eq!(pair.sides[A].codes()[0], Code::IdMismatch, "{}", pair.story());
    assert!(pair.sides[A].failures[0].1.message.contains("10.9.9.9"));
}

#[test]
fn unknown_peer_is_dropped_without_an_answer_and_counted() {
    let b = ConnectionConfig { remote: ip("198.51.100.99"), ..mirror(&config_a()) };
    let mut pair = Pair::new(config_a(), b);
    pair.connect(A);
    pair.run(secs(25));
    assert!(pair.log.iter().all(|datagram| datagram.from == A));
    assert!(pair.drops(B)["ike_unknown_peer"] >= 5);
    assert!(pair.sides[B].failures.len() <= 3, "reported now and then");
}

#[test]
fn encapsulation_that_cannot_work_is_refused() {
    // A keeps to protocol 50 and offers no NAT traversal, B has it off too: nothing to disagree about.
    let config = ConnectionConfig { nat_traversal: NatTraversal::Off, ..config_a() };
    let pair = Pair::up(config.clone(), mirror(&config));
    assert_eq!(pair.sides[A].outbound(0).unwrap().encapsulation, Encapsulation::Esp);
}

#[test]
fn other_modes_of_the_peer_are_named() {
    for (exchange, version) in [(4_u8, 0x10_u8), (34, 0x20)] {
        let mut pair = Pair::new(config_a(), mirror(&config_a()));
        let mut message = vec![7; 8];
        message.extend([0; 8]);
        message.extend([1, version, exchange, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 4]);
        let (source, destination) = ("203.0.113.21:500".parse().unwrap(), "198.51.100.20:500".parse().unwrap());
        for _ in 0..100 {
            pair.inject(A, source, destination, message.clone(), millis(1));
        }
        pair.run(secs(1));
        assert_eq!(pair.sides[A].codes(), [Code::ModeMismatch]);
        assert_eq!(pair.log.len(), 1, "one refusal a second");
    }
}

#[test]
fn on_traffic_stops_after_a_failure_until_traffic_comes_again() {
    let a = ConnectionConfig { start: Start::OnTraffic, ..config_a() };
    let mut pair = Pair::new(a, mirror(&config_a()));
    pair.run(secs(10));
    assert!(pair.log.is_empty());
    pair.rule = Box::new(|_| Fate::Drop);
    pair.act(A, |endpoint, now| endpoint.acquire(now, CONN, 0));
    pair.run(secs(300));
    assert_eq!(pair.sides[A].failures.len(), 1);
    pair.rule = Box::new(|_| Fate::Deliver);
    pair.act(A, |endpoint, now| endpoint.acquire(now, CONN, 0));
    pair.run(secs(2));
    pair.assert_up();
}

#[test]
fn passive_end_never_starts_unless_told() {
    let mut pair = Pair::new(config_a(), mirror(&config_a()));
    pair.act(B, |endpoint, now| {
        endpoint.acquire(now, CONN, 0);
        endpoint.esp_unknown_spi(now, CONN);
    });
    pair.run(secs(60));
    assert!(pair.log.is_empty());
    pair.connect(B);
    pair.run(secs(2));
    pair.assert_up();
}

#[test]
fn new_key_takes_over_without_an_outage_in_either_order() {
    let old = Psk::new("old key");
    let new = Psk::new("new key");
    let both = |config: ConnectionConfig| ConnectionConfig { psk: old.clone(), psk_next: Some(new.clone()), ..config };
    let only = |config: ConnectionConfig, psk: &Psk| ConnectionConfig { psk: psk.clone(), psk_next: None, ..config };
    let (a, b) = (config_a(), mirror(&config_a()));
    // The responder holds both: an initiator with either comes up.
    Pair::up(only(a.clone(), &old), both(b.clone()));
    let mut pair = Pair::up(only(a.clone(), &new), both(b.clone()));
    // Once the new one has worked the old one is worth nothing.
    pair.restart(A, only(a.clone(), &old));
    pair.connect(A);
    pair.run(secs(20));
    assert_eq!(pair.sides[A].last_code(), Some(Code::PskMismatch));
    // The initiator holds both: it turns to the new one after the old one has failed.
    let mut pair = Pair::new(both(a.clone()), only(b.clone(), &new));
    pair.connect(A);
    assert!(pair.run_until(secs(1), |pair| pair.is_up()).is_some(), "{}", pair.story());
    // A key changed by configuration leaves the SAs alone.
    let mut pair = Pair::up(only(a.clone(), &old), only(b, &old));
    let spis = pair.spis(A);
    pair.act(A, |endpoint, now| endpoint.configure(now, CONN, only(a, &new)));
    pair.run(secs(5));
    assert_eq!(pair.spis(A), spis);
}
