//! HMAC (RFC 2104) over many packets, from states made once per SA: the padded keys are hashed when the SA is made, not for every packet.

use zeroize::{Zeroize, Zeroizing};

use super::Kernel;
use super::hash::{Hash, Md5, Sha1, Sha256, Sha384, Sha512};
#[cfg(target_arch = "x86_64")]
use super::{CHUNK, Choice};
use crate::{Integrity, Packet};

/// Bytes of the longest ICV (HMAC-SHA-512-256).
const ICV_MAX: usize = 32;

/// A MAC, cut to the longest ICV at most; the SA's integrity algorithm says how many bytes of it count.
pub(crate) type Icv = [u8; ICV_MAX];

/// Bytes of the longest hash block (SHA-384, SHA-512).
const BLOCK_MAX: usize = 128;

/// The integrity key of an SA.
pub(crate) struct Hmac {
    key: Key,
    kernel: Kernel,
}

enum Key {
    Md5(Box<HmacKey<Md5>>),
    Sha1(Box<HmacKey<Sha1>>),
    Sha256(Box<HmacKey<Sha256>>),
    Sha384(Box<HmacKey<Sha384>>),
    Sha512(Box<HmacKey<Sha512>>),
}

impl Hmac {
    pub(crate) fn new(kernel: Kernel, integrity: Integrity, key: &[u8]) -> Self {
        let key = match integrity {
            Integrity::HmacMd5_96 => Key::Md5(HmacKey::new(key)),
            Integrity::HmacSha1_96 => Key::Sha1(HmacKey::new(key)),
            Integrity::HmacSha256_128 => Key::Sha256(HmacKey::new(key)),
            Integrity::HmacSha384_192 => Key::Sha384(HmacKey::new(key)),
            Integrity::HmacSha512_256 => Key::Sha512(HmacKey::new(key)),
        };
        Self { key, kernel }
    }

    /// Computes the MAC of each span; `icvs` is as long as `spans`.
    pub(crate) fn compute(&self, arena: &[u8], spans: &[Packet], icvs: &mut [Icv]) {
        match (&self.key, self.kernel.0) {
            #[cfg(target_arch = "x86_64")]
            (Key::Sha1(key), Choice::Avx512(token)) => {
                key.compute_together(arena, spans, icvs, |states, messages| token.sha1(states, messages))
            }
            #[cfg(target_arch = "x86_64")]
            (Key::Sha256(key), Choice::Avx512(token)) => {
                key.compute_together(arena, spans, icvs, |states, messages| token.sha256(states, messages))
            }
            (Key::Md5(key), _) => key.compute_apart(arena, spans, icvs),
            (Key::Sha1(key), _) => key.compute_apart(arena, spans, icvs),
            (Key::Sha256(key), _) => key.compute_apart(arena, spans, icvs),
            (Key::Sha384(key), _) => key.compute_apart(arena, spans, icvs),
            (Key::Sha512(key), _) => key.compute_apart(arena, spans, icvs),
        }
    }
}

/// The chaining values after the first block of the inner and of the outer hash.
pub(crate) struct HmacKey<H: Hash> {
    inner: H::State,
    outer: H::State,
}

impl<H: Hash> HmacKey<H> {
    /// A key in ESP is as long as the hash's output, never longer than a block, so it is never hashed first.
    fn new(key: &[u8]) -> Box<Self> {
        let mut this = Box::new(Self { inner: H::INITIAL, outer: H::INITIAL });
        let mut block = Zeroizing::new([0; BLOCK_MAX]);
        block[..key.len()].copy_from_slice(key);
        block.iter_mut().for_each(|byte| *byte ^= 0x36);
        H::absorb(&mut this.inner, &block[..H::BLOCK]);
        block.iter_mut().for_each(|byte| *byte ^= 0x36 ^ 0x5c);
        H::absorb(&mut this.outer, &block[..H::BLOCK]);
        this
    }

    /// One packet after the other.
    fn compute_apart(&self, arena: &[u8], spans: &[Packet], icvs: &mut [Icv]) {
        for (span, icv) in spans.iter().zip(icvs) {
            self.mac(&arena[span.range()], icv);
        }
    }

    /// Hashes the message where it lies; only its end and the outer block are built apart.
    fn mac(&self, message: &[u8], out: &mut [u8]) {
        let mut state = self.inner;
        let rest = H::absorb(&mut state, message);
        H::absorb(&mut state, inner_ending::<H>(&mut { H::EMPTY_ENDING }, rest, message.len()));
        let mut outer = self.outer;
        H::absorb(&mut outer, outer_ending::<H>(&mut { H::EMPTY_ENDING }, &state));
        H::write(&outer, out);
    }

