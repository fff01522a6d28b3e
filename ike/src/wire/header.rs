//! The ISAKMP header (RFC 2408 section 3.1) and the registries of its fields.

use std::fmt;

use rand::CryptoRng;

use super::reader::{Malformed, Problem, Reader};

/// A cookie: eight bytes by which one end knows an ISAKMP SA.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cookie(pub [u8; 8]);

impl Cookie {
    /// The responder's cookie before there is one.
    pub const ZERO: Self = Self([0; 8]);

    /// A fresh cookie, never zero.
    pub fn random(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        loop {
            let mut cookie = Self::ZERO;
            rng.fill_bytes(&mut cookie.0);
            if !cookie.is_zero() {
                return cookie;
            }
        }
    }

    /// Whether there is no cookie yet.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({self})")
    }
}

/// A payload's type (RFC 2408 section 3.1, RFC 3947 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PayloadType(pub u8);

impl PayloadType {
    /// The end of a chain.
    pub const NONE: Self = Self(0);
    /// Security association.
    pub const SA: Self = Self(1);
    /// Proposal, inside SA.
    pub const PROPOSAL: Self = Self(2);
    /// Transform, inside a proposal.
    pub const TRANSFORM: Self = Self(3);
    /// Key exchange.
    pub const KE: Self = Self(4);
    /// Identification.
    pub const ID: Self = Self(5);
    /// Certificate.
    pub const CERTIFICATE: Self = Self(6);
    /// Certificate request.
    pub const CERTIFICATE_REQUEST: Self = Self(7);
    /// Hash.
    pub const HASH: Self = Self(8);
    /// Signature.
    pub const SIGNATURE: Self = Self(9);
    /// Nonce.
    pub const NONCE: Self = Self(10);
    /// Notification.
    pub const NOTIFY: Self = Self(11);
    /// Delete.
    pub const DELETE: Self = Self(12);
    /// Vendor id.
    pub const VENDOR_ID: Self = Self(13);
    /// NAT detection (RFC 3947).
    pub const NAT_D: Self = Self(20);
    /// NAT original address (RFC 3947).
    pub const NAT_OA: Self = Self(21);
    /// NAT detection of the drafts 02 and 03.
    pub const NAT_D_DRAFT: Self = Self(130);
    /// NAT original address of the drafts 02 and 03.
    pub const NAT_OA_DRAFT: Self = Self(131);
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::NONE => "none",
            Self::SA => "SA",
            Self::PROPOSAL => "proposal",
            Self::TRANSFORM => "transform",
            Self::KE => "key exchange",
            Self::ID => "identification",
            Self::CERTIFICATE => "certificate",
            Self::CERTIFICATE_REQUEST => "certificate request",
            Self::HASH => "hash",
            Self::SIGNATURE => "signature",
            Self::NONCE => "nonce",
            Self::NOTIFY => "notification",
            Self::DELETE => "delete",
            Self::VENDOR_ID => "vendor id",
            Self::NAT_D | Self::NAT_D_DRAFT => "NAT-D",
            Self::NAT_OA | Self::NAT_OA_DRAFT => "NAT-OA",
            Self(other) => return write!(f, "payload type {other}"),
        };
        f.write_str(name)
    }
}

/// An exchange's type (RFC 2408 section 3.1, RFC 2409 appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExchangeType(pub u8);

impl ExchangeType {
    /// Identity protection: main mode.
    pub const MAIN: Self = Self(2);
    /// Aggressive mode.
    pub const AGGRESSIVE: Self = Self(4);
    /// Informational.
    pub const INFORMATIONAL: Self = Self(5);
    /// Transaction: mode config and XAUTH.
    pub const TRANSACTION: Self = Self(6);
    /// Quick mode.
    pub const QUICK: Self = Self(32);
    /// New group mode.
    pub const NEW_GROUP: Self = Self(33);
}

impl fmt::Display for ExchangeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::MAIN => "main mode",
            Self::AGGRESSIVE => "aggressive mode",
            Self::INFORMATIONAL => "informational exchange",
            Self::TRANSACTION => "transaction exchange (mode config, XAUTH)",
            Self::QUICK => "quick mode",
            Self::NEW_GROUP => "new group mode",
            Self(other) => return write!(f, "exchange type {other}"),
        };
        f.write_str(name)
    }
}

