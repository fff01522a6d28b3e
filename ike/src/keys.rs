//! The keys of RFC 2409 section 5 and appendix B for authentication with a pre-shared key: one type per SKEYID, each with just the
//! uses the RFC gives it. None can be shown, all are wiped when dropped.
//!
//! ```text
//!  psk, Ni_b, Nr_b -> Skeyid -> HASH_I, HASH_R
//!                        | g^xy, cookies
//!                        +-> SkeyidD -> KEYMAT      (quick mode's keys)
//!                        +-> SkeyidA -> HASH(1) (2) (3)
//!                        +-> SkeyidE -> Ka          (the cipher of the ISAKMP messages)
//! ```

use zeroize::Zeroizing;

use crate::crypto::{Cipher, Digest, Prf};
use crate::dh::SharedSecret;
use crate::proposal::{EncryptionAlgorithm, HashAlgorithm};
use crate::wire::{Cookie, ProtocolId};

/// `SKEYID = prf(pre-shared-key, Ni_b | Nr_b)`: authenticates main mode.
pub(crate) struct Skeyid {
    hash: HashAlgorithm,
    prf: Prf,
}

/// What both ends saw in the first four messages of main mode, as HASH_I and HASH_R cover it.
#[derive(Clone, Copy)]
pub(crate) struct Exchanged<'a> {
    /// `g^xi`: the initiator's public value as sent.
    pub(crate) gxi: &'a [u8],
    /// `g^xr`: the responder's.
    pub(crate) gxr: &'a [u8],
    /// `CKY-I`.
    pub(crate) initiator_cookie: Cookie,
    /// `CKY-R`.
    pub(crate) responder_cookie: Cookie,
    /// The body of the SA payload in message 1, byte for byte.
    pub(crate) sai_b: &'a [u8],
}

/// The three keys that chain on SKEYID.
pub(crate) struct SessionKeys {
    /// Derives KEYMAT.
    pub(crate) d: SkeyidD,
    /// Authenticates every exchange after main mode.
    pub(crate) a: SkeyidA,
    /// Encrypts.
    pub(crate) e: SkeyidE,
}

/// `SKEYID_d`.
#[derive(Clone)]
pub(crate) struct SkeyidD(Prf);

/// `SKEYID_a`.
#[derive(Clone)]
pub(crate) struct SkeyidA(Prf);

/// `SKEYID_e`.
pub(crate) struct SkeyidE {
    hash: HashAlgorithm,
    key: Digest,
}

impl Skeyid {
    /// Derives SKEYID from a pre-shared key and both nonces.
    pub(crate) fn from_psk(hash: HashAlgorithm, psk: &[u8], ni_b: &[u8], nr_b: &[u8]) -> Self {
        let skeyid = Prf::new(hash, psk).mac(&[ni_b, nr_b]);
        Self { hash, prf: Prf::new(hash, &skeyid) }
    }

    /// Derives the three keys.
    pub(crate) fn derive(&self, shared: &SharedSecret, initiator: Cookie, responder: Cookie) -> SessionKeys {
        let shared = shared.as_bytes();
        let next = |previous: &[u8], index: u8| self.prf.mac(&[previous, shared, &initiator.0, &responder.0, &[index]]);
        let d = next(&[], 0);
        let a = next(&d, 1);
        let e = next(&a, 2);
        SessionKeys { d: SkeyidD(Prf::new(self.hash, &d)), a: SkeyidA(Prf::new(self.hash, &a)), e: SkeyidE { hash: self.hash, key: e } }
    }

    /// `HASH_I`, over the initiator's `IDii_b`.
    pub(crate) fn hash_i(&self, exchanged: &Exchanged<'_>, idii_b: &[u8]) -> Digest {
        let Exchanged { gxi, gxr, initiator_cookie, responder_cookie, sai_b } = exchanged;
        self.prf.mac(&[gxi, gxr, &initiator_cookie.0, &responder_cookie.0, sai_b, idii_b])
    }

