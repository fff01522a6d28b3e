//! DELETE, dead peer detection, restarts, INITIAL-CONTACT, renewal.

use crate::harness::*;
use tandem_ike::*;

#[test]
fn idle_peers_ask_each_other_and_traffic_answers_instead() {
    let mut pair = Pair::default_up();
    let handshake = pair.log.len();
    pair.run(secs(100));
    let asked = pair.log.len() - handshake;
    assert!((16..=42).contains(&asked), "{asked} messages in 100 idle seconds");
    let idle = pair.log.len();
    for _ in 0..100 {
        pair.run(secs(1));
        assert!(pair.flows());
    }
    assert_eq!(pair.log.len(), idle, "proof of life by ESP");
}

#[test]
fn traffic_seen_counts_as_proof_of_life() {
    let mut pair = Pair::default_up();
    let sent = pair.log.len();
    for _ in 0..60 {
        pair.run(secs(1));
        for side in [A, B] {
            pair.act(side, |endpoint, now| endpoint.traffic_seen(now, CONN));
        }
    }
    assert_eq!(pair.log.len(), sent);
}

#[test]
fn dead_peer_is_noticed_within_the_bound_and_tried_again() {
    let mut pair = Pair::default_up();
    pair.rule = Box::new(|_| Fate::Drop);
    let took = pair.run_until(secs(100), |pair| pair.sides[A].dead == 1).unwrap();
    assert!((secs(35)..secs(45)).contains(&took), "{took:?}");
    assert!(pair.sides[A].pairs.is_empty());
    assert_eq!(pair.sides[A].deleted[0].1, DeleteReason::PeerDead);
    pair.run(secs(100));
    pair.rule = Box::new(|_| Fate::Deliver);
    assert!(pair.run_until(secs(100), |pair| pair.is_up()).is_some(), "{}", pair.story());
}

#[test]
fn living_peer_on_a_bad_path_is_not_called_dead() {
    use rand::{RngExt, SeedableRng};
    let mut pair = Pair::default_up();
    let mut rng = rand::rngs::StdRng::seed_from_u64(7);
    pair.rule = Box::new(move |_| if rng.random_bool(0.3) { Fate::Drop } else { Fate::Deliver });
    pair.run(secs(3600));
    assert_eq!(pair.sides[A].dead + pair.sides[B].dead, 0);
}

#[test]
fn close_sends_delete_for_both_phases_and_the_other_end_comes_back_at_once_if_it_is_kept() {
    let mut pair = Pair::default_up();
    pair.run(secs(20));
    let sent = pair.log.len();
    pair.act(B, |endpoint, now| endpoint.close(now, CONN));
    assert_eq!(pair.log.len() - sent, 2);
    assert!(pair.sides[B].pairs.is_empty() && pair.sides[B].ike.is_none());
    let took = pair.run_until(secs(10), |pair| pair.is_up()).unwrap();
    assert!(took < secs(1), "the peer answers although it was closed: {took:?} {}", pair.story());
    assert!(pair.sides[A].deleted.iter().any(|&(_, reason)| reason == DeleteReason::PeerDeleted));
}

#[test]
fn closed_initiator_stays_down() {
    let mut pair = Pair::default_up();
    pair.act(A, |endpoint, now| endpoint.close(now, CONN));
    pair.run(secs(100));
    assert!(pair.sides.iter().all(|side| side.pairs.is_empty() && side.ike.is_none()));
    let sent = pair.log.len();
    pair.run(secs(1000));
    assert_eq!(pair.log.len(), sent);
    assert!(pair.sides[A].endpoint.poll_timeout().is_none(), "no timer is left");
}

#[test]
fn removed_connection_answers_nothing() {
    let mut pair = Pair::default_up();
    pair.act(B, |endpoint, now| endpoint.remove(now, CONN));
    pair.run(secs(10));
    assert!(!pair.is_up());
    assert!(pair.drops(B)["ike_unknown_peer"] > 0);
    assert!(pair.sides[B].endpoint.poll_timeout().is_none());
}

