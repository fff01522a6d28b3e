//! A year between two ends with the document's lifetimes (24 h), 2 % loss and now and then a restart.
//!
//! There is always traffic, so dead peer detection hears it and has nothing to ask; the packets themselves are not made, only what they would
//! tell the control path ([`Traffic::Implied`]). Everything else is real: each main mode and quick mode with its keys.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tandem::events::Kind;

use crate::invariants::{AFTER_LOSSES, RECOVERY};
use crate::setups::Setup;
use crate::world::{Traffic, World};

const DAY: Duration = Duration::from_secs(24 * 3600);
const DAYS: u32 = 365;

#[test]
#[allow(clippy::print_stderr)] // How fast it was is part of the result.
fn a_year_of_rekeying_with_loss_and_restarts_breaks_no_invariant() {
    let seed = std::env::var("SIM_YEAR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let setup = Setup { connections: 1, group: "group2", pfs: "group2", track: false, ..Setup::default() };
    let mut world = World::new(seed, &setup);
    world.traffic = Traffic::Implied;
    world.network.loss = 20;
    let mut rng = StdRng::seed_from_u64(seed);
    let began = Instant::now();
    world.start_all();
    let end = world.now + DAY * DAYS;
    let mut restarts = 0;
    while world.now < end {
        // One restart in a week on the average, half of them with DELETE, down for up to ten minutes.
        let quiet = DAY.mul_f64(rng.random_range(0.0..14.0));
        let until = (world.now + quiet).min(end);
        while world.step(until) {}
        if world.now >= end {
            break;
        }
        let down = rng.random_range(0..2);
        world.witness.calm_since = None;
        if rng.random_bool(0.5) {
            world.kill(down)
        } else {
            world.stop(down)
        }
        world.run(rng.random_range(0..600));
        world.start(down);
        world.witness.calm_since = Some(world.now);
        world
            .run_until(RECOVERY.as_secs(), |world| world.witness.agrees())
            .unwrap_or_else(|| panic!("seed {seed}: not up after a restart"));
        restarts += 1;
    }
    let took = began.elapsed();
    let rekeys = world.count(0, Kind::Rekeyed, "conn1");
    eprintln!(
        "{DAYS} days, {rekeys} rekeys, {restarts} restarts in {:.2} s: {:.0} simulated days per second",
        took.as_secs_f64(),
        f64::from(DAYS) / took.as_secs_f64()
    );
    assert!(rekeys >= 300, "{rekeys} rekeys are too few for a year");
    assert!(world.witness.most_pairs <= 6, "at most {} pairs at once", world.witness.most_pairs);
    world.witness.few_are_left(&world.ends, AFTER_LOSSES);
}
