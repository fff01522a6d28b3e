//! Does what one end seals come out at the other, whatever the suite, the lengths and the batches?

use crate::common::{every_suite, open, pair, pair_with, seal};
use proptest::prelude::*;
use tandem_esp::{Kernel, OpenError, Suite};

fn any_suite() -> impl Strategy<Value = Suite> {
    prop::sample::select(every_suite())
}

/// IPv4 or IPv6 by the first byte, otherwise anything, also too short to be IP.
fn inner_packet(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(vec![0x45_u8, 0x4f, 0x60, 0x6f]), prop::collection::vec(any::<u8>(), 0..longest)).prop_map(|(first, mut rest)| {
        rest.insert(0, first);
        rest
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn sealed_packets_open_to_what_they_were(
        suite in any_suite(),
        batches in prop::collection::vec(prop::collection::vec(inner_packet(200), 1..80), 1..3),
    ) {
        let (mut outbound, mut inbound) = pair(suite, 64, 1);
        for batch in batches {
            let sealed = seal(&mut outbound, &batch);
            for (inner, esp) in batch.iter().zip(&sealed) {
                prop_assert_eq!(esp.len(), inner.len() + suite.overhead(inner.len()));
            }
            let opened = open(&mut inbound, &sealed);
            let expected: Vec<_> = batch.into_iter().map(Ok).collect();
            prop_assert_eq!(opened, expected);
        }
    }

    #[test]
    fn large_packets_and_small_ones_share_a_batch(suite in any_suite(), batch in prop::collection::vec(prop_oneof![inner_packet(80), inner_packet(9000)], 1..8)) {
        let (mut outbound, mut inbound) = pair(suite, 64, 2);
        let sealed = seal(&mut outbound, &batch);
        let expected: Vec<_> = batch.into_iter().map(Ok).collect();
        prop_assert_eq!(open(&mut inbound, &sealed), expected);
    }

    #[test]
    fn sealing_a_batch_is_sealing_its_packets_one_after_the_other(suite in any_suite(), batch in prop::collection::vec(inner_packet(300), 1..70)) {
        let (mut together, _) = pair(suite, 64, 3);
        let (mut apart, _) = pair(suite, 64, 3);
        let singles: Vec<_> = batch.iter().map(|inner| seal(&mut apart, std::slice::from_ref(inner)).remove(0)).collect();
        prop_assert_eq!(seal(&mut together, &batch), singles);
    }

    #[test]
    fn all_kernels_seal_to_the_same_bytes(suite in any_suite(), batch in prop::collection::vec(inner_packet(1500), 1..70)) {
        let sealed = Kernel::available().map(|kernel| seal(&mut pair_with(kernel, suite, 64, 3).0, &batch));
        let sealed: Vec<_> = sealed.collect();
        prop_assert!(sealed.iter().all(|packets| *packets == sealed[0]));
    }

    /// With packets that come twice, out of order, damaged and cut short, in any number.
    #[test]
    fn opening_a_batch_is_opening_its_packets_one_after_the_other(
        suite in any_suite(),
        kernel in prop::sample::select(Kernel::available().collect::<Vec<_>>()),
        window in prop::sample::select(vec![64_u32, 100, 4096]),
        inner in prop::collection::vec(inner_packet(60), 1..150),
        received in prop::collection::vec((any::<prop::sample::Index>(), damage()), 1..100),
    ) {
        let (mut outbound, mut together) = pair_with(kernel, suite, window, 4);
        let (_, mut apart) = pair(suite, window, 4);
        let sealed = seal(&mut outbound, &inner);
        let received: Vec<_> = received.into_iter().map(|(index, damage)| damage.apply(index.get(&sealed).clone())).collect();

        let singles: Vec<_> = received.iter().map(|esp| open(&mut apart, std::slice::from_ref(esp)).remove(0)).collect();
        prop_assert_eq!(open(&mut together, &received), singles);
        prop_assert_eq!(together.highest_sequence(), apart.highest_sequence());
        prop_assert_eq!(open(&mut together, &sealed), open(&mut apart, &sealed));
    }
}

#[derive(Clone, Debug)]
enum Damage {
    None,
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => Just(Damage::None),
        1 => (any::<prop::sample::Index>(), 1_u8..).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        1 => any::<prop::sample::Index>().prop_map(Damage::Cut),
    ]
}

impl Damage {
    fn apply(self, mut esp: Vec<u8>) -> Vec<u8> {
        match self {
            Damage::None => {}
            Damage::Flip(at, bits) => {
                let at = at.index(esp.len());
                esp[at] ^= bits;
            }
            Damage::Cut(len) => esp.truncate(len.index(esp.len())),
        }
        esp
    }
}

#[test]
fn a_packet_twice_in_one_batch_is_opened_once() {
    for suite in every_suite() {
        let (mut outbound, mut inbound) = pair(suite, 64, 5);
        let esp = seal(&mut outbound, &[vec![0x45; 40]]).remove(0);
        let results = open(&mut inbound, &vec![esp; 40]);
        assert!(results[0].is_ok());
        assert!(results[1..].iter().all(|result| *result == Err(OpenError::Replayed)));
    }
}
