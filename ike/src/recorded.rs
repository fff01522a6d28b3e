//! Whole handshakes of another implementation, re-derived byte for byte: every payload parsed, every secret, IV, hash and key computed
//! from what was on the wire and the two facts that were not (the pre-shared key and `g^xy`), every message decrypted and its HASH verified.
//!
//! Each recording is one main mode, a quick mode, a second one that rekeys it, and three DELETEs, between 10.9.0.1 and 10.9.0.2.
#![allow(clippy::unwrap_used)]

mod aes128_sha1_group2;
mod aes128_sha256_group5;
mod aes192_sha1_group14;
mod aes256_sha1_group5;

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::{Identity, ProxyIdentity};
use crate::crypto::Cipher;
use crate::dh::SharedSecret;
use crate::iv::Iv;
use crate::keys::{Exchanged, SessionKeys, Skeyid};
use crate::proposal::{self, EspTransform, Group, HashAlgorithm, IkeProposal};
use crate::wire::{
    Chain, Delete, ExchangeType, Header, Identification, PayloadType, Payloads, ProtocolId, SecurityAssociation, VendorId, natd, nonce,
};

/// Who sent a message. The initiator of main mode started every other exchange too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Initiator,
    Responder,
}

/// One recording; `messages` are UDP payloads without non-ESP markers.
struct Recording {
    ike: &'static str,
    esp: &'static str,
    pfs: &'static str,
    psk: &'static [u8],
    g_xy: &'static [u8],
    skeyid: &'static [u8],
    skeyid_d: &'static [u8],
    skeyid_a: &'static [u8],
    skeyid_e: &'static [u8],
    ka: &'static [u8],
    first_iv: &'static [u8],
    hash_i: &'static [u8],
    hash_r: &'static [u8],
    last_iv: &'static [u8],
    quick_modes: [QuickMode; 2],
    messages: &'static [(Sender, &'static [u8])],
}

/// The secrets of one quick mode; SPIs by their receiver.
struct QuickMode {
    message_id: u32,
    g_qm_xy: &'static [u8],
    spi_initiator: u32,
    spi_responder: u32,
    keymat_to_initiator: &'static [u8],
    keymat_to_responder: &'static [u8],
}

const RECORDINGS: [Recording; 4] =
    [aes128_sha1_group2::RECORDING, aes128_sha256_group5::RECORDING, aes192_sha1_group14::RECORDING, aes256_sha1_group5::RECORDING];

/// Every recorded message, for tests that damage them.
pub(crate) fn messages() -> Vec<&'static [u8]> {
    RECORDINGS.iter().flat_map(|recording| recording.messages).map(|(_, message)| *message).collect()
}

/// What both ends know after the fourth message.
struct Phase1 {
    proposal: IkeProposal,
    header: Header,
    sai_b: &'static [u8],
    gxi: &'static [u8],
    gxr: &'static [u8],
    skeyid: Skeyid,
    keys: SessionKeys,
    cipher: Cipher,
}

impl Phase1 {
    fn exchanged(&self) -> Exchanged<'_> {
        Exchanged {
            gxi: self.gxi,
            gxr: self.gxr,
            initiator_cookie: self.header.initiator_cookie,
            responder_cookie: self.header.responder_cookie,
            sai_b: self.sai_b,
        }
    }

    fn hash(&self) -> HashAlgorithm {
        self.proposal.hash
    }
}

impl Recording {
    fn message(&self, index: usize) -> (Header, &'static [u8]) {
        Header::parse(self.messages[index].1).unwrap()
    }

