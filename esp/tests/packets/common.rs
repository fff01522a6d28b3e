//! Pairs of SAs, and batches laid out in an arena.

use rand::SeedableRng;
use rand::rngs::StdRng;
use tandem_esp::{Cipher, HEADROOM, InboundSa, Integrity, Kernel, OpenError, OutboundSa, Packet, Suite, TAILROOM};

pub(crate) const SPI: u32 = 0xc0ff_ee00;

/// All 27 suites.
pub(crate) fn every_suite() -> Vec<Suite> {
    use Cipher::*;
    use Integrity::*;
    let ciphers = [Des, TripleDes, Aes128, Aes192, Aes256, Aes128Gcm16, Aes256Gcm16];
    let integrities = [None, Some(HmacMd5_96), Some(HmacSha1_96), Some(HmacSha256_128), Some(HmacSha384_192), Some(HmacSha512_256)];
    ciphers.iter().flat_map(|&cipher| integrities.iter().filter_map(move |&integrity| Suite::new(cipher, integrity).ok())).collect()
}

/// Two ends with the same keys. The same seed gives the same IVs.
pub(crate) fn pair(suite: Suite, replay_window: u32, seed: u64) -> (OutboundSa, InboundSa) {
    pair_with(Kernel::best(), suite, replay_window, seed)
}

/// Likewise, with a given kernel.
pub(crate) fn pair_with(kernel: Kernel, suite: Suite, replay_window: u32, seed: u64) -> (OutboundSa, InboundSa) {
    let keymat: Vec<u8> = (0..suite.keymat_len()).map(|i| (i * 29 + 17) as u8).collect();
    let outbound = OutboundSa::with_kernel(kernel, SPI, suite, &keymat, &mut StdRng::seed_from_u64(seed)).unwrap();
    (outbound, InboundSa::with_kernel(kernel, SPI, suite, &keymat, replay_window).unwrap())
}

/// Places packets one behind the other, with head and tail room.
pub(crate) fn lay_out(packets: &[Vec<u8>]) -> (Vec<u8>, Vec<Packet>) {
    let mut arena = Vec::new();
    let mut places = Vec::new();
    for packet in packets {
        arena.resize(arena.len() + HEADROOM, 0xaa);
        places.push(Packet { start: arena.len(), len: packet.len() });
        arena.extend_from_slice(packet);
        arena.resize(arena.len() + TAILROOM, 0xbb);
    }
    (arena, places)
}

/// Seals packets as one batch.
pub(crate) fn seal(sa: &mut OutboundSa, inner: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let (mut arena, mut places) = lay_out(inner);
    sa.seal_batch(&mut arena, &mut places).unwrap();
    places.iter().map(|place| arena[place.range()].to_vec()).collect()
}

/// Opens packets as one batch.
pub(crate) fn open(sa: &mut InboundSa, sealed: &[Vec<u8>]) -> Vec<Result<Vec<u8>, OpenError>> {
    let (mut arena, mut places) = lay_out(sealed);
    let before = places.clone();
    let mut results = vec![Ok(()); sealed.len()];
    sa.open_batch(&mut arena, &mut places, &mut results);
    let opened = results.into_iter().zip(places).zip(before);
    opened
        .map(|((result, place), before)| {
            assert!(result.is_ok() || place == before, "the place of a refused packet has changed");
            result.map(|()| arena[place.range()].to_vec())
        })
        .collect()
}
