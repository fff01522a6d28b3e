//! The algorithms of an SA and the sizes that follow from them.

use std::fmt;

use thiserror::Error;

/// SPI and sequence number (RFC 4303 section 2).
pub(crate) const HEADER_LEN: usize = 8;
/// Pad length and next header.
pub(crate) const TRAILER_LEN: usize = 2;
/// The salt behind a GCM key in KEYMAT (RFC 4106 section 8.1).
pub(crate) const SALT_LEN: usize = 4;

/// What protects the packets of an SA. GCM has no separate integrity algorithm, every other cipher must have one.
///
/// Its text form is a proposal's name: `aes128-sha1`, `aes256gcm16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Suite {
    cipher: Cipher,
    integrity: Option<Integrity>,
}

/// A cipher and an integrity algorithm that do not belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SuiteError {
    /// Encryption without integrity is not offered (RFC 4303 section 1 advises against it).
    #[error("{0} needs an integrity algorithm")]
    IntegrityMissing(Cipher),
    /// A combined-mode cipher with another integrity algorithm on top (RFC 4106 section 8).
    #[error("{0} brings its own integrity, {1} has no place beside it")]
    IntegrityNotAllowed(Cipher, Integrity),
}

impl Suite {
    /// Joins a cipher with the integrity algorithm it needs, or with none for GCM.
    pub fn new(cipher: Cipher, integrity: Option<Integrity>) -> Result<Self, SuiteError> {
        match (cipher.is_combined_mode(), integrity) {
            (false, None) => Err(SuiteError::IntegrityMissing(cipher)),
            (true, Some(integrity)) => Err(SuiteError::IntegrityNotAllowed(cipher, integrity)),
            _ => Ok(Self { cipher, integrity }),
        }
    }

    /// The cipher.
    pub fn cipher(self) -> Cipher {
        self.cipher
    }

    /// The integrity algorithm; none with GCM.
    pub fn integrity(self) -> Option<Integrity> {
        self.integrity
    }

    /// Bytes of KEYMAT one direction takes: encryption key, then integrity key (RFC 2409 section 5.5) or salt (RFC 4106 section 8.1).
    pub fn keymat_len(self) -> usize {
        self.cipher.key_len() + self.integrity.map_or(SALT_LEN, Integrity::key_len)
    }

    /// Bytes of the IV a packet carries.
    pub fn iv_len(self) -> usize {
        match self.cipher {
            Cipher::Aes128 | Cipher::Aes192 | Cipher::Aes256 => 16,
            Cipher::Des | Cipher::TripleDes | Cipher::Aes128Gcm16 | Cipher::Aes256Gcm16 => 8,
        }
    }

    /// Bytes of the ICV at a packet's end.
    pub fn icv_len(self) -> usize {
        self.integrity.map_or(16, Integrity::icv_len)
    }

    /// What inner packet, padding, pad length and next header together are a multiple of, in bytes: the cipher's block, but at least 4 (RFC 4303
    /// section 2.4).
    pub fn alignment(self) -> usize {
        match self.cipher {
            Cipher::Aes128 | Cipher::Aes192 | Cipher::Aes256 => 16,
            Cipher::Des | Cipher::TripleDes => 8,
            Cipher::Aes128Gcm16 | Cipher::Aes256Gcm16 => 4,
        }
    }

    /// Bytes of padding behind an inner packet of `inner` bytes: as few as the alignment allows.
    pub fn padding_len(self, inner: usize) -> usize {
        (inner + TRAILER_LEN).wrapping_neg() & (self.alignment() - 1)
    }

    /// Bytes ESP adds to an inner packet of `inner` bytes, from the SPI to the ICV; outer IP and UDP headers not counted.
    pub fn overhead(self, inner: usize) -> usize {
        HEADER_LEN + self.iv_len() + self.padding_len(inner) + TRAILER_LEN + self.icv_len()
    }

