//! Fuzz targets: functions that must come back whatever bytes they are given, with everything still as it should be.
//!
//! ```text
//!  isakmp    one datagram: header, payloads, and an endpoint that waits for its first message
//!  session   two endpoints and a hostile network, led by the bytes; afterwards the tunnel must come up
//!  esp       ESP packets, arbitrary ones and authentic ones with arbitrary contents
//!  tun       arbitrary packets from the TUN device; what is sealed must open at the other end
//!  config    a configuration file
//! ```
//!
//! `cargo test -p tandem-fuzz` replays `corpus/` and then changes it at random for a few seconds each, on any compiler. For days, with
//! coverage, on a nightly one: `cargo fuzz run --fuzz-dir tests/fuzz/libfuzzer session tests/fuzz/corpus/session`.

mod captures;
mod config;
mod esp;
mod isakmp;
mod mutate;
mod session;
mod tun;
mod worlds;

pub use captures::captures;
pub use config::config;
pub use esp::esp;
pub use isakmp::isakmp;
pub use mutate::Mutator;
pub use session::session;
pub use tun::tun;
pub use worlds::pair;

/// A target and what it starts from.
#[derive(Clone, Copy)]
pub struct Target {
    /// Also the name of its corpus and of its `libfuzzer` program.
    pub name: &'static str,
    /// Runs once. Panics if something is wrong.
    pub run: fn(&[u8]),
    /// Inputs that get far.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 5] = [
    Target { name: "isakmp", run: isakmp, seeds: isakmp::seeds },
    Target { name: "session", run: session, seeds: session::seeds },
    Target { name: "esp", run: esp, seeds: esp::seeds },
    Target { name: "tun", run: tun, seeds: tun::seeds },
    Target { name: "config", run: config, seeds: config::seeds },
];
