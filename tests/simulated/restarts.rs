//! Ends that lose their state: unknown SPIs, INITIAL-CONTACT, DELETE, and three gateways at once.

use std::time::Duration;

use tandem::events::Kind;
use tandem::stats::DropReason;

use crate::setups::{self, Setup, ip};
use crate::world::{Flow, World};

fn one(cloud_start: &'static str) -> World {
    let mut world = World::new(5, &Setup { connections: 1, track: false, cloud_start, ..Setup::default() });
    world.start_all();
    world.run(10);
    assert!(world.is_up(0, 0) && world.is_up(1, 0));
    world
}

fn flows_again(world: &mut World, seconds: u64) -> Duration {
    let since = world.now;
    world.run_until(seconds, |world| world.witness.last_received.iter().all(|&at| at > since)).expect("traffic flows again");
    world.now - since
}

#[test]
fn either_end_killed_and_restarted_carries_traffic_within_5_s() {
    for end in 0..2 {
        let mut world = one("on-traffic");
        world.kill(end);
        world.run(3);
        world.start(end);
        let took = flows_again(&mut world, 10);
        assert!(took <= Duration::from_secs(5), "end {end}: after {took:?}");
    }
}

#[test]
fn an_unknown_spi_makes_the_gateway_negotiate_and_a_passive_one_never() {
    for (start, negotiates) in [("on-traffic", true), ("passive", false)] {
        let mut world = one(start);
        // The cloud forgets everything, and only hosts behind the other end talk.
        world.flows.remove(1);
        world.kill(1);
        world.start(1);
        let before = world.count(1, Kind::Negotiating, "conn1");
        world.run(5);
        assert!(world.dropped(1, DropReason::UnknownSpi) > 0);
        assert_eq!(world.count(1, Kind::Negotiating, "conn1") > before, negotiates, "start = {start}");
    }
}

#[test]
fn unknown_spis_trigger_one_negotiation_in_10_s() {
    let mut world = one("on-traffic");
    world.flows.remove(1);
    world.kill(1);
    world.start(1);
    // What the cloud says does not arrive, so the other end goes on with the old pair.
    world.network.black_holes.insert((ip(setups::CLOUD), ip(setups::ONPREM[0])));
    let before = world.count(1, Kind::Negotiating, "conn1");
    world.run(9);
    assert_eq!(world.count(1, Kind::Negotiating, "conn1"), before + 1);
}

#[test]
fn esp_still_under_way_after_our_own_delete_triggers_nothing_for_2_s() {
    let mut world = one("on-traffic");
    world.flows.remove(1);
    // DELETE gets lost, and the other end goes on sending.
    world.network.black_holes.insert((ip(setups::CLOUD), ip(setups::ONPREM[0])));
    world.tell(1, tandem::gateway::Input::Down(0));
    let deleted = world.now;
    let before = world.count(1, Kind::Negotiating, "conn1");
    while world.step(deleted + Duration::from_millis(1990)) {}
    assert!(world.dropped(1, DropReason::UnknownSpi) > 0);
    assert_eq!(world.count(1, Kind::Negotiating, "conn1"), before, "in flight");
    world.run(3);
    assert!(world.count(1, Kind::Negotiating, "conn1") > before, "and then it is not in flight any more");
}

#[test]
fn a_deleted_tunnel_comes_back_at_once() {
    let mut world = one("on-traffic");
    world.stop(1);
    world.start(1);
    let took = flows_again(&mut world, 10);
    assert!(took <= Duration::from_secs(5), "after {took:?}");
}

#[test]
fn three_gateways_that_all_begin_and_restart_find_each_other() {
    let flow = |end: usize, peer: usize| Flow { end, source: ip(&format!("10.{end}.0.1")), destination: ip(&format!("10.{peer}.0.1")) };
    let flows = (0..3).flat_map(|end| (0..3).filter(move |&peer| peer != end).map(move |peer| flow(end, peer))).collect();
    let mut world = World::of(11, setups::triangle(), flows);
    world.start_all();
    world.run(30);
    assert!(world.witness.agrees());
    for end in 0..3 {
        world.kill(end);
        world.start(end);
        world.network.loss = 100;
        world.run(20);
        world.network.heal();
        flows_again(&mut world, 60);
    }
    // Lifetimes of 5 and 10 minutes end many times, all at about the same moments.
    world.run(60);
    world.witness.forgive(world.now);
    world.run(7200);
    world.traffic = crate::world::Traffic::Silence;
    world.run(2);
    world.witness.nothing_is_lost(world.now, None);
    world.witness.few_are_left(&world.ends, crate::invariants::CALM);
}
