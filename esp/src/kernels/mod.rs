//! The cryptography, over many packets at once.
//!
//! A kernel works on places in the arena and knows nothing of ESP but where IV, ciphertext and ICV lie. Each operation takes any number of packets of any
//! lengths, so that it can keep several of them in flight: CBC encryption and hashing are serial inside a packet, but not across packets.
//! `portable` is the reference: safe code that leaves the choice of AES and SHA instructions to the crates below it. `x86` is checked against it.

#[cfg(test)]
mod agreement;
mod gcm;
mod hash;
mod hmac;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::fmt;

use aes::{Aes128Dec, Aes128Enc, Aes192Dec, Aes192Enc, Aes256Dec, Aes256Enc};
use cipher::KeyInit;
use des::{Des, TdesEde3};

pub(crate) use self::gcm::Gcm;
pub(crate) use self::hmac::{Hmac, Icv};
use crate::{Cipher, Packet};

/// How many packets are handled at once. What belongs to so many lies on the stack, and their bytes in the second-level cache.
pub(crate) const CHUNK: usize = 32;

/// Which code does the cryptography of an SA. All give the same bytes; what a kernel has nothing better for, it leaves to the portable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kernel(Choice);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Choice {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::Avx512),
}

impl Kernel {
    /// Safe code for every processor. AES and SHA instructions are used where the processor has them, one packet or block at a time.
    pub const PORTABLE: Self = Self(Choice::Portable);

    /// The fastest this processor has.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(token) = x86::Avx512::detect() {
            return Self(Choice::Avx512(token));
        }
        Self::PORTABLE
    }

    /// All that this processor has, the portable one first.
    pub fn available() -> impl Iterator<Item = Self> {
        std::iter::once(Self::PORTABLE).chain(Some(Self::best()).filter(|&best| best != Self::PORTABLE))
    }
}

/// A name for `--version` and status: `portable`, `avx512`.
impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Choice::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Choice::Avx512(_) => "avx512",
        })
    }
}

/// The sending side of a CBC cipher. Keys are boxed: an SA that moves leaves no copy behind.
pub(crate) enum CbcEncryptor {
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::CbcEncryptor),
    Aes128(Box<Aes128Enc>),
    Aes192(Box<Aes192Enc>),
    Aes256(Box<Aes256Enc>),
    Des(Box<Des>),
    TripleDes(Box<TdesEde3>),
}

impl CbcEncryptor {
    /// `key` must have the cipher's length; `None` if it has not, or the cipher is not CBC.
    pub(crate) fn new(kernel: Kernel, cipher: Cipher, key: &[u8]) -> Option<Self> {
        Some(match (kernel.0, cipher) {
            #[cfg(target_arch = "x86_64")]
            (Choice::Avx512(token), Cipher::Aes128 | Cipher::Aes192 | Cipher::Aes256) => Self::Avx512(x86::CbcEncryptor::new(token, key)?),
            (_, Cipher::Aes128) => Self::Aes128(Box::new(KeyInit::new_from_slice(key).ok()?)),
            (_, Cipher::Aes192) => Self::Aes192(Box::new(KeyInit::new_from_slice(key).ok()?)),
            (_, Cipher::Aes256) => Self::Aes256(Box::new(KeyInit::new_from_slice(key).ok()?)),
            (_, Cipher::Des) => Self::Des(Box::new(KeyInit::new_from_slice(key).ok()?)),
            (_, Cipher::TripleDes) => Self::TripleDes(Box::new(KeyInit::new_from_slice(key).ok()?)),
            (_, Cipher::Aes128Gcm16 | Cipher::Aes256Gcm16) => return None,
        })
    }

    /// Encrypts each span in place: an IV, which stays as it is, and whole blocks.
    pub(crate) fn encrypt(&self, arena: &mut [u8], spans: &[Packet]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(cipher) => cipher.encrypt(arena, spans),
            Self::Aes128(cipher) => portable::cbc_encrypt(&**cipher, arena, spans),
            Self::Aes192(cipher) => portable::cbc_encrypt(&**cipher, arena, spans),
            Self::Aes256(cipher) => portable::cbc_encrypt(&**cipher, arena, spans),
            Self::Des(cipher) => portable::cbc_encrypt(&**cipher, arena, spans),
            Self::TripleDes(cipher) => portable::cbc_encrypt(&**cipher, arena, spans),
        }
    }
}

/// The receiving side of a CBC cipher.
pub(crate) enum CbcDecryptor {
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::CbcDecryptor),
    Aes128(Box<Aes128Dec>),
    Aes192(Box<Aes192Dec>),
    Aes256(Box<Aes256Dec>),
    Des(Box<Des>),
    TripleDes(Box<TdesEde3>),
}

impl CbcDecryptor {
    /// As [`CbcEncryptor::new`].
    pub(crate) fn new(kernel: Kernel, cipher: Cipher, key: &[u8]) -> Option<Self> {
        Some(match (kernel.0, cipher) {
            #[cfg(target_arch = "x86_64")]
            (Choice::Avx512(token), Cipher::Aes128 | Cipher::Aes192 | Cipher::Aes256) => Self::Avx512(x86::CbcDecryptor::new(token, key)?),
            (_, Cipher::Aes128) => Self::Aes128(Box::new(KeyInit::new_from_slice(key).ok()?)),
            (_, Cipher::Aes192) => Self::Aes192(Box::new(KeyInit::new_from_slice(key).ok()?)),
            (_, Cipher::Aes256) => Self::Aes256(Box::new(KeyInit::new_from_slice(key).ok()?)),
            (_, Cipher::Des) => Self::Des(Box::new(KeyInit::new_from_slice(key).ok()?)),
            (_, Cipher::TripleDes) => Self::TripleDes(Box::new(KeyInit::new_from_slice(key).ok()?)),
            (_, Cipher::Aes128Gcm16 | Cipher::Aes256Gcm16) => return None,
        })
    }

    /// Decrypts each span in place: an IV, which stays as it is, and whole blocks.
    pub(crate) fn decrypt(&self, arena: &mut [u8], spans: &[Packet]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(cipher) => cipher.decrypt(arena, spans),
            Self::Aes128(cipher) => portable::cbc_decrypt(&**cipher, arena, spans),
            Self::Aes192(cipher) => portable::cbc_decrypt(&**cipher, arena, spans),
            Self::Aes256(cipher) => portable::cbc_decrypt(&**cipher, arena, spans),
            Self::Des(cipher) => portable::cbc_decrypt(&**cipher, arena, spans),
            Self::TripleDes(cipher) => portable::cbc_decrypt(&**cipher, arena, spans),
        }
    }
}
