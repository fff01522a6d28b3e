//! Do we understand what another implementation sends? Every ESP packet of four recorded strongSwan tunnels.

use crate::recorded::{RECORDINGS, Recording};
use tandem_esp::{InboundSa, OpenError, Packet, Suite};

#[test]
fn every_recorded_packet_opens_to_its_inner_packet_alone_and_in_a_batch() {
    for recording in RECORDINGS.as_flattened() {
        let mut one_by_one = sa_of(recording);
        for (esp, inner) in recording.packets {
            let mut arena = esp.to_vec();
            let mut places = [Packet { start: 0, len: arena.len() }];
            let mut results = [Ok(())];
            one_by_one.open_batch(&mut arena, &mut places, &mut results);
            assert_eq!(results, [Ok(())]);
            assert_eq!(arena[places[0].range()], **inner);
        }

        let (mut arena, mut places) = lay_out(recording);
        let mut results = vec![Err(OpenError::Malformed); places.len()];
        let mut batch = sa_of(recording);
        batch.open_batch(&mut arena, &mut places, &mut results);
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        for (place, (_, inner)) in places.iter().zip(recording.packets) {
            assert_eq!(arena[place.range()], **inner);
        }
        assert_eq!(batch.highest_sequence(), recording.packets.len() as u64);
    }
}

#[test]
fn a_recorded_stream_sent_again_is_replayed_to_the_last_packet() {
    for recording in RECORDINGS.as_flattened() {
        let mut sa = sa_of(recording);
        for expected in [Ok(()), Err(OpenError::Replayed)] {
            let (mut arena, mut places) = lay_out(recording);
            let mut results = vec![Ok(()); places.len()];
            sa.open_batch(&mut arena, &mut places, &mut results);
            assert!(results.iter().all(|&result| result == expected), "{results:?}");
        }
    }
}

fn sa_of(recording: &Recording) -> InboundSa {
    let suite = Suite::new(recording.cipher, Some(recording.integrity)).unwrap();
    InboundSa::new(recording.spi, suite, recording.keymat, 64).unwrap()
}

fn lay_out(recording: &Recording) -> (Vec<u8>, Vec<Packet>) {
    let mut arena = Vec::new();
    let places = recording.packets.iter().map(|(esp, _)| {
        arena.extend_from_slice(esp);
        Packet { start: arena.len() - esp.len(), len: esp.len() }
    });
    let places = places.collect();
    (arena, places)
}
