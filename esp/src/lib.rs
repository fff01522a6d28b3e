//! ESP (RFC 4303) in tunnel mode as a pure library. It knows packets, keys and sequence numbers; no peers, no policy, no sockets.
//!
//! ```text
//!  inner IP packet  -> OutboundSa::seal_batch -> [ESP header | IV | inner packet | padding | ICV]
//!  inner IP packet  <- InboundSa::open_batch  <- the same, after replay check, ICV, decryption, padding, next header
//! ```
//!
//! Packets of one SA are handled many at a time, in place: they lie in one byte arena, each with [`HEADROOM`] bytes before and
//! [`TAILROOM`] bytes behind it. A single packet is a batch of one. Nothing is allocated after an SA is made.

mod header;
mod inbound;
mod kernels;
mod keys;
mod outbound;
mod packet;
pub mod port4500;
#[cfg(test)]
mod published;
mod replay;
mod suite;

pub use inbound::{InboundSa, OpenError};
pub use kernels::Kernel;
pub use keys::SaError;
pub use outbound::{OutboundSa, SealError};
pub use packet::{HEADROOM, Packet, TAILROOM};
pub use suite::{Cipher, Integrity, Outer, Suite, SuiteError};
