//! Sealing: from inner packets to ESP.

use rand::Rng;
use thiserror::Error;

use crate::{Packet, Suite};

/// Why a packet was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// All 2^32 - 1 sequence numbers are used (RFC 4303 section 3.3.3): the SA must be replaced.
    #[error("the SA has no sequence number left")]
    SequenceExhausted,
}

/// The sending half of an SA pair.
#[derive(Debug)]
pub struct OutboundSa {}

impl OutboundSa {
    /// `keymat` is what quick mode made: encryption key, then salt or integrity key; [`Suite::keymat_len`] bytes.
    /// `rng` seeds the SA's own generator of CBC IVs; GCM does not use it.
    pub fn new(spi: u32, suite: Suite, keymat: &[u8], rng: &mut dyn Rng) -> Self {
        let _ = (spi, suite, keymat, rng);
        todo!()
    }

    /// Seals packets in place, in order, with consecutive sequence numbers: each place grows at both ends to the whole ESP packet.
    /// `next_header` is 4 for IPv4, 41 for IPv6, taken from each packet's version nibble.
    /// Returns how many were sealed; less than all only when the sequence numbers end.
    pub fn seal_batch(&mut self, arena: &mut [u8], packets: &mut [Packet]) -> Result<(), SealError> {
        let _ = (arena, packets);
        todo!()
    }

    /// The last sequence number used; 0 before the first packet.
    pub fn sequence(&self) -> u64 {
        todo!()
    }
}
