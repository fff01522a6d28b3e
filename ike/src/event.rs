//! What an endpoint tells its owner, as values: datagrams to send, SAs to install, failures in words.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::config::{ConnectionId, TrafficSelectors};
use crate::proposal::{EspTransform, Group, IkeProposal};

/// A datagram to send. On port 4500 the four-byte non-ESP marker (RFC 3948 section 2.2) is already in front of an IKE message;
/// a payload of the single byte 0xFF is a NAT keepalive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The address and port to send from.
    pub local: SocketAddr,
    /// Where to.
    pub remote: SocketAddr,
    /// The UDP payload.
    pub payload: Vec<u8>,
}

/// Which side of the exchange we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We sent the first message.
    Initiator,
    /// The peer did.
    Responder,
}

/// What NAT detection found (RFC 3947 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatStatus {
    /// No NAT, or not looked for.
    None,
    /// We are behind one.
    Local,
    /// The peer is.
    Remote,
    /// Both are.
    Both,
    /// We pretended that we are (`nat_traversal = "force"`).
    Forced,
}

/// How ESP of an SA pair travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encapsulation {
    /// IP protocol 50.
    Esp,
    /// In UDP between these two endpoints (RFC 3948).
    Udp {
        /// Our address and port.
        local: SocketAddr,
        /// The peer's, as seen from here.
        remote: SocketAddr,
    },
}

/// Names one IPsec SA pair for as long as the endpoint lives; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChildSaId(pub u64);

/// The keys and parameters of one new IPsec SA pair. KEYMAT holds, in this order, the encryption key, the salt of GCM (4 bytes)
/// or the integrity key (RFC 2409 section 5.5, RFC 4106 section 8.1). Wiped when dropped, never shown.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ChildKeys {
    /// SPI of packets to us.
    pub spi_in: u32,
    /// SPI of packets to the peer.
    pub spi_out: u32,
    /// KEYMAT of packets to us.
    pub keymat_in: Vec<u8>,
    /// KEYMAT of packets to the peer.
    pub keymat_out: Vec<u8>,
}

impl fmt::Debug for ChildKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChildKeys {{ spi_in: {:08x}, spi_out: {:08x}, .. }}", self.spi_in, self.spi_out)
    }
}

/// Facts of an established ISAKMP SA, for status and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IkeSaInfo {
    /// Our role.
    pub role: Role,
    /// What was agreed.
    pub proposal: IkeProposal,
    /// What NAT detection found.
    pub nat: NatStatus,
    /// How ESP will travel.
    pub encapsulation: Encapsulation,
    /// When it was established.
    pub established: Instant,
    /// When we shall replace it; `None` if it will just expire.
    pub rekey_at: Option<Instant>,
}

/// Why an SA is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteReason {
    /// A newer SA pair took its place.
    Replaced,
    /// Its lifetime ended.
    Expired,
    /// The peer sent DELETE.
    PeerDeleted,
    /// The peer sent INITIAL-CONTACT: it remembers nothing.
    InitialContact,
    /// The peer did not answer DPD.
    PeerDead,
    /// We were told to close, or the configuration changed.
    Closed,
}

/// The direction a message came from, for events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the peer.
    Received,
    /// To the peer.
    Sent,
}

/// A failed negotiation in the cloud's words where it has one. `status` shows the variant's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The two ends' pre-shared keys differ.
    PskMismatch,
    /// No common phase 1 encryption algorithm or key length.
    EncryptionAlgorithmMismatch,
    /// No common phase 1 hash.
    AuthAlgorithmMismatch,
    /// No common phase 1 group.
    DhGroupMismatch,
    /// The peer offers another authentication method than a pre-shared key.
    AuthMethodMismatch,
    /// No common ESP encryption algorithm or key length.
    IpsecEncryptionAlgorithmMismatch,
    /// No common ESP integrity algorithm.
    IpsecAuthAlgorithmMismatch,
    /// PFS on one side only, or with another group.
    PfsMismatch,
    /// The proxy identities differ.
    SelectorMismatch,
    /// The peer's identity is not the configured one.
    IdMismatch,
    /// The peer wants aggressive mode, IKEv2 or another exchange.
    ModeMismatch,
    /// The peer refused our offer without saying what differs (NO-PROPOSAL-CHOSEN).
    NoProposalChosen,
    /// The peer sent another error notification.
    PeerRefused,
    /// No answer at all.
    NoResponse,
    /// The peer's message broke the protocol.
    ProtocolError,
}

