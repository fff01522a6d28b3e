//! The key schedule of AES.
#![allow(unsafe_code)] // Calls across the target-feature boundary, loads and stores of round keys; see the SAFETY comments.

use std::arch::x86_64::*;

use zeroize::Zeroize;

use super::Avx512;

/// Bytes of a block and of a round key.
pub(super) const BLOCK: usize = 16;

/// Round keys of AES-256, the longest.
const ROUND_KEYS_MAX: usize = 15;

/// The round keys of a packet's direction, in the order of their use.
pub(super) struct RoundKeys {
    keys: [[u8; BLOCK]; ROUND_KEYS_MAX],
    count: usize,
}

impl RoundKeys {
    /// The key schedule of FIPS 197 section 5.2; `None` if the key's length is not one of AES.
    pub(super) fn new(_: Avx512, key: &[u8]) -> Option<Box<Self>> {
        let count = match key.len() {
            16 => 11,
            24 => 13,
            32 => 15,
            _ => return None,
        };
        let mut this = Box::new(Self { keys: [[0; BLOCK]; ROUND_KEYS_MAX], count });
        // SAFETY: the token proves AES-NI.
        unsafe { expand(key, this.keys.as_flattened_mut()) };
        Some(this)
    }

    /// Turns keys for encryption into those of the equivalent inverse cipher (FIPS 197 section 5.3.5).
    pub(super) fn invert(&mut self, _: Avx512) {
        let last = self.count - 1;
        self.keys[..=last].reverse();
        for key in &mut self.keys[1..last] {
            // SAFETY: the token proves AES-NI; key and vector have 16 bytes.
            unsafe { inverse_mix_columns(key) };
        }
    }

    /// How many there are: 11, 13 or 15.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// One of them.
    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn get(&self, i: usize) -> __m128i {
        // SAFETY: key and vector have 16 bytes.
        unsafe { _mm_loadu_si128(self.keys[i].as_ptr().cast()) }
    }

    /// All of them, each in every block of a vector.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn broadcast<const RK: usize>(&self) -> [__m512i; RK] {
        let mut keys = [_mm512_setzero_si512(); RK];
        for (vector, key) in keys.iter_mut().zip(&self.keys) {
            // SAFETY: key and vector have 16 bytes.
            *vector = _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(key.as_ptr().cast()) });
        }
        keys
    }
}

impl Drop for RoundKeys {
    fn drop(&mut self) {
        self.keys.zeroize();
    }
}

/// Fills `out` beyond what the key needs; the rest is not used.
#[target_feature(enable = "aes")]
fn expand(key: &[u8], out: &mut [u8]) {
    let words = key.len() / 4;
    out[..key.len()].copy_from_slice(key);
    let mut rcon = 1_u8;
    for i in words..out.len() / 4 {
        let mut word = [0; 4];
        word.copy_from_slice(&out[4 * i - 4..4 * i]);
        if i % words == 0 {
            word = substitute(word);
            word.rotate_left(1);
            word[0] ^= rcon;
            rcon = rcon << 1 ^ if rcon & 0x80 == 0 { 0 } else { 0x1b };
        } else if words > 6 && i % words == 4 {
            word = substitute(word);
        }
        for (j, byte) in word.into_iter().enumerate() {
            out[4 * i + j] = out[4 * (i - words) + j] ^ byte;
        }
    }
}

/// SubWord, by an instruction rather than a table whose cache lines could be watched.
#[target_feature(enable = "aes")]
fn substitute(word: [u8; 4]) -> [u8; 4] {
    let word = _mm_set1_epi32(i32::from_ne_bytes(word));
    _mm_cvtsi128_si32(_mm_aeskeygenassist_si128::<0>(word)).to_ne_bytes()
}

#[target_feature(enable = "aes")]
fn inverse_mix_columns(key: &mut [u8; BLOCK]) {
    // SAFETY: key and vector have 16 bytes.
    unsafe {
        let mixed = _mm_aesimc_si128(_mm_loadu_si128(key.as_ptr().cast()));
        _mm_storeu_si128(key.as_mut_ptr().cast(), mixed);
    }
}
