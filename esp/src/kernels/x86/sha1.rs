//! SHA-1 of sixteen messages at once: element `i` of a vector belongs to message `i`.
#![allow(unsafe_code)] // Calls across the target-feature boundary and loads of whole blocks; see the SAFETY comments.

use std::arch::x86_64::*;

use super::Avx512;

/// Messages at once. Two sets of sixteen by turns were no faster (Zen 5): their schedules do not fit the registers, nor the packets the first-level cache.
const LANES: usize = 16;
const BLOCK: usize = 64;

/// With fewer messages the processor's SHA instructions, one message at a time, are faster (measured on Zen 5).
const WORTH_IT: usize = 3;

/// The chaining values of all lanes, by word.
#[repr(align(64))]
struct States([[u32; LANES]; 5]);

/// A lane's message: which one, and what is left of it.
#[derive(Clone, Copy, Default)]
struct Lane<'a> {
    message: usize,
    rest: &'a [u8],
}

/// Takes whole blocks into each state. A lane whose message ends takes the next one.
pub(super) fn compress(_: Avx512, states: &mut [[u32; 5]], messages: &[&[u8]]) {
    let mut waiting = messages.iter().enumerate().filter(|(_, message)| message.len() >= BLOCK);
    let mut lanes = [Lane::default(); LANES];
    let mut columns = States([[0; LANES]; 5]);
    let mut live = 0;
    loop {
        while live < LANES
            && let Some((message, &rest)) = waiting.next()
        {
            lanes[live] = Lane { message, rest };
            columns.put(live, &states[message]);
            live += 1;
        }
        if live < WORTH_IT {
            break;
        }
        let blocks = lanes[..live].iter().map(|lane| lane.rest.len() / BLOCK).min().unwrap_or(0);
        // Spare lanes repeat the first message; nobody asks for their result.
        let mut pointers = [lanes[0].rest.as_ptr(); LANES];
        for (pointer, lane) in pointers.iter_mut().zip(&mut lanes[..live]) {
            *pointer = lane.rest.as_ptr();
            lane.rest = &lane.rest[blocks * BLOCK..];
        }
        // SAFETY: the token proves AVX-512F and BW; behind each pointer there are at least `blocks` blocks of a message.
        unsafe { compress_lanes(&mut columns, &pointers, blocks) };
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
        sha1::block_api::compress(&mut state, lane.rest.as_chunks().0);
        states[lane.message] = state;
    }
}

impl States {
    fn get(&self, lane: usize) -> [u32; 5] {
        self.0.map(|word| word[lane])
    }

    fn put(&mut self, lane: usize, state: &[u32; 5]) {
        for (row, &word) in self.0.iter_mut().zip(state) {
            row[lane] = word;
        }
    }

    fn copy(&mut self, from: usize, to: usize) {
        for row in &mut self.0 {
            row[to] = row[from];
        }
    }
}

/// The next word of the message schedule (FIPS 180-4 section 6.1.2 step 1), of which the last sixteen are kept.
macro_rules! schedule {
    ($w:ident, $t:expr) => {{
        const T: usize = $t;
        if T >= 16 {
            let mixed = _mm512_ternarylogic_epi32::<0x96>($w[(T + 13) % 16], $w[(T + 8) % 16], $w[(T + 2) % 16]);
            $w[T % 16] = _mm512_rol_epi32::<1>(_mm512_xor_si512(mixed, $w[T % 16]));
        }
        $w[T % 16]
    }};
}

/// One round (step 3); `$logic` is the truth table of the round's function. Only the last addition waits for the round before.
macro_rules! round {
    ($logic:literal, $k:ident, $w:ident, $t:expr, $a:ident $b:ident $c:ident $d:ident $e:ident) => {
        let word = _mm512_add_epi32(schedule!($w, $t), $k);
        let mixed = _mm512_ternarylogic_epi32::<$logic>($b, $c, $d);
        $e = _mm512_add_epi32(_mm512_add_epi32(_mm512_add_epi32($e, word), mixed), _mm512_rol_epi32::<5>($a));
        $b = _mm512_rol_epi32::<30>($b);
    };
}

/// Five rounds, after which every variable has its own name again.
macro_rules! five_rounds {
    ($logic:literal, $k:ident, $w:ident, $t:expr, $a:ident $b:ident $c:ident $d:ident $e:ident) => {
        round!($logic, $k, $w, $t, $a $b $c $d $e);
        round!($logic, $k, $w, $t + 1, $e $a $b $c $d);
        round!($logic, $k, $w, $t + 2, $d $e $a $b $c);
        round!($logic, $k, $w, $t + 3, $c $d $e $a $b);
        round!($logic, $k, $w, $t + 4, $b $c $d $e $a);
    };
}

macro_rules! twenty_rounds {
    ($logic:literal, $k:literal, $w:ident, $t:expr, $a:ident $b:ident $c:ident $d:ident $e:ident) => {
        let k = _mm512_set1_epi32($k as u32 as i32);
        five_rounds!($logic, k, $w, $t, $a $b $c $d $e);
        five_rounds!($logic, k, $w, $t + 5, $a $b $c $d $e);
        five_rounds!($logic, k, $w, $t + 10, $a $b $c $d $e);
        five_rounds!($logic, k, $w, $t + 15, $a $b $c $d $e);
    };
}

/// Takes `blocks` blocks into every lane.
///
/// # Safety
/// So many blocks must be readable behind each pointer.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn compress_lanes(states: &mut States, messages: &[*const u8; LANES], blocks: usize) {
    let rows = &mut states.0;
    let zero = _mm512_setzero_si512();
    // Loops and not `array::from_fn`, into which a closure would not be inlined for lack of the target feature there.
    let mut state = [zero; 5];
    for (word, row) in state.iter_mut().zip(&*rows) {
        // SAFETY: a row is as long as a vector.
        *word = unsafe { _mm512_loadu_si512(row.as_ptr().cast()) };
    }
    for block in 0..blocks {
        let mut w = [zero; LANES];
        for (row, message) in w.iter_mut().zip(messages) {
            // SAFETY: the caller's promise.
            *row = unsafe { _mm512_loadu_si512(message.add(block * BLOCK).cast()) };
        }
        let mut w = transpose(w);
        let [mut a, mut b, mut c, mut d, mut e] = state;
        // Choose, parity, majority, parity: FIPS 180-4 section 4.1.1; the constants: section 4.2.1.
        twenty_rounds!(0xca, 0x5a827999, w, 0, a b c d e);
        twenty_rounds!(0x96, 0x6ed9eba1, w, 20, a b c d e);
        twenty_rounds!(0xe8, 0x8f1bbcdc, w, 40, a b c d e);
        twenty_rounds!(0x96, 0xca62c1d6, w, 60, a b c d e);
        for (word, new) in state.iter_mut().zip([a, b, c, d, e]) {
            *word = _mm512_add_epi32(*word, new);
        }
    }
    for (row, word) in rows.iter_mut().zip(state) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), word) };
    }
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