    fn body_of(&self, index: usize, kind: PayloadType) -> &'static [u8] {
        let (header, body) = self.message(index);
        Payloads::parse(header.next_payload, body).unwrap().first(kind).unwrap().body
    }

    fn phase1(&self) -> Phase1 {
        let proposal: IkeProposal = self.ike.parse().unwrap();
        let (header, _) = self.message(3);
        let (ni_b, nr_b) = (self.body_of(2, PayloadType::NONCE), self.body_of(3, PayloadType::NONCE));
        let skeyid = Skeyid::from_psk(proposal.hash, self.psk, ni_b, nr_b);
        let keys = skeyid.derive(&SharedSecret::from_bytes(self.g_xy), header.initiator_cookie, header.responder_cookie);
        let cipher = keys.e.cipher(proposal.encryption);
        Phase1 {
            proposal,
            header,
            sai_b: self.body_of(0, PayloadType::SA),
            gxi: self.body_of(2, PayloadType::KE),
            gxr: self.body_of(3, PayloadType::KE),
            skeyid,
            keys,
            cipher,
        }
    }

    /// The chain behind message 6, having opened both encrypted messages of main mode.
    fn last_iv(&self, phase1: &Phase1) -> Iv {
        let mut iv = Iv::phase_one(phase1.hash(), phase1.gxi, phase1.gxr, &phase1.cipher);
        for index in [4, 5] {
            let opened = iv.open(&phase1.cipher, self.message(index).1).unwrap();
            iv.confirm(opened.next);
        }
        iv
    }

    /// Decrypts every message of one exchange after main mode, in order.
    fn exchange(&self, phase1: &Phase1, message_id: u32) -> Vec<(Header, Vec<u8>)> {
        let mut iv = self.last_iv(phase1).for_message_id(phase1.hash(), message_id);
        let mut decrypted = Vec::new();
        for (_, message) in self.messages {
            let (header, body) = Header::parse(message).unwrap();
            if header.message_id == message_id {
                let opened = iv.open(&phase1.cipher, body).unwrap();
                iv.confirm(opened.next);
                decrypted.push((header, opened.plaintext.to_vec()));
            }
        }
        decrypted
    }
}

#[test]
fn clear_messages_have_the_payloads_of_main_mode() {
    for recording in &RECORDINGS {
        let expected: [&[PayloadType]; 4] = [
            &[PayloadType::SA, PayloadType::VENDOR_ID],
            &[PayloadType::SA, PayloadType::VENDOR_ID],
            &[PayloadType::KE, PayloadType::NONCE, PayloadType::NAT_D],
            &[PayloadType::KE, PayloadType::NONCE, PayloadType::NAT_D],
        ];
        for (index, expected) in expected.into_iter().enumerate() {
            let (header, body) = recording.message(index);
            assert_eq!(header.exchange, ExchangeType::MAIN);
            assert_eq!((header.version, header.message_id), (Header::VERSION, 0));
            assert!(!header.is_encrypted());
            let payloads = Payloads::parse(header.next_payload, body).unwrap();
            let mut kinds: Vec<_> = payloads.iter().map(|payload| payload.kind).collect();
            kinds.dedup();
            assert_eq!(kinds, expected, "message {}", index + 1);
            assert!(payloads.padding().is_empty());
        }
    }
}

#[test]
fn messages_are_rebuilt_byte_for_byte() {
    for message in RECORDINGS.iter().flat_map(|recording| &recording.messages[..4]).map(|(_, message)| *message) {
        let (header, body) = Header::parse(message).unwrap();
        let mut chain = Chain::new();
        for payload in Payloads::parse(header.next_payload, body).unwrap().iter() {
            chain.push(payload.kind, payload.body);
        }
        assert_eq!(chain.message(&header), message);
    }
}

#[test]
fn vendor_ids_are_recognised() {
    for recording in &RECORDINGS {
        let (header, body) = recording.message(0);
        let payloads = Payloads::parse(header.next_payload, body).unwrap();
        let ids: Vec<_> = payloads.all(PayloadType::VENDOR_ID).map(|payload| VendorId::recognise(payload.body).unwrap()).collect();
        let expected = [
            VendorId::Xauth,
            VendorId::DeadPeerDetection,
            VendorId::Fragmentation,
            VendorId::NatTraversal,
            VendorId::NatTraversalDraft02Newline,
        ];
        assert_eq!(ids, expected);
    }
}

