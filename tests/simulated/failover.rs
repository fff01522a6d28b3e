//! Paths that fail and come back: proven pairs, tracks, routes (the rules of `[[route]]` and of a proven pair), on the real gateways.

use std::time::Duration;

use tandem::events::Kind;

use crate::setups::{CLOUD, LINKS, ONPREM, Setup, ip};
use crate::world::{Flow, Traffic, World};

const VPC: &str = "172.16.0.0/16";

/// Both connections up; hosts talk along whatever way the routes give them.
fn pair() -> World {
    let mut world = World::new(1, &Setup::default());
    world.flows = vec![
        Flow { end: 0, source: ip("192.168.0.10"), destination: ip("172.16.1.10") },
        Flow { end: 1, source: ip("172.16.1.10"), destination: ip("192.168.0.10") },
    ];
    world.start_all();
    world.run(10);
    assert_eq!(routes(&world), ["active", "standby"]);
    world
}

/// States of the two routes to the VPC.
fn routes(world: &World) -> [String; 2] {
    ["conn1", "conn2"].map(|connection| world.route(0, VPC, connection))
}

#[test]
fn link_down_moves_the_route_at_once_without_a_probe() {
    let mut world = pair();
    world.set_link(0, LINKS[0], false);
    assert_eq!(routes(&world), ["invalid", "active"]);
}

#[test]
fn when_the_link_is_back_the_route_waits_for_a_new_quick_mode_under_the_old_isakmp_sa() {
    let mut world = pair();
    world.traffic = Traffic::Silence;
    world.run(1);
    let main_modes = world.count(0, Kind::IkeEstablished, "conn1");
    world.set_link(0, LINKS[0], false);
    world.run(4);
    world.set_link(0, LINKS[0], true);
    assert_eq!(routes(&world), ["invalid", "active"], "the link alone proves nothing");
    let back = world.elapsed();
    let at = world.run_until(5, |world| routes(world) == ["active", "standby"]).unwrap();
    assert!(at - back <= Duration::from_millis(300), "one round trip and the 200 ms until the new pair is sent on, not {:?}", at - back);
    assert_eq!(world.count(0, Kind::IkeEstablished, "conn1"), main_modes, "under the old ISAKMP SA");
}

#[test]
fn a_peer_that_has_forgotten_everything_gets_a_main_mode_after_one_second() {
    let mut world = pair();
    world.traffic = Traffic::Silence;
    world.run(1);
    world.set_link(0, LINKS[0], false);
    world.kill(1);
    world.start(1);
    world.run(3);
    let main_modes = world.count(0, Kind::IkeEstablished, "conn1");
    world.set_link(0, LINKS[0], true);
    let back = world.elapsed();
    let at = world.run_until(5, |world| routes(world)[0] == "active").unwrap();
    assert!(at - back >= Duration::from_secs(1), "the old ISAKMP SA gets its second");
    assert!(at - back <= Duration::from_millis(1500), "then main mode begins at once, not after {:?}", at - back);
    assert_eq!(world.count(0, Kind::IkeEstablished, "conn1"), main_modes + 1);
    world.run(1);
    assert!(world.is_up(1, 0));
}

#[test]
fn an_authentic_packet_on_the_old_pair_proves_it_and_a_dpd_answer_does_not() {
    let mut world = pair();
    world.traffic = Traffic::Silence;
    world.run(1);
    // IKE from here does not arrive, so no quick mode can prove anything; with the way back open DPD and ESP from the cloud come.
    world.set_link(0, LINKS[0], false);
    world.run(1);
    world.network.holds = true;
    world.set_link(0, LINKS[0], true);
    world.run(1);
    assert_eq!(routes(&world)[0], "invalid");
    // Everything that is not quick mode passes: what a DPD question and its answer would be.
    for (_, flight) in std::mem::take(&mut world.network.held) {
        let crate::network::Content::Ike(message) = &flight.content else { continue };
        if message[18] == 5 {
            world.deliver(flight);
        }
    }
    assert_eq!(routes(&world)[0], "invalid", "an informational exchange proves nothing");
    world.flows = vec![Flow { end: 1, source: ip("172.16.10.1"), destination: ip("192.168.0.1") }];
    world.send_packet(0);
    world.run_until(1, |world| routes(world)[0] == "active").expect("an authentic packet proves the pair");
}

#[test]
fn a_negative_track_moves_the_route_and_its_recovery_moves_it_back_without_a_lost_packet() {
    let mut world = pair();
    let ways = [(ip(ONPREM[0]), ip(CLOUD)), (ip(CLOUD), ip(ONPREM[0]))];
    world.network.black_holes.extend(ways);
    let broken = world.elapsed();
    let at = world.run_until(20, |world| routes(world) == ["invalid", "active"]).unwrap();
    let took = at - broken;
    assert!((Duration::from_secs(3)..Duration::from_secs(13)).contains(&took), "noticed after {took:?}");
    world.run(20);
    world.network.black_holes.clear();
    // Until the cloud, too, sends by the way that works again, its packets may be lost.
    world.run_until(60, |world| routes(world) == ["active", "standby"]).expect("back to the preferred way");
    world.run(2);
    world.witness.forgive(world.now);
    world.run(60);
    world.traffic = Traffic::Silence;
    world.run(2);
    world.witness.nothing_is_lost(world.now, None);
}

#[test]
fn initial_contact_touches_only_its_own_connection() {
    let mut world = pair();
    world.traffic = Traffic::Silence;
    world.run(1);
    let spis = |world: &World| [world.spis_in(0, 1), world.spis_in(1, 1)];
    let before = spis(&world);
    let first = world.spis_in(1, 0);
    // The first connection forgets everything without a word and begins anew: INITIAL-CONTACT.
    world.network.black_holes.insert((ip(ONPREM[0]), ip(CLOUD)));
    world.tell(0, tandem::gateway::Input::Down(0));
    world.network.black_holes.clear();
    world.tell(0, tandem::gateway::Input::Up(0));
    world.run(5);
    assert!(world.is_up(0, 0) && world.is_up(1, 0));
    assert!(world.spis_in(1, 0).iter().all(|spi| !first.contains(spi)), "the first connection's old pair is gone");
    assert_eq!(spis(&world), before, "the second connection's pair stays");
}
