//! What can go wrong, a line each, and a plan of it from a seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tandem::gateway::Input;

use crate::setups::{CLOUD, LINKS, ONPREM, ip};
use crate::world::World;

/// One thing that goes wrong, for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Of a thousand packets so many are lost.
    Loss(u32),
    /// Of a thousand packets so many come twice.
    Duplicates(u32),
    /// Of a thousand packets so many have one wrong bit.
    Damage(u32),
    /// Packets take up to so many milliseconds longer, and overtake each other.
    Reorder(u64),
    /// The IKE message after so many others vanishes.
    Vanish(u32),
    /// What this end sends on this connection does not arrive.
    BlackHole { end: usize, connection: usize },
    /// The process is killed, and started again when the fault is over.
    Kill { end: usize },
    /// The process ends with DELETE, and is started again when the fault is over.
    Stop { end: usize },
    /// The on-premises link of this connection goes down.
    LinkDown { connection: usize },
    /// An end's machine was suspended: its clock jumps ahead by so many seconds.
    ClockJump { end: usize, seconds: u64 },
    /// Somebody says `tandem rekey`.
    Rekey { end: usize, connection: usize },
    /// Both ends rekey at the same moment.
    RekeyBoth { connection: usize },
    /// Somebody says `tandem down`, and `tandem up` when the fault is over.
    Down { end: usize, connection: usize },
}

/// When a fault begins and how long it lasts, from the beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) fault: Fault,
}

/// A few faults within the first minutes, drawn from a seed.
pub(crate) fn plan(seed: u64, connections: usize) -> Vec<Planned> {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x5eed);
    let mut plan: Vec<_> = (0..rng.random_range(1..=5))
        .map(|_| {
            let at = Duration::from_millis(rng.random_range(0..60_000));
            Planned { at, lasts: Duration::from_millis(rng.random_range(100..40_000)), fault: draw(&mut rng, connections) }
        })
        .collect();
    plan.sort_by_key(|planned| planned.at);
    plan
}

fn draw(rng: &mut StdRng, connections: usize) -> Fault {
    let (end, connection) = (rng.random_range(0..2), rng.random_range(0..connections));
    let rate = *[20, 100, 300].choose(rng).unwrap();
    match rng.random_range(0..13) {
        0 => Fault::Loss(rate),
        1 => Fault::Duplicates(rate),
        2 => Fault::Damage(rate),
        3 => Fault::Reorder(*[20, 500, 3000].choose(rng).unwrap()),
        4 => Fault::Vanish(rng.random_range(0..12)),
        5 => Fault::BlackHole { end, connection },
        6 => Fault::Kill { end },
        7 => Fault::Stop { end },
        8 => Fault::LinkDown { connection },
        9 => Fault::ClockJump { end, seconds: *[5, 60, 3600, 100_000].choose(rng).unwrap() },
        10 => Fault::Rekey { end, connection },
        11 => Fault::RekeyBoth { connection },
        _ => Fault::Down { end, connection },
    }
}

impl Fault {
    /// It begins.
    pub(crate) fn begin(self, world: &mut World) {
        match self {
            Self::Loss(rate) => world.network.loss = rate,
            Self::Duplicates(rate) => world.network.duplicates = rate,
            Self::Damage(rate) => world.network.damage = rate,
            Self::Reorder(millis) => world.network.jitter = Duration::from_millis(millis),
            Self::Vanish(after) => world.network.vanishing = Some(after),
            Self::BlackHole { end, connection } => {
                let (ours, theirs) = (ip(ONPREM[connection]), ip(CLOUD));
                world.network.black_holes.insert(if end == 0 { (ours, theirs) } else { (theirs, ours) });
            }
            Self::Kill { end } => world.kill(end),
            Self::Stop { end } => world.stop(end),
            Self::LinkDown { connection } => world.set_link(0, LINKS[connection], false),
            Self::ClockJump { end, seconds } => world.ends[end].ahead += Duration::from_secs(seconds),
            Self::Rekey { end, connection } => world.tell(end, Input::Rekey(connection)),
            Self::RekeyBoth { connection } => {
                world.tell(0, Input::Rekey(connection));
                world.tell(1, Input::Rekey(connection));
            }
            Self::Down { end, connection } => world.tell(end, Input::Down(connection)),
        }
    }

    /// It is over.
    pub(crate) fn end(self, world: &mut World) {
        match self {
            Self::Loss(_) => world.network.loss = 0,
            Self::Duplicates(_) => world.network.duplicates = 0,
            Self::Damage(_) => world.network.damage = 0,
            Self::Reorder(_) => world.network.jitter = Duration::ZERO,
            Self::Vanish(_) => world.network.vanishing = None,
            Self::BlackHole { .. } => world.network.black_holes.clear(),
            Self::Kill { end } | Self::Stop { end } if world.ends[end].process.is_none() => world.start(end),
            Self::LinkDown { connection } => world.set_link(0, LINKS[connection], true),
            Self::Down { end, connection } => world.tell(end, Input::Up(connection)),
            Self::Kill { .. } | Self::Stop { .. } | Self::ClockJump { .. } | Self::Rekey { .. } | Self::RekeyBoth { .. } => {}
        }
    }
}

/// Runs a plan to its end, then waits until everything must have recovered.
pub(crate) fn run(world: &mut World, plan: &[Planned]) {
    let begin = world.now;
    let mut moments: Vec<_> = plan.iter().flat_map(|p| [(p.at, true, p.fault), (p.at + p.lasts, false, p.fault)]).collect();
    moments.sort_by_key(|&(at, ..)| at);
    world.witness.calm_since = None;
    for (at, begins, fault) in moments {
        while world.step(begin + at) {}
        let elapsed = world.elapsed();
        if let Some(story) = &mut world.story {
            story.push(format!("{:10.3} {} {fault:?}", elapsed.as_secs_f64(), if begins { "begin" } else { "end" }));
        }
        if begins { fault.begin(world) } else { fault.end(world) }
    }
    world.network.heal();
    world.witness.calm_since = Some(world.now);
}