#[test]
fn phase_1_choice_is_the_recorded_answer() {
    for recording in &RECORDINGS {
        let ours = [recording.ike.parse().unwrap()];
        let offer = SecurityAssociation::parse(recording.body_of(0, PayloadType::SA)).unwrap();
        let choice = proposal::ike::choose(&ours, &offer).unwrap();
        assert_eq!(choice.answer, recording.body_of(1, PayloadType::SA));
        assert_eq!(choice.proposal, ours[0]);
        assert_eq!(choice.lifetime.duration(), Some(Duration::from_secs(15840)));

        let answer = SecurityAssociation::parse(recording.body_of(1, PayloadType::SA)).unwrap();
        assert_eq!(proposal::ike::accept(&ours, &answer).unwrap().proposal, ours[0]);
    }
}

/// The recording peer forces UDP encapsulation by a false hash for its own end, so only the first one of each message can be checked.
#[test]
fn nat_detection_hashes_are_those_of_the_remote_end() {
    for recording in &RECORDINGS {
        let phase1 = recording.phase1();
        for (index, remote) in [(2, "10.9.0.2:500"), (3, "10.9.0.1:500")] {
            let remote: SocketAddr = remote.parse().unwrap();
            let hash = natd::hash(phase1.hash(), phase1.header.initiator_cookie, phase1.header.responder_cookie, remote);
            assert_eq!(&*hash, recording.body_of(index, PayloadType::NAT_D), "message {}", index + 1);
        }
    }
}

#[test]
fn skeyids_and_ka_are_the_recorded_ones() {
    for recording in &RECORDINGS {
        let phase1 = recording.phase1();
        nonce::parse(recording.body_of(2, PayloadType::NONCE)).unwrap();
        assert!(phase1.skeyid.has_key(recording.skeyid));
        assert!(phase1.keys.d.has_key(phase1.hash(), recording.skeyid_d));
        assert!(phase1.keys.a.has_key(phase1.hash(), recording.skeyid_a));
        assert!(phase1.keys.e.has_key(recording.skeyid_e));
        assert!(phase1.cipher.has_key(recording.ka));
    }
}

#[test]
fn main_mode_decrypts_and_both_hashes_verify() {
    for recording in &RECORDINGS {
        let phase1 = recording.phase1();
        let mut iv = Iv::phase_one(phase1.hash(), phase1.gxi, phase1.gxr, &phase1.cipher);
        assert_eq!(iv.as_bytes(), recording.first_iv);
        for (index, expected, address) in [(4, recording.hash_i, "10.9.0.1"), (5, recording.hash_r, "10.9.0.2")] {
            let (header, body) = recording.message(index);
            assert!(header.is_encrypted());
            let opened = iv.open(&phase1.cipher, body).unwrap();
            let payloads = Payloads::parse(header.next_payload, &opened.plaintext).unwrap();
            assert!(payloads.looks_decrypted());
            let id_b = payloads.first(PayloadType::ID).unwrap().body;
            let hash = match index {
                4 => phase1.skeyid.hash_i(&phase1.exchanged(), id_b),
                _ => phase1.skeyid.hash_r(&phase1.exchanged(), id_b),
            };
            assert_eq!(&*hash, expected);
            assert!(hash.ct_eq(payloads.first(PayloadType::HASH).unwrap().body));
            let identity = Identification::parse(id_b).unwrap();
            assert_eq!(identity.identity(), Some(Identity::Address(address.parse().unwrap())));
            iv.confirm(opened.next);
        }
        assert_eq!(iv.as_bytes(), recording.last_iv);
    }
}

