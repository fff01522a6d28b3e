//! The only place that reads a clock. Everything else is told what time it is.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

/// Now, for timers and negotiations. Never jumps.
pub fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since the first call in this process: what the packet path limits its notices by, read once per batch.
pub fn coarse_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// The wall clock, for events and logs that people read. May jump; nothing is decided by it.
pub fn wall() -> SystemTime {
    SystemTime::now()
}