    /// The largest inner packet whose outer packet fits `outer_mtu` bytes; 0 if none does. At 1500 bytes and AES-CBC with HMAC-SHA1-96 it is 1438,
    /// or 1422 in UDP.
    pub fn max_inner(self, outer_mtu: usize, outer: Outer) -> usize {
        let fixed = outer.header_len() + HEADER_LEN + self.iv_len() + self.icv_len();
        let ciphertext = outer_mtu.saturating_sub(fixed) / self.alignment() * self.alignment();
        ciphertext.saturating_sub(TRAILER_LEN)
    }

    /// Bytes of the shortest packet that can be opened: an empty inner packet.
    pub(crate) fn min_sealed(self) -> usize {
        self.overhead(0)
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.integrity {
            Some(integrity) => write!(f, "{}-{}", self.cipher, integrity),
            None => write!(f, "{}", self.cipher),
        }
    }
}

/// What carries an ESP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outer {
    /// IPv4, protocol 50.
    Ipv4,
    /// UDP in IPv4 (RFC 3948).
    Ipv4Udp,
    /// IPv6, next header 50.
    Ipv6,
    /// UDP in IPv6.
    Ipv6Udp,
}

impl Outer {
    /// Bytes before the SPI: an IP header without options, and the UDP header.
    pub fn header_len(self) -> usize {
        match self {
            Outer::Ipv4 => 20,
            Outer::Ipv4Udp => 20 + 8,
            Outer::Ipv6 => 40,
            Outer::Ipv6Udp => 40 + 8,
        }
    }
}

/// Encryption of an SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// DES-CBC (RFC 2405).
    Des,
    /// 3DES-CBC (RFC 2451).
    TripleDes,
    /// AES-CBC with a 128-bit key (RFC 3602).
    Aes128,
    /// AES-CBC with a 192-bit key.
    Aes192,
    /// AES-CBC with a 256-bit key.
    Aes256,
    /// AES-GCM with a 128-bit key and a 16-byte ICV (RFC 4106).
    Aes128Gcm16,
    /// AES-GCM with a 256-bit key and a 16-byte ICV.
    Aes256Gcm16,
}

impl Cipher {
    /// Bytes of the key, without GCM's salt.
    pub fn key_len(self) -> usize {
        match self {
            Cipher::Des => 8,
            Cipher::TripleDes | Cipher::Aes192 => 24,
            Cipher::Aes128 | Cipher::Aes128Gcm16 => 16,
            Cipher::Aes256 | Cipher::Aes256Gcm16 => 32,
        }
    }

    /// Whether it brings its own integrity.
    pub fn is_combined_mode(self) -> bool {
        matches!(self, Cipher::Aes128Gcm16 | Cipher::Aes256Gcm16)
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cipher::Des => "des",
            Cipher::TripleDes => "3des",
            Cipher::Aes128 => "aes128",
            Cipher::Aes192 => "aes192",
            Cipher::Aes256 => "aes256",
            Cipher::Aes128Gcm16 => "aes128gcm16",
            Cipher::Aes256Gcm16 => "aes256gcm16",
        })
    }
}

/// Integrity of an SA whose cipher does not bring its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Integrity {
    /// HMAC-MD5-96 (RFC 2403).
    HmacMd5_96,
    /// HMAC-SHA1-96 (RFC 2404).
    HmacSha1_96,
    /// HMAC-SHA-256-128 (RFC 4868).
    HmacSha256_128,
    /// HMAC-SHA-384-192.
    HmacSha384_192,
    /// HMAC-SHA-512-256.
    HmacSha512_256,
}

impl Integrity {
    /// Bytes of the key: the hash's whole output (RFC 2403 and 2404 section 3, RFC 4868 section 2.1.1).
    pub fn key_len(self) -> usize {
        match self {
            Integrity::HmacMd5_96 => 16,
            Integrity::HmacSha1_96 => 20,
            Integrity::HmacSha256_128 => 32,
            Integrity::HmacSha384_192 => 48,
            Integrity::HmacSha512_256 => 64,
        }
    }

