//! Sealing: from inner packets to ESP.

use std::fmt;

use aes::Aes128Enc;
use cipher::{BlockCipherEncrypt, KeyInit};
use rand::Rng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::kernels::{CHUNK, CbcEncryptor, Gcm, Hmac, Icv};
use crate::{Kernel, Packet, SaError, Suite, header, keys};

/// The last sequence number of an SA without ESN; it must never wrap (RFC 4303 section 3.3.3).
const LAST_SEQUENCE: u64 = u32::MAX as u64;

/// Why a packet was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// All 2^32 - 1 sequence numbers are used (RFC 4303 section 3.3.3): the SA must be replaced.
    #[error("the SA has no sequence number left")]
    SequenceExhausted {
        /// How many packets at the batch's start still got a number and are sealed. The others and their places are as they were.
        sealed: usize,
    },
}

/// The sending half of an SA pair.
pub struct OutboundSa {
    spi: u32,
    suite: Suite,
    sequence: u64,
    keys: SealingKeys,
}

enum SealingKeys {
    Cbc { cipher: CbcEncryptor, integrity: Hmac, ivs: CbcIvs },
    Gcm(Gcm),
}

impl OutboundSa {
    /// `keymat` is what quick mode made: encryption key, then salt or integrity key; [`Suite::keymat_len`] bytes. The caller wipes its copy.
    /// `rng` seeds the SA's own generator of CBC IVs; GCM does not use it.
    pub fn new(spi: u32, suite: Suite, keymat: &[u8], rng: &mut dyn Rng) -> Result<Self, SaError> {
        Self::with_kernel(Kernel::best(), spi, suite, keymat, rng)
    }

    /// With a given kernel, to compare them.
    pub fn with_kernel(kernel: Kernel, spi: u32, suite: Suite, keymat: &[u8], rng: &mut dyn Rng) -> Result<Self, SaError> {
        keys::check_spi(spi)?;
        Self::with_any_spi(kernel, spi, suite, keymat, rng)
    }

    /// Published packets use reserved SPIs too.
    pub(crate) fn with_any_spi(kernel: Kernel, spi: u32, suite: Suite, keymat: &[u8], rng: &mut dyn Rng) -> Result<Self, SaError> {
        let (key, rest) = keys::split(suite, keymat)?;
        let wrong_length = SaError::KeymatLength { suite, expected: suite.keymat_len(), actual: keymat.len() };
        let keys = match suite.integrity() {
            Some(integrity) => SealingKeys::Cbc {
                cipher: CbcEncryptor::new(kernel, suite.cipher(), key).ok_or(wrong_length)?,
                integrity: Hmac::new(kernel, integrity, rest),
                ivs: CbcIvs::new(rng),
            },
            None => SealingKeys::Gcm(Gcm::new(kernel, suite.cipher(), key, rest).ok_or(wrong_length)?),
        };
        Ok(Self { spi, suite, sequence: 0, keys })
    }

    /// Seals packets in place, in order, with consecutive sequence numbers: each place grows at both ends to the whole ESP packet.
    /// `next_header` is 4 for IPv4, 41 for IPv6, taken from each packet's version nibble.
    ///
    /// When the sequence numbers end inside the batch, the packets that still get one are sealed, the rest is left alone and the error says how many.
    ///
    /// # Panics
    /// If a place has less than [`HEADROOM`](crate::HEADROOM) bytes before it or [`TAILROOM`](crate::TAILROOM) bytes behind it in the arena.
    pub fn seal_batch(&mut self, arena: &mut [u8], packets: &mut [Packet]) -> Result<(), SealError> {
        let left = usize::try_from(LAST_SEQUENCE - self.sequence).unwrap_or(usize::MAX);
        let sealed = packets.len().min(left);
        for chunk in packets[..sealed].chunks_mut(CHUNK) {
            let mut ivs = [[0; 16]; CHUNK];
            let ivs = &mut ivs[..chunk.len()];
            self.keys.next_ivs(self.sequence + 1, ivs);
            self.seal_chunk(arena, chunk, ivs);
        }
        if sealed < packets.len() { Err(SealError::SequenceExhausted { sealed }) } else { Ok(()) }
    }

    /// At most [`CHUNK`] packets with given IVs, of which the first [`Suite::iv_len`] bytes count.
    pub(crate) fn seal_chunk(&mut self, arena: &mut [u8], packets: &mut [Packet], ivs: &[[u8; 16]]) {
        let suite = self.suite;
        for (packet, iv) in packets.iter_mut().zip(ivs) {
            let next_header = header::next_header_of(&arena[packet.range()]);
            self.sequence += 1;
            *packet = header::enclose(arena, *packet, suite, self.spi, self.sequence as u32, iv, next_header);
        }
        self.keys.protect(suite, arena, packets);
    }

