//! AES-CBC with VAES: a vector holds four blocks. Encrypting, they come from four packets, and up to four such vectors are in flight; decrypting, from one.
#![allow(unsafe_code)] // Calls across the target-feature boundary, loads and stores in the arena; see the SAFETY comments.

use std::arch::x86_64::*;

use super::Avx512;
use super::aes::{BLOCK, RoundKeys};
use crate::Packet;

// Vectors are put into arrays by loops: a closure given to `array::from_fn` would not be inlined, for lack of the target feature there.

/// Blocks in a vector.
const WIDTH: usize = 4;
/// Packets encrypted at once. Thirty-two were no faster (Zen 5), and much slower when their distance in the arena is a multiple of 2 KiB: so many lines of the
/// first-level cache compete for the same places.
const LANES: usize = 16;
/// Vectors of a packet decrypted at once, which cover the latency of an AES round.
const DEPTH: usize = 8;

/// The sending side of AES-CBC.
pub(crate) struct CbcEncryptor {
    token: Avx512,
    keys: Box<RoundKeys>,
}

/// The receiving side of AES-CBC.
pub(crate) struct CbcDecryptor {
    token: Avx512,
    keys: Box<RoundKeys>,
}

impl CbcEncryptor {
    /// A key of 16, 24 or 32 bytes.
    pub(crate) fn new(token: Avx512, key: &[u8]) -> Option<Self> {
        Some(Self { token, keys: RoundKeys::new(token, key)? })
    }

    /// Encrypts each span in place: an IV, which stays as it is, and whole blocks.
    pub(crate) fn encrypt(&self, arena: &mut [u8], spans: &[Packet]) {
        match self.keys.count() {
            11 => encrypt::<11>(self.token, &self.keys, arena, spans),
            13 => encrypt::<13>(self.token, &self.keys, arena, spans),
            _ => encrypt::<15>(self.token, &self.keys, arena, spans),
        }
    }
}

impl CbcDecryptor {
    /// A key of 16, 24 or 32 bytes.
    pub(crate) fn new(token: Avx512, key: &[u8]) -> Option<Self> {
        let mut keys = RoundKeys::new(token, key)?;
        keys.invert(token);
        Some(Self { token, keys })
    }

    /// Decrypts each span in place: an IV, which stays as it is, and whole blocks.
    pub(crate) fn decrypt(&self, arena: &mut [u8], spans: &[Packet]) {
        let Avx512(()) = self.token;
        for span in spans {
            let bytes = &mut arena[span.range()];
            // SAFETY: the token proves the features.
            match self.keys.count() {
                11 => unsafe { decrypt::<11>(&self.keys, bytes) },
                13 => unsafe { decrypt::<13>(&self.keys, bytes) },
                _ => unsafe { decrypt::<15>(&self.keys, bytes) },
            }
        }
    }
}

/// A lane's packet: where its next block is, and how many are left.
#[derive(Clone, Copy, Default)]
struct Lane {
    at: usize,
    blocks: usize,
}

/// Keeps up to [`LANES`] packets in flight. A lane whose packet ends takes the next one.
fn encrypt<const RK: usize>(_: Avx512, keys: &RoundKeys, arena: &mut [u8], spans: &[Packet]) {
    let mut waiting = spans.iter();
    let mut lanes = [Lane::default(); LANES];
    let mut live = 0;
    loop {
        while live < LANES
            && let Some(&span) = waiting.next()
        {
            let blocks = arena[span.range()].len() / BLOCK;
            if blocks > 1 {
                lanes[live] = Lane { at: span.start + BLOCK, blocks: blocks - 1 };
                live += 1;
            }
        }
        let Some(steps) = lanes[..live].iter().map(|lane| lane.blocks).min() else { return };
        // Spare lanes repeat the first packet: they read and write the same bytes as it does.
        let base = arena.as_mut_ptr();
        // SAFETY: `at` lies in the arena, as the span does.
        let pointers: [*mut u8; LANES] = std::array::from_fn(|i| unsafe { base.add(if i < live { lanes[i].at } else { lanes[0].at }) });
        // SAFETY: the token proves the features; before each pointer there is a block, the IV or the last one written, and behind it are `steps` blocks of the
        // span it lies in.
        unsafe {
            match live {
                1..=4 => encrypt_lanes::<RK, 1>(keys, &pointers, steps),
                5..=8 => encrypt_lanes::<RK, 2>(keys, &pointers, steps),
                _ => encrypt_lanes::<RK, 4>(keys, &pointers, steps),
            }
        }
        let mut i = 0;
        while i < live {
            lanes[i].at += steps * BLOCK;
            lanes[i].blocks -= steps;
            if lanes[i].blocks == 0 {
                live -= 1;
                lanes.swap(i, live);
            } else {
                i += 1;
            }
        }
    }
}

/// Encrypts `steps` blocks of the first `4 * VECTORS` packets, each chained to the block before its pointer.
///
/// # Safety
/// Of each of those pointers, the 16 bytes before it must be readable and the `16 * steps` behind it writable. Two may be equal, but not overlap otherwise.
#[target_feature(enable = "avx512f,avx512bw,vaes")]
unsafe fn encrypt_lanes<const RK: usize, const VECTORS: usize>(keys: &RoundKeys, packets: &[*mut u8; LANES], steps: usize) {
    let keys = keys.broadcast::<RK>();
    // SAFETY: the caller's promise, here and below.
    let mut chain = unsafe { gather_all::<VECTORS>(packets, -1) };
    for step in 0..steps as isize {
        encrypt_block(&keys, &mut chain, &unsafe { gather_all(packets, step) });
        for (v, block) in chain.iter().enumerate() {
            unsafe { scatter(packets, v, step, *block) };
        }
    }
}

