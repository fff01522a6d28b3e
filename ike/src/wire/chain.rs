//! The chain of payloads behind a header, clear or decrypted, by their generic headers (RFC 2408 section 3.2).

use super::header::PayloadType;
use super::reader::{Malformed, Problem, Reader};

/// More payloads than this in one message is not a negotiation. The busiest seen (vendor ids of many products at once) has about 30.
pub const MAX_PAYLOADS: usize = 64;

/// The length of a generic payload header.
pub(crate) const GENERIC_HEADER_LEN: usize = 4;

/// A chain of payloads.
#[derive(Clone, Debug)]
pub struct Payloads<'a> {
    items: Vec<Payload<'a>>,
    padding: &'a [u8],
}

/// One payload, its body not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// What it claims to be.
    pub kind: PayloadType,
    /// The generic header's reserved byte. Real implementations ignore it, and so do we; see [`Payloads::looks_decrypted`].
    pub reserved: u8,
    /// What is behind the generic header, byte for byte: `SAi_b`, `IDii_b`, `Ni_b` of RFC 2409.
    pub body: &'a [u8],
    /// The bytes behind this payload up to the end of the chain, payload headers included: what HASH(1) and HASH(2) cover when this is
    /// the HASH payload (RFC 2409 section 5.5). Padding is not part of it.
    pub rest: &'a [u8],
}

impl<'a> Payloads<'a> {
    /// Reads the chain whose first payload is of type `first`. What follows the last payload is padding of the cipher, or bytes that
    /// nobody covers.
    ///
    /// # Errors
    /// A payload's length is under 4 or beyond the bytes, or there are more than [`MAX_PAYLOADS`].
    pub fn parse(first: PayloadType, bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (items, padding) = read_chain(first, bytes, "payload", MAX_PAYLOADS)?;
        Ok(Self { items, padding })
    }

    /// In the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = Payload<'a>> + '_ {
        self.items.iter().copied()
    }

    /// The first payload of a type.
    pub fn first(&self, kind: PayloadType) -> Option<Payload<'a>> {
        self.all(kind).next()
    }

    /// The first payload of a type that the message must have; `field` names it in the error.
    ///
    /// # Errors
    /// There is none.
    pub fn require(&self, kind: PayloadType, field: &'static str) -> Result<Payload<'a>, Malformed> {
        self.first(kind).ok_or(Malformed { field, problem: Problem::Missing })
    }

    /// Every payload of a type.
    pub fn all(&self, kind: PayloadType) -> impl Iterator<Item = Payload<'a>> + '_ {
        self.iter().filter(move |payload| payload.kind == kind)
    }

    /// What follows the last payload.
    pub fn padding(&self) -> &'a [u8] {
        self.padding
    }

    /// Whether a decrypted chain looks like one: at least one payload and every reserved byte zero. Of chains decrypted with a wrong key
    /// hardly one in a million parses and looks so; a key mismatch shows here (or as [`Malformed`]) before any hash is compared.
    pub fn looks_decrypted(&self) -> bool {
        !self.items.is_empty() && self.items.iter().all(|payload| payload.reserved == 0)
    }
}

/// Reads payloads until one says that none follows; gives them and the bytes behind.
pub(super) fn read_chain<'a>(
    first: PayloadType,
    bytes: &'a [u8],
    field: &'static str,
    limit: usize,
) -> Result<(Vec<Payload<'a>>, &'a [u8]), Malformed> {
    let mut reader = Reader::new(bytes);
    let mut items = Vec::new();
    let mut kind = first;
    while kind != PayloadType::NONE {
        if items.len() == limit {
            return Err(Malformed::too_many(field, limit));
        }
        let next = PayloadType(reader.u8(field)?);
        let reserved = reader.u8(field)?;
        let length = reader.u16(field)?;
        let body_len =
            usize::from(length).checked_sub(GENERIC_HEADER_LEN).ok_or(Malformed::value(field, length, "a length of at least 4"))?;
        let body = reader.take(body_len, field)?;
        items.push(Payload { kind, reserved, body, rest: reader.clone().rest() });
        kind = next;
    }
    let padding = reader.rest();
    for item in &mut items {
        item.rest = item.rest.get(..item.rest.len().saturating_sub(padding.len())).unwrap_or_default();
    }
    Ok((items, padding))
}
