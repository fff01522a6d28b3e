//! The cloud's health check of one connection: an echo through its newest SA every `interval`, lost if it is not answered through the same
//! connection before the next is due.
//!
//! It runs only while the connection has an SA to send on. `retries` losses in a row are a failure, one answer is success, and before the
//! first answer it counts as failed. A failure asks for a reset of the tunnel, once for each SA pair.

use std::time::Instant;

use tandem_ike::ChildSaId;

use crate::config::HealthCheck;
use crate::probe::Train;

/// A health check at work.
#[derive(Debug)]
pub struct Health {
    config: HealthCheck,
    train: Train,
    healthy: bool,
    losses: u32,
    /// The SA pair that echoes leave by.
    pair: Option<ChildSaId>,
    /// The SA pair for which a reset was asked already.
    reset_asked: Option<ChildSaId>,
}

/// What has to be done now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// Sequence number of the echo that leaves now.
    pub send: Option<u16>,
    /// Whether the tunnel has to be reset.
    pub reset: bool,
}

impl Health {
    /// A check of a connection that has no SA yet.
    pub fn new(config: HealthCheck) -> Self {
        let train = Train::new(config.interval, config.interval);
        Self { config, train, healthy: false, losses: 0, pair: None, reset_asked: None }
    }

    /// What it was made from.
    pub fn config(&self) -> &HealthCheck {
        &self.config
    }

    /// Whether it passes.
    pub fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// The newest SA pair that can be sent on. A new one is probed at once if there was none; a rekeyed one goes on in the same rhythm.
    pub fn use_pair(&mut self, now: Instant, pair: Option<ChildSaId>) {
        match (self.pair, pair) {
            (None, Some(_)) => {
                self.losses = 0;
                self.train.start(now);
            }
            (Some(_), None) => {
                self.train.stop();
                self.healthy = false;
                self.losses = 0;
            }
            _ => {}
        }
        self.pair = pair;
    }

    /// Runs what is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Action {
        let due = self.train.handle_timeout(now);
        self.losses = self.losses.saturating_add(due.lost);
        let failed = self.losses >= self.config.retries;
        if failed {
            self.healthy = false;
        }
        let reset = failed && due.lost > 0 && self.config.reset_tunnel && self.pair.is_some() && self.reset_asked != self.pair;
        if reset {
            self.reset_asked = self.pair;
            return Action { send: None, reset };
        }
        Action { send: due.send, reset }
    }

    /// An answer came through this connection.
    pub fn answer(&mut self, now: Instant, sequence: u16) {
        if self.train.answer(now, sequence).is_some() {
            self.healthy = true;
            self.losses = 0;
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.train.poll_timeout()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    fn check() -> Health {
        Health::new(HealthCheck {
            source: "172.16.10.1".parse().unwrap(),
            destination: "192.168.0.1".parse().unwrap(),
            interval: Duration::from_secs(3),
            retries: 3,
            reset_tunnel: true,
        })
    }

    #[test]
    fn it_fails_9_to_12_s_after_the_answers_stop_and_asks_for_one_reset_per_pair() {
        let start = Instant::now();
        let mut health = check();
        assert!(!health.is_healthy());
        health.use_pair(start, Some(ChildSaId(1)));
        let mut resets = Vec::new();
        let mut failed_at = None;
        while let Some(at) = health.poll_timeout().filter(|&at| at < start + Duration::from_secs(60)) {
            let action = health.handle_timeout(at);
            if let Some(sequence) = action.send
                && at < start + Duration::from_secs(7)
            {
                health.answer(at + Duration::from_millis(1), sequence);
                assert!(health.is_healthy());
            }
            if action.reset {
                resets.push(at - start);
            }
            if !health.is_healthy() {
                failed_at.get_or_insert(at - start);
            }
        }
        // The last answer is to the echo at 6 s; those at 9, 12 and 15 s are lost, the last of them when the next is due.
        assert_eq!(failed_at, Some(Duration::from_secs(18)));
        assert_eq!(resets, [Duration::from_secs(18)]);
    }

    #[test]
    fn without_an_sa_it_has_failed_and_sends_nothing() {
        let start = Instant::now();
        let mut health = check();
        assert_eq!(health.poll_timeout(), None);
        health.use_pair(start, Some(ChildSaId(1)));
        let sequence = health.handle_timeout(start).send.unwrap();
        health.answer(start, sequence);
        assert!(health.is_healthy());
        health.use_pair(start, None);
        assert!(!health.is_healthy());
        assert_eq!(health.poll_timeout(), None);
    }

    #[test]
    fn a_rekey_keeps_the_rhythm_and_the_verdict() {
        let start = Instant::now();
        let mut health = check();
        health.use_pair(start, Some(ChildSaId(1)));
        let sequence = health.handle_timeout(start).send.unwrap();
        health.answer(start, sequence);
        health.use_pair(start + Duration::from_secs(1), Some(ChildSaId(2)));
        assert!(health.is_healthy());
        assert_eq!(health.poll_timeout(), Some(start + Duration::from_secs(3)));
    }
}
