//! Hashing sixteen messages at once: element `i` of a vector belongs to lane `i`. What is common to the hashes with 32-bit words and blocks of 64 bytes.
#![allow(unsafe_code)] // Loads of whole blocks and of states; see the SAFETY comments.

use std::arch::x86_64::*;

/// Messages at once. Two sets of sixteen by turns were no faster (Zen 5): their schedules do not fit the registers, nor the packets the first-level cache.
const LANES: usize = 16;
const BLOCK: usize = 64;

/// Where each lane's next block lies.
pub(super) type Pointers = [*const u8; LANES];

/// The chaining values of all lanes, by word.
#[repr(align(64))]
pub(super) struct Columns<const WORDS: usize>([[u32; LANES]; WORDS]);

/// A lane's message: which one, and what is left of it.
#[derive(Clone, Copy, Default)]
struct Lane<'a> {
    message: usize,
    rest: &'a [u8],
}

/// Takes whole blocks into each state. A lane whose message ends takes the next one; when fewer than `worth_it` are left, they are taken in
/// `alone`.
///
/// `together` gets pointers to as many blocks as it is told.
pub(super) fn absorb<const WORDS: usize>(
    states: &mut [[u32; WORDS]],
    messages: &[&[u8]],
    worth_it: usize,
    together: impl Fn(&mut Columns<WORDS>, &Pointers, usize),
    alone: impl Fn(&mut [u32; WORDS], &[u8]),
) {
    let mut waiting = messages.iter().enumerate().filter(|(_, message)| message.len() >= BLOCK);
    let mut lanes = [Lane::default(); LANES];
    let mut columns = Columns([[0; LANES]; WORDS]);
    let mut live = 0;
    loop {
        while live < LANES
            && let Some((message, &rest)) = waiting.next()
        {
            lanes[live] = Lane { message, rest };
            columns.put(live, &states[message]);
            live += 1;
        }
        if live < worth_it {
            break;
        }
        let blocks = lanes[..live].iter().map(|lane| lane.rest.len() / BLOCK).min().unwrap_or(0);
        // Spare lanes repeat the first message; nobody asks for their result.
        let mut pointers = [lanes[0].rest.as_ptr(); LANES];
        for (pointer, lane) in pointers.iter_mut().zip(&mut lanes[..live]) {
            *pointer = lane.rest.as_ptr();
            lane.rest = &lane.rest[blocks * BLOCK..];
        }
        together(&mut columns, &pointers, blocks);
        for i in (0..live).rev() {
            if lanes[i].rest.len() < BLOCK {
                states[lanes[i].message] = columns.get(i);
                live -= 1;
                if i != live {
                    lanes[i] = lanes[live];
                    columns.copy(live, i);
                }
            }
        }
    }
    for (i, lane) in lanes[..live].iter().enumerate() {
        let mut state = columns.get(i);
        alone(&mut state, lane.rest);
        states[lane.message] = state;
    }
}

impl<const WORDS: usize> Columns<WORDS> {
    fn get(&self, lane: usize) -> [u32; WORDS] {
        self.0.map(|word| word[lane])
    }

    fn put(&mut self, lane: usize, state: &[u32; WORDS]) {
        for (row, &word) in self.0.iter_mut().zip(state) {
            row[lane] = word;
        }
    }

    fn copy(&mut self, from: usize, to: usize) {
        for row in &mut self.0 {
            row[to] = row[from];
        }
    }

    /// The words as vectors.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn load(&self) -> [__m512i; WORDS] {
        let mut words = [_mm512_setzero_si512(); WORDS];
        for (word, row) in words.iter_mut().zip(&self.0) {
            // SAFETY: a row is as long as a vector.
            *word = unsafe { _mm512_loadu_si512(row.as_ptr().cast()) };
        }
        words
    }

    /// The way back.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn store(&mut self, words: [__m512i; WORDS]) {
        for (row, word) in self.0.iter_mut().zip(words) {
            // SAFETY: a row is as long as a vector.
            unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), word) };
        }
    }
}

/// The sixteen words of the block with this number, each for all lanes.
///
/// # Safety
/// So many blocks must be readable behind each pointer.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn load_words(messages: &Pointers, block: usize) -> [__m512i; 16] {
    // A loop and not `array::from_fn`, into which a closure would not be inlined for lack of the target feature there.
    let mut rows = [_mm512_setzero_si512(); LANES];
    for (row, message) in rows.iter_mut().zip(messages) {
        // SAFETY: the caller's promise.
        *row = unsafe { _mm512_loadu_si512(message.add(block * BLOCK).cast()) };
    }
    transpose(rows)
}

/// Turns sixteen messages' blocks into the sixteen words of a block, each for all messages, in the processor's byte order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn transpose(rows: [__m512i; LANES]) -> [__m512i; 16] {
    let zero = _mm512_setzero_si512();
    let mut pairs = [zero; 16];
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    // fours[4 * i + j], 128-bit lane q: word 4 * q + j of rows 4 * i to 4 * i + 3.
    let mut fours = [zero; 16];
    for i in 0..4 {
        fours[4 * i] = _mm512_unpacklo_epi64(pairs[4 * i], pairs[4 * i + 2]);
        fours[4 * i + 1] = _mm512_unpackhi_epi64(pairs[4 * i], pairs[4 * i + 2]);
        fours[4 * i + 2] = _mm512_unpacklo_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
        fours[4 * i + 3] = _mm512_unpackhi_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
    }
    let big_endian = _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203);
    let mut words = [zero; 16];
    for j in 0..4 {
        let low_front = _mm512_shuffle_i32x4::<0x44>(fours[j], fours[4 + j]);
        let high_front = _mm512_shuffle_i32x4::<0xee>(fours[j], fours[4 + j]);
        let low_back = _mm512_shuffle_i32x4::<0x44>(fours[8 + j], fours[12 + j]);
        let high_back = _mm512_shuffle_i32x4::<0xee>(fours[8 + j], fours[12 + j]);
        words[j] = _mm512_shuffle_epi8(_mm512_shuffle_i32x4::<0x88>(low_front, low_back), big_endian);
        words[4 + j] = _mm512_shuffle_epi8(_mm512_shuffle_i32x4::<0xdd>(low_front, low_back), big_endian);
        words[8 + j] = _mm512_shuffle_epi8(_mm512_shuffle_i32x4::<0x88>(high_front, high_back), big_endian);
        words[12 + j] = _mm512_shuffle_epi8(_mm512_shuffle_i32x4::<0xdd>(high_front, high_back), big_endian);
    }
    words
}
