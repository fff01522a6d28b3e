//! The primitives of RFC 2409 by the names of a proposal: hash, prf, and the CBC ciphers that carry whole messages.

use std::ops::Deref;

use aes::{Aes128, Aes192, Aes256};
use cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use des::{Des, TdesEde3};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::proposal::{EncryptionAlgorithm, HashAlgorithm};

/// The longest output: SHA2-512.
const MAX_DIGEST: usize = 64;

/// The longest cipher block: AES.
pub(crate) const MAX_BLOCK: usize = 16;

/// The output of a hash or prf, wiped when dropped: a SKEYID is one.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Digest {
    bytes: [u8; MAX_DIGEST],
    len: usize,
}

impl Digest {
    fn new(output: &[u8]) -> Self {
        let mut digest = Self { bytes: [0; MAX_DIGEST], len: output.len() };
        digest.bytes[..output.len()].copy_from_slice(output);
        digest
    }

    /// Whether `received` is the same, in a time that tells nothing but its length.
    pub(crate) fn ct_eq(&self, received: &[u8]) -> bool {
        self.deref().ct_eq(received).into()
    }
}

impl Deref for Digest {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The hash of the concatenated parts.
pub(crate) fn hash(algorithm: HashAlgorithm, parts: &[&[u8]]) -> Digest {
    fn with<H: sha2::Digest>(parts: &[&[u8]]) -> Digest {
        let mut hash = H::new();
        parts.iter().for_each(|part| hash.update(part));
        Digest::new(&hash.finalize())
    }
    match algorithm {
        HashAlgorithm::Md5 => with::<Md5>(parts),
        HashAlgorithm::Sha1 => with::<Sha1>(parts),
        HashAlgorithm::Sha256 => with::<Sha256>(parts),
        HashAlgorithm::Sha384 => with::<Sha384>(parts),
        HashAlgorithm::Sha512 => with::<Sha512>(parts),
    }
}

/// `prf(key, ..)`: the HMAC of the negotiated hash (RFC 2409 section 4), its key worked in once.
#[derive(Clone)]
pub(crate) enum Prf {
    Md5(Hmac<Md5>),
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

impl Prf {
    /// A prf under a key of any length.
    pub(crate) fn new(algorithm: HashAlgorithm, key: &[u8]) -> Self {
        const ANY_LENGTH: &str = "HMAC takes a key of any length";
        match algorithm {
            HashAlgorithm::Md5 => Self::Md5(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
            HashAlgorithm::Sha1 => Self::Sha1(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
            HashAlgorithm::Sha256 => Self::Sha256(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
            HashAlgorithm::Sha384 => Self::Sha384(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
            HashAlgorithm::Sha512 => Self::Sha512(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
        }
    }

    /// `prf(key, parts[0] | parts[1] | ...)`.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> Digest {
        fn with<M: Mac + Clone>(mac: &M, parts: &[&[u8]]) -> Digest {
            let mut mac = mac.clone();
            parts.iter().for_each(|part| mac.update(part));
            Digest::new(&mac.finalize().into_bytes())
        }
        match self {
            Self::Md5(mac) => with(mac, parts),
            Self::Sha1(mac) => with(mac, parts),
            Self::Sha256(mac) => with(mac, parts),
            Self::Sha384(mac) => with(mac, parts),
            Self::Sha512(mac) => with(mac, parts),
        }
    }
}

/// A cipher under Ka, for the messages of one ISAKMP SA; they are few and small, so its schedule is made anew for each.
pub(crate) struct Cipher {
    algorithm: EncryptionAlgorithm,
    key: Zeroizing<Vec<u8>>,
}

impl Cipher {
    /// # Panics
    /// The key does not have [`EncryptionAlgorithm::key_len`] bytes.
    pub(crate) fn new(algorithm: EncryptionAlgorithm, key: &[u8]) -> Self {
        assert_eq!(key.len(), algorithm.key_len(), "Ka is cut to the cipher's key length");
        Self { algorithm, key: Zeroizing::new(key.to_vec()) }
    }

    /// Ka itself, for the key log and nothing else.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// In bytes.
    pub(crate) fn block_len(&self) -> usize {
        self.algorithm.block_len()
    }

    /// Encrypts whole blocks in place, in CBC.
    ///
    /// # Panics
    /// `iv` is not one block, or `data` are not whole blocks.
    pub(crate) fn encrypt(&self, iv: &[u8], data: &mut [u8]) {
        fn with<M: KeyIvInit + BlockModeEncrypt>(key: &[u8], iv: &[u8], data: &mut [u8]) {
            let (blocks, tail) = Array::slice_as_chunks_mut(data);
            assert!(tail.is_empty(), "whole blocks");
            M::new_from_slices(key, iv).expect("lengths of key and block").encrypt_blocks(blocks);
        }
        match self.algorithm {
            EncryptionAlgorithm::Des => with::<cbc::Encryptor<Des>>(&self.key, iv, data),
            EncryptionAlgorithm::TripleDes => with::<cbc::Encryptor<TdesEde3>>(&self.key, iv, data),
            EncryptionAlgorithm::Aes128 => with::<cbc::Encryptor<Aes128>>(&self.key, iv, data),
            EncryptionAlgorithm::Aes192 => with::<cbc::Encryptor<Aes192>>(&self.key, iv, data),
            EncryptionAlgorithm::Aes256 => with::<cbc::Encryptor<Aes256>>(&self.key, iv, data),
        }
    }

    /// Decrypts whole blocks in place, in CBC.
    ///
    /// # Panics
    /// `iv` is not one block, or `data` are not whole blocks.
    pub(crate) fn decrypt(&self, iv: &[u8], data: &mut [u8]) {
        fn with<M: KeyIvInit + BlockModeDecrypt>(key: &[u8], iv: &[u8], data: &mut [u8]) {
            let (blocks, tail) = Array::slice_as_chunks_mut(data);
            assert!(tail.is_empty(), "whole blocks");
            M::new_from_slices(key, iv).expect("lengths of key and block").decrypt_blocks(blocks);
        }
        match self.algorithm {
            EncryptionAlgorithm::Des => with::<cbc::Decryptor<Des>>(&self.key, iv, data),
            EncryptionAlgorithm::TripleDes => with::<cbc::Decryptor<TdesEde3>>(&self.key, iv, data),
            EncryptionAlgorithm::Aes128 => with::<cbc::Decryptor<Aes128>>(&self.key, iv, data),
            EncryptionAlgorithm::Aes192 => with::<cbc::Decryptor<Aes192>>(&self.key, iv, data),
            EncryptionAlgorithm::Aes256 => with::<cbc::Decryptor<Aes256>>(&self.key, iv, data),
        }
    }
}

/// Keys cannot be taken out again, not even by a test; but it may ask whether they are the expected ones.
#[cfg(test)]
mod has_key {
    use super::*;

    impl Prf {
        pub(crate) fn has_key(&self, algorithm: HashAlgorithm, key: &[u8]) -> bool {
            *self.mac(&[b"probe"]) == *Prf::new(algorithm, key).mac(&[b"probe"])
        }
    }

    impl Cipher {
        pub(crate) fn has_key(&self, key: &[u8]) -> bool {
            *self.key == key
        }
    }
}

#[cfg(test)]
mod tests;