    /// `HASH_R`, over the responder's `IDir_b`; it covers the initiator's SA payload all the same.
    pub(crate) fn hash_r(&self, exchanged: &Exchanged<'_>, idir_b: &[u8]) -> Digest {
        let Exchanged { gxi, gxr, initiator_cookie, responder_cookie, sai_b } = exchanged;
        self.prf.mac(&[gxr, gxi, &responder_cookie.0, &initiator_cookie.0, sai_b, idir_b])
    }
}

impl SkeyidA {
    /// `HASH(1)` of quick mode and of every informational exchange; `rest` is [`Payload::rest`](crate::wire::Payload::rest) of the HASH payload.
    pub(crate) fn hash1(&self, message_id: u32, rest: &[u8]) -> Digest {
        self.0.mac(&[&message_id.to_be_bytes(), rest])
    }

    /// `HASH(2)` of quick mode: the same, bound to the initiator's nonce.
    pub(crate) fn hash2(&self, message_id: u32, ni_b: &[u8], rest: &[u8]) -> Digest {
        self.0.mac(&[&message_id.to_be_bytes(), ni_b, rest])
    }

    /// `HASH(3)` of quick mode.
    pub(crate) fn hash3(&self, message_id: u32, ni_b: &[u8], nr_b: &[u8]) -> Digest {
        self.0.mac(&[&[0], &message_id.to_be_bytes(), ni_b, nr_b])
    }
}

impl SkeyidE {
    /// The cipher under Ka: SKEYID_e cut to the key's length or, where it is too short, stretched (RFC 2409 appendix B).
    pub(crate) fn cipher(&self, algorithm: EncryptionAlgorithm) -> Cipher {
        let needed = algorithm.key_len();
        if self.key.len() >= needed {
            return Cipher::new(algorithm, &self.key[..needed]);
        }
        let prf = Prf::new(self.hash, &self.key);
        let mut block = prf.mac(&[&[0]]);
        let mut ka = Zeroizing::new(Vec::with_capacity(needed + block.len()));
        loop {
            ka.extend_from_slice(&block);
            if ka.len() >= needed {
                return Cipher::new(algorithm, &ka[..needed]);
            }
            block = prf.mac(&[&block]);
        }
    }
}

impl SkeyidD {
    /// `KEYMAT` of one direction (RFC 2409 section 5.5), `len` bytes: `spi` is the one its receiver chose, `shared` quick mode's own secret with PFS.
    pub(crate) fn keymat(
        &self,
        shared: Option<&SharedSecret>,
        protocol: ProtocolId,
        spi: u32,
        ni_b: &[u8],
        nr_b: &[u8],
        len: usize,
    ) -> Zeroizing<Vec<u8>> {
        let shared = shared.map_or(&[][..], SharedSecret::as_bytes);
        let spi = spi.to_be_bytes();
        let next = |previous: &[u8]| self.0.mac(&[previous, shared, &[protocol.0], &spi, ni_b, nr_b]);
        let mut block = next(&[]);
        let mut keymat = Zeroizing::new(Vec::with_capacity(len + block.len()));
        loop {
            keymat.extend_from_slice(&block);
            if keymat.len() >= len {
                keymat.truncate(len);
                return keymat;
            }
            block = next(&block);
        }
    }
}

#[cfg(test)]
mod has_key {
    use super::*;

    impl Skeyid {
        pub(crate) fn has_key(&self, key: &[u8]) -> bool {
            self.prf.has_key(self.hash, key)
        }
    }

    impl SkeyidD {
        pub(crate) fn has_key(&self, hash: HashAlgorithm, key: &[u8]) -> bool {
            self.0.has_key(hash, key)
        }
    }

    impl SkeyidA {
        pub(crate) fn has_key(&self, hash: HashAlgorithm, key: &[u8]) -> bool {
            self.0.has_key(hash, key)
        }
    }

    impl SkeyidE {
        pub(crate) fn has_key(&self, key: &[u8]) -> bool {
            *self.key == *key
        }
    }
}

#[cfg(test)]
mod tests;
