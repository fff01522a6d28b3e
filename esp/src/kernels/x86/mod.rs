//! Vector kernels for x86-64 with AVX-512, VAES and VPCLMULQDQ (Intel since Ice Lake, AMD since Zen 4).
//!
//! `unsafe` is needed for two things only: to call code compiled for instructions that not every processor has, which the [`Avx512`] token allows, and to
//! read and write vectors in the arena where slices would cost a bounds check per block.

mod aes;
mod cbc;
mod gcm;
mod lanes;
mod sha1;
mod sha256;

use std::arch::is_x86_feature_detected;

pub(crate) use self::cbc::{CbcDecryptor, CbcEncryptor};
pub(crate) use self::gcm::Gcm;

/// Proof that the processor has every instruction used here. It cannot be made but by looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("vpclmulqdq");
        found.then_some(Self(()))
    }

    /// As `Sha1::absorb` for each state and message, several at once. Messages are whole blocks.
    pub(crate) fn sha1(self, states: &mut [[u32; 5]], messages: &[&[u8]]) {
        sha1::compress(self, states, messages);
    }

    /// As `Sha256::absorb`, likewise.
    pub(crate) fn sha256(self, states: &mut [[u32; 8]], messages: &[&[u8]]) {
        sha256::compress(self, states, messages);
    }
}
