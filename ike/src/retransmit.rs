//! Who says a message twice, and when: the ladder of an end that waits for an answer, and the memory of an end that has given one.

use std::time::{Duration, Instant};

use rand::{CryptoRng, RngExt as _};

/// Seconds between a message and its repetition, in order. The first is one second because an answer from memory comes at most once a
/// second; eight sendings in 27 s carry an exchange across a path that loses 30 % of the packets both ways in all but 0.5 % of the cases.
const STEPS: [u64; 8] = [1, 2, 4, 4, 4, 4, 4, 4];

/// How often an answer is repeated to a peer that may be somebody else: it has not returned our cookie (CVE-2016-5361).
const REPEATS_UNPROVEN: u32 = 2;

/// How often an answer is repeated otherwise.
const REPEAT_INTERVAL: Duration = Duration::from_secs(1);

/// The repetitions of one message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ladder {
    step: usize,
}

impl Ladder {
    /// How many times the message has been sent.
    pub(crate) fn sent(&self) -> usize {
        self.step
    }

    /// How long to wait after the sending that happens now; `None` when nothing is left to wait for. A few per cent are added at random so that
    /// two ends that began together do not stay in step.
    pub(crate) fn next_wait(&mut self, rng: &mut (impl CryptoRng + ?Sized)) -> Option<Duration> {
        let seconds = *STEPS.get(self.step)?;
        self.step += 1;
        Some(Duration::from_millis(seconds * rng.random_range(1020..1100)))
    }
}

/// A message that has been answered, with its answer.
#[derive(Clone)]
pub(crate) struct Answered {
    request: Vec<u8>,
    answer: Vec<u8>,
    repeats: u32,
    last: Instant,
}

impl Answered {
    /// Remembers what was answered at `now`.
    pub(crate) fn new(now: Instant, request: &[u8], answer: Vec<u8>) -> Self {
        Self { request: request.to_vec(), answer, repeats: 0, last: now }
    }

    /// Whether this is the message that was answered, byte for byte.
    pub(crate) fn is(&self, datagram: &[u8]) -> bool {
        self.request == datagram
    }

    /// Whether this is the answer, byte for byte.
    pub(crate) fn answer_is(&self, datagram: &[u8]) -> bool {
        self.answer == datagram
    }

    /// The same bytes again, unless they were sent too often: twice in all to a peer that has not returned our cookie, else once a second.
    pub(crate) fn repeat(&mut self, now: Instant, cookie_returned: bool) -> Option<Vec<u8>> {
        let allowed = if cookie_returned { now >= self.last + REPEAT_INTERVAL } else { self.repeats < REPEATS_UNPROVEN };
        if !allowed {
            return None;
        }
        self.repeats += 1;
        self.last = now;
        Some(self.answer.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    #[test]
    fn ladder_ends_within_half_a_minute() {
        let mut rng = StdRng::from_seed([1; 32]);
        let mut ladder = Ladder::default();
        let waits: Vec<_> = std::iter::from_fn(|| ladder.next_wait(&mut rng)).collect();
        assert_eq!(waits.len(), STEPS.len());
        assert!(waits.iter().all(|&wait| wait > REPEAT_INTERVAL));
        let total: Duration = waits.iter().sum();
        assert!((Duration::from_secs(27)..Duration::from_secs(30)).contains(&total), "{total:?}");
    }

    #[test]
    fn unproven_peer_gets_an_answer_again_twice_and_a_proven_one_once_a_second() {
        let now = Instant::now();
        let mut memory = Answered::new(now, b"question", b"answer".to_vec());
        assert!(memory.is(b"question") && !memory.is(b"questions"));
        assert_eq!(memory.repeat(now, false).as_deref(), Some(&b"answer"[..]));
        assert_eq!(memory.repeat(now, false).as_deref(), Some(&b"answer"[..]));
        assert_eq!(memory.repeat(now + Duration::from_secs(9), false), None);
        assert_eq!(memory.repeat(now + Duration::from_millis(999), true), None);
        assert!(memory.repeat(now + Duration::from_secs(1), true).is_some());
        assert_eq!(memory.repeat(now + Duration::from_millis(1500), true), None);
    }
}
