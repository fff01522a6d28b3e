//! Checking what an SA is made from.

use thiserror::Error;
use zeroize::Zeroizing;

use crate::{Cipher, Suite};

/// Why an SA cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SaError {
    /// The KEYMAT is not as long as the suite needs.
    #[error("KEYMAT for {suite} has {actual} bytes, {expected} expected")]
    KeymatLength {
        /// What the key is for.
        suite: Suite,
        /// [`Suite::keymat_len`].
        expected: usize,
        /// What was given.
        actual: usize,
    },
    /// SPIs 0 to 255 are reserved (RFC 4303 section 2.1).
    #[error("SPI {0} is reserved, 256 or more expected")]
    ReservedSpi(u32),
    /// A replay window must have 64 to 4096 packets.
    #[error("replay window of {0} packets, 64 to 4096 expected")]
    ReplayWindow(u32),
    /// A weak DES key (RFC 2405 section 2.3), or a 3DES key that is no more than DES (RFC 2451 section 2.3): a new negotiation gives another.
    #[error("weak key for {0}")]
    WeakKey(Cipher),
}

/// Refuses reserved SPIs.
pub(crate) fn check_spi(spi: u32) -> Result<(), SaError> {
    if spi < 256 { Err(SaError::ReservedSpi(spi)) } else { Ok(()) }
}

/// Splits KEYMAT into the encryption key and what follows it: integrity key or salt.
pub(crate) fn split(suite: Suite, keymat: &[u8]) -> Result<(&[u8], &[u8]), SaError> {
    if keymat.len() != suite.keymat_len() {
        return Err(SaError::KeymatLength { suite, expected: suite.keymat_len(), actual: keymat.len() });
    }
    let (encryption, rest) = keymat.split_at(suite.cipher().key_len());
    if is_weak(suite.cipher(), encryption) {
        return Err(SaError::WeakKey(suite.cipher()));
    }
    Ok((encryption, rest))
}

fn is_weak(cipher: Cipher, key: &[u8]) -> bool {
    if !matches!(cipher, Cipher::Des | Cipher::TripleDes) {
        return false;
    }
    // KEYMAT has no parity, the list of weak keys has: the lowest bit of each byte makes the number of ones odd.
    let mut key = Zeroizing::new(key.to_vec());
    for byte in key.iter_mut() {
        *byte = *byte & 0xfe | u8::from((*byte >> 1).count_ones() % 2 == 0);
    }
    match cipher {
        Cipher::Des => des::weak_key_test(&key).is_err(),
        _ => key[..8] == key[8..16] || key[8..16] == key[16..],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{SaError, split};
    use crate::{Cipher, InboundSa, Integrity, OutboundSa, Suite};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn suite(cipher: Cipher) -> Suite {
        Suite::new(cipher, Some(Integrity::HmacSha1_96)).unwrap()
    }

    #[test]
    fn weak_des_keys_are_refused_whatever_their_parity() {
        let mut keymat = vec![0x01; 8 + 20];
        assert_eq!(split(suite(Cipher::Des), &keymat), Err(SaError::WeakKey(Cipher::Des)));
        keymat[..8].fill(0x00);
        assert_eq!(split(suite(Cipher::Des), &keymat), Err(SaError::WeakKey(Cipher::Des)));
        keymat[0] = 0x42;
        assert!(split(suite(Cipher::Des), &keymat).is_ok());
    }

    #[test]
    fn triple_des_keys_that_amount_to_des_are_refused() {
        let keymat = |k1: u8, k2: u8, k3: u8| [[k1; 8], [k2; 8], [k3; 8]].concat().into_iter().chain([7; 20]).collect::<Vec<u8>>();
        for weak in [keymat(2, 2, 4), keymat(4, 2, 2), keymat(2, 3, 4), keymat(8, 4, 5)] {
            assert_eq!(split(suite(Cipher::TripleDes), &weak), Err(SaError::WeakKey(Cipher::TripleDes)));
        }
        assert!(split(suite(Cipher::TripleDes), &keymat(2, 4, 2)).is_ok());
    }

    #[test]
    fn an_sa_is_refused_when_keymat_spi_or_window_do_not_fit() {
        let suite = suite(Cipher::Aes128);
        let rng = &mut StdRng::seed_from_u64(1);
        for len in [0, 16, 35, 37] {
            let expected = SaError::KeymatLength { suite, expected: 36, actual: len };
            assert_eq!(OutboundSa::new(256, suite, &vec![1; len], rng).unwrap_err(), expected);
            assert_eq!(InboundSa::new(256, suite, &vec![1; len], 64).unwrap_err(), expected);
        }
        for spi in [0, 1, 255] {
            assert_eq!(OutboundSa::new(spi, suite, &[1; 36], rng).unwrap_err(), SaError::ReservedSpi(spi));
            assert_eq!(InboundSa::new(spi, suite, &[1; 36], 64).unwrap_err(), SaError::ReservedSpi(spi));
        }
        for window in [0, 63, 4097] {
            assert_eq!(InboundSa::new(256, suite, &[1; 36], window).unwrap_err(), SaError::ReplayWindow(window));
        }
    }

    #[test]
    fn debug_output_of_an_sa_shows_no_key() {
        let suite = suite(Cipher::Aes128);
        let outbound = OutboundSa::new(0x1234abcd, suite, &[0xa7; 36], &mut StdRng::seed_from_u64(1)).unwrap();
        assert_eq!(format!("{outbound:?}"), "OutboundSa { spi: 1234abcd, suite: aes128-sha1, sequence: 0, .. }");
        let inbound = InboundSa::new(0x1234abcd, suite, &[0xa7; 36], 64).unwrap();
        assert_eq!(format!("{inbound:?}"), "InboundSa { spi: 1234abcd, suite: aes128-sha1, highest_sequence: 0, .. }");
    }
}
