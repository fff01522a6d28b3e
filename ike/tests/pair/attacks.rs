//! Attacks on the exchanges by whoever can write on the wire: each is refused where it arrives, and the tunnel comes up or stays.

use crate::harness::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tandem_ike::wire::{Chain, Header, PayloadType, Payloads};
use tandem_ike::*;

/// RFC 2409 section 6.2: the prime of group 2.
const PRIME: &str = "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff";

fn prime() -> Vec<u8> {
    (0..PRIME.len()).step_by(2).map(|at| u8::from_str_radix(&PRIME[at..at + 2], 16).unwrap()).collect()
}

fn dropped(pair: &Pair, side: usize, reason: &str) -> u64 {
    pair.drops(side).get(reason).copied().unwrap_or_default()
}

/// A clear message with the bodies of some payloads replaced.
fn with_body(message: &[u8], kind: PayloadType, body: &[u8]) -> Vec<u8> {
    let (header, rest) = Header::parse(message).unwrap();
    let mut chain = Chain::new();
    for payload in Payloads::parse(header.next_payload, rest).unwrap().iter() {
        chain.push(payload.kind, if payload.kind == kind { body } else { payload.body });
    }
    chain.message(&header)
}

/// Replaces a body in message `number`, whenever it is sent within the first two seconds, and says how often.
fn in_the_middle(number: usize, kind: PayloadType, body: Vec<u8>) -> Pair {
    let mut pair = Pair::new(config_a(), mirror(&config_a()));
    pair.rule = Box::new(
        move |datagram| {
            if datagram.number == number { Fate::Replace(with_body(&datagram.payload, kind, &body)) } else { Fate::Deliver }
        },
    );
    pair.connect(A);
    pair.run(secs(3));
    pair
}

#[test]
fn public_values_that_give_everybody_the_key_are_refused_in_messages_3_and_4() {
    let p = prime();
    let small = |value: u8| [vec![0; 127], vec![value]].concat();
    let mut below = p.clone();
    below[127] -= 1;
    let values = [small(0), small(1), below, p.clone(), vec![0xff; 128], p[..127].to_vec(), [&p[..], &[2]].concat(), vec![], vec![2]];
    for number in [3, 4] {
        for value in &values {
            let pair = in_the_middle(number, PayloadType::KE, value.clone());
            let to = if number == 3 { B } else { A };
            let refused = dropped(&pair, to, "ike_fatal") + dropped(&pair, to, "ike_malformed");
            assert!(refused >= 1, "message {number}, {} bytes: {}", value.len(), pair.story());
            assert_eq!(pair.sides.iter().map(|side| side.established).sum::<usize>(), 0);
            assert!(pair.log.iter().all(|datagram| datagram.message()[19] & 1 == 0), "nothing is encrypted with it");
        }
    }
}

#[test]
fn nonces_that_are_too_short_or_too_long_are_refused() {
    for number in [3, 4] {
        for len in [0, 7, 257, 2000] {
            let pair = in_the_middle(number, PayloadType::NONCE, vec![9; len]);
            let to = if number == 3 { B } else { A };
            assert!(dropped(&pair, to, "ike_malformed") >= 1, "message {number}, {len} bytes: {}", pair.story());
            assert_eq!(pair.sides.iter().map(|side| side.established).sum::<usize>(), 0);
        }
    }
}

#[test]
fn offers_without_end_are_refused_at_once() {
    // One proposal after the other, one transform after the other, attributes without end.
    let attribute = [0x80, 1, 0, 5];
    let transform = |more: u8, attributes: usize| {
        let mut bytes = vec![more, 0];
        bytes.extend((8 + 4 * attributes as u16).to_be_bytes());
        bytes.extend([1, 1, 0, 0]);
        bytes.extend(attribute.repeat(attributes));
        bytes
    };
    let proposal = |more: u8, count: u8, transforms: &[u8]| {
        let mut bytes = vec![more, 0];
        bytes.extend((8 + transforms.len() as u16).to_be_bytes());
        bytes.extend([1, 1, 0, count]);
        bytes.extend(transforms);
        bytes
    };
    let situation = [0, 0, 0, 1, 0, 0, 0, 1];
    let many_proposals = [proposal(2, 1, &transform(0, 6)).repeat(1200), proposal(0, 1, &transform(0, 6))].concat();
    let many_transforms = proposal(0, 255, &[transform(3, 6).repeat(254), transform(0, 6)].concat());
    let many_attributes = proposal(0, 1, &transform(0, 12_000));
    let nothing = proposal(0, 0, &[]);
    for (what, offer) in [
        ("proposals", many_proposals),
        ("transforms", many_transforms),
        ("attributes", many_attributes),
        ("no transform", nothing),
        ("no proposal", vec![]),
    ] {
        let pair = in_the_middle(1, PayloadType::SA, [&situation[..], &offer].concat());
        assert_eq!(pair.sides[B].established, 0, "{what}");
        assert!(dropped(&pair, B, "ike_malformed") + dropped(&pair, B, "ike_no_agreement") >= 1, "{what}: {:?}", pair.drops(B));
    }
}

