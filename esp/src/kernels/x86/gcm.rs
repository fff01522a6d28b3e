//! AES-GCM with VAES and VPCLMULQDQ. The counter mode has no chain; GHASH is made to have none: with every power of the hash key at hand, a packet's blocks are
//! multiplied independently, and their sum is reduced once.
#![allow(unsafe_code)] // Calls across the target-feature boundary, loads and stores in a packet; see the SAFETY comments.

use std::arch::x86_64::*;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::Avx512;
use super::aes::{BLOCK, RoundKeys};

/// Bytes of a vector.
const VECTOR: usize = 64;
/// Vectors of keystream made at once, which cover the latency of an AES round.
const DEPTH: usize = 8;
/// Blocks hashed between two reductions: enough for a packet of 2 KiB.
const SEGMENT: usize = 128;
/// Powers of the hash key that takes: one more for the additional data, one for the length.
const POWERS: usize = SEGMENT + 2;

/// An AES-GCM key.
pub(crate) struct Gcm {
    token: Avx512,
    keys: Box<RoundKeys>,
    powers: Box<Powers>,
}

/// The powers of the hash key, highest first, as POLYVAL takes them (RFC 8452 appendix A); behind them zeroes for the last vector.
struct Powers([u128; POWERS + 3]);

impl Gcm {
    /// A key of 16 or 32 bytes.
    pub(crate) fn new(token: Avx512, key: &[u8]) -> Option<Self> {
        let keys = RoundKeys::new(token, key)?;
        let mut powers = Box::new(Powers([0; POWERS + 3]));
        // SAFETY: the token proves the features.
        unsafe {
            match keys.count() {
                11 => powers.fill(encrypt_block::<11>(&keys, 0)),
                13 => powers.fill(encrypt_block::<13>(&keys, 0)),
                _ => powers.fill(encrypt_block::<15>(&keys, 0)),
            }
        }
        Some(Self { token, keys, powers })
    }

    /// Encrypts `text` and writes the ICV; `header` is at most a block.
    pub(crate) fn seal(&self, nonce: &[u8; 12], header: &[u8], text: &mut [u8], icv: &mut [u8]) {
        self.apply_keystream(nonce, text);
        icv.copy_from_slice(&self.tag(nonce, header, text));
    }

    /// Decrypts `text` if the ICV holds, and says whether it does.
    pub(crate) fn open(&self, nonce: &[u8; 12], header: &[u8], text: &mut [u8], icv: &[u8]) -> bool {
        let authentic = self.tag(nonce, header, text).ct_eq(icv).into();
        if authentic {
            self.apply_keystream(nonce, text);
        }
        authentic
    }

    fn apply_keystream(&self, nonce: &[u8; 12], text: &mut [u8]) {
        let Avx512(()) = self.token;
        // SAFETY: the token proves the features.
        unsafe {
            match self.keys.count() {
                11 => apply_keystream::<11>(&self.keys, nonce, text),
                13 => apply_keystream::<13>(&self.keys, nonce, text),
                _ => apply_keystream::<15>(&self.keys, nonce, text),
            }
        }
    }

    fn tag(&self, nonce: &[u8; 12], header: &[u8], text: &[u8]) -> [u8; BLOCK] {
        let Avx512(()) = self.token;
        // SAFETY: the token proves the features.
        let (mask, hash) = unsafe {
            let mask = match self.keys.count() {
                11 => encrypt_block::<11>(&self.keys, counter_block(nonce, 1)),
                13 => encrypt_block::<13>(&self.keys, counter_block(nonce, 1)),
                _ => encrypt_block::<15>(&self.keys, counter_block(nonce, 1)),
            };
            (mask, ghash(&self.powers, header, text))
        };
        (mask ^ hash).to_be_bytes()
    }
}

/// The counter block of a 12-byte nonce (NIST SP 800-38D section 7.1), its first byte the most significant. Counter 1 masks the tag, the text starts at 2.
fn counter_block(nonce: &[u8; 12], counter: u32) -> u128 {
    nonce.iter().fold(0, |block, &byte| block << 8 | u128::from(byte)) << 32 | u128::from(counter)
}

#[inline]
#[target_feature(enable = "aes,sse4.1")]
fn encrypt_block<const RK: usize>(keys: &RoundKeys, block: u128) -> u128 {
    let mut block = _mm_xor_si128(from_u128(block.swap_bytes()), keys.get(0));
    for i in 1..RK - 1 {
        block = _mm_aesenc_si128(block, keys.get(i));
    }
    to_u128(_mm_aesenclast_si128(block, keys.get(RK - 1))).swap_bytes()
}

