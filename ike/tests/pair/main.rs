//! Two endpoints and the network between them in virtual time: everything that can happen to a datagram, and what must come of it.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod attacks;
mod chaos;
mod failures;
mod harness;
mod hostile;
mod lifecycle;
mod liveness;
mod loss;
mod nat;
mod suites;
