//! Lost, repeated, late and reordered messages.

use crate::harness::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tandem_ike::*;

fn lossy(number: usize, times: usize) -> Pair {
    let mut pair = Pair::new(config_a(), mirror(&config_a()));
    pair.rule = Box::new(move |datagram| if datagram.number == number && datagram.repetition < times { Fate::Drop } else { Fate::Deliver });
    pair.connect(A);
    pair
}

#[test]
fn each_of_the_nine_messages_may_be_lost_once_or_twice() {
    for number in 1..=9 {
        for (times, steps) in [(1, millis(1400)), (2, millis(3700))] {
            let mut pair = lossy(number, times);
            let took = pair.run_until(secs(60), |pair| pair.is_up());
            let took = took.unwrap_or_else(|| panic!("message {number} lost {times} times: {}", pair.story()));
            assert!(took < steps, "message {number} lost {times} times: up after {took:?}");
            assert_eq!(pair.sides[A].established, 1, "one main mode is enough");
            assert!(pair.sides[A].failures.is_empty() && pair.sides[B].failures.is_empty());
        }
    }
}

#[test]
fn up_within_a_minute_at_30_percent_loss_both_ways() {
    for seed in 0..150 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut pair = Pair::new(config_a(), mirror(&config_a()));
        pair.sides[A].endpoint = Endpoint::new([seed as u8; 32]);
        pair.sides[A].endpoint.configure(pair.now, CONN, config_a());
        pair.rule = Box::new(move |_| if rng.random_bool(0.3) { Fate::Drop } else { Fate::Deliver });
        pair.connect(A);
        let took = pair.run_until(secs(60), |pair| pair.is_up());
        assert!(took.is_some(), "seed {seed}: {}", pair.story());
    }
}

#[test]
fn message_3_of_quick_mode_is_repaired_by_the_responder_alone() {
    let mut pair = lossy(9, 1);
    pair.run(secs(5));
    pair.assert_up();
    assert!(pair.log.iter().any(|datagram| datagram.number == 8 && datagram.repetition == 1), "message 2 again");
    assert!(pair.log.iter().any(|datagram| datagram.number == 9 && datagram.repetition == 1), "message 3 again, the same bytes");
}

#[test]
fn esp_on_the_new_sa_replaces_a_lost_message_3() {
    let mut pair = lossy(9, usize::MAX);
    pair.run(millis(500));
    assert!(pair.sides[B].outbound(0).is_none(), "nothing is sent on it yet");
    assert!(pair.esp(A, 0));
    assert!(pair.sides[B].outbound(0).is_some());
    let sent = pair.log.len();
    pair.run(secs(8));
    assert_eq!(pair.log.len(), sent, "the ladder of message 2 has stopped");
}

#[test]
fn quick_mode_whose_message_3_never_comes_is_withdrawn() {
    let mut pair = lossy(9, usize::MAX);
    pair.run(secs(40));
    assert!(pair.sides[B].deleted.iter().any(|&(_, reason)| reason == DeleteReason::Expired));
    // The DELETE tells the initiator, which wants the tunnel and makes another one.
    pair.run(secs(5));
    assert!(pair.is_up(), "{}", pair.story());
}

#[test]
fn main_mode_responder_never_repeats_by_itself() {
    let mut pair = Pair::new(config_a(), mirror(&config_a()));
    pair.rule = Box::new(|datagram| if datagram.from == B { Fate::Drop } else { Fate::Deliver });
    pair.connect(A);
    pair.run(secs(120));
    let answers = pair.log.iter().filter(|datagram| datagram.from == B && datagram.number == 2).count();
    assert_eq!(answers, 3, "once, and twice from memory");
}

#[test]
fn answers_come_once_a_second_after_the_cookie_has_come_back() {
    let mut pair = Pair::new(config_a(), mirror(&config_a()));
    pair.rule = Box::new(|datagram| match datagram.number {
        3 => Fate::Copies(50),
        4 => Fate::Drop,
        _ => Fate::Deliver,
    });
    pair.connect(A);
    pair.run(millis(900));
    assert_eq!(pair.log.iter().filter(|datagram| datagram.number == 4).count(), 1);
    pair.run(millis(600));
    assert_eq!(pair.log.iter().filter(|datagram| datagram.number == 4).count(), 2, "message 3 again, message 4 again");
}

#[test]
fn duplicates_of_everything_change_nothing() {
    let mut pair = Pair::new(config_a(), mirror(&config_a()));
    pair.rule = Box::new(|_| Fate::Copies(3));
    pair.connect(A);
    pair.run(secs(5));
    pair.assert_up();
    assert_eq!((pair.sides[A].installed, pair.sides[B].installed), (1, 1));
    assert_eq!((pair.sides[A].established, pair.sides[B].established), (1, 1));
}

#[test]
fn recorded_datagrams_mean_nothing_later() {
    let mut pair = Pair::default_up();
    let recorded = pair.log.clone();
    pair.run(secs(300));
    let (spis_a, spis_b) = (pair.spis(A), pair.spis(B));
    for datagram in recorded {
        pair.inject(1 - datagram.from, datagram.local, datagram.remote, datagram.payload.clone(), millis(1));
    }
    pair.run(secs(60));
    assert_eq!((pair.spis(A), pair.spis(B)), (spis_a, spis_b));
    assert_eq!((pair.sides[A].established, pair.sides[B].established), (1, 1));
    pair.assert_up();
}

#[test]
fn reordered_and_delayed_messages_still_come_up() {
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut pair = Pair::new(config_a(), mirror(&config_a()));
        pair.rule = Box::new(move |_| match rng.random_range(0..10) {
            0 => Fate::Drop,
            1 => Fate::Copies(2),
            _ => Fate::Delay(millis(rng.random_range(0..2500))),
        });
        pair.connect(A);
        assert!(pair.run_until(secs(120), |pair| pair.is_up()).is_some(), "seed {seed}: {}", pair.story());
    }
}

#[test]
fn silent_peer_is_tried_for_ever_with_growing_pauses() {
    let mut pair = Pair::new(config_a(), mirror(&config_a()));
    pair.rule = Box::new(|_| Fate::Drop);
    pair.connect(A);
    pair.run(secs(3600));
    let times: Vec<_> = pair.sides[A].failures.iter().map(|(at, _)| *at - pair.start).collect();
    assert!(pair.sides[A].codes().iter().all(|&code| code == Code::NoResponse));
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.first().unwrap() < &secs(33) && gaps.iter().all(|gap| *gap < secs(110)), "{gaps:?}");
    assert!(gaps.last().unwrap() > &secs(80));
    pair.rule = Box::new(|_| Fate::Deliver);
    assert!(pair.run_until(secs(110), |pair| pair.is_up()).is_some());
}
