//! Tracks: whether a destination answers, as a state that routes depend on.
//!
//! An echo leaves every `frequency` and fails if it is not answered within `timeout`. `fail_after` failures in a row make the track negative,
//! `recover_after` answers in a row positive; the new state counts after `delay_down` or `delay_up`. Until the first of either it is not
//! ready, which counts as valid: a gateway that has just started must not withhold its routes. So silence is noticed, after the last answered
//! echo, between `frequency * (fail_after - 1) + timeout` and one frequency later: with the document's 5 s, 3 s and 2 that is 8 to 13 s.

use std::time::{Duration, Instant};

use crate::config::Track as TrackConfig;
use crate::probe::Train;

/// What a track says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackState {
    /// No verdict yet; counts as valid.
    NotReady,
    /// It answers.
    Positive,
    /// It does not.
    Negative,
}

impl TrackState {
    /// The word in `status`.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotReady => "not-ready",
            Self::Positive => "positive",
            Self::Negative => "negative",
        }
    }
}

/// One track at work.
#[derive(Debug)]
pub struct Track {
    config: TrackConfig,
    train: Train,
    state: TrackState,
    /// Outcomes of the same kind in a row, ending with the last one.
    run: Run,
    /// A state that waits for its delay to pass.
    pending: Option<(TrackState, Instant)>,
}

#[derive(Clone, Copy, Debug)]
enum Run {
    Failures(u32),
    Answers(u32),
}

impl Track {
    /// A track that has not sent anything; [`start`](Self::start) it.
    pub fn new(config: TrackConfig) -> Self {
        let train = Train::new(config.frequency, config.timeout);
        Self { config, train, state: TrackState::NotReady, run: Run::Failures(0), pending: None }
    }

    /// Probes at once, and then every `frequency`.
    pub fn start(&mut self, now: Instant) {
        self.train.start(now);
    }

    /// What it was made from.
    pub fn config(&self) -> &TrackConfig {
        &self.config
    }

    /// The state that counts now.
    pub fn state(&self) -> TrackState {
        self.state
    }

    /// The train, for its counters.
    pub fn train(&self) -> &Train {
        &self.train
    }

    /// Runs what is due and returns the sequence number of an echo to send.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<u16> {
        let due = self.train.handle_timeout(now);
        for _ in 0..due.lost {
            let failures = if let Run::Failures(n) = self.run { n.saturating_add(1) } else { 1 };
            self.run = Run::Failures(failures);
            if failures >= self.config.fail_after {
                self.head_for(TrackState::Negative, now, self.config.delay_down);
            } else {
                self.abandon(TrackState::Positive);
            }
        }
        self.settle(now);
        due.send
    }

    /// An answer to the echo with this sequence number came.
    pub fn answer(&mut self, now: Instant, sequence: u16) {
        if self.train.answer(now, sequence).is_none() {
            return;
        }
        let answers = if let Run::Answers(n) = self.run { n.saturating_add(1) } else { 1 };
        self.run = Run::Answers(answers);
        if answers >= self.config.recover_after {
            self.head_for(TrackState::Positive, now, self.config.delay_up);
        } else {
            self.abandon(TrackState::Negative);
        }
        self.settle(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.train.poll_timeout(), self.pending.map(|(_, at)| at)].into_iter().flatten().min()
    }

    fn head_for(&mut self, state: TrackState, now: Instant, delay: Duration) {
        if self.state == state {
            self.pending = None;
        } else if self.pending.is_none_or(|(pending, _)| pending != state) {
            self.pending = Some((state, now + delay));
        }
    }

    /// An outcome of the other kind: a state that was only waiting does not come.
    fn abandon(&mut self, state: TrackState) {
        if self.pending.is_some_and(|(pending, _)| pending == state) {
            self.pending = None;
        }
    }

    fn settle(&mut self, now: Instant) {
        if let Some((state, at)) = self.pending
            && at <= now
        {
            self.state = state;
            self.pending = None;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Via;

    fn track(change: impl FnOnce(&mut TrackConfig)) -> Track {
        let mut config = TrackConfig {
            id: 1,
            destination: "203.0.113.21".parse().unwrap(),
            via: Via::Outside(0),
            source: None,
            frequency: Duration::from_secs(5),
            timeout: Duration::from_secs(3),
            fail_after: 2,
            recover_after: 1,
            delay_up: Duration::ZERO,
            delay_down: Duration::ZERO,
        };
        change(&mut config);
        Track::new(config)
    }

    /// Lets time pass until `until`; echoes are answered 10 ms later while `answers` says so of the time since the start.
    fn drive(track: &mut Track, start: Instant, until: Duration, answers: impl Fn(Duration) -> bool) -> Vec<(Duration, TrackState)> {
        let mut changes = Vec::new();
        let mut seen = track.state();
        while let Some(at) = track.poll_timeout().filter(|&at| at <= start + until) {
            if let Some(sequence) = track.handle_timeout(at)
                && answers(at - start)
            {
                track.answer(at + Duration::from_millis(10), sequence);
            }
            if track.state() != seen {
                seen = track.state();
                changes.push((at - start, seen));
            }
        }
        changes
    }

    #[test]
    fn two_lost_probes_make_it_negative_8_to_13_s_after_the_last_answer_and_one_answer_positive() {
        let start = Instant::now();
        let mut track = track(|_| ());
        track.start(start);
        let silent = Duration::from_millis(10_100)..Duration::from_secs(22);
        let changes = drive(&mut track, start, Duration::from_secs(60), |at| !silent.contains(&at));
        let seconds: Vec<_> = changes.iter().map(|&(at, state)| (at.as_secs(), state)).collect();
        // Echoes at 15 and 20 s are lost, judged at 18 and 23 s; the one at 25 s is answered.
        assert_eq!(seconds, [(0, TrackState::Positive), (23, TrackState::Negative), (25, TrackState::Positive)]);
    }

    #[test]
    fn one_lost_probe_changes_nothing() {
        let start = Instant::now();
        let mut track = track(|_| ());
        track.start(start);
        let changes = drive(&mut track, start, Duration::from_secs(60), |at| at.as_secs() != 20);
        assert_eq!(changes, [(Duration::ZERO, TrackState::Positive)]);
    }

    #[test]
    fn it_is_not_ready_until_the_first_verdict() {
        let start = Instant::now();
        let mut track = track(|t| t.fail_after = 3);
        track.start(start);
        let changes = drive(&mut track, start, Duration::from_secs(12), |_| false);
        assert_eq!((changes.len(), track.state()), (0, TrackState::NotReady));
        drive(&mut track, start, Duration::from_secs(13), |_| false);
        assert_eq!(track.state(), TrackState::Negative);
    }

    #[test]
    fn delays_hold_a_new_state_back_and_an_outcome_of_the_other_kind_cancels_it() {
        let start = Instant::now();
        let mut track = track(|t| {
            t.delay_up = Duration::from_secs(12);
            t.recover_after = 2;
        });
        track.start(start);
        // Answers at 0 and 5 s head for positive at 17 s; the echo at 10 s is lost at 13 s and cancels that.
        let changes = drive(&mut track, start, Duration::from_secs(60), |at| at.as_secs() != 10);
        let seconds: Vec<_> = changes.iter().map(|&(at, state)| (at.as_secs(), state)).collect();
        assert_eq!(seconds, [(32, TrackState::Positive)], "answers at 15 and 20 s, then 12 s of delay");
    }
}