#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn apply_keystream<const RK: usize>(keys: &RoundKeys, nonce: &[u8; 12], text: &mut [u8]) {
    let keys = keys.broadcast::<RK>();
    let nonce = _mm512_broadcast_i32x4(from_u128(counter_block(nonce, 0).swap_bytes()));
    // The counter in each block's last word, for now in the processor's byte order.
    let mut counters = _mm512_or_si512(nonce, _mm512_set_epi32(5, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0));
    let mut vectors = text.chunks_exact_mut(DEPTH * VECTOR);
    for chunk in &mut vectors {
        // SAFETY: the chunk is so long.
        unsafe { xor_keystream::<RK, DEPTH>(&keys, &mut counters, chunk.as_mut_ptr(), u64::MAX) };
    }
    let mut vectors = vectors.into_remainder().chunks_exact_mut(VECTOR);
    for chunk in &mut vectors {
        // SAFETY: as above.
        unsafe { xor_keystream::<RK, 1>(&keys, &mut counters, chunk.as_mut_ptr(), u64::MAX) };
    }
    let rest = vectors.into_remainder();
    if !rest.is_empty() {
        // SAFETY: the mask leaves out what is not there.
        unsafe { xor_keystream::<RK, 1>(&keys, &mut counters, rest.as_mut_ptr(), (1 << rest.len()) - 1) };
    }
}

/// Encrypts or decrypts `VECTORS` vectors at `at`; of each only the bytes in `mask`.
///
/// # Safety
/// They must be readable and writable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vaes")]
unsafe fn xor_keystream<const RK: usize, const VECTORS: usize>(keys: &[__m512i; RK], counters: &mut __m512i, at: *mut u8, mask: u64) {
    let four = _mm512_set4_epi32(4, 0, 0, 0);
    let big_endian = _mm512_set4_epi32(0x0c0d0e0f, 0x0b0a0908, 0x07060504, 0x03020100);
    let mut stream = [_mm512_setzero_si512(); VECTORS];
    for blocks in &mut stream {
        *blocks = _mm512_xor_si512(_mm512_shuffle_epi8(*counters, big_endian), keys[0]);
        *counters = _mm512_add_epi32(*counters, four);
    }
    for key in &keys[1..RK - 1] {
        for blocks in &mut stream {
            *blocks = _mm512_aesenc_epi128(*blocks, *key);
        }
    }
    for (v, blocks) in stream.iter().enumerate() {
        let at = at.wrapping_add(v * VECTOR);
        let blocks = _mm512_aesenclast_epi128(*blocks, keys[RK - 1]);
        // SAFETY: the caller's promise.
        unsafe {
            let text = _mm512_maskz_loadu_epi8(mask, at.cast());
            _mm512_mask_storeu_epi8(at.cast(), mask, _mm512_xor_si512(text, blocks));
        }
    }
}

/// GHASH (NIST SP 800-38D section 6.4) of additional data, at most a block, and ciphertext.
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq,pclmulqdq")]
fn ghash(powers: &Powers, header: &[u8], text: &[u8]) -> u128 {
    let mut first = [0; BLOCK];
    first[..header.len()].copy_from_slice(header);
    let lengths = ((8 * header.len() as u128) << 64) | (8 * text.len() as u128);
    // What was hashed so far, and how much higher than the next block's the power is that it is multiplied with: the additional data are a block of their own,
    // a sum is added to the next block.
    let mut carried = u128::from_be_bytes(first);
    let mut ahead = 1;
    let mut rest = text;
    loop {
        let (segment, after) = rest.split_at(rest.len().min(SEGMENT * BLOCK));
        let blocks = segment.len().div_ceil(BLOCK);
        let last = usize::from(after.is_empty());
        // With the last segment comes the block of the lengths.
        let mut sum = Product::of(
            from_parts(carried, if last == 1 { lengths } else { 0 }),
            from_parts(powers.get(blocks + last + ahead), powers.get(1)),
        );
        let factors = powers.from(blocks + last);
        let mut vectors = segment.chunks_exact(VECTOR);
        for (vector, factors) in (&mut vectors).zip(factors.chunks(4)) {
            // SAFETY: the chunk is so long; behind the lowest power there are three zeroes.
            unsafe { sum.add(_mm512_loadu_si512(vector.as_ptr().cast()), factors.as_ptr()) };
        }
        let tail = vectors.remainder();
        if !tail.is_empty() {
            let factors = &factors[segment.len() / VECTOR * 4..];
            // SAFETY: the mask leaves out what is not there; behind the lowest power there are three zeroes.
            unsafe { sum.add(_mm512_maskz_loadu_epi8((1 << tail.len()) - 1, tail.as_ptr().cast()), factors.as_ptr()) };
        }
        carried = sum.reduce();
        if last == 1 {
            return carried;
        }
        ahead = 0;
        rest = after;
    }
}

