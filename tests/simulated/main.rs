//! Whole gateways on a simulated network, in virtual time: the real control path (`tandem::gateway::Gateway`) and the real packet path
//! (`tandem::datapath`), between them a network that a seed makes as bad as it likes.
//!
//! ```text
//!  world        ends (gateway, packet path, machine, clock), hosts behind them, one event after the other
//!  network      loss, duplicates, delay, reorder, damage, black holes, the one message that vanishes
//!  faults       what can go wrong, a line each, and a plan of it from a seed
//!  invariants   what must be true after every step
//!  crossing     every order of the messages of exchanges that cross, enumerated
//!  seeds        10,000 plans; SIM_SEED=7 runs one of them and tells its story
//!  year         a year of rekeying; SIM_YEAR_SEED chooses another one
//!  failover, restarts, health   one behaviour each
//! ```

#![allow(clippy::unwrap_used)]

mod crossing;
mod failover;
mod faults;
mod health;
mod invariants;
mod network;
mod restarts;
mod seeds;
mod setups;
mod world;
mod year;