/// Why a negotiation failed, for people. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind.
    pub code: Code,
    /// What happened, with both values where the protocol shows them.
    pub message: String,
    /// What to do about it, and on which side.
    pub advice: String,
}

/// The encryption key (Ka) of an ISAKMP SA, for a key log. Wiped when dropped, never shown.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct IkeKey {
    /// The initiator's cookie, which names the ISAKMP SA in a capture.
    pub initiator_cookie: [u8; 8],
    /// The key, of the cipher's length.
    pub key: Vec<u8>,
}

impl fmt::Debug for IkeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IkeKey(..)")
    }
}

/// What happened. Each names its connection; `child` is an index into [`ConnectionConfig::children`](crate::ConnectionConfig::children).
#[derive(Debug)]
pub enum Event {
    /// A first message of phase 1 or of a new attempt left or arrived.
    Negotiating {
        /// Whose.
        connection: ConnectionId,
        /// Our role.
        role: Role,
    },
    /// An ISAKMP SA is established.
    IkeEstablished {
        /// Whose.
        connection: ConnectionId,
        /// Facts for status.
        info: IkeSaInfo,
    },
    /// The key of the ISAKMP SA that was just established; only after [`Endpoint::log_keys`](crate::Endpoint::log_keys).
    IkeKey {
        /// Whose.
        connection: ConnectionId,
        /// The key.
        key: IkeKey,
    },
    /// The connection's last ISAKMP SA is gone. IPsec SAs live on.
    IkeClosed {
        /// Whose.
        connection: ConnectionId,
        /// Why.
        reason: DeleteReason,
    },
    /// A new IPsec SA pair: accept packets on its inbound SA from now on. Nothing may be sent on it yet.
    ChildInstalled {
        /// Whose.
        connection: ConnectionId,
        /// Which pair of proxy identities.
        child: usize,
        /// Its name from now on.
        id: ChildSaId,
        /// Our role in this quick mode.
        role: Role,
        /// The proxy identities.
        selectors: TrafficSelectors,
        /// What protects the packets.
        transform: EspTransform,
        /// The group of PFS, if any.
        pfs: Option<Group>,
        /// How the packets travel.
        encapsulation: Encapsulation,
        /// The keys; boxed so that moving the event does not copy them about.
        keys: Box<ChildKeys>,
        /// How long it may be used.
        lifetime: Duration,
        /// When we shall replace it.
        rekey_at: Option<Instant>,
    },
    /// Quick mode is complete (as responder: message 3 or the first authentic ESP packet came): send on this pair from now on,
    /// it is the newest one of its child.
    ChildReady {
        /// Whose.
        connection: ConnectionId,
        /// Which pair of proxy identities.
        child: usize,
        /// Which SA pair.
        id: ChildSaId,
    },
    /// Forget this SA pair, both directions.
    ChildDeleted {
        /// Whose.
        connection: ConnectionId,
        /// Which pair of proxy identities.
        child: usize,
        /// Which SA pair.
        id: ChildSaId,
        /// Why.
        reason: DeleteReason,
    },
    /// The peer's address or port changed behind a NAT, and an authenticated packet proved it: send there.
    PeerMoved {
        /// Whose.
        connection: ConnectionId,
        /// Where every UDP-encapsulated SA of the connection sends now.
        encapsulation: Encapsulation,
    },
    /// R-U-THERE stayed unanswered for the whole timeout.
    PeerDead {
        /// Whose.
        connection: ConnectionId,
    },
    /// A negotiation failed; what was there before still stands.
    Failed {
        /// Whose; `None` if no connection fits the peer.
        connection: Option<ConnectionId>,
        /// The peer.
        remote: SocketAddr,
        /// In words.
        failure: Failure,
        /// When it is tried again, if it is.
        retry_at: Option<Instant>,
    },
    /// Something worth a line in the log that changes nothing: a lifetime that differs, a weak algorithm, an unexpected notification.
    Warning {
        /// Whose.
        connection: ConnectionId,
        /// In words.
        message: String,
    },
}
