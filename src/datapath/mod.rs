//! The packet path, pure. It knows no negotiation, no socket and no clock.
//!
//! ```text
//!  Outbound   TUN -> flow -> route -> policy -> SA -> size, MSS -> seal -> network
//!  Inbound    network -> SPI -> open -> inner header -> selectors, policy -> ECN -> our own echoes -> MSS -> TUN
//! ```
//!
//! Each direction is one value that lives on one thread. A batch is what one round of reading returned: its packets lie in one arena,
//! are handled in place and leave in order. Nothing in here takes a lock or allocates per packet.

mod flow;
mod inbound;
mod limit;
mod mss;
mod outbound;
mod scratch;

use std::net::{IpAddr, SocketAddr};

use tandem_esp::Packet;

pub use self::inbound::Inbound;
pub use self::outbound::Outbound;
use crate::sadb::{Notice, OuterPath};

/// What both directions share with the control path.
pub trait Control: Send {
    /// Tells the control path something. Returns false if its queue is full; the caller counts that.
    fn notify(&mut self, notice: Notice) -> bool;
}

/// Where the outbound path gets its packets from and puts its results.
#[derive(Debug, Default)]
pub struct OutboundBatch {
    /// All packets lie here, each with `tandem_esp::HEADROOM` before and `TAILROOM` behind it. What the path makes itself (fragments, ICMP errors)
    /// it puts behind the last of `packets`, and lengthens the arena if it must.
    pub arena: Vec<u8>,
    /// In: inner IP packets, in order, with complete checksums.
    pub packets: Vec<Packet>,
    /// Out: ESP packets to send, in order for each flow.
    pub sealed: Vec<Sealed>,
    /// Out: packets to give back to the kernel through the TUN device ("fragmentation needed"); each a whole IP packet with `HEADROOM` bytes before it.
    pub returned: Vec<Packet>,
}

/// A sealed packet.
#[derive(Clone, Copy, Debug)]
pub struct Sealed {
    /// Its place: from the SPI to the ICV.
    pub packet: Packet,
    /// Where it goes.
    pub path: OuterPath,
    /// TOS byte of the outer header: the inner DSCP and, by RFC 6040, the inner ECN field.
    pub tos: u8,
}

/// Where the inbound path gets its packets from and puts its results.
#[derive(Debug, Default)]
pub struct InboundBatch {
    /// All packets lie here.
    pub arena: Vec<u8>,
    /// In: ESP packets, from the SPI to the ICV.
    pub received: Vec<Received>,
    /// Out: inner packets for the TUN device, in order.
    pub delivered: Vec<Packet>,
}

/// A received ESP packet.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Its place.
    pub packet: Packet,
    /// Address it arrived at.
    pub local: IpAddr,
    /// Where it came from; port 0 for raw ESP.
    pub remote: SocketAddr,
    /// Whether it came in UDP.
    pub in_udp: bool,
    /// TOS byte of the outer header.
    pub tos: u8,
}
