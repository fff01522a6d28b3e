//! The chain of CBC IVs (RFC 2409 appendix B), and the messages encrypted along it.
//!
//! Each message's last ciphertext block is the next message's IV. Whoever can send us a datagram could break such a chain, so a received
//! message only *proposes* the next IV: [`Iv::open`] leaves the chain where it is, and [`Iv::confirm`] advances it once the message's
//! HASH has proved who sent it.

use zeroize::Zeroizing;

use crate::crypto::{self, Cipher, MAX_BLOCK};
use crate::proposal::HashAlgorithm;
use crate::wire::{Chain, Flags, Header, Malformed};

/// Where the chain of one exchange stands. IVs travel in clear or follow from what does: they are no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Iv {
    block: [u8; MAX_BLOCK],
    len: usize,
}

/// A received message, decrypted but not yet believed.
pub(crate) struct Opened {
    /// The chain of payloads and the padding behind it.
    pub(crate) plaintext: Zeroizing<Vec<u8>>,
    /// Where the chain would stand after it.
    pub(crate) next: ProposedIv,
}

/// The IV that a received message proposes; worth nothing until [`Iv::confirm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct ProposedIv(Iv);

impl Iv {
    /// The first IV of main mode: `hash(g^xi | g^xr)`, cut to the block.
    pub(crate) fn phase_one(hash: HashAlgorithm, gxi: &[u8], gxr: &[u8], cipher: &Cipher) -> Self {
        Self::cut(&crypto::hash(hash, &[gxi, gxr]), cipher.block_len())
    }

    /// The first IV of another exchange: `hash(last block of phase 1 | M-ID)`, cut to the block. `self` is main mode's chain after its last message.
    pub(crate) fn for_message_id(&self, hash: HashAlgorithm, message_id: u32) -> Self {
        Self::cut(&crypto::hash(hash, &[self.as_bytes(), &message_id.to_be_bytes()]), self.len)
    }

    /// Encrypts a message and advances the chain. The plaintext is padded with zeroes to whole blocks.
    pub(crate) fn seal(&mut self, cipher: &Cipher, header: &Header, chain: &Chain) -> Vec<u8> {
        let padded = chain.bytes().len().next_multiple_of(cipher.block_len());
        let header = Header {
            next_payload: chain.first(),
            flags: Flags(header.flags.0 | Flags::ENCRYPTED.0),
            length: u32::try_from(Header::LEN + padded).expect("our messages are far smaller than 4 GiB"),
            ..*header
        };
        let mut message = header.encode();
        message.extend_from_slice(chain.bytes());
        message.resize(Header::LEN + padded, 0);
        let body = &mut message[Header::LEN..];
        cipher.encrypt(self.as_bytes(), body);
        *self = Self::cut(&body[padded - self.len..], self.len);
        message
    }

    /// Decrypts the body of a message without moving the chain.
    ///
    /// # Errors
    /// The body is empty or not of whole blocks.
    pub(crate) fn open(&self, cipher: &Cipher, body: &[u8]) -> Result<Opened, Malformed> {
        if body.is_empty() || !body.len().is_multiple_of(self.len) {
            return Err(Malformed::length("length of the encrypted payloads", body.len(), "whole cipher blocks, at least one"));
        }
        let next = ProposedIv(Self::cut(&body[body.len() - self.len..], self.len));
        let mut plaintext = Zeroizing::new(body.to_vec());
        cipher.decrypt(self.as_bytes(), &mut plaintext);
        Ok(Opened { plaintext, next })
    }

    /// Advances the chain behind a received message that has proved authentic.
    pub(crate) fn confirm(&mut self, next: ProposedIv) {
        *self = next.0;
    }

    /// One cipher block.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.block[..self.len]
    }

    fn cut(bytes: &[u8], len: usize) -> Self {
        let mut block = [0; MAX_BLOCK];
        block[..len].copy_from_slice(&bytes[..len]);
        Self { block, len }
    }
}

#[cfg(test)]
mod tests;
