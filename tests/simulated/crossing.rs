//! Exchanges that cross: every order in which the network may deliver their messages, and lose one of them, is played, not sampled.
//!
//! Each run begins anew and follows a script of choices: which of the messages under way arrives next, or vanishes. The next run takes the
//! last choice's next possibility, so all orders are seen, up to a number of choices; behind it messages arrive in the order they were sent.
//! Two deliveries to different ends that follow one another directly give the same in both orders, so only one of these is played.

use std::time::Duration;

use tandem::gateway::Input;

use crate::invariants::CALM;
use crate::setups::Setup;
use crate::world::{Traffic, World};

/// Messages are chosen within this time; repetitions that fall into it are chosen too.
const WINDOW: Duration = Duration::from_millis(2500);

/// How much is enumerated.
struct Bounds {
    /// Choices in one run.
    depth: usize,
    /// Messages that vanish in one run.
    losses: usize,
    /// Hosts send during the exchanges.
    traffic: bool,
}

/// One script: the choice taken at each point, and how many there were.
#[derive(Default)]
struct Script {
    choices: Vec<(usize, usize)>,
    at: usize,
}

impl Script {
    fn choose(&mut self, options: usize) -> usize {
        if self.at == self.choices.len() {
            self.choices.push((0, options));
        }
        let (choice, _) = self.choices[self.at];
        self.at += 1;
        choice
    }

    /// The next script, if there is one.
    fn advance(&mut self) -> bool {
        self.at = 0;
        while let Some((choice, options)) = self.choices.pop() {
            if choice + 1 < options {
                self.choices.push((choice + 1, options));
                return true;
            }
        }
        false
    }
}

#[derive(Clone, Copy)]
enum Choice {
    Deliver(usize),
    Lose(usize),
}

/// Plays every order. Returns how many there were.
fn every_order(setup: &Setup, up: bool, bounds: &Bounds, begin: impl Fn(&mut World)) -> usize {
    let mut script = Script::default();
    let mut orders = 0;
    loop {
        let mut world = if up { World::up(7, setup) } else { World::new(7, setup) };
        let orders_so_far = orders;
        play(&mut world, &mut script, bounds, &begin, orders_so_far);
        orders += 1;
        if !script.advance() {
            return orders;
        }
    }
}

fn play(world: &mut World, script: &mut Script, bounds: &Bounds, begin: &impl Fn(&mut World), order: usize) {
    world.traffic = match bounds.traffic {
        true => Traffic::Packets { every: Duration::from_millis(300), next: world.now + Duration::from_millis(50) },
        false => Traffic::Silence,
    };
    let until = world.now + WINDOW;
    world.network.holds = true;
    world.story = Some(Vec::new());
    begin(world);
    let (mut choices, mut losses) = (0, 0);
    // Of the last delivery: its message, its end, and how many there were to choose from.
    let mut last: Option<(u64, std::net::IpAddr, u64)> = None;
    while choices < bounds.depth {
        if world.network.held.is_empty() {
            last = None;
            if !world.step(until) {
                break;
            }
            continue;
        }
        let mut options = Vec::new();
        for (at, (id, flight)) in world.network.held.iter().enumerate() {
            let commutes = last.is_some_and(|(before, to, newest)| *id < before && *id <= newest && to != flight.to.ip());
            if !commutes {
                options.push(Choice::Deliver(at));
            }
            if losses < bounds.losses {
                options.push(Choice::Lose(at));
            }
        }
        if options.is_empty() {
            options.push(Choice::Deliver(0));
        }
        choices += 1;
        let newest = world.network.held.last().map_or(0, |(id, _)| *id);
        match options[script.choose(options.len())] {
            Choice::Deliver(at) => {
                let (id, flight) = world.network.held.remove(at);
                last = Some((id, flight.to.ip(), newest));
                world.deliver(flight);
            }
            Choice::Lose(at) => {
                world.network.held.remove(at);
                losses += 1;
            }
        }
    }
    world.network.holds = false;
    for (_, flight) in std::mem::take(&mut world.network.held) {
        world.deliver(flight);
    }
    let settled = world.run_until(30, |world| world.witness.agrees());
    assert!(settled.is_some(), "order {order} {:?}: no pair that both ends hold", script.choices);
    // Everything is there; from now on nothing is lost, while what was replaced retires.
    world.run(3);
    world.witness.forgive(world.now);
    world.traffic = Traffic::Packets { every: Duration::from_secs(1), next: world.now };
    world.run(45);
    world.traffic = Traffic::Silence;
    world.run(2);
    world.witness.nothing_is_lost(world.now, world.story.as_deref());
    world.witness.few_are_left(&world.ends, if bounds.losses == 0 { CALM } else { CALM + 1 });
}

