//! The NAT detection payload (RFC 3947 section 3.2): a hash over the cookies, an address and a port.

use std::net::{IpAddr, SocketAddr};

use super::header::{Cookie, PayloadType};
use crate::crypto::{self, Digest};
use crate::proposal::HashAlgorithm;

/// The payload type, which the drafts took from the private range.
pub fn payload_type(draft: bool) -> PayloadType {
    if draft { PayloadType::NAT_D_DRAFT } else { PayloadType::NAT_D }
}

/// Whether it is a NAT detection payload of either edition.
pub fn is_nat_detection(kind: PayloadType) -> bool {
    matches!(kind, PayloadType::NAT_D | PayloadType::NAT_D_DRAFT)
}

/// The payload's body for one end: `HASH(CKY-I | CKY-R | IP | Port)`.
pub(crate) fn hash(algorithm: HashAlgorithm, initiator: Cookie, responder: Cookie, end: SocketAddr) -> Digest {
    let port = end.port().to_be_bytes();
    match end.ip().to_canonical() {
        IpAddr::V4(address) => crypto::hash(algorithm, &[&initiator.0, &responder.0, &address.octets(), &port]),
        IpAddr::V6(address) => crypto::hash(algorithm, &[&initiator.0, &responder.0, &address.octets(), &port]),
    }
}
