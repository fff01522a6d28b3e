//! What others sent, and what crashed them, in every state of two endpoints: nothing panics, no exchange in progress notices, no SA is harmed.
#![allow(missing_docs, clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr};

use tandem_fuzz::captures;
use tandem_fuzz::pair::{A, B, CONN, Fate, Pair, config_a, millis, mirror, secs};
use tandem_ike::{ConnectionConfig, NatTraversal};

/// How a state is reached.
type Reach = fn(&mut Pair, usize);

/// What both ends have done so far, apart from what nobody can foresee (keys, cookies, SPIs).
fn sum(pair: &Pair) -> Vec<(usize, usize, usize, usize, usize)> {
    let side = |side: usize| {
        let side = &pair.sides[side];
        (side.established, side.installed, side.deleted.len(), side.dead, side.pairs.values().filter(|pair| pair.ready).count())
    };
    vec![side(A), side(B)]
}

fn config(nat_traversal: NatTraversal) -> ConnectionConfig {
    ConnectionConfig { nat_traversal, ..config_a() }
}

/// The first `sent` messages have left, the last one has not arrived.
fn shaking_hands(pair: &mut Pair, sent: usize) {
    pair.connect(A);
    pair.run_until(secs(2), |pair| pair.log.len() >= sent);
}

fn established(pair: &mut Pair, _: usize) {
    shaking_hands(pair, 9);
    pair.run(secs(4));
}

fn phase_two_again(pair: &mut Pair, sent: usize) {
    established(pair, 0);
    let before = pair.log.len();
    pair.act(A, |endpoint, now| endpoint.renew(now, CONN, None));
    pair.run_until(secs(2), |pair| pair.log.len() >= before + sent);
}

fn phase_one_again(pair: &mut Pair, sent: usize) {
    established(pair, 0);
    let before = pair.log.len();
    pair.act(A, |endpoint, now| endpoint.rekey(now, CONN));
    pair.run_until(secs(2), |pair| pair.log.len() >= before + sent);
}

fn questioned(pair: &mut Pair, _: usize) {
    established(pair, 0);
    let before = pair.log.len();
    pair.run_until(secs(20), |pair| pair.log.len() > before);
}

fn closed(pair: &mut Pair, _: usize) {
    established(pair, 0);
    pair.act(A, |endpoint, now| endpoint.close(now, CONN));
    pair.run(secs(1));
}

/// Every payload, to both ends and both ports, from the peer's address and from a stranger's, with a marker and without one.
fn spray(pair: &mut Pair, configs: &[ConnectionConfig; 2]) -> usize {
    let stranger = IpAddr::from([192, 0, 2, 66]);
    let mut count = 0;
    for payload in captures() {
        for to in [A, B] {
            for source in [configs[to].remote, stranger] {
                for (port, marker) in [(500, &[][..]), (4500, &[]), (4500, &[0; 4])] {
                    let (source, destination) = (SocketAddr::new(source, port), SocketAddr::new(configs[to].local, port));
                    pair.inject(to, source, destination, [marker, &payload].concat(), millis(1));
                    count += 1;
                }
            }
        }
    }
    count
}

fn check(nat_traversal: NatTraversal, reach: Reach, sent: usize) {
    let a = config(nat_traversal);
    let configs = [a.clone(), mirror(&a)];
    let play = |disturbed: bool| {
        let mut pair = Pair::new(configs[A].clone(), configs[B].clone());
        reach(&mut pair, sent);
        let (before, log) = ([pair.spis(A), pair.spis(B)], pair.log.len());
        let count = if disturbed { spray(&mut pair, &configs) } else { 0 };
        pair.run(millis(5));
        assert_eq!([pair.spis(A), pair.spis(B)], before, "no SA is harmed: {}", pair.story());
        let answers = pair.log.len() - log;
        assert!(answers <= 2 * count / 10, "{answers} answers to {count} datagrams");
        pair.run(secs(4));
        (sum(&pair), pair)
    };
    let (expected, _) = play(false);
    let (found, mut pair) = play(true);
    assert_eq!(found, expected, "as if nothing had come: {}", pair.story());
    for side in [A, B] {
        assert!(pair.drops(side).values().sum::<u64>() > 0);
    }
    // Nothing of it is left after its time, and the tunnel is as it would be.
    pair.run(secs(40));
    pair.connect(A);
    assert!(pair.run_until(secs(5), Pair::is_up).is_some(), "{}", pair.story());
    assert!(pair.flows());
}

#[test]
fn captures_disturb_no_handshake_after_any_of_its_messages() {
    for sent in 0..=9 {
        check(NatTraversal::Auto, shaking_hands, sent);
        check(NatTraversal::Force, shaking_hands, sent);
    }
}

#[test]
fn captures_disturb_no_established_tunnel() {
    check(NatTraversal::Auto, established, 0);
    check(NatTraversal::Force, established, 0);
    check(NatTraversal::Auto, questioned, 0);
}

#[test]
fn captures_disturb_no_rekeying_of_either_phase() {
    for sent in 1..=3 {
        check(NatTraversal::Auto, phase_two_again, sent);
    }
    for sent in 1..=9 {
        check(NatTraversal::Auto, phase_one_again, sent);
    }
}

#[test]
fn captures_do_nothing_to_a_closed_connection() {
    check(NatTraversal::Auto, closed, 0);
}

#[test]
fn captures_do_not_bring_up_a_connection_that_waits() {
    let configs = [ConnectionConfig { start: tandem_ike::Start::Passive, ..config_a() }, mirror(&config_a())];
    let mut pair = Pair::new(configs[A].clone(), configs[B].clone());
    pair.rule = Box::new(|_| Fate::Drop);
    for _ in 0..20 {
        spray(&mut pair, &configs);
        pair.run(secs(1));
    }
    assert_eq!(sum(&pair), [(0, 0, 0, 0, 0); 2]);
    pair.run(secs(31));
    assert!(pair.sides.iter().all(|side| side.endpoint.poll_timeout().is_none()), "no timer is left");
}
