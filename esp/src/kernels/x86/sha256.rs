//! SHA-256 of sixteen messages at once.
#![allow(unsafe_code)] // A call across the target-feature boundary; see the SAFETY comments.

use std::arch::x86_64::*;

use super::Avx512;
use super::lanes::{Columns, Pointers, absorb, load_words};

/// The constants of FIPS 180-4 section 4.2.2.
const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// With fewer messages the processor's SHA instructions, one message at a time, are faster (measured on Zen 5).
const WORTH_IT: usize = 7;

/// Takes whole blocks into each state.
pub(super) fn compress(_: Avx512, states: &mut [[u32; 8]], messages: &[&[u8]]) {
    absorb(
        states,
        messages,
        WORTH_IT,
        // SAFETY: the token proves AVX-512F and BW, `absorb` the rest.
        |columns, pointers, blocks| unsafe { compress_lanes(columns, pointers, blocks) },
        |state, message| sha2::block_api::compress256(state, message.as_chunks().0),
    );
}

/// One round (FIPS 180-4 section 6.2.2 step 3). The functions are those of section 4.1.2; 0xca is choose and 0xe8 majority as truth tables.
macro_rules! round {
    ($word:expr, $k:expr, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
        let word = _mm512_add_epi32($word, _mm512_set1_epi32($k as i32));
        let mixed = _mm512_add_epi32(_mm512_add_epi32($h, word), _mm512_ternarylogic_epi32::<0xca>($e, $f, $g));
        let first = _mm512_add_epi32(mixed, sigma!($e, 6, 11, 25));
        let second = _mm512_add_epi32(sigma!($a, 2, 13, 22), _mm512_ternarylogic_epi32::<0xe8>($a, $b, $c));
        $d = _mm512_add_epi32($d, first);
        $h = _mm512_add_epi32(first, second);
    };
}

/// The exclusive or of three rotations to the right.
macro_rules! sigma {
    ($x:expr, $first:literal, $second:literal, $third:literal) => {
        xor3(_mm512_ror_epi32::<$first>($x), _mm512_ror_epi32::<$second>($x), _mm512_ror_epi32::<$third>($x))
    };
}

/// Eight rounds, after which every variable has its own name again.
macro_rules! eight_rounds {
    ($w:ident, $i:literal, $k:ident, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
        round!($w[$i], $k[$i], $a $b $c $d $e $f $g $h);
        round!($w[$i + 1], $k[$i + 1], $h $a $b $c $d $e $f $g);
        round!($w[$i + 2], $k[$i + 2], $g $h $a $b $c $d $e $f);
        round!($w[$i + 3], $k[$i + 3], $f $g $h $a $b $c $d $e);
        round!($w[$i + 4], $k[$i + 4], $e $f $g $h $a $b $c $d);
        round!($w[$i + 5], $k[$i + 5], $d $e $f $g $h $a $b $c);
        round!($w[$i + 6], $k[$i + 6], $c $d $e $f $g $h $a $b);
        round!($w[$i + 7], $k[$i + 7], $b $c $d $e $f $g $h $a);
    };
}

/// Takes `blocks` blocks into every lane.
///
/// # Safety
/// So many blocks must be readable behind each pointer.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn compress_lanes(columns: &mut Columns<8>, messages: &Pointers, blocks: usize) {
    let mut state = columns.load();
    for block in 0..blocks {
        // SAFETY: the caller's promise.
        let mut w = unsafe { load_words(messages, block) };
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
        for (i, k) in K.as_chunks::<16>().0.iter().enumerate() {
            if i > 0 {
                next_words(&mut w);
            }
            eight_rounds!(w, 0, k, a b c d e f g h);
            eight_rounds!(w, 8, k, a b c d e f g h);
        }
        for (word, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *word = _mm512_add_epi32(*word, new);
        }
    }
    columns.store(state);
}

/// The next sixteen words of the message schedule (step 1).
#[inline]
#[target_feature(enable = "avx512f")]
fn next_words(w: &mut [__m512i; 16]) {
    for t in 0..16 {
        let (early, late) = (w[(t + 1) % 16], w[(t + 14) % 16]);
        let early = xor3(_mm512_ror_epi32::<7>(early), _mm512_ror_epi32::<18>(early), _mm512_srli_epi32::<3>(early));
        let late = xor3(_mm512_ror_epi32::<17>(late), _mm512_ror_epi32::<19>(late), _mm512_srli_epi32::<10>(late));
        w[t] = _mm512_add_epi32(_mm512_add_epi32(w[t], early), _mm512_add_epi32(w[(t + 9) % 16], late));
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn xor3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0x96>(a, b, c)
}