    /// Bytes of the ICV: the MAC cut to the number of bits in the algorithm's name.
    pub fn icv_len(self) -> usize {
        match self {
            Integrity::HmacMd5_96 | Integrity::HmacSha1_96 => 12,
            Integrity::HmacSha256_128 => 16,
            Integrity::HmacSha384_192 => 24,
            Integrity::HmacSha512_256 => 32,
        }
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Integrity::HmacMd5_96 => "md5",
            Integrity::HmacSha1_96 => "sha1",
            Integrity::HmacSha256_128 => "sha256",
            Integrity::HmacSha384_192 => "sha384",
            Integrity::HmacSha512_256 => "sha512",
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{HEADROOM, TAILROOM};

    fn suite(cipher: Cipher, integrity: Option<Integrity>) -> Suite {
        Suite::new(cipher, integrity).unwrap()
    }

    #[test]
    fn inner_mtu_at_1500_is_1438_raw_and_1422_in_udp_for_cbc_with_sha1() {
        let suite = suite(Cipher::Aes128, Some(Integrity::HmacSha1_96));
        assert_eq!(suite.max_inner(1500, Outer::Ipv4), 1438);
        assert_eq!(suite.max_inner(1500, Outer::Ipv4Udp), 1422);
        assert_eq!(suite.max_inner(60, Outer::Ipv6), 0);
    }

    #[test]
    fn the_largest_inner_packet_fits_and_one_byte_more_does_not() {
        for suite in every_suite() {
            for outer in [Outer::Ipv4, Outer::Ipv4Udp, Outer::Ipv6, Outer::Ipv6Udp] {
                for mtu in 576..=1500 {
                    let inner = suite.max_inner(mtu, outer);
                    assert!(outer.header_len() + inner + suite.overhead(inner) <= mtu);
                    assert!(outer.header_len() + inner + 1 + suite.overhead(inner + 1) > mtu);
                }
            }
        }
    }

    #[test]
    fn head_and_tail_room_hold_the_overhead_of_every_suite() {
        for suite in every_suite() {
            let longest = (0..64).map(|inner| suite.overhead(inner)).max().unwrap();
            assert!(HEADER_LEN + suite.iv_len() <= HEADROOM);
            assert!(longest - HEADER_LEN - suite.iv_len() <= TAILROOM);
        }
    }

    #[test]
    fn names_are_those_of_proposals() {
        let names: Vec<_> = every_suite().map(|suite| suite.to_string()).collect();
        for name in ["aes128-sha1", "3des-md5", "aes256-sha512", "aes192-sha256", "des-sha384", "aes128gcm16", "aes256gcm16"] {
            assert!(names.iter().any(|known| known == name), "{name} is missing");
        }
    }

    #[test]
    fn gcm_takes_no_integrity_algorithm_and_cbc_takes_nothing_less() {
        assert_eq!(Suite::new(Cipher::Aes128, None), Err(SuiteError::IntegrityMissing(Cipher::Aes128)));
        assert_eq!(
            Suite::new(Cipher::Aes128Gcm16, Some(Integrity::HmacSha1_96)),
            Err(SuiteError::IntegrityNotAllowed(Cipher::Aes128Gcm16, Integrity::HmacSha1_96))
        );
    }

    fn every_suite() -> impl Iterator<Item = Suite> {
        use Cipher::*;
        use Integrity::*;
        let ciphers = [Des, TripleDes, Aes128, Aes192, Aes256, Aes128Gcm16, Aes256Gcm16];
        let integrities = [None, Some(HmacMd5_96), Some(HmacSha1_96), Some(HmacSha256_128), Some(HmacSha384_192), Some(HmacSha512_256)];
        ciphers.into_iter().flat_map(move |cipher| integrities.into_iter().filter_map(move |integrity| Suite::new(cipher, integrity).ok()))
    }
}
