//! Algorithms and proposals: as types here, by the names that people write (`aes128-sha1-group2`) in `names`, and negotiated with a peer
//! in `ike` (phase 1) and `esp` (phase 2). What two ends cannot agree on is a [`Disagreement`], parameter by parameter.

pub(crate) mod disagreement;
pub(crate) mod esp;
pub(crate) mod ike;
mod lifetime;
mod names;

pub(crate) use disagreement::{Difference, Disagreement, Parameter};
pub(crate) use lifetime::Lifetime;
pub use names::UnknownName;

/// Encryption of ISAKMP messages or ESP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EncryptionAlgorithm {
    /// DES-CBC, 56 bits. Weak; accepted with a warning.
    Des,
    /// 3DES-CBC, 168 bits.
    TripleDes,
    /// AES-CBC with a 128-bit key.
    Aes128,
    /// AES-CBC with a 192-bit key.
    Aes192,
    /// AES-CBC with a 256-bit key.
    Aes256,
}

/// The hash of phase 1; its HMAC is the prf (RFC 2409 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HashAlgorithm {
    /// MD5, 16 bytes. Weak; accepted with a warning.
    Md5,
    /// SHA-1, 20 bytes.
    Sha1,
    /// SHA2-256, 32 bytes.
    Sha256,
    /// SHA2-384, 48 bytes.
    Sha384,
    /// SHA2-512, 64 bytes.
    Sha512,
}

/// The integrity algorithm of ESP: an HMAC, truncated (RFC 2403, 2404, 4868).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IntegrityAlgorithm {
    /// HMAC-MD5-96.
    Md5,
    /// HMAC-SHA1-96.
    Sha1,
    /// HMAC-SHA-256-128.
    Sha256,
    /// HMAC-SHA-384-192.
    Sha384,
    /// HMAC-SHA-512-256.
    Sha512,
}

/// A MODP Diffie-Hellman group (RFC 2409 section 6, RFC 3526).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// 768 bits. Weak; accepted with a warning.
    Modp768,
    /// 1024 bits.
    Modp1024,
    /// 1536 bits.
    Modp1536,
    /// 2048 bits.
    Modp2048,
    /// 3072 bits.
    Modp3072,
    /// 4096 bits.
    Modp4096,
}

/// One phase 1 proposal: authentication is always a pre-shared key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IkeProposal {
    /// Encryption of the ISAKMP messages.
    pub encryption: EncryptionAlgorithm,
    /// Hash and prf.
    pub hash: HashAlgorithm,
    /// Group of the exchange.
    pub group: Group,
}

/// What protects an ESP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EspTransform {
    /// A CBC cipher and a truncated HMAC.
    Cbc(EncryptionAlgorithm, IntegrityAlgorithm),
    /// AES-GCM with a 16-byte ICV and this key length in bits, 128 or 256 (RFC 4106).
    Gcm16(u16),
}

/// One phase 2 proposal. The PFS group is the connection's.
pub type EspProposal = EspTransform;

impl EncryptionAlgorithm {
    /// The key's length in bytes, parity bits of DES included.
    pub fn key_len(self) -> usize {
        match self {
            Self::Des => 8,
            Self::TripleDes => 24,
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    /// The block's length in bytes.
    pub fn block_len(self) -> usize {
        match self {
            Self::Des | Self::TripleDes => 8,
            Self::Aes128 | Self::Aes192 | Self::Aes256 => 16,
        }
    }
}

impl HashAlgorithm {
    /// The output's length in bytes.
    pub fn output_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl IntegrityAlgorithm {
    /// The key's length in bytes: the hash's untruncated output (RFC 2403, 2404, 4868).
    pub fn key_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl Group {
    /// The modulus' length in bits.
    pub fn bits(self) -> u16 {
        match self {
            Self::Modp768 => 768,
            Self::Modp1024 => 1024,
            Self::Modp1536 => 1536,
            Self::Modp2048 => 2048,
            Self::Modp3072 => 3072,
            Self::Modp4096 => 4096,
        }
    }

    /// The group's number in RFC 2409 and RFC 3526.
    pub fn number(self) -> u16 {
        match self {
            Self::Modp768 => 1,
            Self::Modp1024 => 2,
            Self::Modp1536 => 5,
            Self::Modp2048 => 14,
            Self::Modp3072 => 15,
            Self::Modp4096 => 16,
        }
    }
}

impl EspTransform {
    /// The length of KEYMAT for one direction in bytes: the encryption key, then the integrity key or the salt of GCM.
    pub fn keymat_len(self) -> usize {
        match self {
            Self::Cbc(encryption, integrity) => encryption.key_len() + integrity.key_len(),
            Self::Gcm16(bits) => usize::from(bits) / 8 + GCM_SALT_LEN,
        }
    }
}

/// RFC 4106 section 4.
const GCM_SALT_LEN: usize = 4;

#[cfg(test)]
mod tests;
