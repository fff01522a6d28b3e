//! SHA-1 of sixteen messages at once.
#![allow(unsafe_code)] // A call across the target-feature boundary; see the SAFETY comments.

use std::arch::x86_64::*;

use super::Avx512;
use super::lanes::{Columns, Pointers, absorb, load_words};

/// With fewer messages the processor's SHA instructions, one message at a time, are faster (measured on Zen 5).
const WORTH_IT: usize = 4;

/// Takes whole blocks into each state.
pub(super) fn compress(_: Avx512, states: &mut [[u32; 5]], messages: &[&[u8]]) {
    absorb(
        states,
        messages,
        WORTH_IT,
        // SAFETY: the token proves AVX-512F and BW, `absorb` the rest.
        |columns, pointers, blocks| unsafe { compress_lanes(columns, pointers, blocks) },
        |state, message| sha1::block_api::compress(state, message.as_chunks().0),
    );
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
unsafe fn compress_lanes(columns: &mut Columns<5>, messages: &Pointers, blocks: usize) {
    let mut state = columns.load();
    for block in 0..blocks {
        // SAFETY: the caller's promise.
        let mut w = unsafe { load_words(messages, block) };
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
    columns.store(state);
}
