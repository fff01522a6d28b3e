//! The algorithms of an SA and the sizes that follow from them.

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

/// What protects the packets of an SA. GCM has no separate integrity algorithm, every other cipher must have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(dead_code)]
pub struct Suite {
    cipher: Cipher,
    integrity: Option<Integrity>,
}
