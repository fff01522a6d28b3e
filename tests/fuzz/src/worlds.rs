//! The simulated networks of other tests, shared with them: two IKE endpoints (`pair`), two packet paths (`tunnel`).

/// Two endpoints and the network between them in virtual time.
#[allow(missing_docs, unreachable_pub, clippy::unwrap_used)]
#[path = "../../../ike/tests/pair/harness.rs"]
pub mod pair;

#[allow(dead_code, clippy::unwrap_used)]
#[path = "../../tunnel/mod.rs"]
pub(crate) mod tunnel;