#[test]
fn one_first_message_from_a_forged_address_brings_at_most_three_short_answers() {
    // The victim whose address is forged never returns our cookie: message 2, and twice more if message 1 comes again.
    let mut pair = Pair::new(config_a(), mirror(&config_a()));
    let first = {
        let mut model = Pair::new(config_a(), mirror(&config_a()));
        model.connect(A);
        model.log[0].clone()
    };
    pair.inject(B, first.local, first.remote, first.payload.clone(), millis(1));
    pair.run(secs(120));
    assert_eq!(pair.log.len(), 1, "nothing is repeated by itself: {}", pair.story());
    assert!(pair.log[0].payload.len() <= first.payload.len() + 40);
    for _ in 0..100 {
        pair.inject(B, first.local, first.remote, first.payload.clone(), millis(1));
        pair.run(millis(10));
    }
    assert_eq!(pair.log.len(), 1 + 3, "another 100 copies");
}

#[test]
fn cookies_that_are_zero_or_changed_about_belong_to_nobody() {
    let mut pair = Pair::default_up();
    let before = (pair.spis(A), pair.spis(B), pair.log.len());
    for datagram in pair.log.clone() {
        let message = datagram.payload.clone();
        let (one, two) = (message[..8].to_vec(), message[8..16].to_vec());
        for cookies in
            [[vec![0; 8], two.clone()], [vec![0; 8], vec![0; 8]], [two.clone(), one.clone()], [two.clone(), vec![0; 8]], [one.clone(), one]]
        {
            for to in [A, B] {
                let (source, destination) =
                    if to == datagram.from { (datagram.remote, datagram.local) } else { (datagram.local, datagram.remote) };
                let forged = [&cookies.concat(), &message[16..]].concat();
                pair.inject(to, source, destination, forged, millis(1));
            }
        }
    }
    pair.run(secs(2));
    assert_eq!((pair.spis(A), pair.spis(B)), (before.0, before.1));
    assert!(pair.log.len() - before.2 <= 4, "{}", pair.story());
    assert_eq!((pair.sides[A].established, pair.sides[B].established), (1, 1));
    pair.run(secs(60));
    pair.assert_up();
}

#[test]
fn recorded_messages_mean_nothing_when_they_come_again() {
    // A whole life is recorded: both phases, rekeying of both, DPD, DELETE. Then all of it comes again, to either end, in a new life and in the old.
    let mut pair = Pair::default_up();
    pair.act(A, |endpoint, now| endpoint.rekey(now, CONN));
    pair.run(secs(60));
    let old: Vec<_> = pair.log.clone();
    for life in 0..2 {
        let before = (pair.spis(A), pair.spis(B), pair.sides[A].established, pair.sides[B].established, pair.log.len());
        for datagram in &old {
            for to in [A, B] {
                let (source, destination) =
                    if to == datagram.from { (datagram.remote, datagram.local) } else { (datagram.local, datagram.remote) };
                pair.inject(to, source, destination, datagram.payload.clone(), millis(1));
            }
        }
        pair.run(secs(3));
        assert_eq!((pair.spis(A), pair.spis(B)), (before.0, before.1), "life {life}: {}", pair.story());
        assert_eq!((pair.sides[A].established, pair.sides[B].established), (before.2, before.3));
        assert!(pair.log.len() - before.4 <= 2 * old.len() / 3, "answers from memory only: {} to {}", pair.log.len() - before.4, old.len());
        assert!(dropped(&pair, A, "ike_duplicate") > 0);
        pair.act(A, |endpoint, now| endpoint.close(now, CONN));
        pair.run(secs(40));
        pair.connect(A);
        pair.run(secs(5));
        pair.assert_up();
    }
}

