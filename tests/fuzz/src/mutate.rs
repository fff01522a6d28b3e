//! Changes inputs at random, the same way for the same seed. No coverage: it is for smoke tests.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Lengths, counts and types at the edges.
const EDGES: [u32; 12] = [0, 1, 3, 4, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x7fff_ffff, u32::MAX];
/// No input grows beyond this.
const MAX_LEN: usize = 4096;

/// See the file's first line.
pub struct Mutator {
    rng: StdRng,
}

impl Mutator {
    /// With this seed.
    pub fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed) }
    }

    /// One of the inputs, changed in one to eight places.
    pub fn next(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.pick(inputs).clone();
        for _ in 0..self.rng.random_range(1..=8) {
            self.change(&mut input, inputs);
        }
        input.truncate(MAX_LEN);
        input
    }

    fn pick<'a>(&mut self, inputs: &'a [Vec<u8>]) -> &'a Vec<u8> {
        &inputs[self.rng.random_range(0..inputs.len())]
    }

    fn change(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.rng.random_range(0..=input.len());
        let end = (at + self.rng.random_range(1..=32)).min(input.len());
        match self.rng.random_range(0..9) {
            0..=2 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.rng.random_range(0..8);
                }
            }
            3 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = self.rng.random();
                }
            }
            4 => {
                let edge = EDGES[self.rng.random_range(0..EDGES.len())].to_be_bytes();
                let width = [1, 2, 4][self.rng.random_range(0..3)];
                for (byte, value) in input[at..].iter_mut().zip(&edge[4 - width..]) {
                    *byte = *value;
                }
            }
            5 => drop(input.drain(at..end)),
            6 => {
                let piece: Vec<u8> = if self.rng.random() { input[at..end].to_vec() } else { vec![self.rng.random(); end - at + 1] };
                input.splice(at..at, piece);
            }
            7 => input.truncate(at),
            _ => {
                let other = self.pick(inputs);
                let from = self.rng.random_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
}