#[test]
fn peer_that_deletes_everything_at_once_again_is_not_tried_in_a_loop() {
    let mut pair = Pair::default_up();
    for _ in 0..40 {
        pair.run(millis(500));
        pair.act(B, |endpoint, now| endpoint.close(now, CONN));
    }
    assert!(pair.sides[A].established < 12, "{} in 20 s", pair.sides[A].established);
    pair.run(secs(70));
    pair.assert_up();
}

#[test]
fn isakmp_delete_leaves_esp_alone() {
    let mut pair = Pair::default_up();
    pair.run(secs(15));
    let spis = pair.spis(A);
    pair.act(B, |endpoint, now| endpoint.rekey(now, CONN));
    pair.run(secs(15));
    assert!(spis.is_subset(&pair.spis(A)), "the old pair receives for at least 30 s");
    assert_eq!(pair.sides[A].established, 2);
    assert!(pair.flows());
}

#[test]
fn restarted_initiator_announces_initial_contact_and_the_stale_pair_goes() {
    let mut pair = Pair::default_up();
    pair.run(secs(30));
    let stale = pair.spis(B);
    pair.restart(A, config_a());
    pair.connect(A);
    let took = pair.run_until(secs(10), |pair| pair.is_up()).unwrap();
    assert!(took < secs(1));
    assert!(pair.spis(B).is_disjoint(&stale));
    assert!(pair.sides[B].deleted.iter().any(|&(_, reason)| reason == DeleteReason::InitialContact));
    assert_eq!(pair.sides[B].pairs.len(), 1);
}

#[test]
fn restarted_passive_end_makes_the_other_negotiate_when_it_sees_dpd_unanswered() {
    let mut pair = Pair::default_up();
    pair.run(secs(30));
    pair.restart(B, mirror(&config_a()));
    assert!(pair.run_until(secs(60), |pair| pair.is_up()).is_some(), "{}", pair.story());
}

#[test]
fn unknown_spi_starts_one_negotiation_in_ten_seconds_and_changes_nothing_until_it_is_done() {
    let b = ConnectionConfig { start: Start::OnTraffic, ..mirror(&config_a()) };
    let mut pair = Pair::up(config_a(), b.clone());
    pair.run(secs(30));
    pair.restart(B, b);
    assert!(!pair.esp(A, 0), "B has lost its SAs");
    for _ in 0..1000 {
        pair.act(B, |endpoint, now| endpoint.esp_unknown_spi(now, CONN));
    }
    let took = pair.run_until(secs(10), |pair| pair.is_up()).unwrap();
    assert!(took < secs(1), "{took:?}");
    assert_eq!((pair.sides[B].established, pair.sides[B].installed), (1, 1));
    let sent = pair.log.len();
    pair.run(secs(1));
    pair.act(B, |endpoint, now| endpoint.esp_unknown_spi(now, CONN));
    assert_eq!(pair.log.len(), sent, "under 10 s after the last trigger");
    pair.run(secs(10));
    let spis = pair.spis(B);
    pair.act(B, |endpoint, now| endpoint.esp_unknown_spi(now, CONN));
    assert_eq!(pair.spis(B), spis, "nothing is removed");
    pair.run(secs(1));
    assert_eq!(pair.sides[B].installed, 2);
}

#[test]
fn unknown_spi_right_after_our_own_delete_is_in_flight() {
    let b = ConnectionConfig { start: Start::OnTraffic, ..mirror(&config_a()) };
    let a = ConnectionConfig { start: Start::OnTraffic, ..config_a() };
    let mut pair = Pair::new(a, b);
    pair.act(A, |endpoint, now| endpoint.acquire(now, CONN, 0));
    pair.run(secs(20));
    pair.act(B, |endpoint, now| endpoint.close(now, CONN));
    let sent = pair.log.len();
    pair.act(B, |endpoint, now| endpoint.esp_unknown_spi(now, CONN));
    assert_eq!(pair.log.len(), sent);
    pair.run(secs(3));
    pair.act(B, |endpoint, now| endpoint.esp_unknown_spi(now, CONN));
    assert!(pair.log.len() > sent);
}