fn setup() -> Setup {
    Setup { connections: 1, track: false, ..Setup::default() }
}

#[test]
fn both_ends_begin_main_mode() {
    let setup = Setup { cloud_start: "always", ..setup() };
    let orders = every_order(&setup, false, &Bounds { depth: 14, losses: 0, traffic: false }, World::start_all);
    assert!(orders > 100, "{orders} orders");
    let orders = every_order(&setup, false, &Bounds { depth: 6, losses: 1, traffic: false }, World::start_all);
    assert!(orders > 30, "{orders} orders");
}

#[test]
fn both_ends_rekey_phase_1_and_then_phase_2() {
    let both = |world: &mut World| {
        world.tell(0, Input::Rekey(0));
        world.tell(1, Input::Rekey(0));
    };
    let orders = every_order(&setup(), true, &Bounds { depth: 10, losses: 0, traffic: true }, both);
    assert!(orders > 100, "{orders} orders");
    let orders = every_order(&setup(), true, &Bounds { depth: 6, losses: 1, traffic: true }, both);
    assert!(orders > 30, "{orders} orders");
}

/// Both ends' clocks reach the soft lifetime at once.
fn both_lifetimes_end(world: &mut World) {
    // The initiator's comes first, and the hard one after both.
    world.ends[0].ahead += Duration::from_secs(85_600);
    world.ends[1].ahead += Duration::from_secs(86_000);
    while world.step(world.now) {}
}

#[test]
fn both_ends_rekey_phase_2() {
    let setup = Setup { ike_lifetime: "7d", ..setup() };
    let orders = every_order(&setup, true, &Bounds { depth: 12, losses: 1, traffic: true }, both_lifetimes_end);
    assert!(orders > 20, "{orders} orders");
}

#[test]
fn several_quick_modes_run_under_one_isakmp_sa() {
    let setup = Setup { children: 3, ..setup() };
    let orders = every_order(&setup, false, &Bounds { depth: 15, losses: 0, traffic: false }, World::start_all);
    assert!(orders > 50, "{orders} orders");
}

#[test]
fn a_delete_crosses_a_rekey() {
    let orders = every_order(&setup(), true, &Bounds { depth: 6, losses: 1, traffic: true }, |world| {
        world.tell(0, Input::Rekey(0));
        world.tell(1, Input::Down(0));
        world.tell(1, Input::Up(0));
    });
    assert!(orders > 100, "{orders} orders");
}

#[test]
fn a_restart_crosses_a_rekey() {
    let orders = every_order(&setup(), true, &Bounds { depth: 7, losses: 1, traffic: true }, |world| {
        world.tell(0, Input::Rekey(0));
        world.stop(1);
        world.start(1);
    });
    assert!(orders > 30, "{orders} orders");
}

#[test]
fn each_message_of_a_negotiation_is_lost_once_and_twice_while_esp_flows() {
    for losses in 1..=2 {
        let bounds = Bounds { depth: 12, losses, traffic: true };
        let orders = every_order(&setup(), false, &bounds, World::start_all);
        assert!(orders > 9, "{orders} orders");
    }
}
