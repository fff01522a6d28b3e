//! Main mode as responder, in message order. Nothing is computed for a peer before it has returned our cookie, and no key is
//! believed before HASH_I holds.

use std::sync::Arc;

use rand::CryptoRng;

use super::{Proven, Side, Transcript, announces_dpd, first_chain, isakmp_notification, key_exchange, prove, security_association};
use crate::config::{ConnectionConfig, NatTraversal, Psk};
use crate::dh::KeyPair;
use crate::error::{Error, Fatal, NotNow};
use crate::event::Role;
use crate::isakmp_sa::{IsakmpSa, KeyChoice, Protection};
use crate::iv::Iv;
use crate::keys::Skeyid;
use crate::nat::{self, Detection, NAT_TRAVERSAL_PORT, Nat, Path, Traversal};
use crate::proposal::{self, IkeProposal, Lifetime};
use crate::wire::{Chain, Cookie, ExchangeType, Header, Identification, NotifyType, PayloadType, Payloads, nonce};

/// Message 2 has left.
pub(crate) struct ExpectMessage3 {
    config: Arc<ConnectionConfig>,
    initiator_cookie: Cookie,
    responder_cookie: Cookie,
    sai_b: Vec<u8>,
    proposal: IkeProposal,
    /// As offered, if it was.
    offered_lifetime: Lifetime,
    dpd: bool,
    traversal: Option<Traversal>,
}

impl ExpectMessage3 {
    /// Takes message 1, makes message 2: exactly one proposal and one transform, unchanged.
    pub(crate) fn message1(config: Arc<ConnectionConfig>, cookie: Cookie, header: &Header, body: &[u8]) -> Result<(Self, Vec<u8>), Error> {
        let payloads = Payloads::parse(header.next_payload, body)?;
        let offer = security_association(&payloads)?;
        let choice = proposal::ike::choose(&config.ike_proposals, &offer)?;
        let state = Self {
            initiator_cookie: header.initiator_cookie,
            responder_cookie: cookie,
            sai_b: payloads.require(PayloadType::SA, "SA payload")?.body.to_vec(),
            proposal: choice.proposal,
            offered_lifetime: choice.lifetime,
            dpd: announces_dpd(&payloads),
            traversal: nat::agree(config.nat_traversal, &payloads),
            config,
        };
        let header = Header::new(state.initiator_cookie, state.responder_cookie, ExchangeType::MAIN, 0);
        let message2 = first_chain(&state.config, &choice.answer).message(&header);
        Ok((state, message2))
    }

    fn detection(&self, path: Path) -> Option<Detection> {
        Some(Detection {
            traversal: self.traversal?,
            hash: self.proposal.hash,
            initiator_cookie: self.initiator_cookie,
            responder_cookie: self.responder_cookie,
            path,
            force: self.config.nat_traversal == NatTraversal::Force,
        })
    }

    /// Takes message 3, makes message 4. The keys follow, once for each pre-shared key (`keys`) that the peer may hold.
    pub(crate) fn message3(
        &self,
        rng: &mut (impl CryptoRng + ?Sized),
        header: &Header,
        body: &[u8],
        path: Path,
        keys: &[KeyChoice],
    ) -> Result<(ExpectMessage5, Vec<u8>), Error> {
        let payloads = Payloads::parse(header.next_payload, body)?;
        let (gxi, ni) = key_exchange(&payloads)?;
        let key_pair = KeyPair::generate(self.proposal.group, rng);
        let shared = key_pair.shared_secret(gxi)?;
        let nr = nonce::random(rng);
        let detection = self.detection(path);
        let transcript = Transcript {
            gxi: gxi.to_vec(),
            gxr: key_pair.public().to_vec(),
            initiator_cookie: self.initiator_cookie,
            responder_cookie: self.responder_cookie,
            sai_b: self.sai_b.clone(),
        };
        let candidate = |choice: KeyChoice, psk: &Psk| {
            let skeyid = Skeyid::from_psk(self.proposal.hash, psk.as_bytes(), ni, &nr);
            let keys = skeyid.derive(&shared, self.initiator_cookie, self.responder_cookie);
            Candidate { choice, protection: Arc::new(transcript.protection(self.proposal, keys)), skeyid }
        };
        let candidates = keys.iter().filter_map(|&choice| match choice {
            KeyChoice::Present => Some(candidate(choice, &self.config.psk)),
            KeyChoice::Next => self.config.psk_next.as_ref().map(|psk| candidate(choice, psk)),
        });
        let candidates: Vec<_> = candidates.collect();
        let nat = match &detection {
            Some(detection) => detection.judge(&payloads),
            None => Nat { traversal: None, local: false, remote: false, forced: false },
        };

        let mut chain = Chain::new();
        chain.push(PayloadType::KE, key_pair.public());
        chain.push(PayloadType::NONCE, &nr);
        for (kind, hash) in detection.iter().flat_map(|detection| detection.payloads(rng)) {
            chain.push(kind, &hash);
        }
        let message4 = chain.message(&Header::new(self.initiator_cookie, self.responder_cookie, ExchangeType::MAIN, 0));
        let next = ExpectMessage5 {
            config: Arc::clone(&self.config),
            proposal: self.proposal,
            offered_lifetime: self.offered_lifetime,
            dpd: self.dpd,
            nat,
            transcript,
            candidates,
        };
        Ok((next, message4))
    }
}