/// One step of CBC in every lane.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn encrypt_block<const RK: usize, const VECTORS: usize>(keys: &[__m512i; RK], chain: &mut [__m512i; VECTORS], text: &[__m512i; VECTORS]) {
    for (block, text) in chain.iter_mut().zip(text) {
        *block = _mm512_ternarylogic_epi64::<0x96>(*block, *text, keys[0]);
    }
    for key in &keys[1..RK - 1] {
        for block in &mut *chain {
            *block = _mm512_aesenc_epi128(*block, *key);
        }
    }
    for block in chain {
        *block = _mm512_aesenclast_epi128(*block, keys[RK - 1]);
    }
}

/// Block `step` of the first `4 * VECTORS` packets.
///
/// # Safety
/// Those blocks must be readable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn gather_all<const VECTORS: usize>(packets: &[*mut u8; LANES], step: isize) -> [__m512i; VECTORS] {
    let mut blocks = [_mm512_setzero_si512(); VECTORS];
    for (vector, blocks) in blocks.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *blocks = unsafe { gather(packets, vector, step) };
    }
    blocks
}

/// Block `step` of packets `4 * vector` to `4 * vector + 3` in one vector.
///
/// # Safety
/// Those blocks must be readable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn gather(packets: &[*mut u8; LANES], vector: usize, step: isize) -> __m512i {
    let mut blocks = [_mm_setzero_si128(); WIDTH];
    for (i, block) in blocks.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *block = unsafe { _mm_loadu_si128(packets[WIDTH * vector + i].offset(step * BLOCK as isize).cast()) };
    }
    let [a, b, c, d] = blocks;
    let ab = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(a), b);
    _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(ab, c), d)
}

/// The way back.
///
/// # Safety
/// Those blocks must be writable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn scatter(packets: &[*mut u8; LANES], vector: usize, step: isize, blocks: __m512i) {
    let parts = [
        _mm512_castsi512_si128(blocks),
        _mm512_extracti32x4_epi32::<1>(blocks),
        _mm512_extracti32x4_epi32::<2>(blocks),
        _mm512_extracti32x4_epi32::<3>(blocks),
    ];
    for (i, part) in parts.into_iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { _mm_storeu_si128(packets[WIDTH * vector + i].offset(step * BLOCK as isize).cast(), part) };
    }
}

/// Decrypts an IV and whole blocks behind it, from the end to the start, so that the ciphertext block before the ones being written is still there.
#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn decrypt<const RK: usize>(keys: &RoundKeys, bytes: &mut [u8]) {
    let keys = keys.broadcast::<RK>();
    let mut blocks = (bytes.len() / BLOCK).saturating_sub(1);
    let first = bytes.as_mut_ptr().wrapping_add(BLOCK);
    while blocks >= WIDTH * DEPTH {
        blocks -= WIDTH * DEPTH;
        // SAFETY: those blocks, and the one before them, lie in `bytes`.
        unsafe { decrypt_vectors::<RK, DEPTH>(&keys, first.add(blocks * BLOCK), u8::MAX) };
    }
    while blocks >= WIDTH {
        blocks -= WIDTH;
        // SAFETY: as above.
        unsafe { decrypt_vectors::<RK, 1>(&keys, first.add(blocks * BLOCK), u8::MAX) };
    }
    if blocks > 0 {
        // SAFETY: as above; the mask leaves out what is not left.
        unsafe { decrypt_vectors::<RK, 1>(&keys, first, (1 << (2 * blocks)) - 1) };
    }
}

/// Decrypts `VECTORS` vectors of blocks at `at`; of each only the quadwords in `mask`.
///
/// # Safety
/// They and the block before them must be readable and writable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vaes")]
unsafe fn decrypt_vectors<const RK: usize, const VECTORS: usize>(keys: &[__m512i; RK], at: *mut u8, mask: u8) {
    let vector = |v: usize| at.wrapping_add(v * WIDTH * BLOCK);
    let mut text = [_mm512_setzero_si512(); VECTORS];
    let mut before = text;
    for v in 0..VECTORS {
        // SAFETY: the caller's promise.
        unsafe {
            text[v] = _mm512_xor_si512(_mm512_maskz_loadu_epi64(mask, vector(v).cast()), keys[0]);
            before[v] = _mm512_maskz_loadu_epi64(mask, vector(v).wrapping_sub(BLOCK).cast());
        }
    }
    for key in &keys[1..RK - 1] {
        for blocks in &mut text {
            *blocks = _mm512_aesdec_epi128(*blocks, *key);
        }
    }
    for v in 0..VECTORS {
        let plain = _mm512_xor_si512(_mm512_aesdeclast_epi128(text[v], keys[RK - 1]), before[v]);
        // SAFETY: the caller's promise.
        unsafe { _mm512_mask_storeu_epi64(vector(v).cast(), mask, plain) };
    }
}
