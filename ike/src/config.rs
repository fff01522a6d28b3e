//! What an endpoint must know about one connection before it can negotiate: addresses, key, identities, proposals, selectors.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::proposal::{EspProposal, Group, IkeProposal};

/// A connection's index, chosen by the caller; it is the same number in every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u32);

/// A pre-shared key, used byte for byte; 1 byte or more. Wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Psk(Vec<u8>);

impl Psk {
    /// Takes the key's bytes as they stand.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk(..)")
    }
}

/// Who a peer says it is in message 5 or 6 (RFC 2407 section 4.6.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// `ID_IPV4_ADDR` or `ID_IPV6_ADDR`.
    Address(IpAddr),
    /// `ID_FQDN`, without a trailing dot.
    Fqdn(String),
}

/// One side of a quick mode's selectors: what IKEv1 calls a proxy identity (RFC 2409 section 5.5: `IDci`, `IDcr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProxyIdentity {
    /// The addresses. A prefix of full length is sent as one address, `0.0.0.0/0` as a subnet of mask zero.
    pub net: IpNet,
    /// IP protocol number; 0 means any.
    pub protocol: u8,
    /// TCP or UDP port; 0 means any.
    pub port: u16,
}

/// One pair of proxy identities, as seen from this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrafficSelectors {
    /// Our side.
    pub local: ProxyIdentity,
    /// The peer's side.
    pub remote: ProxyIdentity,
}

/// When this end negotiates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At [`Endpoint::connect`](crate::Endpoint::connect), and again for ever whenever it is down.
    Always,
    /// When [`Endpoint::acquire`](crate::Endpoint::acquire) says that traffic needs it; a failed attempt is repeated only for new traffic.
    OnTraffic,
    /// Never; it only answers.
    Passive,
}

/// Dead peer detection (RFC 3706).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dpd {
    /// How long the peer may be silent (no IKE and no ESP from it) before R-U-THERE is sent.
    pub delay: Duration,
    /// How long R-U-THEREs may stay unanswered before the peer counts as dead.
    pub timeout: Duration,
}

/// NAT traversal (RFC 3947).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatTraversal {
    /// Offer it; use UDP encapsulation when a NAT is found.
    Auto,
    /// Pretend that there is a NAT on our side, so that ESP always travels in UDP.
    Force,
    /// Neither offer nor accept it.
    Off,
}

/// Everything that the negotiation of one connection depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// Name for messages to people.
    pub name: String,
    /// Our address.
    pub local: IpAddr,
    /// The peer's address.
    pub remote: IpAddr,
    /// The pre-shared key.
    pub psk: Psk,
    /// The key to change to: as responder both are tried until this one has worked once; as initiator it is used after `psk` has failed.
    pub psk_next: Option<Psk>,
    /// What we say of ourselves.
    pub local_id: Identity,
    /// What the peer must say of itself.
    pub remote_id: Identity,
    /// When to negotiate.
    pub start: Start,
    /// Phase 1 proposals, the most wanted one first; not empty.
    pub ike_proposals: Vec<IkeProposal>,
    /// Lifetime of an ISAKMP SA.
    pub ike_lifetime: Duration,
    /// Phase 2 proposals, the most wanted one first; not empty.
    pub esp_proposals: Vec<EspProposal>,
    /// Perfect forward secrecy: the group of quick mode's own exchange.
    pub pfs: Option<Group>,
    /// Lifetime of an IPsec SA.
    pub esp_lifetime: Duration,
    /// Dead peer detection; `None` turns it off (questions are answered all the same).
    pub dpd: Option<Dpd>,
    /// NAT traversal.
    pub nat_traversal: NatTraversal,
    /// The pairs of proxy identities, one IPsec SA pair each; not empty. Their index is the `child` of every event.
    pub children: Vec<TrafficSelectors>,
}
