//! The tables that the control path hands to the packet path: immutable, swapped whole.
//!
//! An SA changes with every packet (sequence number, replay window), so the table holds only its facts and a [`Handover`]:
//! the packet thread of its direction takes the SA out once, when it first sees the table, and owns it from then on.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;
use tandem_esp::{InboundSa, OutboundSa};
use tandem_ike::{ChildSaId, TrafficSelectors};

use crate::policy::Policy;
use crate::stats::Counters;

/// Carries a value to the one thread that will use it. A clone carries the same value: the control path puts one into every new entry for
/// the same SA (say, one with another path), whether or not the packet thread has seen the older entry.
///
/// A packet thread that no longer finds the SA in the tables puts it back. So an SA that another one has replaced can be used again, with
/// its sequence numbers going on, should the newer one be deleted first; and it is wiped as soon as the last entry that names it is gone.
#[derive(Debug)]
pub struct Handover<T>(Arc<Mutex<Option<T>>>);

impl<T> Handover<T> {
    /// Puts the value in.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(Some(value))))
    }

    /// Takes it out; `None` if somebody has it.
    pub fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Gives it back.
    pub fn put_back(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }
}

impl<T> Clone for Handover<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// What is true for both halves of an SA pair.
#[derive(Debug)]
pub struct SaFacts {
    /// Its name.
    pub id: ChildSaId,
    /// Index of its connection.
    pub connection: usize,
    /// The proxy identities.
    pub selectors: TrafficSelectors,
    /// SPI of packets to us.
    pub spi_in: u32,
    /// SPI of packets to the peer.
    pub spi_out: u32,
    /// Packets and bytes so far.
    pub counters: Counters,
    /// Set by the control path when it wants to hear of the next authentic packet; cleared by the inbound thread as it tells.
    pub tell_authentic: AtomicBool,
}

/// An SA to send on.
#[derive(Debug)]
pub struct OutboundEntry {
    /// Facts shared with the other half.
    pub facts: Arc<SaFacts>,
    /// The SA, until the outbound thread has taken it.
    pub sa: Handover<OutboundSa>,
    /// How its packets travel.
    pub path: OuterPath,
    /// The largest inner packet, in bytes, that fits the path's MTU.
    pub max_inner: usize,
}

impl OutboundEntry {
    /// The same SA, with its sequence numbers going on, along another path: a NAT has moved the peer.
    #[must_use]
    pub fn moved(&self, path: OuterPath) -> Self {
        Self { facts: Arc::clone(&self.facts), sa: self.sa.clone(), path, max_inner: self.max_inner }
    }

    /// The same SA, for a path whose MTU has changed.
    #[must_use]
    pub fn resized(&self, max_inner: usize) -> Self {
        Self { max_inner, ..self.moved(self.path) }
    }
}

/// An SA to receive on.
#[derive(Debug)]
pub struct InboundEntry {
    /// Facts shared with the other half.
    pub facts: Arc<SaFacts>,
    /// The SA, until the inbound thread has taken it.
    pub sa: Handover<InboundSa>,
    /// Index of its pair of proxy identities.
    pub child: usize,
    /// Whether its packets come in UDP.
    pub in_udp: bool,
}

impl InboundEntry {
    /// The same SA, after a reload has given its proxy identities another index.
    #[must_use]
    pub fn renumbered(&self, child: usize) -> Self {
        Self { facts: Arc::clone(&self.facts), sa: self.sa.clone(), child, in_udp: self.in_udp }
    }
}

/// The outer addresses of an SA's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OuterPath {
    /// IP protocol 50.
    Esp {
        /// Our address.
        local: IpAddr,
        /// The peer's.
        remote: IpAddr,
    },
    /// In UDP (RFC 3948).
    Udp {
        /// Our address and port.
        local: SocketAddr,
        /// The peer's.
        remote: SocketAddr,
    },
}

