//! Thousands of plans of faults, one a seed: afterwards every packet arrives again.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tandem::gateway::Input;

use crate::faults;
use crate::invariants::{AFTER_LOSSES, RECOVERY};
use crate::setups::Setup;
use crate::world::{Traffic, World};

const SEEDS: u64 = 10_000;

/// The setup of a seed: one or two connections, who begins, how ESP travels, short lifetimes.
fn setup(seed: u64) -> Setup {
    Setup {
        connections: if seed % 4 == 3 { 2 } else { 1 },
        cloud_start: if seed.is_multiple_of(3) {
            "on-traffic"
        } else if seed % 3 == 1 {
            "passive"
        } else {
            "always"
        },
        nat_traversal: if seed.is_multiple_of(5) { "force" } else { "auto" },
        health_checks: seed.is_multiple_of(7),
        ike_lifetime: if seed.is_multiple_of(2) { "3m" } else { "24h" },
        esp_lifetime: if seed % 8 < 3 { "2m" } else { "24h" },
        ..Setup::default()
    }
}

fn run(seed: u64, story: bool) -> World {
    let setup = setup(seed);
    let mut world = World::new(seed, &setup);
    world.story = story.then(Vec::new);
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| play(&mut world, seed, &setup)));
    if let Err(cause) = outcome {
        if let Some(story) = &world.story {
            let words = cause.downcast_ref::<String>().cloned().unwrap_or_default();
            panic!("seed {seed}: {words}\n{setup:?}\n{:#?}\n{}", faults::plan(seed, setup.connections), story.join("\n"));
        }
        panic::resume_unwind(cause);
    }
    world
}

fn play(world: &mut World, seed: u64, setup: &Setup) {
    world.traffic = Traffic::Packets { every: Duration::from_secs(2), next: world.now + Duration::from_millis(700) };
    world.start_all();
    faults::run(world, &faults::plan(seed, setup.connections));
    let calm = world.now;
    world.run_until(RECOVERY.as_secs(), |world| world.witness.agrees() && world.witness.last_received.iter().all(|&at| at > calm));
    for (flow, &at) in world.witness.last_received.iter().enumerate() {
        assert!(at > calm, "traffic flows again within a bound: flow {flow} does not");
    }
    // What still heals, heals; then nothing is lost any more, not even by a rekey.
    world.run(15);
    world.witness.forgive(world.now);
    world.tell((seed % 2) as usize, Input::Rekey(0));
    world.run(40);
    world.traffic = Traffic::Silence;
    world.run(3);
    world.witness.nothing_is_lost(world.now, None);
    world.witness.few_are_left(&world.ends, AFTER_LOSSES);
}

#[test]
fn ten_thousand_plans_of_faults_break_no_invariant() {
    let chosen = std::env::var("SIM_SEED").ok().and_then(|seed| seed.parse().ok());
    if let Some(seed) = chosen {
        let story = run(seed, true).story.unwrap();
        panic!("seed {seed} breaks nothing; its story:\n{:#?}\n{}", faults::plan(seed, setup(seed).connections), story.join("\n"));
    }
    let count = std::env::var("SIM_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(SEEDS);
    let (next, failed) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= count || failed.load(Ordering::Relaxed) != u64::MAX {
                        return;
                    }
                    if panic::catch_unwind(|| run(seed, false)).is_err() {
                        failed.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let seed = failed.into_inner();
    if seed != u64::MAX {
        run(seed, true);
    }
}