#[test]
fn quick_modes_decrypt_verify_and_give_the_recorded_keys() {
    for recording in &RECORDINGS {
        let phase1 = recording.phase1();
        let transform: EspTransform = recording.esp.parse().unwrap();
        let group: Group = recording.pfs.parse().unwrap();
        for quick_mode in &recording.quick_modes {
            let id = quick_mode.message_id;
            let messages = recording.exchange(&phase1, id);
            let [first, second, third] = messages.as_slice() else { panic!("three messages") };
            let first = Payloads::parse(first.0.next_payload, &first.1).unwrap();
            let second = Payloads::parse(second.0.next_payload, &second.1).unwrap();
            let third = Payloads::parse(third.0.next_payload, &third.1).unwrap();
            let ni_b = first.first(PayloadType::NONCE).unwrap().body;
            let nr_b = second.first(PayloadType::NONCE).unwrap().body;

            let hash = first.first(PayloadType::HASH).unwrap();
            assert!(phase1.keys.a.hash1(id, hash.rest).ct_eq(hash.body));
            let hash = second.first(PayloadType::HASH).unwrap();
            assert!(phase1.keys.a.hash2(id, ni_b, hash.rest).ct_eq(hash.body));
            let hash = third.first(PayloadType::HASH).unwrap();
            assert!(phase1.keys.a.hash3(id, ni_b, nr_b).ct_eq(hash.body));

            let terms = proposal::esp::Terms {
                transforms: &[transform],
                pfs: Some(group),
                mode: proposal::esp::Mode::UdpTunnel,
                lifetime: Duration::from_secs(3960),
            };
            let offer = SecurityAssociation::parse(first.first(PayloadType::SA).unwrap().body).unwrap();
            let answer = second.first(PayloadType::SA).unwrap().body;
            let choice = proposal::esp::choose(&terms, &offer, quick_mode.spi_responder).unwrap();
            assert_eq!(choice.answer, answer);
            assert_eq!(choice.spi, quick_mode.spi_initiator);
            assert_eq!(choice.lifetime.duration(), Some(Duration::from_secs(3960)));
            let accepted = proposal::esp::accept(&terms, &SecurityAssociation::parse(answer).unwrap()).unwrap();
            assert_eq!((accepted.spi, accepted.transform, accepted.pfs), (quick_mode.spi_responder, transform, Some(group)));

            let proxies: Vec<_> =
                first.all(PayloadType::ID).map(|payload| Identification::parse(payload.body).unwrap().proxy_identity().unwrap()).collect();
            let expected = ["10.1.0.0/24", "10.2.0.0/24"].map(|net| ProxyIdentity { net: net.parse().unwrap(), protocol: 0, port: 0 });
            assert_eq!(proxies, expected);

            let shared = SharedSecret::from_bytes(quick_mode.g_qm_xy);
            for (spi, expected) in
                [(quick_mode.spi_initiator, quick_mode.keymat_to_initiator), (quick_mode.spi_responder, quick_mode.keymat_to_responder)]
            {
                let keymat = phase1.keys.d.keymat(Some(&shared), ProtocolId::ESP, spi, ni_b, nr_b, transform.keymat_len());
                assert_eq!(*keymat, expected);
            }
        }
    }
}

#[test]
fn deletes_decrypt_verify_and_name_the_recorded_sas() {
    for recording in &RECORDINGS {
        let phase1 = recording.phase1();
        let mut deleted = Vec::new();
        let mut isakmp_deleted = false;
        for (sender, message) in recording.messages {
            let (header, _) = Header::parse(message).unwrap();
            if header.exchange != ExchangeType::INFORMATIONAL {
                continue;
            }
            assert_eq!(*sender, Sender::Initiator);
            let messages = recording.exchange(&phase1, header.message_id);
            let [(header, plaintext)] = messages.as_slice() else { panic!("one message") };
            let payloads = Payloads::parse(header.next_payload, plaintext).unwrap();
            let hash = payloads.first(PayloadType::HASH).unwrap();
            assert!(phase1.keys.a.hash1(header.message_id, hash.rest).ct_eq(hash.body));
            let delete = Delete::parse(payloads.first(PayloadType::DELETE).unwrap().body).unwrap();
            deleted.extend(delete.esp_spis());
            isakmp_deleted |= delete.names_isakmp(header.initiator_cookie, header.responder_cookie);
        }
        assert_eq!(deleted, recording.quick_modes.each_ref().map(|quick_mode| quick_mode.spi_initiator));
        assert!(isakmp_deleted);
    }
}

