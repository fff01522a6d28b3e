//! Quick mode as responder, in message order.

use rand::CryptoRng;

use super::{Ingredients, NewPair, host, in_words, proxy_identities, same, wrong_selectors};
use crate::config::{ConnectionConfig, TrafficSelectors};
use crate::dh::KeyPair;
use crate::error::Error;
use crate::isakmp_sa::IsakmpSa;
use crate::iv::Iv;
use crate::proposal::Disagreement;
use crate::proposal::esp::{self, EspChoice, Mode, Terms};
use crate::wire::{ExchangeType, Header, Notification, NotifyType, PayloadType, Payloads, ProtocolId, SecurityAssociation, nonce};

/// Message 2 has left; the pair's inbound SA stands.
pub(crate) struct ExpectMessage3 {
    message_id: u32,
    ni: Vec<u8>,
    nr: Vec<u8>,
    iv: Iv,
}

/// An authentic message 1 that we agree to: the next state, the pair, and message 2.
pub(crate) type Agreed = (ExpectMessage3, NewPair, Vec<u8>);

/// An authentic message 1 that we refuse.
pub(crate) struct Refusal {
    pub(crate) error: Error,
    /// The SPI that the peer offered, by which it knows what is refused.
    pub(crate) spi: Option<u32>,
}

impl ExpectMessage3 {
    /// Takes message 1, makes message 2; `spi_in` is the SPI that the peer shall send on.
    ///
    /// # Errors
    /// The outer error says nothing about the peer, the inner one is for it to hear.
    pub(crate) fn message1(
        sa: &IsakmpSa,
        rng: &mut (impl CryptoRng + ?Sized),
        config: &ConnectionConfig,
        header: &Header,
        body: &[u8],
        spi_in: u32,
    ) -> Result<Result<Agreed, Refusal>, Error> {
        let message_id = header.message_id;
        let a = &sa.protection.keys.a;
        let mut iv = sa.iv_for(message_id);
        let mut offered_spi = None;
        let (read, next) = sa.protection.open(
            &iv,
            header,
            body,
            |rest| a.hash1(message_id, rest),
            |payloads| {
                let offer = SecurityAssociation::parse(payloads.require(PayloadType::SA, "SA payload")?.body)?;
                offered_spi = offer.proposals.first().and_then(|proposal| Some(u32::from_be_bytes(proposal.spi.try_into().ok()?)));
                Answer::to(sa, rng, config, payloads, &offer, spi_in)
            },
        )?;
        let Answer { pair, ni, nr, payloads } = match read {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(Refusal { error, spi: offered_spi })),
        };
        iv.confirm(next);
        let message2 = sa.protection.seal(&mut iv, ExchangeType::QUICK, message_id, &payloads, |rest| a.hash2(message_id, &ni, rest));
        Ok(Ok((Self { message_id, ni, nr, iv }, pair, message2)))
    }

    /// Takes message 3.
    pub(crate) fn message3(&self, sa: &IsakmpSa, header: &Header, body: &[u8]) -> Result<(), Error> {
        let hash = |_: &[u8]| sa.protection.keys.a.hash3(self.message_id, &self.ni, &self.nr);
        sa.protection.open(&self.iv, header, body, hash, |_| Ok(()))?.0
    }
}

/// What message 2 will say.
struct Answer {
    pair: NewPair,
    ni: Vec<u8>,
    nr: Vec<u8>,
    payloads: Vec<(PayloadType, Vec<u8>)>,
}

