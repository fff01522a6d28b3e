//! Opening: from ESP to inner packets.

use std::fmt;

use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::kernels::{CHUNK, CbcDecryptor, Gcm, Hmac, Icv};
use crate::replay::ReplayWindow;
use crate::{Kernel, Packet, SaError, Suite, header, keys};

/// Why a packet was dropped, in the order of the checks (RFC 4303 section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Shorter than header, IV and ICV, or not a whole number of cipher blocks.
    #[error("length does not fit the SA's algorithms")]
    Malformed,
    /// Seen already, or older than the replay window.
    #[error("sequence number seen already or too old")]
    Replayed,
    /// The ICV does not hold.
    #[error("integrity check failed")]
    BadIcv,
    /// Padding is not 1, 2, 3, ... or longer than the packet.
    #[error("padding is wrong")]
    BadPadding,
    /// Next header 59: a dummy packet, dropped silently (RFC 4303 section 2.6).
    #[error("dummy packet")]
    Dummy,
    /// Next header is neither 4 nor 41 (tunnel mode).
    #[error("next header is not IP")]
    BadNextHeader,
}

/// The receiving half of an SA pair.
pub struct InboundSa {
    spi: u32,
    suite: Suite,
    replay: ReplayWindow,
    keys: OpeningKeys,
}

enum OpeningKeys {
    Cbc { cipher: CbcDecryptor, integrity: Hmac },
    Gcm(Gcm),
}

/// The packets of a chunk that passed every check so far: an index into it, and the packet's sequence number.
type Passed = [(usize, u64); CHUNK];

impl InboundSa {
    /// `keymat` as for [`OutboundSa::new`](crate::OutboundSa::new); `replay_window` in packets, 64 to 4096.
    pub fn new(spi: u32, suite: Suite, keymat: &[u8], replay_window: u32) -> Result<Self, SaError> {
        Self::with_kernel(Kernel::best(), spi, suite, keymat, replay_window)
    }

    /// With a given kernel, to compare them.
    pub fn with_kernel(kernel: Kernel, spi: u32, suite: Suite, keymat: &[u8], replay_window: u32) -> Result<Self, SaError> {
        keys::check_spi(spi)?;
        Self::with_any_spi(kernel, spi, suite, keymat, replay_window)
    }

    /// Published packets use reserved SPIs too.
    pub(crate) fn with_any_spi(kernel: Kernel, spi: u32, suite: Suite, keymat: &[u8], replay_window: u32) -> Result<Self, SaError> {
        if !(64..=4096).contains(&replay_window) {
            return Err(SaError::ReplayWindow(replay_window));
        }
        let (key, rest) = keys::split(suite, keymat)?;
        let wrong_length = SaError::KeymatLength { suite, expected: suite.keymat_len(), actual: keymat.len() };
        let keys = match suite.integrity() {
            Some(integrity) => OpeningKeys::Cbc {
                cipher: CbcDecryptor::new(kernel, suite.cipher(), key).ok_or(wrong_length)?,
                integrity: Hmac::new(kernel, integrity, rest),
            },
            None => OpeningKeys::Gcm(Gcm::new(kernel, suite.cipher(), key, rest).ok_or(wrong_length)?),
        };
        Ok(Self { spi, suite, replay: ReplayWindow::new(replay_window), keys })
    }

    /// Opens ESP packets in place, in order. `results[i]` says how packet `i` fared; where it is `Ok`, the place has shrunk to the inner packet, elsewhere it is
    /// as it was. Nothing is decrypted before its ICV holds; the replay window moves only for packets whose ICV holds.
    ///
    /// The inner packet is what lies before the padding. A sender may have put more behind the inner IP packet to hide its length (RFC 4303 section 2.7),
    /// so the inner header's own length decides where that ends; it may also be shorter than an IP header. The caller checks both.
    ///
    /// # Panics
    /// If `results` is not as long as `packets`, or a place is outside the arena.
    pub fn open_batch(&mut self, arena: &mut [u8], packets: &mut [Packet], results: &mut [Result<(), OpenError>]) {
        assert_eq!(packets.len(), results.len(), "one result per packet");
        for (packets, results) in packets.chunks_mut(CHUNK).zip(results.chunks_mut(CHUNK)) {
            let mut passed = [(0, 0); CHUNK];
            let admitted = self.admit(arena, packets, results, &mut passed);
            let passed = self.authenticate_and_decrypt(arena, packets, results, &mut passed[..admitted]);
            for &(i, _) in passed {
                results[i] = header::inner_of(arena, packets[i], self.suite).map(|inner| packets[i] = inner);
            }
        }
    }