impl OuterPath {
    /// Our address and the peer's.
    pub fn addresses(self) -> (IpAddr, IpAddr) {
        match self {
            Self::Esp { local, remote } => (local, remote),
            Self::Udp { local, remote } => (local.ip(), remote.ip()),
        }
    }
}

/// What the outbound path must know about one connection.
#[derive(Clone, Debug)]
pub struct ConnectionEntry {
    /// Which inner packets it may carry.
    pub policy: Arc<Policy>,
    /// For each child the SA to send on: the newest one that is ready.
    pub outbound: Vec<Option<Arc<OutboundEntry>>>,
    /// Packets and bytes since start, over all its SAs.
    pub counters: Arc<Counters>,
}

/// Which connection carries packets to a prefix now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteEntry {
    /// The prefix.
    pub destination: IpNet,
    /// Index of the connection.
    pub connection: usize,
}

/// An echo that the gateway itself sends through a tunnel; replies with this id and token are its own and are not delivered.
/// Its ICMP payload begins with [`payload`](Self::payload).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoEntry {
    /// ICMP identifier.
    pub id: u16,
    /// The first bytes of the payload, random for each start.
    pub token: [u8; 16],
}

impl EchoEntry {
    /// What an echo carries: the token, and the sequence number once more (big-endian). So only who saw the echo can answer it.
    pub fn payload(&self, sequence: u16) -> [u8; 18] {
        let mut payload = [0; 18];
        let (token, repeated) = payload.split_at_mut(self.token.len());
        token.copy_from_slice(&self.token);
        repeated.copy_from_slice(&sequence.to_be_bytes());
        payload
    }
}

/// All of it. The order of `connections` is the configuration's.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Connections by index.
    pub connections: Vec<ConnectionEntry>,
    /// Routes, longest prefix first: the first that contains the destination decides.
    pub routes: Vec<RouteEntry>,
    /// Every live inbound SA.
    pub inbound: Vec<Arc<InboundEntry>>,
    /// Our own echoes.
    pub echoes: Vec<EchoEntry>,
}

/// What the packet path tells the control path.
#[derive(Debug)]
pub enum Notice {
    /// An IKE datagram arrived on port 4500; the non-ESP marker is still in front.
    Ike {
        /// Where it arrived.
        local: SocketAddr,
        /// Where it came from.
        remote: SocketAddr,
        /// The UDP payload.
        datagram: Vec<u8>,
    },
    /// The first authentic packet on an SA since the control path asked for it; or, in UDP, an authentic packet newer than all before it
    /// that came from another address or port than they did (a NAT has changed its mapping).
    Authentic {
        /// The SA's inbound SPI.
        spi_in: u32,
        /// Where it came from, if in UDP.
        remote: Option<SocketAddr>,
    },
    /// ESP with an SPI nobody knows. At most one a second per source.
    UnknownSpi {
        /// Where it arrived.
        local: IpAddr,
        /// Where it came from.
        remote: IpAddr,
    },
    /// A packet was permitted but no SA was up. At most ten a second per child.
    NoSa {
        /// Index of the connection.
        connection: usize,
        /// Index of the child.
        child: usize,
    },
    /// A reply to one of our own echoes came through this connection.
    EchoReply {
        /// Index of the connection it came through.
        connection: usize,
        /// ICMP identifier.
        id: u16,
        /// ICMP sequence number.
        sequence: u16,
    },
    /// An SA has used three quarters of its sequence numbers.
    SequenceLow {
        /// The SA pair.
        id: ChildSaId,
    },
    /// The kernel refused a packet because the path's MTU has become smaller (EMSGSIZE): look it up again. At most one a second.
    PathMtu {
        /// The path.
        path: OuterPath,
    },
}

/// An inner packet that the gateway itself sends through a connection's newest SA whose selectors contain it (an echo). Dropped and
/// counted as `no_sa` if there is none.
#[derive(Debug)]
pub struct Inject {
    /// Index of the connection.
    pub connection: usize,
    /// The inner IP packet.
    pub packet: Vec<u8>,
}