#[test]
fn clear_statements_are_obeyed_in_no_state() {
    // DELETE and INITIAL-CONTACT with the right cookies, after every message of the handshake and of a rekeying of both phases.
    let statements = |cookies: &[u8]| -> Vec<Vec<u8>> {
        let header = |next: u8, body: &[u8]| {
            let mut message = cookies.to_vec();
            message.extend([next, 0x10, 5, 0, 1, 2, 3, 4]);
            message.extend((28 + 4 + body.len() as u32).to_be_bytes());
            message.extend([0, 0]);
            message.extend((4 + body.len() as u16).to_be_bytes());
            message.extend(body);
            message
        };
        let about = |rest: &[u8]| [&[0, 0, 0, 1], rest, cookies].concat();
        // DELETE of ISAKMP; INITIAL-CONTACT; R-U-THERE-ACK; NO-PROPOSAL-CHOSEN; INVALID-COOKIE; an ESP DELETE.
        let notify = |kind: u16| about(&[&[1, 16][..], &kind.to_be_bytes()].concat());
        vec![
            header(12, &about(&[1, 16, 0, 1])),
            header(11, &notify(24578)),
            header(11, &[notify(36137), vec![0, 0, 0, 1]].concat()),
            header(11, &notify(14)),
            header(11, &notify(4)),
            header(12, &[0, 0, 0, 1, 3, 4, 0, 1, 9, 9, 9, 9]),
        ]
    };
    for sent in 1..=18 {
        let mut pair = Pair::new(config_a(), mirror(&config_a()));
        pair.connect(A);
        pair.run_until(secs(2), |pair| pair.log.len() >= sent);
        if sent > 9 {
            pair.run(secs(2));
            pair.act(A, |endpoint, now| endpoint.rekey(now, CONN));
            pair.run_until(secs(2), |pair| pair.log.len() >= sent);
        }
        for datagram in pair.log.clone() {
            for statement in statements(&datagram.message()[..16]) {
                for to in [A, B] {
                    let (source, destination) =
                        if to == datagram.from { (datagram.remote, datagram.local) } else { (datagram.local, datagram.remote) };
                    pair.inject(to, source, destination, statement.clone(), millis(1));
                }
            }
        }
        pair.run(secs(3));
        pair.assert_up();
        let phases = if sent > 9 { 2 } else { 1 };
        assert_eq!((pair.sides[A].established, pair.sides[B].established), (phases, phases), "after message {sent}: {}", pair.story());
        assert!(pair.sides.iter().all(|side| side.deleted.iter().all(|(_, reason)| *reason == DeleteReason::Replaced)), "{}", pair.story());
    }
}

#[test]
fn quick_mode_with_message_id_0_or_in_clear_is_no_quick_mode() {
    let mut pair = Pair::default_up();
    let datagram = pair.log[6].clone();
    let before = (pair.spis(A), pair.spis(B), pair.log.len());
    let mut zero = datagram.payload.clone();
    zero[20..24].fill(0);
    let mut clear = datagram.payload.clone();
    clear[19] = 0;
    for (message, reason) in [(zero, "ike_unexpected_message"), (clear, "ike_unencrypted_message")] {
        let before = dropped(&pair, B, reason);
        pair.inject(B, datagram.local, datagram.remote, message, millis(1));
        pair.run(millis(100));
        assert_eq!(dropped(&pair, B, reason), before + 1);
    }
    assert_eq!((pair.spis(A), pair.spis(B), pair.log.len()), before);
}

#[test]
fn flood_of_first_messages_during_a_handshake_does_not_keep_the_peer_out() {
    // 2,000 forged first messages a second from the peer's own address, all through the handshake and after.
    let mut pair = Pair::new(config_a(), mirror(&config_a()));
    let first = {
        let mut model = Pair::new(config_a(), mirror(&config_a()));
        model.connect(A);
        model.log[0].clone()
    };
    let mut rng = StdRng::seed_from_u64(11);
    let mut up = None;
    for step in 0..60_000 {
        let mut payload = first.payload.clone();
        rng.fill(&mut payload[..8]);
        pair.inject(B, first.local, first.remote, payload, millis(0));
        pair.run(std::time::Duration::from_micros(500));
        if step == 100 {
            pair.connect(A);
        }
        if pair.is_up() {
            up = Some(step);
            break;
        }
    }
    assert!(up.is_some(), "not within 30 s: {}", pair.story());
}
