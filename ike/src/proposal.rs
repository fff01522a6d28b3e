//! Algorithms and proposals, by the names that people write (`aes128-sha1-group2`), and the choice among what a peer offers.

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
