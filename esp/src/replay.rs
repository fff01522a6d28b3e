//! The window of sequence numbers already seen (RFC 4303 section 3.4.3), kept as RFC 6479 does: a ring of words that is never shifted. One word more than
//! the window needs lets the top move on without clearing bits that still count.

/// Remembers which of the last `size` sequence numbers were seen.
pub(crate) struct ReplayWindow {
    /// The highest sequence number accepted; 0 before the first.
    top: u64,
    /// How far below `top` a number may lie, counting `top` itself.
    size: u64,
    /// Bit `n % 64` of word `n / 64 % len` stands for sequence number `n`; the length is a power of two.
    words: Box<[u64]>,
}

impl ReplayWindow {
    pub(crate) fn new(size: u32) -> Self {
        let words = (size.div_ceil(u64::BITS) as usize + 1).next_power_of_two();
        Self { top: 0, size: u64::from(size), words: vec![0; words].into_boxed_slice() }
    }

    /// The highest sequence number accepted; 0 before the first.
    pub(crate) fn top(&self) -> u64 {
        self.top
    }

    /// Whether a packet with this number may still come. Number 0 is never sent without ESN (RFC 4303 section 3.3.3).
    pub(crate) fn admits(&self, sequence: u64) -> bool {
        if sequence > self.top {
            return true;
        }
        sequence != 0 && self.top - sequence < self.size && !self.seen(sequence)
    }

    /// Records a number that [`admits`](Self::admits) allowed, once its packet is authentic.
    pub(crate) fn accept(&mut self, sequence: u64) {
        if sequence > self.top {
            let moved = (word(sequence) - word(self.top)).min(self.words.len() as u64);
            for step in 1..=moved {
                let fresh = self.index(word(self.top) + step);
                self.words[fresh] = 0;
            }
            self.top = sequence;
        }
        let index = self.index(word(sequence));
        self.words[index] |= bit(sequence);
    }

    fn seen(&self, sequence: u64) -> bool {
        self.words[self.index(word(sequence))] & bit(sequence) != 0
    }

    fn index(&self, word: u64) -> usize {
        word as usize & (self.words.len() - 1)
    }
}

fn word(sequence: u64) -> u64 {
    sequence / u64::from(u64::BITS)
}

fn bit(sequence: u64) -> u64 {
    1 << (sequence % u64::from(u64::BITS))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::ReplayWindow;

    /// What the window is meant to be: everything ever accepted, and the highest of it.
    #[derive(Default)]
    struct Model {
        accepted: BTreeSet<u64>,
    }

    impl Model {
        fn admits(&self, sequence: u64, size: u64) -> bool {
            let top = self.accepted.last().copied().unwrap_or(0);
            sequence != 0 && sequence + size > top && !self.accepted.contains(&sequence)
        }
    }

    fn agrees_with_model(size: u32, sequences: impl IntoIterator<Item = u64>) {
        let mut window = ReplayWindow::new(size);
        let mut model = Model::default();
        for sequence in sequences {
            let expected = model.admits(sequence, u64::from(size));
            assert_eq!(window.admits(sequence), expected, "sequence {sequence}, top {}, size {size}", window.top());
            if expected {
                window.accept(sequence);
                model.accepted.insert(sequence);
            }
        }
    }

    /// Numbers that wander as packets do: mostly onwards, sometimes back, sometimes far ahead, all of 32 bits.
    fn walk() -> impl Strategy<Value = Vec<u64>> {
        let step = prop_oneof![
            6 => -3_i64..=8,
            3 => -5000_i64..=100,
            1 => -70_i64..=70,
            1 => 0_i64..=20_000,
            1 => prop::sample::select(vec![63, 64, 65, 127, 128, 1023, 1024, 4095, 4096, 4097, -63, -64, -65, -1023, -1024, -4095, -4096]),
        ];
        let start = prop_oneof![Just(0_i64), 0_i64..10_000, (i64::from(u32::MAX) - 6000)..=i64::from(u32::MAX)];
        (start, prop::collection::vec(step, 1..600)).prop_map(|(start, steps)| {
            let mut at = start;
            steps
                .into_iter()
                .map(|step| {
                    at = (at + step).clamp(0, i64::from(u32::MAX));
                    at as u64
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn window_agrees_with_a_set_of_everything_seen(
            size in prop_oneof![prop::sample::select(vec![64_u32, 128, 1024, 4096]), 64_u32..=4096],
            sequences in walk(),
        ) {
            agrees_with_model(size, sequences);
        }
    }

    #[test]
    fn every_number_is_accepted_once_in_order_and_never_again() {
        for size in [64, 65, 128, 1000, 1024, 4096] {
            agrees_with_model(size, (0..10_000).chain(0..10_000));
        }
    }

    #[test]
    fn the_oldest_number_in_the_window_is_accepted_and_the_next_older_is_not() {
        for size in [64_u32, 128, 1024, 4096] {
            for top in [u64::from(size), u64::from(size) + 1, 100_000, u64::from(u32::MAX)] {
                let mut window = ReplayWindow::new(size);
                window.accept(top);
                let oldest = top - u64::from(size) + 1;
                assert!(window.admits(oldest));
                assert!(!window.admits(oldest - 1));
                assert!(!window.admits(top));
            }
        }
    }

    #[test]
    fn a_jump_over_the_whole_ring_forgets_old_bits() {
        let mut window = ReplayWindow::new(64);
        (1..=64).for_each(|sequence| window.accept(sequence));
        window.accept(64 + 2 * 64 * 64);
        assert!((64 + 2 * 64 * 64 - 63..64 + 2 * 64 * 64).all(|sequence| window.admits(sequence)));
    }
}