/// The sum of products of polynomials, not yet reduced, in the four lanes of a vector.
struct Product {
    low: __m512i,
    middle: __m512i,
    high: __m512i,
}

impl Product {
    #[inline]
    #[target_feature(enable = "avx512f,vpclmulqdq")]
    fn of(a: __m512i, b: __m512i) -> Self {
        Self {
            low: _mm512_clmulepi64_epi128::<0x00>(a, b),
            middle: _mm512_xor_si512(_mm512_clmulepi64_epi128::<0x01>(a, b), _mm512_clmulepi64_epi128::<0x10>(a, b)),
            high: _mm512_clmulepi64_epi128::<0x11>(a, b),
        }
    }

    /// Adds four blocks as they lie in the packet, multiplied with four powers.
    ///
    /// # Safety
    /// Those powers must be readable.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
    unsafe fn add(&mut self, blocks: __m512i, powers: *const u128) {
        let reversed = _mm512_shuffle_epi8(blocks, _mm512_set4_epi32(0x00010203, 0x04050607, 0x08090a0b, 0x0c0d0e0f));
        // SAFETY: the caller's promise.
        let product = Self::of(reversed, unsafe { _mm512_loadu_si512(powers.cast()) });
        self.low = _mm512_xor_si512(self.low, product.low);
        self.middle = _mm512_xor_si512(self.middle, product.middle);
        self.high = _mm512_xor_si512(self.high, product.high);
    }

    /// Adds up the lanes and reduces by the polynomial of POLYVAL, after Montgomery: the bits from the lower end are cancelled 64 at a time.
    #[inline]
    #[target_feature(enable = "avx512f,pclmulqdq")]
    fn reduce(self) -> u128 {
        let [low, middle, high] = [add_lanes(self.low), add_lanes(self.middle), add_lanes(self.high)];
        let low = _mm_xor_si128(low, _mm_slli_si128::<8>(middle));
        let high = _mm_xor_si128(high, _mm_srli_si128::<8>(middle));
        let polynomial = _mm_set_epi64x(0, 0xc200_0000_0000_0000_u64 as i64);
        let low = _mm_xor_si128(_mm_shuffle_epi32::<0x4e>(low), _mm_clmulepi64_si128::<0x00>(low, polynomial));
        let low = _mm_xor_si128(_mm_shuffle_epi32::<0x4e>(low), _mm_clmulepi64_si128::<0x00>(low, polynomial));
        to_u128(_mm_xor_si128(low, high))
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add_lanes(v: __m512i) -> __m128i {
    let half = _mm256_xor_si256(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64::<1>(v));
    _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half))
}

impl Powers {
    /// `key` is the block of zeroes, encrypted.
    #[target_feature(enable = "avx512f,vpclmulqdq,pclmulqdq")]
    fn fill(&mut self, key: u128) {
        // Multiplication by x (RFC 8452 appendix A), without a branch on the key.
        let key = key << 1 ^ (key >> 127).wrapping_neg() & (0xc2 << 120 | 1);
        let mut power = key;
        for i in (0..POWERS).rev() {
            self.0[i] = power;
            power = Product::of(from_parts(power, 0), from_parts(key, 0)).reduce();
        }
    }

    /// The power with this exponent, at least 1.
    fn get(&self, exponent: usize) -> u128 {
        self.0[POWERS - exponent]
    }

    /// The powers from this exponent down to 1, and the zeroes behind them.
    fn from(&self, exponent: usize) -> &[u128] {
        &self.0[POWERS - exponent..]
    }
}

impl Drop for Powers {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn from_parts(first: u128, second: u128) -> __m512i {
    _mm512_zextsi256_si512(_mm256_set_m128i(from_u128(second), from_u128(first)))
}

#[inline]
#[target_feature(enable = "sse2")]
fn from_u128(value: u128) -> __m128i {
    _mm_set_epi64x((value >> 64) as i64, value as i64)
}

#[inline]
#[target_feature(enable = "sse4.1")]
fn to_u128(value: __m128i) -> u128 {
    u128::from(_mm_extract_epi64::<1>(value) as u64) << 64 | u128::from(_mm_cvtsi128_si64(value) as u64)
}