    /// The checks that cost nothing: length, and a first look at the replay window.
    fn admit(&self, arena: &[u8], packets: &[Packet], results: &mut [Result<(), OpenError>], passed: &mut Passed) -> usize {
        let mut count = 0;
        for (i, (&packet, result)) in packets.iter().zip(results).enumerate() {
            *result = header::check_length(packet, self.suite).and_then(|()| {
                let sequence = header::sequence_of(arena, packet);
                passed[count] = (i, sequence);
                if self.replay.admits(sequence) { Ok(()) } else { Err(OpenError::Replayed) }
            });
            count += usize::from(result.is_ok());
        }
        count
    }

    /// Leaves in `passed` the packets whose ICV holds, decrypted. Each is checked against the replay window once more, as the packets before it in the batch
    /// have moved it.
    fn authenticate_and_decrypt<'a>(
        &mut self,
        arena: &mut [u8],
        packets: &[Packet],
        results: &mut [Result<(), OpenError>],
        passed: &'a mut [(usize, u64)],
    ) -> &'a [(usize, u64)] {
        let Self { suite, replay, keys, .. } = self;
        let mut spans = [Packet { start: 0, len: 0 }; CHUNK];
        let mut icvs = [Icv::default(); CHUNK];
        if let OpeningKeys::Cbc { integrity, .. } = keys {
            for (span, &(i, _)) in spans.iter_mut().zip(&*passed) {
                *span = header::authenticated(packets[i], *suite);
            }
            integrity.compute(arena, &spans[..passed.len()], &mut icvs[..passed.len()]);
        }

        let mut count = 0;
        for n in 0..passed.len() {
            let (i, sequence) = passed[n];
            let packet = packets[i];
            if !replay.admits(sequence) {
                results[i] = Err(OpenError::Replayed);
                continue;
            }
            let authentic = match keys {
                OpeningKeys::Cbc { .. } => arena[header::icv(packet, *suite).range()].ct_eq(&icvs[n][..suite.icv_len()]).into(),
                OpeningKeys::Gcm(gcm) => gcm.open(arena, packet),
            };
            if !authentic {
                results[i] = Err(OpenError::BadIcv);
                continue;
            }
            replay.accept(sequence);
            spans[count] = header::iv_and_ciphertext(packet, *suite);
            passed[count] = (i, sequence);
            count += 1;
        }

        if let OpeningKeys::Cbc { cipher, .. } = keys {
            cipher.decrypt(arena, &spans[..count]);
        }
        &passed[..count]
    }

    /// The highest sequence number of an authentic packet; 0 before the first.
    pub fn highest_sequence(&self) -> u64 {
        self.replay.top()
    }

    /// The SPI we chose.
    pub fn spi(&self) -> u32 {
        self.spi
    }

    /// The algorithms.
    pub fn suite(&self) -> Suite {
        self.suite
    }
}

/// Keys are not shown.
impl fmt::Debug for InboundSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InboundSa {{ spi: {:08x}, suite: {}, highest_sequence: {}, .. }}", self.spi, self.suite, self.replay.top())
    }
}

