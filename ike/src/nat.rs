//! NAT traversal (RFC 3947): which version of it both ends know, where the NAT is, and what follows for the path and for ESP.

use std::net::SocketAddr;

use rand::{CryptoRng, RngExt as _};

use crate::config::NatTraversal;
use crate::crypto::Digest;
use crate::event::{Encapsulation, NatStatus};
use crate::proposal::HashAlgorithm;
use crate::proposal::esp::Mode;
use crate::wire::{Cookie, PayloadType, Payloads, VendorId, natd};

/// The UDP port of ISAKMP (RFC 2408 section 2.5.1).
pub(crate) const IKE_PORT: u16 = 500;
/// The port of IKE and ESP behind a NAT (RFC 3947 section 4).
pub(crate) const NAT_TRAVERSAL_PORT: u16 = 4500;

/// The two ends of the datagrams of one ISAKMP SA, as seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl Path {
    /// The same addresses on port 4500: the move that comes with message 5.
    pub(crate) fn floated(self) -> Self {
        if self.local.port() == NAT_TRAVERSAL_PORT {
            return self;
        }
        let at = |address: SocketAddr| SocketAddr::new(address.ip(), NAT_TRAVERSAL_PORT);
        Self { local: at(self.local), remote: at(self.remote) }
    }
}

/// The dialects of NAT traversal that both port 4500 and the detection exist in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traversal {
    /// RFC 3947.
    Rfc3947,
    /// draft-ietf-ipsec-nat-t-ike-02 and -03: the same with payload and attribute numbers of the private range.
    Draft,
}

impl Traversal {
    fn is_draft(self) -> bool {
        self == Self::Draft
    }
}

/// The vendor ids of messages 1 and 2 that concern NAT traversal, the preferred one first.
pub(crate) fn vendor_ids(setting: NatTraversal) -> &'static [VendorId] {
    match setting {
        NatTraversal::Off => &[],
        NatTraversal::Auto | NatTraversal::Force => {
            &[VendorId::NatTraversal, VendorId::NatTraversalDraft03, VendorId::NatTraversalDraft02Newline, VendorId::NatTraversalDraft02]
        }
    }
}

/// The best dialect that the peer's vendor ids and our setting have in common.
pub(crate) fn agree(setting: NatTraversal, payloads: &Payloads<'_>) -> Option<Traversal> {
    let theirs: Vec<_> = payloads.all(PayloadType::VENDOR_ID).filter_map(|payload| VendorId::recognise(payload.body)).collect();
    let best = vendor_ids(setting).iter().find(|id| theirs.contains(id))?;
    Some(if best.is_nat_traversal_draft() { Traversal::Draft } else { Traversal::Rfc3947 })
}

/// What NAT detection found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nat {
    /// The dialect; `None` if NAT traversal was not agreed.
    pub(crate) traversal: Option<Traversal>,
    /// The peer sees another address of ours than we do.
    pub(crate) local: bool,
    /// We see another address of the peer than it does.
    pub(crate) remote: bool,
    /// We pretended that there is one on our side.
    pub(crate) forced: bool,
}

impl Nat {
    pub(crate) fn status(&self) -> NatStatus {
        match (self.local, self.remote, self.forced) {
            (true, true, _) => NatStatus::Both,
            (true, false, _) => NatStatus::Local,
            (false, _, true) => NatStatus::Forced,
            (false, true, false) => NatStatus::Remote,
            (false, false, false) => NatStatus::None,
        }
    }

    /// Whether ESP travels in UDP.
    pub(crate) fn encapsulates(&self) -> bool {
        self.local || self.remote || self.forced
    }

    /// The encapsulation mode of quick mode's proposals (RFC 3947 section 5.1).
    pub(crate) fn mode(&self) -> Mode {
        match (self.encapsulates(), self.traversal) {
            (false, _) | (true, None) => Mode::Tunnel,
            (true, Some(Traversal::Rfc3947)) => Mode::UdpTunnel,
            (true, Some(Traversal::Draft)) => Mode::UdpTunnelDraft,
        }
    }

    pub(crate) fn encapsulation(&self, path: Path) -> Encapsulation {
        if self.encapsulates() { Encapsulation::Udp { local: path.local, remote: path.remote } } else { Encapsulation::Esp }
    }
}

/// What NAT-D hashes are made of.
pub(crate) struct Detection {
    pub(crate) traversal: Traversal,
    pub(crate) hash: HashAlgorithm,
    pub(crate) initiator_cookie: Cookie,
    pub(crate) responder_cookie: Cookie,
    pub(crate) path: Path,
    /// Our setting is `force`.
    pub(crate) force: bool,
}

impl Detection {
    /// The two NAT-D payloads of message 3 or 4: first the remote end, then ours (RFC 3947 section 3.2). A forced end is wrong about itself.
    pub(crate) fn payloads(&self, rng: &mut (impl CryptoRng + ?Sized)) -> [(PayloadType, Vec<u8>); 2] {
        let kind = natd::payload_type(self.traversal.is_draft());
        let mut ours = self.hash_of(self.path.local).to_vec();
        if self.force {
            rng.fill(&mut ours[..]);
        }
        [(kind, self.hash_of(self.path.remote).to_vec()), (kind, ours)]
    }

    /// Compares the peer's NAT-D payloads with what we see: its first is about us, the others about its own addresses.
    /// Without any (the peer offers NAT traversal but does not look) nothing is found.
    pub(crate) fn judge(&self, payloads: &Payloads<'_>) -> Nat {
        let kind = natd::payload_type(self.traversal.is_draft());
        let mut theirs = payloads.all(kind).map(|payload| payload.body);
        let (ours, peers) = (self.hash_of(self.path.local), self.hash_of(self.path.remote));
        let Some(about_us) = theirs.next() else {
            return Nat { traversal: Some(self.traversal), local: false, remote: false, forced: false };
        };
        Nat {
            traversal: Some(self.traversal),
            local: !ours.ct_eq(about_us),
            remote: !theirs.any(|hash| peers.ct_eq(hash)),
            forced: self.force,
        }
    }

    fn hash_of(&self, address: SocketAddr) -> Digest {
        natd::hash(self.hash, self.initiator_cookie, self.responder_cookie, address)
    }
}