    /// Several packets side by side: `absorb` takes whole blocks, one message for each state.
    #[cfg(target_arch = "x86_64")]
    fn compute_together(&self, arena: &[u8], spans: &[Packet], icvs: &mut [Icv], absorb: impl Fn(&mut [H::State], &[&[u8]])) {
        for (spans, icvs) in spans.chunks(CHUNK).zip(icvs.chunks_mut(CHUNK)) {
            let mut states = [self.inner; CHUNK];
            let states = &mut states[..spans.len()];
            let mut messages: [&[u8]; CHUNK] = [&[]; CHUNK];
            let messages = &mut messages[..spans.len()];
            for (span, message) in spans.iter().zip(&mut *messages) {
                *message = &arena[span.start..][..span.len - span.len % H::BLOCK];
            }
            absorb(states, messages);

            let mut endings = [H::EMPTY_ENDING; CHUNK];
            for ((span, message), ending) in spans.iter().zip(&mut *messages).zip(&mut endings) {
                let rest = &arena[span.range()][message.len()..];
                *message = inner_ending::<H>(ending, rest, span.len);
            }
            absorb(states, messages);

            let mut endings = [H::EMPTY_ENDING; CHUNK];
            for ((state, message), ending) in states.iter_mut().zip(&mut *messages).zip(&mut endings) {
                *message = outer_ending::<H>(ending, state);
                *state = self.outer;
            }
            absorb(states, messages);
            for (state, icv) in states.iter().zip(icvs) {
                H::write(state, icv);
            }
        }
    }
}

/// The end of the inner message: what follows its whole blocks, padding and length. The message has `len` bytes and follows the block of the padded key.
fn inner_ending<'a, H: Hash>(ending: &'a mut H::Ending, rest: &[u8], len: usize) -> &'a [u8] {
    let ending = ending.as_mut();
    ending[..rest.len()].copy_from_slice(rest);
    pad::<H>(ending, rest.len(), len)
}

/// The outer message: the inner hash, padding and length.
fn outer_ending<'a, H: Hash>(ending: &'a mut H::Ending, inner: &H::State) -> &'a [u8] {
    let ending = ending.as_mut();
    H::write(inner, &mut ending[..H::OUTPUT]);
    pad::<H>(ending, H::OUTPUT, H::OUTPUT)
}

/// Pads the `used` bytes at the end of a message of `len` bytes to one block or two, and returns those.
fn pad<H: Hash>(ending: &mut [u8], used: usize, len: usize) -> &[u8] {
    ending[used] = 0x80;
    let end = if used < H::BLOCK - H::LENGTH_FIELD { H::BLOCK } else { 2 * H::BLOCK };
    // SHA-384 and SHA-512 have 16 bytes for the length, of which the first 8 are never needed.
    let length = H::length(8 * (H::BLOCK + len) as u64);
    ending[end - length.len()..end].copy_from_slice(&length);
    &ending[..end]
}