    /// Goes on behind this sequence number, as if so many packets had been sent. Only forward: no number, and no IV of GCM, is used twice.
    pub fn skip_to(&mut self, sequence: u64) {
        self.sequence = self.sequence.max(sequence).min(LAST_SEQUENCE);
    }

    /// The last sequence number used; 0 before the first packet.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The SPI the receiver chose.
    pub fn spi(&self) -> u32 {
        self.spi
    }

    /// The algorithms.
    pub fn suite(&self) -> Suite {
        self.suite
    }
}

/// Keys are not shown.
impl fmt::Debug for OutboundSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutboundSa {{ spi: {:08x}, suite: {}, sequence: {}, .. }}", self.spi, self.suite, self.sequence)
    }
}

impl SealingKeys {
    /// Encrypts and authenticates packets that are complete but for that; at most [`CHUNK`].
    fn protect(&self, suite: Suite, arena: &mut [u8], packets: &[Packet]) {
        let (cipher, integrity) = match self {
            Self::Cbc { cipher, integrity, .. } => (cipher, integrity),
            Self::Gcm(gcm) => return gcm.seal(arena, packets),
        };
        let mut spans = [Packet { start: 0, len: 0 }; CHUNK];
        let spans = &mut spans[..packets.len()];
        each(spans, packets, |packet| header::iv_and_ciphertext(packet, suite));
        cipher.encrypt(arena, spans);

        let mut icvs = [Icv::default(); CHUNK];
        let icvs = &mut icvs[..packets.len()];
        each(spans, packets, |packet| header::authenticated(packet, suite));
        integrity.compute(arena, spans, icvs);
        for (&packet, icv) in packets.iter().zip(icvs) {
            arena[header::icv(packet, suite).range()].copy_from_slice(&icv[..suite.icv_len()]);
        }
    }

    /// The IVs of consecutive packets, the first with sequence number `first`.
    fn next_ivs(&self, first: u64, ivs: &mut [[u8; 16]]) {
        match self {
            Self::Cbc { ivs: generator, .. } => generator.fill(first, ivs),
            // Unique under the key as the sequence number is, never random (RFC 4106 section 3.1).
            Self::Gcm(_) => {
                for (sequence, iv) in (first..).zip(ivs) {
                    iv[..8].copy_from_slice(&sequence.to_be_bytes());
                }
            }
        }
    }
}

/// IVs that nobody can predict and that never repeat for a 16-byte block (RFC 3602 section 3): the sequence number encrypted under a random key of their own,
/// after NIST SP 800-38A appendix C. Ciphers with an 8-byte block take the first half.
struct CbcIvs {
    cipher: Box<Aes128Enc>,
}

impl CbcIvs {
    fn new(rng: &mut dyn Rng) -> Self {
        let mut key = Zeroizing::new([0; 16]);
        rng.fill_bytes(&mut *key);
        Self { cipher: Box::new(Aes128Enc::new((&*key).into())) }
    }

    fn fill(&self, first: u64, ivs: &mut [[u8; 16]]) {
        for (sequence, iv) in (first..).zip(&mut *ivs) {
            *iv = u128::from(sequence).to_be_bytes();
        }
        self.cipher.encrypt_blocks(aes::Block::cast_slice_from_core_mut(ivs));
    }
}

fn each(spans: &mut [Packet], packets: &[Packet], part: impl Fn(Packet) -> Packet) {
    for (span, &packet) in spans.iter_mut().zip(packets) {
        *span = part(packet);
    }
}

