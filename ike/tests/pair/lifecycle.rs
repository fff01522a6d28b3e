//! Rekeying of both phases, alone and from both ends at once, for days.

use crate::harness::*;
use tandem_ike::*;

fn short(esp: u64, ike: u64) -> ConnectionConfig {
    ConnectionConfig { esp_lifetime: secs(esp), ike_lifetime: secs(ike), ..config_a() }
}

/// Runs with a packet each way every `every` and says how many could not be opened.
fn lost_in(pair: &mut Pair, span: std::time::Duration, every: std::time::Duration) -> usize {
    let until = pair.now + span;
    let mut lost = 0;
    while pair.now < until {
        pair.run(every);
        lost += usize::from(!pair.esp(A, 0)) + usize::from(!pair.esp(B, 0));
    }
    lost
}

#[test]
fn days_of_rekeying_lose_no_packet_and_keep_the_number_of_sas_bounded() {
    let config = short(3600, 7200);
    let mut pair = Pair::up(config.clone(), mirror(&config));
    assert_eq!(lost_in(&mut pair, secs(3 * 86_400), secs(7)), 0, "{}", pair.story());
    assert!(pair.sides[A].installed > 70, "{}", pair.sides[A].installed);
    assert!(pair.sides[A].established > 35);
    assert!(pair.sides.iter().all(|side| side.pairs.len() <= 2 && side.failures.is_empty()));
    assert!(pair.sides.iter().all(|side| side.dead == 0));
}

#[test]
fn very_short_lifetimes_still_rekey_in_time() {
    let config = short(10, 20);
    let mut pair = Pair::up(config.clone(), mirror(&config));
    assert_eq!(lost_in(&mut pair, secs(600), millis(50)), 0, "{}", pair.story());
    assert!(pair.sides[A].installed > 60);
}

#[test]
fn initiator_rekeys_first_and_the_responder_only_if_it_does_not() {
    let config = short(3600, 86_400);
    let b = ConnectionConfig { start: Start::Always, ..mirror(&config) };
    let mut pair = Pair::up(config.clone(), b.clone());
    pair.run(secs(3500));
    assert_eq!(pair.sides[A].outbound(0).unwrap().role, Role::Initiator);
    assert_eq!(pair.sides[B].installed, 2);
    // An initiator whose quick modes do not get through from now on: the responder has to act.
    let mut pair = Pair::up(config, b);
    let mut begun_by_b = std::collections::BTreeSet::new();
    pair.rule = Box::new(move |datagram| {
        let message_id = datagram.message().get(20..24).unwrap_or_default().to_vec();
        if datagram.from == B {
            begun_by_b.insert(message_id);
            return Fate::Deliver;
        }
        if datagram.exchange() == Some(32) && !begun_by_b.contains(&message_id) { Fate::Drop } else { Fate::Deliver }
    });
    pair.run(secs(3560));
    assert_eq!(pair.sides[B].outbound(0).unwrap().role, Role::Initiator);
    assert_eq!(pair.sides[B].dead + pair.sides[A].dead, 0);
}

#[test]
fn shorter_lifetime_of_the_responder_counts_on_both_ends() {
    let b = ConnectionConfig { esp_lifetime: secs(600), ike_lifetime: secs(900), ..mirror(&config_a()) };
    let pair = Pair::up(config_a(), b);
    for side in &pair.sides {
        assert_eq!(side.outbound(0).unwrap().lifetime, secs(600));
        let remarks = side.events.iter().filter(|(_, event)| event.contains("Warning") && event.contains("lifetime of the"));
        assert_eq!(remarks.count(), 2, "one for each phase: {}", pair.story());
    }
    let rekey_at = pair.sides[A].ike.as_ref().unwrap().rekey_at.unwrap();
    assert!(rekey_at - pair.start < secs(900), "RESPONDER-LIFETIME in message 6");
}

#[test]
fn shorter_lifetime_of_the_initiator_counts_on_both_ends() {
    let a = ConnectionConfig { esp_lifetime: secs(600), ..config_a() };
    let pair = Pair::up(a, mirror(&config_a()));
    assert!(pair.sides.iter().all(|side| side.outbound(0).unwrap().lifetime == secs(600)));
}