impl<H: Hash> Drop for HmacKey<H> {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Hmac, Icv};
    use crate::{Integrity, Kernel, Packet};
    use hex_literal::hex;

    fn assert_mac(integrity: Integrity, key: &[u8], message: &[u8], expected: &[u8]) {
        let mut icvs = [Icv::default(); 5];
        let mut arena = vec![0xee; 3];
        arena.extend_from_slice(message);
        let span = Packet { start: 3, len: message.len() };
        for kernel in Kernel::available() {
            Hmac::new(kernel, integrity, key).compute(&arena, &[span; 5], &mut icvs);
            for icv in icvs {
                assert_eq!(icv[..expected.len()], *expected, "{kernel}: {integrity}, key of {} bytes", key.len());
            }
        }
    }

    #[test]
    fn hmac_md5_gives_the_digests_of_rfc_2202() {
        use Integrity::HmacMd5_96 as MD5;
        assert_mac(MD5, &[0x0b; 16], b"Hi There", &hex!("9294727a3638bb1c13f48ef8158bfc9d"));
        assert_mac(MD5, b"Jefe", b"what do ya want for nothing?", &hex!("750c783e6ab0b503eaa86e310a5db738"));
        assert_mac(MD5, &[0xaa; 16], &[0xdd; 50], &hex!("56be34521d144c88dbb8c733f0e8b3f6"));
        assert_mac(MD5, &counting(25), &[0xcd; 50], &hex!("697eaf0aca3a3aea3a75164746ffaa79"));
        assert_mac(MD5, &[0x0c; 16], b"Test With Truncation", &hex!("56461ef2342edc00f9bab995"));
    }

    #[test]
    fn hmac_sha1_gives_the_digests_of_rfc_2202() {
        use Integrity::HmacSha1_96 as SHA1;
        assert_mac(SHA1, &[0x0b; 20], b"Hi There", &hex!("b617318655057264e28bc0b6fb378c8ef146be00"));
        assert_mac(SHA1, b"Jefe", b"what do ya want for nothing?", &hex!("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"));
        assert_mac(SHA1, &[0xaa; 20], &[0xdd; 50], &hex!("125d7342b9ac11cd91a39af48aa17b4f63f175d3"));
        assert_mac(SHA1, &counting(25), &[0xcd; 50], &hex!("4c9007f4026250c6bc8414f9bf50c86c2d7235da"));
        assert_mac(SHA1, &[0x0c; 20], b"Test With Truncation", &hex!("4c1a03424b55e07fe7f27be1"));
    }

    #[test]
    fn hmac_sha2_gives_the_authentication_codes_of_rfc_4868() {
        use Integrity::{HmacSha256_128 as SHA256, HmacSha384_192 as SHA384, HmacSha512_256 as SHA512};
        let question = b"what do ya want for nothing?";
        assert_mac(SHA256, &[0x0b; 32], b"Hi There", &hex!("198a607eb44bfbc69903a0f1cf2bbdc5"));
        assert_mac(SHA384, &[0x0b; 48], b"Hi There", &hex!("b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee973"));
        assert_mac(SHA512, &[0x0b; 64], b"Hi There", &hex!("637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8"));
        assert_mac(SHA256, &b"Jefe".repeat(8), question, &hex!("167f928588c5cc2eef8e3093caa0e87c"));
        assert_mac(SHA384, &b"Jefe".repeat(12), question, &hex!("2c7353974f1842fd66d53c452ca42122b28c0b594cfb184d"));
        assert_mac(SHA512, &b"Jefe".repeat(16), question, &hex!("cb370917ae8a7ce28cfd1d8f4705d6141c173b2a9362c15df235dfb251b15454"));
        assert_mac(SHA256, &[0xaa; 32], &[0xdd; 50], &hex!("cdcb1220d1ecccea91e53aba3092f962"));
        assert_mac(SHA384, &[0xaa; 48], &[0xdd; 50], &hex!("809f439be00274321d4a538652164b53554a508184a0c316"));
        assert_mac(SHA512, &[0xaa; 64], &[0xdd; 50], &hex!("2ee7acd783624ca9398710f3ee05ae41b9f9b0510c87e49e586cc9bf961733d8"));
    }

    #[test]
    fn hmac_sha2_gives_the_digests_of_rfc_4231() {
        use Integrity::{HmacSha256_128 as SHA256, HmacSha384_192 as SHA384, HmacSha512_256 as SHA512};
        assert_mac(SHA256, &[0x0b; 20], b"Hi There", &hex!("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"));
        assert_mac(SHA384, &[0x0b; 20], b"Hi There", &hex!("afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c"));
        assert_mac(SHA512, &[0x0b; 20], b"Hi There", &hex!("87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"));
        assert_mac(SHA256, &[0xaa; 20], &[0xdd; 50], &hex!("773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"));
        assert_mac(SHA384, &[0xaa; 20], &[0xdd; 50], &hex!("88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b"));
        assert_mac(SHA512, &[0xaa; 20], &[0xdd; 50], &hex!("fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39"));
    }

    /// A message's end may fall anywhere in the last block; the `hmac` property is checked against a plain two-pass computation.
    #[test]
    fn precomputed_states_agree_with_hashing_the_padded_key_each_time() {
        use sha1::Digest;
        let key = [0x5a; 20];
        for len in 0..300 {
            let message: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let pad = |byte: u8| [&key[..], &[0; 44]].concat().iter().map(|k| k ^ byte).collect::<Vec<u8>>();
            let inner = sha1::Sha1::digest([pad(0x36), message.clone()].concat());
            let outer = sha1::Sha1::digest([&pad(0x5c)[..], &inner[..]].concat());
            assert_mac(Integrity::HmacSha1_96, &key, &message, &outer);
            let key = [0x5a; 64];
            let pad = |byte: u8| [&key[..], &[0; 64]].concat().iter().map(|k| k ^ byte).collect::<Vec<u8>>();
            let inner = sha2::Sha512::digest([pad(0x36), message.clone()].concat());
            let outer = sha2::Sha512::digest([&pad(0x5c)[..], &inner[..]].concat());
            assert_mac(Integrity::HmacSha512_256, &key, &message, &outer[..32]);
        }
    }

    fn counting(len: u8) -> Vec<u8> {
        (1..=len).collect()
    }
}
