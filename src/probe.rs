//! Trains of ICMP echoes in virtual time: when one leaves, which one is answered, which one is lost. It sends nothing itself.
//!
//! Tracks and health checks differ in what they make of an outcome (`tracker.rs`, `health.rs`); what an outcome is, is said here once:
//! an echo leaves every `interval`, and it is lost when `timeout` has passed without its answer. An answer that comes later counts for nothing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A train of echoes to one destination.
#[derive(Debug)]
pub struct Train {
    interval: Duration,
    timeout: Duration,
    /// When the next echo leaves; `None` while the train stands.
    next: Option<Instant>,
    /// Echoes without an outcome yet, the oldest first: sequence number and time of leaving.
    outstanding: VecDeque<(u16, Instant)>,
    sequence: u16,
    sent: u64,
    received: u64,
    round_trip: Option<Duration>,
}

/// What is due at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Echoes that are lost now.
    pub lost: u32,
    /// Sequence number of the echo that leaves now.
    pub send: Option<u16>,
}

impl Train {
    /// A standing train. Both durations must be greater than zero.
    pub fn new(interval: Duration, timeout: Duration) -> Self {
        Self { interval, timeout, next: None, outstanding: VecDeque::new(), sequence: 0, sent: 0, received: 0, round_trip: None }
    }

    /// Sends the next echo at once and then one every interval, whether it stood or ran.
    pub fn start(&mut self, now: Instant) {
        self.next = Some(now);
    }

    /// Stops, and forgets the echoes that are under way: they are neither answered nor lost.
    pub fn stop(&mut self) {
        self.next = None;
        self.outstanding.clear();
    }

    /// Whether echoes leave.
    pub fn is_running(&self) -> bool {
        self.next.is_some()
    }

    /// Runs what is due: losses first, so that an echo whose timeout is the interval is judged before the next one leaves.
    pub fn handle_timeout(&mut self, now: Instant) -> Due {
        let mut due = Due::default();
        while self.outstanding.front().is_some_and(|&(_, sent)| sent + self.timeout <= now) {
            self.outstanding.pop_front();
            due.lost += 1;
        }
        if let Some(next) = self.next.filter(|&next| next <= now) {
            // After a suspended machine the train goes on from now instead of sending what it missed.
            let following = next + self.interval;
            self.next = Some(if following > now { following } else { now + self.interval });
            self.sequence = self.sequence.wrapping_add(1);
            self.outstanding.push_back((self.sequence, now));
            self.sent += 1;
            due.send = Some(self.sequence);
        }
        due
    }

    /// An answer came: returns the round trip if it was awaited.
    pub fn answer(&mut self, now: Instant, sequence: u16) -> Option<Duration> {
        let at = self.outstanding.iter().position(|&(s, sent)| s == sequence && now < sent + self.timeout)?;
        let (_, sent) = self.outstanding.remove(at)?;
        let round_trip = now.saturating_duration_since(sent);
        self.received += 1;
        self.round_trip = Some(round_trip);
        Some(round_trip)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let loss = self.outstanding.front().map(|&(_, sent)| sent + self.timeout);
        [self.next, loss].into_iter().flatten().min()
    }

    /// Echoes sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Echoes answered in time.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The last round trip.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_echo_leaves_at_once_and_then_every_interval() {
        let now = Instant::now();
        let mut train = Train::new(5 * SECOND, 3 * SECOND);
        assert_eq!(train.poll_timeout(), None);
        train.start(now);
        assert_eq!(train.handle_timeout(now), Due { lost: 0, send: Some(1) });
        assert_eq!(train.answer(now + SECOND, 1), Some(SECOND));
        assert_eq!(train.poll_timeout(), Some(now + 5 * SECOND));
        assert_eq!(train.handle_timeout(now + 5 * SECOND), Due { lost: 0, send: Some(2) });
    }

    #[test]
    fn a_late_answer_counts_for_nothing() {
        let now = Instant::now();
        let mut train = Train::new(3 * SECOND, 3 * SECOND);
        train.start(now);
        train.handle_timeout(now);
        assert_eq!(train.handle_timeout(now + 3 * SECOND), Due { lost: 1, send: Some(2) });
        assert_eq!(train.answer(now + 3 * SECOND, 1), None);
        assert_eq!(train.answer(now + 4 * SECOND, 2), Some(SECOND));
        assert_eq!(train.answer(now + 4 * SECOND, 2), None, "an answer counts once");
    }

    #[test]
    fn with_a_timeout_longer_than_the_interval_several_echoes_are_under_way() {
        let now = Instant::now();
        let mut train = Train::new(SECOND, 3 * SECOND);
        train.start(now);
        for second in 0..3 {
            assert_eq!(train.handle_timeout(now + second * SECOND).lost, 0);
        }
        assert_eq!(train.answer(now + 2 * SECOND, 2), Some(SECOND));
        assert_eq!(train.handle_timeout(now + 3 * SECOND), Due { lost: 1, send: Some(4) });
    }

    #[test]
    fn a_jump_of_the_clock_sends_one_echo_not_all_that_were_missed() {
        let now = Instant::now();
        let mut train = Train::new(SECOND, SECOND);
        train.start(now);
        train.handle_timeout(now);
        let later = now + 1000 * SECOND;
        assert_eq!(train.handle_timeout(later), Due { lost: 1, send: Some(2) });
        assert_eq!(train.poll_timeout(), Some(later + SECOND));
    }
}