#[cfg(test)]
impl OutboundSa {
    /// A packet as a faulty or hostile holder of the keys might send it: `alter` changes padding, pad length and next header before they are encrypted.
    pub(crate) fn seal_altered(&mut self, inner: &[u8], alter: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut arena = [&[0; crate::HEADROOM], inner, &[0; crate::TAILROOM]].concat();
        let place = Packet { start: crate::HEADROOM, len: inner.len() };
        self.sequence += 1;
        let mut ivs = [[0; 16]];
        self.keys.next_ivs(self.sequence, &mut ivs);
        let sealed = header::enclose(&mut arena, place, self.suite, self.spi, self.sequence as u32, &ivs[0], 4);
        alter(&mut arena[place.start + place.len..header::icv(sealed, self.suite).start]);
        self.keys.protect(self.suite, &mut arena, &[sealed]);
        arena[sealed.range()].to_vec()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::{LAST_SEQUENCE, OutboundSa, SealError};
    use crate::{Cipher, HEADROOM, Integrity, Packet, Suite, TAILROOM};

    const PITCH: usize = HEADROOM + 40 + TAILROOM;

    fn sa(cipher: Cipher, integrity: Option<Integrity>) -> OutboundSa {
        let suite = Suite::new(cipher, integrity).unwrap();
        let keymat: Vec<u8> = (0..suite.keymat_len() as u8).collect();
        OutboundSa::new(0x1000, suite, &keymat, &mut StdRng::seed_from_u64(7)).unwrap()
    }

    fn batch(count: usize) -> (Vec<u8>, Vec<Packet>) {
        (vec![0x45; count * PITCH], (0..count).map(|i| Packet { start: i * PITCH + HEADROOM, len: 40 }).collect())
    }

    fn sequence_numbers(arena: &[u8], packets: &[Packet]) -> Vec<u32> {
        packets.iter().map(|packet| u32::from_be_bytes(arena[packet.start + 4..][..4].try_into().unwrap())).collect()
    }

    #[test]
    fn the_first_packet_has_number_1_and_batches_go_on_where_the_last_ended() {
        let mut sa = sa(Cipher::Aes128, Some(Integrity::HmacSha1_96));
        assert_eq!(sa.sequence(), 0);
        let (mut arena, mut packets) = batch(70);
        sa.seal_batch(&mut arena, &mut packets).unwrap();
        assert_eq!(sequence_numbers(&arena, &packets), (1..=70).collect::<Vec<_>>());
        let (mut arena, mut packets) = batch(3);
        sa.seal_batch(&mut arena, &mut packets).unwrap();
        assert_eq!(sequence_numbers(&arena, &packets), [71, 72, 73]);
        assert_eq!(sa.sequence(), 73);
    }

    #[test]
    fn the_sequence_ends_after_all_ones_inside_a_batch_and_nothing_more_is_sealed() {
        for (cipher, integrity) in [(Cipher::Aes128, Some(Integrity::HmacSha1_96)), (Cipher::Aes128Gcm16, None)] {
            let mut sa = sa(cipher, integrity);
            sa.skip_to(LAST_SEQUENCE - 2);
            let (mut arena, mut packets) = batch(5);
            let (untouched, places) = (arena.clone(), packets.clone());
            assert_eq!(sa.seal_batch(&mut arena, &mut packets), Err(SealError::SequenceExhausted { sealed: 2 }));
            assert_eq!(sequence_numbers(&arena, &packets[..2]), [u32::MAX - 1, u32::MAX]);
            assert_eq!(packets[2..], places[2..]);
            assert_eq!(arena[2 * PITCH..], untouched[2 * PITCH..]);

            let (mut arena, mut packets) = batch(1);
            for _ in 0..3 {
                assert_eq!(sa.seal_batch(&mut arena, &mut packets), Err(SealError::SequenceExhausted { sealed: 0 }));
            }
            assert_eq!(arena, untouched[..PITCH]);
            assert_eq!(sa.sequence(), LAST_SEQUENCE);
            assert_eq!(sa.seal_batch(&mut [], &mut []), Ok(()));
        }
    }

    #[test]
    fn cbc_ivs_never_repeat_and_differ_between_sas() {
        let mut seen = HashSet::new();
        for seed in 0..4 {
            let suite = Suite::new(Cipher::Aes128, Some(Integrity::HmacSha1_96)).unwrap();
            let mut sa = OutboundSa::new(0x1000, suite, &[9; 36], &mut StdRng::seed_from_u64(seed)).unwrap();
            for _ in 0..10 {
                let (mut arena, mut packets) = batch(100);
                sa.seal_batch(&mut arena, &mut packets).unwrap();
                assert!(packets.iter().all(|packet| seen.insert(arena[packet.start + 8..][..16].to_vec())));
            }
        }
    }

    #[test]
    fn the_iv_of_gcm_is_the_sequence_number() {
        let mut sa = sa(Cipher::Aes256Gcm16, None);
        sa.skip_to(0x0102_0303);
        let (mut arena, mut packets) = batch(2);
        sa.seal_batch(&mut arena, &mut packets).unwrap();
        assert_eq!(arena[packets[0].start + 8..][..8], [0, 0, 0, 0, 1, 2, 3, 4]);
        assert_eq!(arena[packets[1].start + 8..][..8], [0, 0, 0, 0, 1, 2, 3, 5]);
    }
}