/// What a holder of the keys can still do wrong.
#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::{InboundSa, OpenError};
    use crate::{Cipher, Integrity, OutboundSa, Packet, Suite};

    fn pair(cipher: Cipher, integrity: Option<Integrity>) -> (OutboundSa, InboundSa) {
        let suite = Suite::new(cipher, integrity).unwrap();
        let keymat: Vec<u8> = (0..suite.keymat_len() as u8).collect();
        (
            OutboundSa::new(0x1000, suite, &keymat, &mut StdRng::seed_from_u64(7)).unwrap(),
            InboundSa::new(0x1000, suite, &keymat, 64).unwrap(),
        )
    }

    fn pairs() -> [(OutboundSa, InboundSa); 3] {
        [
            pair(Cipher::Aes128, Some(Integrity::HmacSha1_96)),
            pair(Cipher::TripleDes, Some(Integrity::HmacMd5_96)),
            pair(Cipher::Aes128Gcm16, None),
        ]
    }

    fn open(sa: &mut InboundSa, packet: &[u8]) -> Result<Vec<u8>, OpenError> {
        let mut arena = packet.to_vec();
        let mut places = [Packet { start: 0, len: arena.len() }];
        let mut results = [Ok(())];
        sa.open_batch(&mut arena, &mut places, &mut results);
        results[0].map(|()| arena[places[0].range()].to_vec())
    }

    #[test]
    fn padding_that_does_not_count_up_from_1_is_refused() {
        for (mut out, mut inbound) in pairs() {
            // Two bytes of padding with 4-byte alignment, 10 with 16-byte blocks.
            let inner = [0x45; 20];
            let padding = out.suite().padding_len(inner.len());
            for at in 0..padding {
                let packet = out.seal_altered(&inner, |trailer| trailer[at] ^= 0x80);
                assert_eq!(open(&mut inbound, &packet), Err(OpenError::BadPadding));
            }
            let packet = out.seal_altered(&inner, |trailer| trailer[padding] = 0xff);
            assert_eq!(open(&mut inbound, &packet), Err(OpenError::BadPadding));
            let packet = out.seal_altered(&inner, |_| ());
            assert_eq!(open(&mut inbound, &packet).unwrap(), inner);
        }
    }

    #[test]
    fn a_pad_length_may_reach_the_packets_first_byte_and_no_further() {
        let (mut out, mut inbound) = pair(Cipher::Aes128, Some(Integrity::HmacSha1_96));
        let inner: Vec<u8> = (1..=14).collect();
        let packet = out.seal_altered(&inner, |trailer| trailer[0] = 14);
        assert_eq!(open(&mut inbound, &packet).unwrap(), []);
        let packet = out.seal_altered(&inner, |trailer| trailer[0] = 15);
        assert_eq!(open(&mut inbound, &packet), Err(OpenError::BadPadding));
    }

    #[test]
    fn longer_padding_than_necessary_is_accepted() {
        let (mut out, mut inbound) = pair(Cipher::Aes128Gcm16, None);
        let inner: Vec<u8> = [0x45; 20].into_iter().chain(1..=250).collect();
        assert_eq!(out.suite().padding_len(inner.len()), 0);
        let packet = out.seal_altered(&inner, |trailer| trailer[0] = 250);
        assert_eq!(open(&mut inbound, &packet).unwrap(), [0x45; 20]);
    }

    #[test]
    fn dummy_packets_and_unknown_next_headers_are_told_apart() {
        for (mut out, mut inbound) in pairs() {
            for (next_header, expected) in
                [(59, OpenError::Dummy), (0, OpenError::BadNextHeader), (6, OpenError::BadNextHeader), (50, OpenError::BadNextHeader)]
            {
                let packet = out.seal_altered(&[0x45; 40], |trailer| *trailer.last_mut().unwrap() = next_header);
                assert_eq!(open(&mut inbound, &packet), Err(expected));
                assert_eq!(open(&mut inbound, &packet), Err(OpenError::Replayed), "authentic, so the window has moved");
            }
            let packet = out.seal_altered(&[0x60; 40], |trailer| *trailer.last_mut().unwrap() = 41);
            assert!(open(&mut inbound, &packet).is_ok());
        }
    }

    #[test]
    fn sequence_number_0_is_refused_even_when_authentic() {
        for (mut out, mut inbound) in pairs() {
            out.skip_to(u64::from(u32::MAX));
            let packet = out.seal_altered(&[0x45; 40], |_| ());
            assert_eq!(packet[4..8], [0; 4]);
            assert_eq!(open(&mut inbound, &packet), Err(OpenError::Replayed));
        }
    }
}
