//! IKEv1 as a pure library: main mode with pre-shared keys, quick mode, informational exchanges; both roles.
//!
//! **The rule of use.** An [`Endpoint`] owns no socket, no clock and no thread. After every call that changes it
//! ([`Endpoint::connect`], [`close`](Endpoint::close), [`handle`](Endpoint::handle), [`handle_timeout`](Endpoint::handle_timeout), ...)
//!
//! 1. call [`Endpoint::poll_event`] until `None` and act on each event: an inbound SA must be installed *before* the message
//!    that lets the peer use it leaves,
//! 2. call [`Endpoint::poll_transmit`] until `None` and send each datagram,
//! 3. call [`Endpoint::poll_timeout`] once and call [`Endpoint::handle_timeout`] when that moment has come.
//!
//! `now` is always an argument, and randomness comes from a source handed in, so the same seed gives the same run.
//!
//! ```text
//!  datagram -> endpoint -> connection ------> what ought to be there, against what is: `reconcile` begins exchanges
//!              which one?   |
//!                           +-> phase_one -> main_mode/{initiator,responder}    one struct per awaited message; leaves an ISAKMP SA
//!                           +-> phase_two -> quick_mode/{initiator,responder}   one exchange per message id; leaves an IPsec SA pair
//!                           +-> liveness  -> informational                      NOTIFY, DELETE, dead peer detection, keepalives
//! ```

mod child_sa;
mod config;
mod connection;
mod crypto;
mod dh;
mod endpoint;
mod error;
mod event;
mod failure;
mod informational;
mod isakmp_sa;
mod iv;
mod keys;
mod liveness;
mod main_mode;
mod nat;
mod phase_one;
mod phase_two;
mod proposal;
mod quick_mode;
#[cfg(test)]
mod recorded;
mod retransmit;
mod session;
mod shared;
mod timer;
pub mod wire;

pub use config::{ConnectionConfig, ConnectionId, Dpd, Identity, NatTraversal, ProxyIdentity, Psk, Start, TrafficSelectors};
pub use endpoint::Endpoint;
pub use error::DropReason;
pub use event::{
    ChildKeys, ChildSaId, Code, DeleteReason, Direction, Encapsulation, Event, Failure, IkeKey, IkeSaInfo, NatStatus, Role, Transmit,
};
pub use proposal::{EncryptionAlgorithm, EspProposal, EspTransform, Group, HashAlgorithm, IkeProposal, IntegrityAlgorithm, UnknownName};
