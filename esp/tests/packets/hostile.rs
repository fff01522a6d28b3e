//! What can somebody without the keys do? Nothing but have packets dropped.

use crate::common::{every_suite, open, pair, pair_with, seal};
use proptest::prelude::*;
use tandem_esp::{Kernel, OpenError, Suite};

#[test]
fn a_packet_altered_anywhere_fails_its_icv_and_changes_nothing() {
    for (suite, kernel) in every_suite().into_iter().flat_map(|suite| Kernel::available().map(move |kernel| (suite, kernel))) {
        let (mut outbound, mut inbound) = pair_with(kernel, suite, 64, 1);
        let sealed = seal(&mut outbound, &vec![(0..53).map(|i| i ^ 0x45).collect(); 3]);
        // Number 3: no single bit makes it 0, which would be refused as a replay.
        let genuine = sealed[2].clone();
        let altered: Vec<_> = (0..8 * genuine.len())
            .map(|bit| {
                let mut esp = genuine.clone();
                esp[bit / 8] ^= 1 << (bit % 8);
                esp
            })
            .collect();
        for result in open(&mut inbound, &altered) {
            assert_eq!(result, Err(OpenError::BadIcv), "{suite}, {kernel}");
        }
        assert_eq!(inbound.highest_sequence(), 0);
        for result in open(&mut inbound, &sealed) {
            assert!(result.is_ok(), "{suite}: {result:?}");
        }
    }
}

#[test]
fn a_forged_packet_with_a_high_sequence_number_does_not_move_the_window() {
    for suite in every_suite() {
        let (mut outbound, mut inbound) = pair(suite, 64, 2);
        let sealed = seal(&mut outbound, &vec![vec![0x45; 40]; 4]);
        assert!(open(&mut inbound, &sealed[..1])[0].is_ok());
        let mut forged = sealed[1].clone();
        forged[4..8].fill(0xff);
        let results = open(&mut inbound, &[sealed[2].clone(), forged, sealed[1].clone(), sealed[3].clone()]);
        assert_eq!(
            results.iter().map(|result| result.as_ref().err().copied()).collect::<Vec<_>>(),
            [None, Some(OpenError::BadIcv), None, None]
        );
        assert_eq!(inbound.highest_sequence(), 4);
    }
}

#[test]
fn a_packet_of_another_sa_fails_its_icv() {
    for suite in every_suite() {
        let (mut outbound, _) = pair(suite, 64, 3);
        let keymat = vec![0x77; suite.keymat_len()];
        // DES and 3DES refuse keys of one repeated byte.
        let Ok(mut other) = tandem_esp::InboundSa::new(crate::common::SPI, suite, &keymat, 64) else { continue };
        let sealed = seal(&mut outbound, &[vec![0x45; 40]]);
        assert_eq!(open(&mut other, &sealed), [Err(OpenError::BadIcv)]);
    }
}

#[test]
fn every_length_is_either_malformed_or_checked_against_the_icv() {
    for suite in every_suite() {
        let (_, mut inbound) = pair(suite, 64, 4);
        let fixed = 8 + suite.iv_len() + suite.icv_len();
        for len in 0..200 {
            // The sequence number must not be 0.
            let garbage = vec![0x5a; len];
            let whole_blocks = len >= fixed + suite.alignment() && (len - fixed) % suite.alignment() == 0;
            let expected = if whole_blocks { OpenError::BadIcv } else { OpenError::Malformed };
            assert_eq!(open(&mut inbound, &[garbage]), [Err(expected)], "{suite}, {len} bytes");
        }
    }
}

#[test]
fn packets_older_than_the_window_are_replays() {
    let suite = every_suite()[0];
    let (mut outbound, mut inbound) = pair(suite, 64, 5);
    let sealed = seal(&mut outbound, &vec![vec![0x45; 20]; 200]);
    assert!(open(&mut inbound, &sealed[199..])[0].is_ok());
    for (i, result) in open(&mut inbound, &sealed).into_iter().enumerate() {
        match i {
            ..136 | 199 => assert_eq!(result, Err(OpenError::Replayed)),
            _ => assert!(result.is_ok()),
        }
    }
}

proptest! {
    #[test]
    fn garbage_never_opens_and_never_panics(
        suite in prop::sample::select(every_suite()),
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..70),
    ) {
        let (_, mut inbound) = pair(suite, 128, 6);
        prop_assert!(open(&mut inbound, &packets).iter().all(Result::is_err));
        prop_assert_eq!(inbound.highest_sequence(), 0);
    }

    #[test]
    fn a_batch_of_forgeries_does_not_harm_the_genuine_packet_between_them(
        suite in prop::sample::select(every_suite()),
        forgeries in prop::collection::vec(prop::collection::vec(any::<u8>(), 64..120), 1..60),
        at in any::<prop::sample::Index>(),
    ) {
        assert_genuine_opens(suite, forgeries, at);
    }
}

fn assert_genuine_opens(suite: Suite, forgeries: Vec<Vec<u8>>, at: prop::sample::Index) {
    let (mut outbound, mut inbound) = pair(suite, 64, 7);
    let genuine = seal(&mut outbound, &[vec![0x45; 40]]).remove(0);
    let at = at.index(forgeries.len());
    let mut batch = forgeries;
    batch.insert(at, genuine);
    for (i, result) in open(&mut inbound, &batch).into_iter().enumerate() {
        assert_eq!(result.is_ok(), i == at);
    }
}