#[test]
fn renew_makes_new_pairs_under_the_present_isakmp_sa() {
    let mut pair = Pair::default_up();
    pair.run(secs(30));
    let old = pair.sides[A].outbound(0).unwrap().spi_out;
    pair.act(A, |endpoint, now| endpoint.renew(now, CONN, Some(secs(1))));
    pair.run(secs(5));
    assert_ne!(pair.sides[A].outbound(0).unwrap().spi_out, old);
    assert_eq!(pair.sides[A].established, 1);
    assert_eq!(pair.sides[A].pairs.len(), 2, "the old one receives on");
    assert!(pair.flows());
    pair.run(secs(35));
    assert_eq!((pair.sides[A].pairs.len(), pair.sides[B].pairs.len()), (1, 1), "then it is deleted");
}

#[test]
fn renew_loses_patience_with_an_isakmp_sa_that_the_peer_has_lost() {
    let mut pair = Pair::default_up();
    pair.run(secs(3));
    let old = pair.spis(A);
    pair.restart(B, mirror(&config_a()));
    pair.act(A, |endpoint, now| endpoint.renew(now, CONN, Some(secs(1))));
    pair.run(millis(900));
    assert_eq!(pair.spis(A), old, "the old pair is kept until the new one stands");
    let took = pair.run_until(secs(10), |pair| pair.is_up()).unwrap();
    assert!(took < millis(400), "{took:?}: {}", pair.story());
    assert_eq!(pair.sides[A].established, 2);
    assert!(old.is_disjoint(&pair.spis(A)), "INITIAL-CONTACT of B: nobody holds the old one any more");
}

#[test]
fn renew_with_initial_contact_removes_what_the_peer_still_held_of_us() {
    // B's answers under the old ISAKMP SA are lost, so A gives it up although B still holds everything.
    let mut pair = Pair::default_up();
    pair.run(secs(3));
    let stale = pair.spis(B);
    let begin = pair.log.len();
    pair.rule = Box::new(move |datagram| {
        if datagram.from == B && datagram.exchange() == Some(32) && datagram.number <= begin + 8 { Fate::Drop } else { Fate::Deliver }
    });
    pair.act(A, |endpoint, now| endpoint.renew(now, CONN, Some(secs(1))));
    pair.run(secs(10));
    assert!(pair.flows(), "{}", pair.story());
    assert!(pair.spis(B).is_disjoint(&stale), "{}", pair.story());
}

#[test]
fn two_connections_to_one_peer_do_not_touch_one_another() {
    // One gateway with two uplinks; the peer has one address and one identity for both.
    let second = ConnectionConfig { local: ip("192.0.2.40"), local_id: Identity::Address(ip("192.0.2.40")), ..config_a() };
    let other = ConnectionId(2);
    let mut pair = Pair::default_up();
    pair.act(A, |endpoint, now| endpoint.configure(now, other, second.clone()));
    pair.act(B, |endpoint, now| endpoint.configure(now, other, mirror(&second)));
    pair.act(A, |endpoint, now| endpoint.connect(now, other));
    pair.run(secs(20));
    assert_eq!(pair.sides[B].pairs.len(), 2);
    assert!(pair.sides[B].deleted.is_empty(), "INITIAL-CONTACT of one removes nothing of the other");
    let first = pair.sides[A].pairs.keys().next().copied().unwrap();
    pair.act(A, |endpoint, now| endpoint.close(now, other));
    pair.run(secs(5));
    assert_eq!((pair.sides[A].pairs.len(), pair.sides[B].pairs.len()), (1, 1));
    assert!(pair.sides[A].pairs.contains_key(&first));
    pair.run(secs(100));
    assert_eq!(pair.sides[B].pairs.len(), 1);
    pair.assert_up();
}