#[test]
fn rekey_replaces_phase_1_then_phase_2_make_before_break() {
    for side in [A, B] {
        let mut pair = Pair::default_up();
        pair.run(secs(20));
        let old = pair.sides[A].outbound(0).unwrap().spi_out;
        pair.act(side, |endpoint, now| endpoint.rekey(now, CONN));
        let mut lost = 0;
        for _ in 0..600 {
            pair.run(millis(100));
            lost += usize::from(!pair.esp(A, 0)) + usize::from(!pair.esp(B, 0));
        }
        assert_eq!(lost, 0);
        assert_eq!(pair.sides[A].established, 2, "{}", pair.story());
        assert_ne!(pair.sides[A].outbound(0).unwrap().spi_out, old);
        assert_eq!((pair.sides[A].pairs.len(), pair.sides[B].pairs.len()), (1, 1));
    }
}

#[test]
fn initiator_of_a_rekey_sends_on_the_old_pair_until_the_peer_surely_has_the_new_one() {
    for peer_sends in [false, true] {
        let mut pair = Pair::default_up();
        pair.run(secs(20));
        let old = pair.sides[A].outbound(0).unwrap().spi_out;
        pair.act(A, |endpoint, now| endpoint.rekey(now, CONN));
        pair.run_until(secs(5), |pair| pair.sides[A].pairs.len() == 2).unwrap();
        assert_eq!(pair.sides[A].outbound(0).unwrap().spi_out, old, "{}", pair.story());
        if peer_sends {
            pair.run_until(secs(5), |pair| pair.sides[B].outbound(0).unwrap().spi_in != old).unwrap();
            assert!(pair.esp(B, 0));
        } else {
            pair.run(millis(250));
        }
        assert_ne!(pair.sides[A].outbound(0).unwrap().spi_out, old, "{}", pair.story());
        pair.assert_up();
    }
}

#[test]
fn pair_with_used_up_sequence_numbers_is_replaced() {
    let mut pair = Pair::default_up();
    pair.run(secs(20));
    let id = *pair.sides[A].pairs.keys().next().unwrap();
    pair.act(A, |endpoint, now| {
        endpoint.rekey_child(now, CONN, id);
        endpoint.rekey_child(now, CONN, id);
    });
    pair.run(secs(1));
    assert_eq!(pair.sides[A].installed, 2);
    assert!(pair.flows());
}

#[test]
fn both_ends_may_start_at_once() {
    for skew in [0, 1, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80] {
        let b = ConnectionConfig { start: Start::Always, ..mirror(&config_a()) };
        let mut pair = Pair::new(config_a(), b);
        pair.connect(A);
        pair.run(millis(skew));
        pair.connect(B);
        pair.run(secs(5));
        pair.assert_up();
        assert!(pair.flows(), "skew {skew} ms: {}", pair.story());
        assert!(pair.sides[A].pairs.len() <= 2 && pair.sides[B].pairs.len() <= 2);
        assert_eq!(lost_in(&mut pair, secs(120), secs(1)), 0, "skew {skew} ms: {}", pair.story());
        assert!(pair.sides.iter().all(|side| side.ike.is_some()), "skew {skew} ms: {}", pair.story());
    }
}

#[test]
fn both_ends_may_rekey_everything_at_once() {
    for skew in (0..120).step_by(5) {
        let b = ConnectionConfig { start: Start::Always, ..mirror(&config_a()) };
        let mut pair = Pair::new(config_a(), b);
        pair.connect(A);
        pair.run(secs(20));
        pair.act(A, |endpoint, now| endpoint.rekey(now, CONN));
        pair.run(millis(skew));
        pair.act(B, |endpoint, now| endpoint.rekey(now, CONN));
        assert_eq!(lost_in(&mut pair, secs(100), millis(100)), 0, "skew {skew} ms: {}", pair.story());
        assert!(pair.sides.iter().all(|side| side.pairs.len() <= 2 && side.ike.is_some()), "skew {skew} ms: {}", pair.story());
    }
}