/// The keys under one of the pre-shared keys.
struct Candidate {
    choice: KeyChoice,
    skeyid: Skeyid,
    protection: Arc<Protection>,
}

/// Message 4 has left.
pub(crate) struct ExpectMessage5 {
    config: Arc<ConnectionConfig>,
    proposal: IkeProposal,
    offered_lifetime: Lifetime,
    dpd: bool,
    nat: Nat,
    transcript: Transcript,
    candidates: Vec<Candidate>,
}

impl ExpectMessage5 {
    /// Takes message 5, makes message 6 with or without INITIAL-CONTACT.
    pub(crate) fn message5(&self, header: &Header, body: &[u8], path: Path, initial_contact: bool) -> Result<(IsakmpSa, Vec<u8>), Error> {
        let mut refusal = Error::from(NotNow::Undecipherable);
        for candidate in &self.candidates {
            match self.prove_with(candidate, header, body) {
                Ok((proven, iv)) => return Ok(self.answer(candidate, proven, iv, path, initial_contact)),
                Err(error @ Error::Fatal(Fatal::WrongIdentity { .. })) => return Err(error),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// With which keys, and after which block, an authenticated refusal of message 5 leaves.
    pub(crate) fn protection(&self, body: &[u8]) -> Option<(&Protection, Iv)> {
        let candidate = self.candidates.first()?;
        let mut iv = self.first_iv(candidate);
        let opened = iv.open(&candidate.protection.cipher, body).ok()?;
        iv.confirm(opened.next);
        Some((&candidate.protection, iv))
    }

    fn first_iv(&self, candidate: &Candidate) -> Iv {
        Iv::phase_one(self.proposal.hash, &self.transcript.gxi, &self.transcript.gxr, &candidate.protection.cipher)
    }

    fn prove_with(&self, candidate: &Candidate, header: &Header, body: &[u8]) -> Result<(Proven, Iv), Error> {
        let mut iv = self.first_iv(candidate);
        let opened = iv.open(&candidate.protection.cipher, body)?;
        let payloads = Payloads::parse(header.next_payload, &opened.plaintext).map_err(|_| Error::from(NotNow::Undecipherable))?;
        let proven = prove(&payloads, &candidate.skeyid, &self.transcript.exchanged(), Side::Initiator, &self.config)?;
        iv.confirm(opened.next);
        Ok((proven, iv))
    }

    fn answer(&self, candidate: &Candidate, proven: Proven, mut iv: Iv, path: Path, initial_contact: bool) -> (IsakmpSa, Vec<u8>) {
        let protection = &candidate.protection;
        let idir_b = Identification::of_identity(&self.config.local_id).encode();
        let mut chain = Chain::new();
        chain.push(PayloadType::ID, &idir_b);
        chain.push(PayloadType::HASH, &candidate.skeyid.hash_r(&self.transcript.exchanged(), &idir_b));
        if initial_contact {
            chain.push(PayloadType::NOTIFY, &isakmp_notification(protection, NotifyType::INITIAL_CONTACT, &[]));
        }
        // The offered lifetime was echoed unchanged; a shorter one of ours is said here, where it is protected.
        let lifetime = self.offered_lifetime.agreed(self.config.ike_lifetime);
        if self.offered_lifetime.duration() != Some(lifetime) {
            let data = proposal::ike::LIFETIME.encode(lifetime);
            chain.push(PayloadType::NOTIFY, &isakmp_notification(protection, NotifyType::RESPONDER_LIFETIME, &data));
        }
        // NAT-D payloads prove nothing by themselves. An initiator that sees a NAT must have moved by now (RFC 3947 section 4); if it has
        // not, both ends go on as without one.
        let nat =
            if path.local.port() == NAT_TRAVERSAL_PORT { self.nat } else { Nat { local: false, remote: false, forced: false, ..self.nat } };
        let message6 = iv.seal(&protection.cipher, &protection.header(ExchangeType::MAIN, 0), &chain);
        let sa = IsakmpSa {
            role: Role::Responder,
            protection: Arc::clone(protection),
            iv,
            proposal: self.proposal,
            nat,
            lifetime,
            lifetime_remark: self.offered_lifetime.remark(self.config.ike_lifetime, "ISAKMP SA"),
            dpd: self.dpd,
            initial_contact: proven.initial_contact,
            key: candidate.choice,
        };
        (sa, message6)
    }
}