impl Answer {
    fn to(
        sa: &IsakmpSa,
        rng: &mut (impl CryptoRng + ?Sized),
        config: &ConnectionConfig,
        payloads: &Payloads<'_>,
        offer: &SecurityAssociation,
        spi_in: u32,
    ) -> Result<Self, Error> {
        let (choice, mode) = choose(sa, config, offer, spi_in)?;
        let ni = nonce::parse(payloads.require(PayloadType::NONCE, "nonce payload")?.body)?.to_vec();
        let (child, selectors) = find_child(config, payloads)?;
        let nr = nonce::random(rng);
        let lifetime = choice.lifetime.agreed(config.esp_lifetime);

        let mut answer = vec![(PayloadType::SA, choice.answer), (PayloadType::NONCE, nr.clone())];
        let shared = match choice.pfs {
            Some(group) => {
                let key_pair = KeyPair::generate(group, rng);
                let shared = key_pair.shared_secret(payloads.require(PayloadType::KE, "key exchange payload")?.body)?;
                answer.push((PayloadType::KE, key_pair.public().to_vec()));
                Some(shared)
            }
            None => None,
        };
        answer.extend(payloads.all(PayloadType::ID).map(|payload| (PayloadType::ID, payload.body.to_vec())));
        if choice.lifetime.duration() != Some(lifetime) {
            let data = esp::LIFETIME.encode(lifetime);
            let spi = spi_in.to_be_bytes();
            let notification =
                Notification { protocol: ProtocolId::ESP, spi: &spi, notify_type: NotifyType::RESPONDER_LIFETIME, data: &data };
            answer.push((PayloadType::NOTIFY, notification.encode()));
        }

        let ingredients = Ingredients { protection: &sa.protection, shared, ni_b: &ni, nr_b: &nr, transform: choice.transform };
        let pair = NewPair {
            child,
            selectors,
            transform: choice.transform,
            pfs: choice.pfs,
            spi_in,
            spi_out: choice.spi,
            keymat_in: ingredients.keymat(spi_in),
            keymat_out: ingredients.keymat(choice.spi),
            lifetime,
            lifetime_remark: choice.lifetime.remark(config.esp_lifetime, "IPsec SA"),
            encapsulated: mode != Mode::Tunnel,
        };
        Ok(Self { pair, ni, nr, payloads: answer })
    }
}

/// Our choice among the offer, in the encapsulation that NAT detection calls for. Where it found no NAT, a peer on port 4500 may
/// still ask for UDP (RFC 3947 section 5.1 leaves the mode to the initiator).
fn choose(sa: &IsakmpSa, config: &ConnectionConfig, offer: &SecurityAssociation, spi_in: u32) -> Result<(EspChoice, Mode), Disagreement> {
    let with = |mode| {
        let terms = Terms { transforms: &config.esp_proposals, pfs: config.pfs, mode, lifetime: config.esp_lifetime };
        esp::choose(&terms, offer, spi_in).map(|choice| (choice, mode))
    };
    let expected = with(sa.nat.mode());
    if expected.is_err() && sa.nat.traversal.is_some() && !sa.nat.encapsulates() {
        return with(Mode::UdpTunnel).or(expected);
    }
    expected
}

/// The child whose proxy identities are the offered ones, seen from here: the initiator's side is our remote one.
fn find_child(config: &ConnectionConfig, payloads: &Payloads<'_>) -> Result<(usize, TrafficSelectors), Error> {
    let ids = proxy_identities(payloads)?;
    let offered = match &ids {
        None => Some(TrafficSelectors { local: host(config.local), remote: host(config.remote) }),
        Some((idci, idcr)) => match (idcr.proxy_identity(), idci.proxy_identity()) {
            (Some(local), Some(remote)) => Some(TrafficSelectors { local, remote }),
            _ => None,
        },
    };
    let child = offered.and_then(|offered| config.children.iter().position(|child| same(child, &offered)));
    if let Some((index, selectors)) = child.and_then(|index| Some((index, *config.children.get(index)?))) {
        return Ok((index, selectors));
    }
    let found = match (&offered, &ids) {
        (Some(offered), _) => in_words(offered),
        (None, Some((idci, idcr))) => format!("{idcr} <-> {idci}"),
        (None, None) => String::new(),
    };
    let expected: Vec<_> = config.children.iter().map(in_words).collect();
    Err(wrong_selectors(expected.join(" or "), found))
}