#[test]
fn both_ends_may_renew_at_once() {
    for skew in (0..40).step_by(2) {
        let b = ConnectionConfig { start: Start::Always, ..mirror(&config_a()) };
        let mut pair = Pair::new(config_a(), b);
        pair.connect(A);
        pair.run(secs(20));
        for round in 0..10 {
            pair.act(round % 2, |endpoint, now| endpoint.renew(now, CONN, Some(secs(1))));
            pair.run(millis(skew));
            pair.act(1 - round % 2, |endpoint, now| endpoint.renew(now, CONN, Some(secs(1))));
            assert_eq!(lost_in(&mut pair, secs(5), millis(100)), 0, "skew {skew} ms: {}", pair.story());
        }
        assert_eq!(lost_in(&mut pair, secs(60), millis(100)), 0, "skew {skew} ms: {}", pair.story());
        assert_eq!(pair.sides[A].established, 1);
        assert!(pair.sides.iter().all(|side| side.pairs.len() <= 12), "{} {}", pair.sides[A].pairs.len(), pair.sides[B].pairs.len());
    }
}

#[test]
fn delete_that_crosses_a_rekey_leaves_the_tunnel_up() {
    for skew in (0..150).step_by(10) {
        let mut pair = Pair::default_up();
        pair.run(secs(20));
        pair.act(A, |endpoint, now| endpoint.rekey(now, CONN));
        pair.run(millis(skew));
        pair.act(B, |endpoint, now| endpoint.close(now, CONN));
        pair.run(secs(8));
        assert!(pair.flows(), "skew {skew} ms: {}", pair.story());
    }
}

#[test]
fn hundreds_of_rekeys_in_a_row_keep_state_bounded() {
    let mut pair = Pair::default_up();
    pair.run(secs(20));
    for round in 0..200 {
        pair.act(round % 2, |endpoint, now| endpoint.renew(now, CONN, None));
        pair.run(secs(1));
        assert!(pair.flows(), "round {round}");
        assert!(pair.sides.iter().all(|side| side.pairs.len() <= 17));
    }
    pair.run(secs(60));
    assert!(pair.sides[A].pairs.len() <= 2);
}

#[test]
fn losses_restarts_and_rekeys_for_a_simulated_month() {
    use rand::{RngExt, SeedableRng};
    let config = short(3600, 10_800);
    let b = ConnectionConfig { start: Start::Always, ..mirror(&config) };
    let mut pair = Pair::new(config.clone(), b.clone());
    let mut rng = rand::rngs::StdRng::seed_from_u64(11);
    pair.rule = Box::new(move |_| if rng.random_bool(0.02) { Fate::Drop } else { Fate::Deliver });
    pair.connect(A);
    pair.connect(B);
    let mut rng = rand::rngs::StdRng::seed_from_u64(12);
    for day in 0..30 {
        pair.run(secs(86_400 - rng.random_range(0..3600)));
        assert!(pair.flows(), "day {day}: {}", pair.story());
        let side = rng.random_range(0..2);
        pair.restart(side, if side == A { config.clone() } else { b.clone() });
        pair.connect(side);
        pair.run(secs(60));
        assert!(pair.flows(), "day {day} after a restart: {}", pair.story());
        pair.log.clear();
        for side in &mut pair.sides {
            side.events.clear();
        }
    }
}

#[test]
fn configuration_changes_close_only_what_no_longer_agrees() {
    let mut config = config_a();
    config.children.push(TrafficSelectors { local: proxy("192.168.1.0/24"), remote: proxy("172.16.0.0/16") });
    let mut pair = Pair::up(config.clone(), mirror(&config));
    let spis = pair.spis(A);
    let timing = ConnectionConfig { esp_lifetime: secs(1000), dpd: None, ..config.clone() };
    pair.act(A, |endpoint, now| endpoint.configure(now, CONN, timing));
    assert_eq!(pair.spis(A), spis);
    // The first child goes, the second becomes the first and keeps its SAs.
    let kept = pair.sides[A].outbound(1).unwrap().spi_in;
    let fewer = ConnectionConfig { children: vec![config.children[1]], ..config.clone() };
    pair.act(A, |endpoint, now| endpoint.configure(now, CONN, fewer));
    pair.run(secs(5));
    assert_eq!(pair.spis(A), [kept].into());
    assert_eq!(pair.sides[A].established, 1);
    let stronger = ConnectionConfig { ike_proposals: vec!["aes256-sha256-group14".parse().unwrap()], ..config };
    pair.act(A, |endpoint, now| endpoint.configure(now, CONN, stronger));
    assert!(pair.sides[A].ike.is_none());
}
