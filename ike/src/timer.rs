//! Everything that an endpoint waits for, in one enum and one table, so that the next wake-up is the table's first entry.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::config::ConnectionId;
use crate::event::ChildSaId;
use crate::session::SessionId;

/// What is due at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Main mode as initiator: send our last message again, or give up.
    MainMode(ConnectionId, SessionId),
    /// Main mode as responder: the peer has not finished in time.
    HalfOpen(ConnectionId, SessionId),
    /// Quick mode: send our last message again, give up, or forget a finished exchange.
    QuickMode(ConnectionId, SessionId, u32),
    /// The ISAKMP SA's soft lifetime: replace it.
    IsakmpRekey(ConnectionId, SessionId),
    /// The ISAKMP SA's hard lifetime, or the end of one that has been replaced.
    IsakmpExpire(ConnectionId, SessionId),
    /// The IPsec SA pair's soft lifetime: replace it.
    ChildRekey(ConnectionId, ChildSaId),
    /// The peer has had time to install the IPsec SA pair that we made: send on it.
    ChildSwitch(ConnectionId, ChildSaId),
    /// A replaced IPsec SA pair has received long enough: send its DELETE.
    ChildRetire(ConnectionId, ChildSaId),
    /// The IPsec SA pair's hard lifetime.
    ChildExpire(ConnectionId, ChildSaId),
    /// Look again at what the connection lacks: a retry after a failure, or the end of waiting for the peer to begin.
    Attempt(ConnectionId),
    /// `renew` has waited long enough for the present ISAKMP SA.
    Patience(ConnectionId),
    /// The peer may have been silent for too long: ask, ask again, or call it dead.
    Dpd(ConnectionId),
    /// A NAT on our side would forget us: send a keepalive (RFC 3948 section 2.3).
    Keepalive(ConnectionId),
}

/// The one table. Setting a timer again moves it.
#[derive(Default)]
pub(crate) struct Timers {
    by_timer: BTreeMap<Timer, Instant>,
    by_time: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    /// Sets or moves a timer.
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.stop(timer);
        self.by_timer.insert(timer, at);
        self.by_time.insert((at, timer));
    }

    /// Stops a timer, if it runs.
    pub(crate) fn stop(&mut self, timer: Timer) {
        if let Some(at) = self.by_timer.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    /// When a timer will fire, if it runs.
    pub(crate) fn due(&self, timer: Timer) -> Option<Instant> {
        self.by_timer.get(&timer).copied()
    }

    /// When the next timer fires.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|&(at, _)| at)
    }

    /// Takes the first timer that is due at `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Timer> {
        let &(at, timer) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.stop(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    #[test]
    fn timers_fire_in_order_of_time_and_a_second_set_moves_the_first() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (one, two) = (Timer::Attempt(ConnectionId(1)), Timer::Dpd(ConnectionId(1)));
        let mut timers = Timers::default();
        timers.set(one, at(1));
        timers.set(two, at(2));
        timers.set(one, at(3));
        assert_eq!(timers.next(), Some(at(2)));
        assert_eq!(timers.pop(at(1)), None);
        assert_eq!(timers.pop(at(9)), Some(two));
        assert_eq!(timers.pop(at(9)), Some(one));
        assert_eq!(timers.pop(at(9)), None);
        assert_eq!(timers.next(), None);
    }
}