/// The recorded peer adds a whole block of padding where the payloads fill their blocks already; we add none then.
#[test]
fn sealing_the_recorded_payloads_gives_the_recorded_messages() {
    for recording in &RECORDINGS {
        let phase1 = recording.phase1();
        let mut iv = Iv::phase_one(phase1.hash(), phase1.gxi, phase1.gxr, &phase1.cipher);
        for index in [4, 5] {
            let (header, body) = recording.message(index);
            let opened = iv.open(&phase1.cipher, body).unwrap();
            let payloads = Payloads::parse(header.next_payload, &opened.plaintext).unwrap();
            let mut chain = Chain::new();
            payloads.iter().for_each(|payload| chain.push(payload.kind, payload.body));
            let clear = Header::new(header.initiator_cookie, header.responder_cookie, header.exchange, header.message_id);
            let mut ours = iv;
            let sealed = ours.seal(&phase1.cipher, &clear, &chain);
            let (sealed_header, sealed_body) = Header::parse(&sealed).unwrap();
            assert_eq!(Header { length: header.length, ..sealed_header }, header);
            if payloads.padding().len() == phase1.cipher.block_len() {
                assert_eq!(sealed_body, &body[..chain.bytes().len()]);
            } else {
                assert_eq!(sealed_body, body);
            }
            iv.confirm(opened.next);
            assert!(sealed_body.len() < body.len() || ours == iv, "sealing advances the chain as opening does");
        }
    }
}

#[test]
fn forged_message_does_not_move_the_iv_chain() {
    for recording in &RECORDINGS {
        let phase1 = recording.phase1();
        let mut iv = Iv::phase_one(phase1.hash(), phase1.gxi, phase1.gxr, &phase1.cipher);
        let (_, body) = recording.message(4);
        let mut forged = body.to_vec();
        *forged.last_mut().unwrap() ^= 1;
        let _unconfirmed = iv.open(&phase1.cipher, &forged).unwrap();
        assert!(iv.open(&phase1.cipher, &body[1..]).is_err());
        assert!(iv.open(&phase1.cipher, &[]).is_err());
        let genuine = iv.open(&phase1.cipher, body).unwrap();
        assert!(Payloads::parse(PayloadType::ID, &genuine.plaintext).unwrap().looks_decrypted());
        iv.confirm(genuine.next);
        assert_ne!(iv.as_bytes(), recording.first_iv);
    }
}

#[test]
fn wrong_pre_shared_key_is_recognised_by_what_does_not_decrypt() {
    for recording in &RECORDINGS {
        let phase1 = recording.phase1();
        let (ni_b, nr_b) = (recording.body_of(2, PayloadType::NONCE), recording.body_of(3, PayloadType::NONCE));
        for attempt in 0_u32..200 {
            let wrong = Skeyid::from_psk(phase1.hash(), &attempt.to_be_bytes(), ni_b, nr_b);
            let keys =
                wrong.derive(&SharedSecret::from_bytes(recording.g_xy), phase1.header.initiator_cookie, phase1.header.responder_cookie);
            let cipher = keys.e.cipher(phase1.proposal.encryption);
            let iv = Iv::phase_one(phase1.hash(), phase1.gxi, phase1.gxr, &cipher);
            let opened = iv.open(&cipher, recording.message(4).1).unwrap();
            assert!(!Payloads::parse(PayloadType::ID, &opened.plaintext).is_ok_and(|payloads| payloads.looks_decrypted()));
        }
    }
}
