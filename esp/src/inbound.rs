//! Opening: from ESP to inner packets.

use thiserror::Error;

use crate::{Packet, Suite};

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
#[derive(Debug)]
pub struct InboundSa {}

impl InboundSa {
    /// `keymat` as for [`OutboundSa::new`](crate::OutboundSa::new); `replay_window` in packets, 64 to 4096.
    pub fn new(spi: u32, suite: Suite, keymat: &[u8], replay_window: u32) -> Self {
        let _ = (spi, suite, keymat, replay_window);
        todo!()
    }

    /// Opens ESP packets in place, in order. `results[i]` says how packet `i` fared; where it is `Ok`, the place has shrunk to the inner packet.
    /// Nothing is decrypted before its ICV holds; the replay window moves only for packets whose ICV holds.
    pub fn open_batch(&mut self, arena: &mut [u8], packets: &mut [Packet], results: &mut [Result<(), OpenError>]) {
        let _ = (arena, packets, results);
        todo!()
    }
}
