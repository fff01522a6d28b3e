//! The bytes of ISAKMP messages (RFC 2408) with the IPsec domain of interpretation (RFC 2407): one file per payload.
//!
//! Parsing borrows from the datagram, keeps what it does not know as raw bytes, and checks every length against what is there: a
//! [`Malformed`] names the field. Nothing here knows a state, a key or a connection; indexing and unchecked arithmetic are denied.
//!
//! ```text
//!  datagram --Header::parse--> Header, body --(decrypt)--Payloads::parse--> Payload --sa/id/notify/...::parse--> values
//!  values --encode--> bodies --Chain::push--> Chain --Chain::message or seal--> datagram
//! ```
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod attribute;
pub mod chain;
pub mod delete;
pub mod hash;
pub mod header;
pub mod id;
pub mod ke;
pub mod natd;
pub mod nonce;
pub mod notify;
pub mod reader;
pub mod sa;
pub mod vendor_id;
pub mod writer;

pub use attribute::{Attribute, AttributeValue};
pub use chain::{Payload, Payloads};
pub use delete::Delete;
pub use header::{Cookie, ExchangeType, Flags, Header, PayloadType, ProtocolId};
pub use id::{IdType, Identification};
pub use notify::{Notification, NotifyType};
pub use reader::{Malformed, Problem, Reader};
pub use sa::{Proposal, SecurityAssociation, Transform};
pub use vendor_id::VendorId;
pub use writer::Chain;

/// The IPsec domain of interpretation (RFC 2407 section 4.2), in SA, notification and delete payloads.
pub const DOI_IPSEC: u32 = 1;

/// The generic domain of ISAKMP itself (RFC 2408 section 3.4); some peers put it into notifications and deletes about an ISAKMP SA.
pub const DOI_ISAKMP: u32 = 0;

/// Reads a DOI field that may hold either domain.
fn read_doi(reader: &mut Reader<'_>, field: &'static str) -> Result<u32, Malformed> {
    match reader.u32(field)? {
        doi @ (DOI_ISAKMP | DOI_IPSEC) => Ok(doi),
        other => Err(Malformed::value(field, other, "1 (IPsec)")),
    }
}

#[cfg(test)]
mod tests;
