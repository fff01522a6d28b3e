//! One line in the log for each event, limited per cause, so that a peer that fails the same way for days does not fill a disk.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::events::{Event, Kind};

/// So many lines of one cause in one [`WINDOW`].
const BURST: u32 = 10;
/// The time in which they are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// What makes two events the same thing said twice.
type Cause = (Kind, Option<String>, Option<String>);

/// Writes events to the log.
#[derive(Debug, Default)]
pub struct Log {
    causes: HashMap<Cause, Window>,
}

#[derive(Debug)]
struct Window {
    begun: Instant,
    lines: u32,
    held_back: u32,
}

impl Log {
    /// Writes the event, unless its cause has been written often enough lately. Causes are bounded: kinds times connections times codes.
    pub fn write(&mut self, now: Instant, event: &Event) {
        let Some(held_back) = self.admit(now, (event.kind, event.connection.clone(), event.code.clone())) else { return };
        let connection = event.connection.as_deref();
        let (code, advice) = (event.code.as_deref(), event.advice.as_deref());
        if event.kind.is_warning() {
            tracing::warn!(connection, code, advice, "{}", event.message);
        } else {
            tracing::info!(connection, code, advice, "{}", event.message);
        }
        if held_back > 0 {
            tracing::warn!(connection, "{held_back} more of these were not logged in the last minute");
        }
    }

    /// Whether to write, and how many were held back before.
    fn admit(&mut self, now: Instant, cause: Cause) -> Option<u32> {
        let window = self.causes.entry(cause).or_insert(Window { begun: now, lines: 0, held_back: 0 });
        let mut held_back = 0;
        if now.saturating_duration_since(window.begun) >= WINDOW {
            held_back = window.held_back;
            *window = Window { begun: now, lines: 0, held_back: 0 };
        }
        if window.lines == BURST {
            window.held_back += 1;
            return None;
        }
        window.lines += 1;
        Some(held_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_line_of_a_minute_is_held_back_and_counted() {
        let now = Instant::now();
        let mut log = Log::default();
        let cause = |name: &str| (Kind::NegotiationFailed, Some(name.to_owned()), None);
        for _ in 0..10 {
            assert_eq!(log.admit(now, cause("conn1")), Some(0));
        }
        assert_eq!(log.admit(now, cause("conn1")), None);
        assert_eq!(log.admit(now, cause("conn1")), None);
        assert_eq!(log.admit(now, cause("conn2")), Some(0), "another cause has a window of its own");
        assert_eq!(log.admit(now + WINDOW, cause("conn1")), Some(2));
    }
}
