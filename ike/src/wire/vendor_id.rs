//! The vendor id payload (RFC 2408 section 3.16): how peers announce extensions. Unknown ones mean nothing.

/// A vendor id whose meaning we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VendorId {
    /// NAT traversal (RFC 3947 section 3.1).
    NatTraversal,
    /// NAT traversal, draft-ietf-ipsec-nat-t-ike-03.
    NatTraversalDraft03,
    /// NAT traversal, draft-ietf-ipsec-nat-t-ike-02, hashed with the newline that some implementations kept.
    NatTraversalDraft02Newline,
    /// NAT traversal, draft-ietf-ipsec-nat-t-ike-02.
    NatTraversalDraft02,
    /// Dead peer detection (RFC 3706 section 5.1), version 1.0.
    DeadPeerDetection,
    /// Fragmentation of ISAKMP messages (a vendor's). Recognised, not supported.
    Fragmentation,
    /// XAUTH. Recognised, not supported.
    Xauth,
}

impl VendorId {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NatTraversal,
        Self::NatTraversalDraft03,
        Self::NatTraversalDraft02Newline,
        Self::NatTraversalDraft02,
        Self::DeadPeerDetection,
        Self::Fragmentation,
        Self::Xauth,
    ];

    /// The payload's body.
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::NatTraversal => b"\x4a\x13\x1c\x81\x07\x03\x58\x45\x5c\x57\x28\xf2\x0e\x95\x45\x2f",
            Self::NatTraversalDraft03 => b"\x7d\x94\x19\xa6\x53\x10\xca\x6f\x2c\x17\x9d\x92\x15\x52\x9d\x56",
            Self::NatTraversalDraft02Newline => b"\x90\xcb\x80\x91\x3e\xbb\x69\x6e\x08\x63\x81\xb5\xec\x42\x7b\x1f",
            Self::NatTraversalDraft02 => b"\xcd\x60\x46\x43\x35\xdf\x21\xf8\x7c\xfd\xb2\xfc\x68\xb6\xa4\x48",
            Self::DeadPeerDetection => b"\xaf\xca\xd7\x13\x68\xa1\xf1\xc9\x6b\x86\x96\xfc\x77\x57\x01\x00",
            Self::Fragmentation => b"\x40\x48\xb7\xd5\x6e\xbc\xe8\x85\x25\xe7\xde\x7f\x00\xd6\xc2\xd3",
            Self::Xauth => b"\x09\x00\x26\x89\xdf\xd6\xb7\x12",
        }
    }

    /// Which one a payload's body is, if we know it. DPD's last byte is a minor version, and fragmentation may be followed by flags.
    pub fn recognise(body: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|id| match id {
            Self::DeadPeerDetection => {
                body.len() == id.bytes().len() && body.split_last().map(|(_, head)| head) == id.bytes().split_last().map(|(_, head)| head)
            }
            Self::Fragmentation => body.starts_with(id.bytes()),
            _ => body == id.bytes(),
        })
    }

    /// Whether it announces NAT traversal, in whichever edition.
    pub fn is_nat_traversal(self) -> bool {
        matches!(self, Self::NatTraversal) || self.is_nat_traversal_draft()
    }

    /// Whether it announces NAT traversal of the drafts, with payload types 130 and 131 and encapsulation mode 61443.
    pub fn is_nat_traversal_draft(self) -> bool {
        matches!(self, Self::NatTraversalDraft02 | Self::NatTraversalDraft02Newline | Self::NatTraversalDraft03)
    }
}
