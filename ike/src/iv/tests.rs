//! Tests of the IV chain between two ends, for both block lengths; the recorded handshakes prove its values.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::proposal::EncryptionAlgorithm;
use crate::wire::{Cookie, ExchangeType, PayloadType, Payloads};

const HEADER: (Cookie, Cookie) = (Cookie([1; 8]), Cookie([2; 8]));

fn header(message_id: u32) -> Header {
    Header::new(HEADER.0, HEADER.1, ExchangeType::QUICK, message_id)
}

fn cipher(algorithm: EncryptionAlgorithm) -> Cipher {
    Cipher::new(algorithm, &[0x5A; 32][..algorithm.key_len()])
}

fn chain(text: &[u8]) -> Chain {
    Chain::new().with(PayloadType::HASH, text)
}

#[test]
fn both_ends_stay_in_step_over_many_messages() {
    for algorithm in EncryptionAlgorithm::ALL {
        let cipher = cipher(algorithm);
        let mut ours = Iv::phase_one(HashAlgorithm::Md5, b"gxi", b"gxr", &cipher);
        let mut theirs = ours;
        for len in 0..40 {
            let text = vec![7; len];
            let message = ours.seal(&cipher, &header(1), &chain(&text));
            let (read, body) = Header::parse(&message).unwrap();
            assert!(read.is_encrypted());
            assert_eq!(usize::try_from(read.length).unwrap(), message.len());
            let opened = theirs.open(&cipher, body).unwrap();
            let payloads = Payloads::parse(read.next_payload, &opened.plaintext).unwrap();
            assert_eq!(payloads.first(PayloadType::HASH).unwrap().body, text);
            assert!(payloads.padding().len() < algorithm.block_len());
            assert!(payloads.padding().iter().all(|byte| *byte == 0));
            theirs.confirm(opened.next);
            assert_eq!(ours, theirs, "{algorithm}");
        }
    }
}

#[test]
fn exchanges_have_chains_of_their_own() {
    let cipher = cipher(EncryptionAlgorithm::Aes128);
    let phase_one = Iv::phase_one(HashAlgorithm::Sha1, b"gxi", b"gxr", &cipher);
    let mut first = phase_one.for_message_id(HashAlgorithm::Sha1, 1);
    let second = phase_one.for_message_id(HashAlgorithm::Sha1, 2);
    assert_ne!(first, second);
    let before = first;
    first.seal(&cipher, &header(1), &chain(b"one"));
    assert_ne!(first, before);
    assert_eq!(phase_one.for_message_id(HashAlgorithm::Sha1, 1), before, "phase 1's chain does not move");
}

#[test]
fn bodies_that_are_no_whole_blocks_are_refused() {
    for algorithm in EncryptionAlgorithm::ALL {
        let cipher = cipher(algorithm);
        let iv = Iv::phase_one(HashAlgorithm::Sha1, b"gxi", b"gxr", &cipher);
        for len in 0..64 {
            let whole = len > 0 && len % algorithm.block_len() == 0;
            assert_eq!(iv.open(&cipher, &vec![0; len]).is_ok(), whole, "{algorithm}, {len} bytes");
        }
    }
}