/// The header's flags; bits without a meaning are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// All payloads are encrypted.
    pub const ENCRYPTED: Self = Self(1);
    /// Commit: wait for CONNECTED. Never set by us; a peer's is ignored, as most do.
    pub const COMMIT: Self = Self(2);
    /// Authenticated, not encrypted.
    pub const AUTH_ONLY: Self = Self(4);

    /// Whether all of `other`'s bits are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A protocol that an SA protects (RFC 2407 section 4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProtocolId(pub u8);

impl ProtocolId {
    /// ISAKMP itself: phase 1.
    pub const ISAKMP: Self = Self(1);
    /// AH.
    pub const AH: Self = Self(2);
    /// ESP.
    pub const ESP: Self = Self(3);
    /// IP compression.
    pub const IPCOMP: Self = Self(4);
}

impl fmt::Display for ProtocolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::ISAKMP => "ISAKMP",
            Self::AH => "AH",
            Self::ESP => "ESP",
            Self::IPCOMP => "IPCOMP",
            Self(other) => return write!(f, "protocol {other}"),
        };
        f.write_str(name)
    }
}

/// The header of every message, 28 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The initiator's cookie; never zero.
    pub initiator_cookie: Cookie,
    /// The responder's cookie; zero in message 1.
    pub responder_cookie: Cookie,
    /// The first payload's type.
    pub next_payload: PayloadType,
    /// Major version in the high nibble, minor in the low one: 0x10. A parsed header may hold any, so that the peer can be told what it sent.
    pub version: u8,
    /// The exchange.
    pub exchange: ExchangeType,
    /// Flags.
    pub flags: Flags,
    /// Zero in phase 1, else the exchange's random number.
    pub message_id: u32,
    /// Length of the whole message in bytes, header included.
    pub length: u32,
}

impl Header {
    /// The header's own length in bytes.
    pub const LEN: usize = 28;
    /// Version 1.0.
    pub const VERSION: u8 = 0x10;

    /// The header of a clear message; [`Chain`](super::Chain) fills in the next payload and the length.
    pub fn new(initiator_cookie: Cookie, responder_cookie: Cookie, exchange: ExchangeType, message_id: u32) -> Self {
        Self {
            initiator_cookie,
            responder_cookie,
            next_payload: PayloadType::NONE,
            version: Self::VERSION,
            exchange,
            flags: Flags::NONE,
            message_id,
            length: 0,
        }
    }

    /// Reads the header of a datagram (without a non-ESP marker) and gives the rest of the message.
    ///
    /// # Errors
    /// The datagram is shorter than a header or than the header says, or the initiator's cookie is zero. Bytes behind the message's
    /// length are ignored, as other implementations do: what counts is covered by that length.
    pub fn parse(datagram: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let mut reader = Reader::new(datagram);
        let header = Self {
            initiator_cookie: Cookie(reader.array("initiator cookie")?),
            responder_cookie: Cookie(reader.array("responder cookie")?),
            next_payload: PayloadType(reader.u8("next payload")?),
            version: reader.u8("version")?,
            exchange: ExchangeType(reader.u8("exchange type")?),
            flags: Flags(reader.u8("flags")?),
            message_id: reader.u32("message id")?,
            length: reader.u32("length")?,
        };
        if header.initiator_cookie.is_zero() {
            return Err(Malformed::value("initiator cookie", 0_u8, "not zero"));
        }
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let body = length.checked_sub(Self::LEN).ok_or(Malformed::value("length", header.length, "at least 28"))?;
        let body = reader
            .take(body, "message")
            .map_err(|_| Malformed { field: "message", problem: Problem::Truncated { needed: length, left: datagram.len() } })?;
        Ok((header, body))
    }

    /// The major version: 1 for us, 2 for IKEv2.
    pub fn major_version(&self) -> u8 {
        self.version >> 4
    }

    /// Whether the payloads are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.flags.contains(Flags::ENCRYPTED)
    }

    /// The 28 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::LEN);
        bytes.extend_from_slice(&self.initiator_cookie.0);
        bytes.extend_from_slice(&self.responder_cookie.0);
        bytes.extend_from_slice(&[self.next_payload.0, self.version, self.exchange.0, self.flags.0]);
        bytes.extend_from_slice(&self.message_id.to_be_bytes());
        bytes.extend_from_slice(&self.length.to_be_bytes());
        bytes
    }
}
