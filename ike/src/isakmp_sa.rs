//! What main mode leaves behind: the keys and facts under which quick mode and informational exchanges run.

use std::sync::Arc;
use std::time::Duration;

use crate::crypto::{Cipher, Digest};
use crate::error::{Error, NotNow};
use crate::event::{IkeKey, Role};
use crate::iv::{Iv, ProposedIv};
use crate::keys::SessionKeys;
use crate::nat::Nat;
use crate::proposal::{HashAlgorithm, IkeProposal};
use crate::wire::notify::isakmp_spi;
use crate::wire::{Chain, Cookie, ExchangeType, Header, PayloadType, Payloads};

/// The keys of one ISAKMP SA, from the moment both public values are known.
pub(crate) struct Protection {
    pub(crate) initiator_cookie: Cookie,
    pub(crate) responder_cookie: Cookie,
    pub(crate) hash: HashAlgorithm,
    pub(crate) keys: SessionKeys,
    pub(crate) cipher: Cipher,
}

impl Protection {
    pub(crate) fn header(&self, exchange: ExchangeType, message_id: u32) -> Header {
        Header::new(self.initiator_cookie, self.responder_cookie, exchange, message_id)
    }

    /// The key, for a key log.
    pub(crate) fn logged_key(&self) -> IkeKey {
        IkeKey { initiator_cookie: self.initiator_cookie.0, key: self.cipher.key().to_vec() }
    }

    /// Both cookies: the SPI of the ISAKMP SA in NOTIFY and DELETE (RFC 2408 section 3.14).
    pub(crate) fn spi(&self) -> [u8; 16] {
        isakmp_spi(self.initiator_cookie, self.responder_cookie)
    }

    /// Encrypts a message whose first payload is the HASH over the others (RFC 2409 sections 5.5 and 5.7); `hash_of` gets those others as bytes.
    pub(crate) fn seal(
        &self,
        iv: &mut Iv,
        exchange: ExchangeType,
        message_id: u32,
        payloads: &[(PayloadType, Vec<u8>)],
        hash_of: impl FnOnce(&[u8]) -> Digest,
    ) -> Vec<u8> {
        let mut rest = Chain::new();
        for (kind, body) in payloads {
            rest.push(*kind, body);
        }
        let hash = hash_of(rest.bytes());
        let mut chain = Chain::new();
        chain.push(PayloadType::HASH, &hash);
        for (kind, body) in payloads {
            chain.push(*kind, body);
        }
        iv.seal(&self.cipher, &self.header(exchange, message_id), &chain)
    }

    /// Decrypts a message whose first payload is a HASH and lets `read` see the payloads only if `hash_of`, given the bytes behind
    /// that payload, gives the same.
    ///
    /// # Errors
    /// The outer error says nothing about the peer: anybody can have sent such a message. An error of `read` is the peer's own doing.
    pub(crate) fn open<T>(
        &self,
        iv: &Iv,
        header: &Header,
        body: &[u8],
        hash_of: impl FnOnce(&[u8]) -> Digest,
        read: impl FnOnce(&Payloads<'_>) -> Result<T, Error>,
    ) -> Result<(Result<T, Error>, ProposedIv), Error> {
        if !header.is_encrypted() {
            return Err(NotNow::UnencryptedMessage.into());
        }
        let opened = iv.open(&self.cipher, body)?;
        let payloads = Payloads::parse(header.next_payload, &opened.plaintext).map_err(|_| Error::from(NotNow::Undecipherable))?;
        let hash = payloads.iter().next().filter(|payload| payload.kind == PayloadType::HASH).ok_or(NotNow::Undecipherable)?;
        if !hash_of(hash.rest).ct_eq(hash.body) {
            return Err(NotNow::BadHash.into());
        }
        Ok((read(&payloads), opened.next))
    }
}

/// An established ISAKMP SA.
pub(crate) struct IsakmpSa {
    pub(crate) role: Role,
    pub(crate) protection: Arc<Protection>,
    /// After message 6: from it and a message id every later exchange's IV is made (RFC 2409 appendix B).
    pub(crate) iv: Iv,
    pub(crate) proposal: IkeProposal,
    pub(crate) nat: Nat,
    /// The shorter of both ends' wishes.
    pub(crate) lifetime: Duration,
    /// What the two ends wished, where it differs, in words.
    pub(crate) lifetime_remark: Option<String>,
    /// The peer announced RFC 3706.
    pub(crate) dpd: bool,
    /// The peer says that it holds nothing older.
    pub(crate) initial_contact: bool,
    /// Which key proved the peer.
    pub(crate) key: KeyChoice,
}

/// Which of a connection's pre-shared keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyChoice {
    /// `psk`.
    Present,
    /// `psk_next`.
    Next,
}

impl IsakmpSa {
    /// The first IV of another exchange.
    pub(crate) fn iv_for(&self, message_id: u32) -> Iv {
        self.iv.for_message_id(self.protection.hash, message_id)
    }
}
