//! The cloud's health check on the real gateways: through the tunnel, judged in 9 to 12 s, one reset for each SA pair.

use std::time::Duration;

use tandem::events::Kind;

use crate::setups::Setup;
use crate::world::{Traffic, World};

fn checked() -> World {
    let mut world = World::new(3, &Setup { health_checks: true, track: false, connections: 1, ..Setup::default() });
    world.start_all();
    world.run(10);
    let health = |world: &World| world.process(1).gateway.status(world.clock(1)).connections[0].health.clone();
    assert_eq!(health(&world), "success");
    world
}

/// When the health check had something to say.
fn verdicts(world: &World) -> Vec<Duration> {
    let health = world.ends[1].events.iter().filter(|(_, kind, _)| *kind == Kind::Health).map(|(at, ..)| *at);
    health.collect()
}

#[test]
fn silence_inside_the_tunnel_resets_it_after_9_to_12_s_once() {
    let mut world = checked();
    world.traffic = Traffic::Silence;
    // Only ESP towards the on-premises end is lost: its host is gone, IKE works.
    world.network.esp_is_lost = true;
    let broken = world.elapsed();
    let before = verdicts(&world).len();
    world.run_until(20, |world| verdicts(world).len() > before).expect("the health check fails");
    let took = world.elapsed() - broken;
    assert!((Duration::from_secs(9)..=Duration::from_secs(12)).contains(&took), "failed after {took:?}");
    world.run(2);
    assert!(world.is_up(1, 0), "a new negotiation from this end follows at once");
    let pairs_made = world.count(1, Kind::IpsecEstablished, "conn1");
    world.run(6);
    assert_eq!(world.count(1, Kind::IpsecEstablished, "conn1"), pairs_made, "one reset for each SA pair");
    world.network.esp_is_lost = false;
    world.run(15);
    assert_eq!(world.process(1).gateway.status(world.clock(1)).connections[0].health, "success");
}
