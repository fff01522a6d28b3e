//! The packet path, pure: TUN -> flow -> policy -> route -> SA -> seal -> network, and back. It knows no negotiation, no socket and no clock.
//!
//! Each direction is one value that lives on one thread. A batch is what one round of reading returned: its packets lie in one arena,
//! are handled in place and leave in order. Nothing in here takes a lock or allocates per packet.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tandem_esp::Packet;

use crate::sadb::{Notice, OuterPath, Tables};
use crate::stats::Drops;

/// What both directions share with the control path.
pub trait Control: Send {
    /// Tells the control path something. Returns false if its queue is full; the caller counts that.
    fn notify(&mut self, notice: Notice) -> bool;
}

/// Where the outbound path gets its packets from and puts its results.
#[derive(Debug, Default)]
pub struct OutboundBatch {
    /// All packets lie here, each with `tandem_esp::HEADROOM` before and `TAILROOM` behind it.
    pub arena: Vec<u8>,
    /// In: inner IP packets, in order.
    pub packets: Vec<Packet>,
    /// Out: ESP packets to send, in order for each flow.
    pub sealed: Vec<Sealed>,
    /// Out: packets to give back to the kernel through the TUN device ("fragmentation needed"); each a whole IP packet.
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

/// The sending direction.
pub struct Outbound {}

impl Outbound {
    /// A path without SAs.
    pub fn new(drops: Arc<Drops>, control: Box<dyn Control>) -> Self {
        let _ = (drops, control);
        todo!()
    }

    /// Looks at the tables once per batch; when they are new ones, takes over the SAs that are new and wipes those that are gone.
    pub fn update(&mut self, tables: &Arc<Tables>) {
        let _ = tables;
        todo!()
    }

    /// Handles one batch: fills `sealed` and `returned` from `packets`, which it empties. `now_ms` is a coarse clock for limiting notices.
    pub fn process(&mut self, now_ms: u64, batch: &mut OutboundBatch) {
        let _ = (now_ms, batch);
        todo!()
    }

    /// The gateway's own packet (an echo): through this connection's newest SA whose selectors contain it, whatever the routes say.
    /// `batch.packets` holds exactly that packet.
    pub fn inject(&mut self, connection: usize, batch: &mut OutboundBatch) {
        let _ = (connection, batch);
        todo!()
    }
}

/// The receiving direction.
pub struct Inbound {}

impl Inbound {
    /// A path without SAs.
    pub fn new(drops: Arc<Drops>, control: Box<dyn Control>) -> Self {
        let _ = (drops, control);
        todo!()
    }

    /// As [`Outbound::update`].
    pub fn update(&mut self, tables: &Arc<Tables>) {
        let _ = tables;
        todo!()
    }

    /// Handles one batch: fills `delivered` from `received`, which it empties.
    pub fn process(&mut self, now_ms: u64, batch: &mut InboundBatch) {
        let _ = (now_ms, batch);
        todo!()
    }
}
