//! The crate from outside: whole packets through both halves of an SA.
#![allow(clippy::unwrap_used)]

mod common;
mod hostile;
mod no_allocation;
mod recorded;
mod recordings;
mod round_trip;
