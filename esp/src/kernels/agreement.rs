//! Every kernel gives the same bytes as the portable code, for any number of packets of any lengths.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::{CbcDecryptor, CbcEncryptor, Gcm, Hmac, Icv, Kernel};
use crate::{Cipher, Integrity, Packet};

/// Packets one behind the other, of given lengths, in an arena of bytes from `seed`.
fn lay_out(lengths: impl IntoIterator<Item = usize>, seed: u8) -> (Vec<u8>, Vec<Packet>) {
    let mut end = 1;
    let places: Vec<_> = lengths
        .into_iter()
        .map(|len| {
            end += len + 3;
            Packet { start: end - len, len }
        })
        .collect();
    let arena = (0..end + 5).map(|i| (i as u8).wrapping_mul(167).wrapping_add((i >> 8) as u8) ^ seed).collect();
    (arena, places)
}

fn key(len: usize, seed: u8) -> Vec<u8> {
    (0..len as u8).map(|i| i.wrapping_mul(59).wrapping_add(seed)).collect()
}

/// Numbers of blocks as traffic has them: all alike, all different, or a mixture with short ones.
fn block_counts(most: usize) -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        (0..most, 0_usize..80).prop_map(|(blocks, packets)| vec![blocks; packets]),
        prop::collection::vec(0..most, 0..80),
        prop::collection::vec(prop_oneof![0_usize..4, Just(most)], 0..80),
    ]
}

fn other_kernels() -> impl Iterator<Item = Kernel> {
    Kernel::available().skip(1)
}

proptest! {
    #[test]
    fn cbc_agrees(
        cipher in prop::sample::select(vec![Cipher::Aes128, Cipher::Aes192, Cipher::Aes256]),
        blocks in block_counts(100),
        seed: u8,
    ) {
        let key = key(cipher.key_len(), seed);
        // An IV, and so many blocks.
        let (clear, spans) = lay_out(blocks.into_iter().map(|blocks| 16 * (blocks + 1)), seed);
        let mut expected = clear.clone();
        CbcEncryptor::new(Kernel::PORTABLE, cipher, &key).unwrap().encrypt(&mut expected, &spans);
        let mut back = expected.clone();
        CbcDecryptor::new(Kernel::PORTABLE, cipher, &key).unwrap().decrypt(&mut back, &spans);
        prop_assert!(back == clear);

        for kernel in other_kernels() {
            let mut arena = clear.clone();
            CbcEncryptor::new(kernel, cipher, &key).unwrap().encrypt(&mut arena, &spans);
            prop_assert!(arena == expected, "{kernel} encrypts otherwise");
            CbcDecryptor::new(kernel, cipher, &key).unwrap().decrypt(&mut arena, &spans);
            prop_assert!(arena == clear, "{kernel} decrypts otherwise");
        }
    }

    #[test]
    fn hmac_agrees(
        integrity in prop::sample::select(vec![Integrity::HmacSha1_96, Integrity::HmacSha256_128, Integrity::HmacSha512_256]),
        blocks in block_counts(25),
        odd in prop::collection::vec(0_usize..64, 80),
        seed: u8,
    ) {
        let key = key(integrity.key_len(), seed);
        let (arena, spans) = lay_out(blocks.into_iter().zip(odd).map(|(blocks, odd)| 64 * blocks + odd), seed);
        let mut expected = vec![Icv::default(); spans.len()];
        Hmac::new(Kernel::PORTABLE, integrity, &key).compute(&arena, &spans, &mut expected);
        for kernel in other_kernels() {
            let mut icvs = vec![Icv::default(); spans.len()];
            Hmac::new(kernel, integrity, &key).compute(&arena, &spans, &mut icvs);
            prop_assert!(icvs == expected, "{kernel} hashes otherwise");
        }
    }

    #[test]
    fn gcm_agrees(
        cipher in prop::sample::select(vec![Cipher::Aes128Gcm16, Cipher::Aes256Gcm16]),
        // Beyond 2 KiB and beyond 4 KiB, where sums are carried over.
        lengths in prop::collection::vec(prop_oneof![4 => 0_usize..1600, 1 => 2000_usize..2100, 1 => 4000_usize..9100], 0..8),
        flipped in any::<prop::sample::Index>(),
        seed: u8,
    ) {
        let key = key(cipher.key_len() + 4, seed);
        let (key, salt) = key.split_at(cipher.key_len());
        let (clear, places) = lay_out(lengths.into_iter().map(|len| 8 + 8 + len + 16), seed);
        let mut expected = clear.clone();
        Gcm::new(Kernel::PORTABLE, cipher, key, salt).unwrap().seal(&mut expected, &places);
        for kernel in other_kernels() {
            let gcm = Gcm::new(kernel, cipher, key, salt).unwrap();
            let mut arena = clear.clone();
            gcm.seal(&mut arena, &places);
            prop_assert!(arena == expected, "{kernel} seals otherwise");
            for &place in &places {
                let at = place.start + flipped.index(place.len);
                arena[at] ^= 0x10;
                let forged = arena.clone();
                prop_assert!(!gcm.open(&mut arena, place), "{kernel} opens a forgery");
                prop_assert!(arena == forged, "{kernel} touches a forgery");
                arena[at] ^= 0x10;
                prop_assert!(gcm.open(&mut arena, place));
                let text = place.start + 16..place.start + place.len - 16;
                prop_assert!(arena[text.clone()] == clear[text], "{kernel} opens otherwise");
            }
        }
    }
}

#[test]
fn gcm_agrees_at_every_length_about_the_ends_of_segments() {
    for kernel in other_kernels() {
        let key = key(16 + 4, 1);
        let (key, salt) = key.split_at(16);
        let lengths = (0..200).chain(2048 - 80..2048 + 80).chain(4096 - 20..4096 + 20);
        let (clear, places) = lay_out(lengths.map(|len| 8 + 8 + len + 16), 1);
        let mut expected = clear.clone();
        Gcm::new(Kernel::PORTABLE, Cipher::Aes128Gcm16, key, salt).unwrap().seal(&mut expected, &places);
        let mut arena = clear;
        Gcm::new(kernel, Cipher::Aes128Gcm16, key, salt).unwrap().seal(&mut arena, &places);
        assert!(arena == expected, "{kernel}");
    }
}

/// Not to be missed where it matters: a processor with these instructions runs these tests with more than one kernel.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_processor_with_avx512_and_vaes_has_two_kernels() {
    use std::arch::is_x86_feature_detected;
    let expected = is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("vaes") && is_x86_feature_detected!("vpclmulqdq");
    assert_eq!(Kernel::available().count(), if expected { 2 } else { 1 });
}
