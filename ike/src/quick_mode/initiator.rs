//! Quick mode as initiator, in message order.

use std::sync::Arc;
use std::time::Duration;

use rand::CryptoRng;

use super::{Ingredients, NewPair, host, in_words, proxy_identities, same, wrong_selectors};
use crate::config::{ConnectionConfig, TrafficSelectors};
use crate::dh::KeyPair;
use crate::error::Error;
use crate::isakmp_sa::IsakmpSa;
use crate::iv::Iv;
use crate::proposal::Lifetime;
use crate::proposal::esp::{self, Terms};
use crate::wire::{
    ExchangeType, Header, Identification, Notification, NotifyType, PayloadType, Payloads, ProtocolId, SecurityAssociation, nonce,
};

/// Message 1 has left.
pub(crate) struct ExpectMessage2 {
    config: Arc<ConnectionConfig>,
    child: usize,
    selectors: TrafficSelectors,
    message_id: u32,
    spi_in: u32,
    ni: Vec<u8>,
    key_pair: Option<KeyPair>,
    iv: Iv,
}

impl ExpectMessage2 {
    /// Makes message 1 for the child of this index; `spi_in` is the SPI that the peer shall send on.
    pub(crate) fn begin(
        sa: &IsakmpSa,
        rng: &mut (impl CryptoRng + ?Sized),
        config: Arc<ConnectionConfig>,
        (child, selectors): (usize, TrafficSelectors),
        message_id: u32,
        spi_in: u32,
    ) -> (Self, Vec<u8>) {
        let ni = nonce::random(rng);
        let key_pair = config.pfs.map(|group| KeyPair::generate(group, rng));
        let mut payloads = vec![(PayloadType::SA, esp::offer(&terms(&config, sa), spi_in)), (PayloadType::NONCE, ni.clone())];
        payloads.extend(key_pair.as_ref().map(|key_pair| (PayloadType::KE, key_pair.public().to_vec())));
        payloads.push((PayloadType::ID, Identification::of_proxy(&selectors.local).encode()));
        payloads.push((PayloadType::ID, Identification::of_proxy(&selectors.remote).encode()));
        let mut iv = sa.iv_for(message_id);
        let hash = |rest: &[u8]| sa.protection.keys.a.hash1(message_id, rest);
        let message1 = sa.protection.seal(&mut iv, ExchangeType::QUICK, message_id, &payloads, hash);
        (Self { config, child, selectors, message_id, spi_in, ni, key_pair, iv }, message1)
    }

    /// Which child this is for.
    pub(crate) fn child(&self) -> usize {
        self.child
    }

    /// The SPI that a refusal would name.
    pub(crate) fn spi_in(&self) -> u32 {
        self.spi_in
    }

    /// Takes message 2, makes message 3.
    ///
    /// # Errors
    /// As for [`Protection::open`](crate::isakmp_sa::Protection::open): the outer error leaves the exchange as it was, the inner one ends it.
    pub(crate) fn message2(&self, sa: &IsakmpSa, header: &Header, body: &[u8]) -> Result<Result<(NewPair, Vec<u8>), Error>, Error> {
        let a = &sa.protection.keys.a;
        let hash = |rest: &[u8]| a.hash2(self.message_id, &self.ni, rest);
        let (read, next) = sa.protection.open(&self.iv, header, body, hash, |payloads| self.read(sa, payloads))?;
        Ok(read.map(|(pair, nr)| {
            let mut iv = self.iv;
            iv.confirm(next);
            let hash = |_: &[u8]| a.hash3(self.message_id, &self.ni, &nr);
            (pair, sa.protection.seal(&mut iv, ExchangeType::QUICK, self.message_id, &[], hash))
        }))
    }

    fn read(&self, sa: &IsakmpSa, payloads: &Payloads<'_>) -> Result<(NewPair, Vec<u8>), Error> {
        let answer = SecurityAssociation::parse(payloads.require(PayloadType::SA, "SA payload")?.body)?;
        let choice = esp::accept(&terms(&self.config, sa), &answer)?;
        let nr = nonce::parse(payloads.require(PayloadType::NONCE, "nonce payload")?.body)?;
        let shared = match &self.key_pair {
            Some(key_pair) => Some(key_pair.shared_secret(payloads.require(PayloadType::KE, "key exchange payload")?.body)?),
            None => None,
        };
        self.check_selectors(payloads)?;
        let agreed = choice.lifetime.agreed(self.config.esp_lifetime);
        let ingredients = Ingredients { protection: &sa.protection, shared, ni_b: &self.ni, nr_b: nr, transform: choice.transform };
        let lifetime = responder_lifetime(payloads)?.map_or(agreed, |theirs| theirs.min(agreed));
        let pair = NewPair {
            child: self.child,
            selectors: self.selectors,
            transform: choice.transform,
            pfs: choice.pfs,
            spi_in: self.spi_in,
            spi_out: choice.spi,
            keymat_in: ingredients.keymat(self.spi_in),
            keymat_out: ingredients.keymat(choice.spi),
            lifetime,
            lifetime_remark: Lifetime::of(lifetime).remark(self.config.esp_lifetime, "IPsec SA"),
            encapsulated: sa.nat.encapsulates(),
        };
        Ok((pair, nr.to_vec()))
    }

    /// The responder must return what we asked for; without any identities it means the two hosts.
    fn check_selectors(&self, payloads: &Payloads<'_>) -> Result<(), Error> {
        let expected = in_words(&self.selectors);
        let hosts = TrafficSelectors { local: host(self.config.local), remote: host(self.config.remote) };
        let Some((idci, idcr)) = proxy_identities(payloads)? else {
            return if same(&hosts, &self.selectors) { Ok(()) } else { Err(wrong_selectors(expected, in_words(&hosts))) };
        };
        match (idci.proxy_identity(), idcr.proxy_identity()) {
            (Some(local), Some(remote)) if same(&TrafficSelectors { local, remote }, &self.selectors) => Ok(()),
            _ => Err(wrong_selectors(expected, format!("{idci} <-> {idcr}"))),
        }
    }
}

fn terms<'a>(config: &'a ConnectionConfig, sa: &IsakmpSa) -> Terms<'a> {
    Terms { transforms: &config.esp_proposals, pfs: config.pfs, mode: sa.nat.mode(), lifetime: config.esp_lifetime }
}

/// The responder keeps the SA for less long than it echoed.
fn responder_lifetime(payloads: &Payloads<'_>) -> Result<Option<Duration>, Error> {
    for payload in payloads.all(PayloadType::NOTIFY) {
        let notification = Notification::parse(payload.body)?;
        if notification.notify_type == NotifyType::RESPONDER_LIFETIME && notification.protocol == ProtocolId::ESP {
            return Ok(esp::LIFETIME.decode(notification.data)?.duration());
        }
    }
    Ok(None)
}
