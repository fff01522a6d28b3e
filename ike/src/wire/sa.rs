//! The SA payload with its proposals and transforms (RFC 2408 sections 3.4 to 3.6, RFC 2407 section 4.6.1).

use super::DOI_IPSEC;
use super::attribute::Attribute;
use super::chain::read_chain;
use super::header::{PayloadType, ProtocolId};
use super::reader::{Malformed, Problem, Reader};
use super::writer::Chain;

/// Proposals in one SA payload that we are willing to look at.
pub const MAX_PROPOSALS: usize = 32;

/// Transforms over all proposals of one SA payload that we are willing to look at; a single proposal cannot count more than 255.
pub const MAX_TRANSFORMS: usize = 255;

/// `SIT_IDENTITY_ONLY`; the other situations carry labels that nobody uses (RFC 2407 section 4.2).
const SITUATION_IDENTITY_ONLY: u32 = 1;

/// An SA payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityAssociation<'a> {
    /// In the peer's order.
    pub proposals: Vec<Proposal<'a>>,
}

/// One proposal. Several with the same number belong together (AH and ESP, or IPCOMP and ESP).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal<'a> {
    /// Its number.
    pub number: u8,
    /// What it protects.
    pub protocol: ProtocolId,
    /// The sender's SPI: empty or a cookie in phase 1, four bytes for ESP.
    pub spi: &'a [u8],
    /// In the peer's order.
    pub transforms: Vec<Transform<'a>>,
}

/// One transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform<'a> {
    /// Its number.
    pub number: u8,
    /// `KEY_IKE` or an ESP cipher.
    pub id: u8,
    /// In the peer's order; unknown ones are kept.
    pub attributes: Vec<Attribute<'a>>,
    /// The payload's body as it stood in the message, so that it can be returned unchanged (RFC 2408 section 4.2).
    pub body: &'a [u8],
}

impl<'a> SecurityAssociation<'a> {
    /// Reads an SA payload's body.
    ///
    /// # Errors
    /// Another domain or situation than IPsec's identity only, lengths or counts that do not add up, or too many of anything.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        match reader.u32("SA DOI")? {
            DOI_IPSEC => {}
            other => return Err(Malformed::value("SA DOI", other, "1 (IPsec)")),
        }
        match reader.u32("SA situation")? {
            SITUATION_IDENTITY_ONLY => {}
            other => return Err(Malformed::value("SA situation", other, "1 (identity only)")),
        }
        let mut transforms_left = MAX_TRANSFORMS;
        let bodies = read_nested(PayloadType::PROPOSAL, reader.rest(), "proposal", MAX_PROPOSALS)?;
        let mut proposals = Vec::with_capacity(bodies.len());
        for body in bodies {
            let proposal = Proposal::parse(body, transforms_left)?;
            transforms_left = transforms_left.saturating_sub(proposal.transforms.len());
            proposals.push(proposal);
        }
        Ok(Self { proposals })
    }
}

impl<'a> Proposal<'a> {
    fn parse(body: &'a [u8], max_transforms: usize) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let number = reader.u8("proposal number")?;
        let protocol = ProtocolId(reader.u8("proposal protocol")?);
        let spi_size = reader.u8("proposal SPI size")?;
        let count = reader.u8("number of transforms")?;
        let spi = reader.take(usize::from(spi_size), "proposal SPI")?;
        let bodies = read_nested(PayloadType::TRANSFORM, reader.rest(), "transform", max_transforms)?;
        if bodies.len() != usize::from(count) {
            return Err(Malformed::value("number of transforms", count, "as many as follow"));
        }
        let transforms = bodies.into_iter().map(Transform::parse).collect::<Result<_, _>>()?;
        Ok(Self { number, protocol, spi, transforms })
    }
}

impl<'a> Transform<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let number = reader.u8("transform number")?;
        let id = reader.u8("transform id")?;
        reader.u16("transform reserved")?;
        Ok(Self { number, id, attributes: Attribute::parse_all(reader.rest())?, body })
    }

    /// The first attribute of a type, as a number.
    pub fn attribute(&self, kind: u16) -> Option<u64> {
        self.attributes.iter().find(|attribute| attribute.kind == kind).map(Attribute::number)
    }
}

/// Reads a chain that holds one type of payload and nothing behind it; gives the bodies, at least one.
fn read_nested<'a>(kind: PayloadType, bytes: &'a [u8], field: &'static str, limit: usize) -> Result<Vec<&'a [u8]>, Malformed> {
    let (items, trailing) = read_chain(kind, bytes, field, limit)?;
    if let Some(other) = items.iter().find(|item| item.kind != kind) {
        return Err(Malformed::value(field, other.kind.0, "no other payload type between them"));
    }
    if !trailing.is_empty() {
        return Err(Malformed { field, problem: Problem::Trailing { left: trailing.len() } });
    }
    Ok(items.into_iter().map(|item| item.body).collect())
}

/// The body of an SA payload with one proposal: an offer with several transforms, or an answer with one.
///
/// # Panics
/// More than 255 transforms; a configuration cannot hold so many.
pub fn encode_sa<'t>(number: u8, protocol: ProtocolId, spi: &[u8], transforms: impl IntoIterator<Item = &'t [u8]>) -> Vec<u8> {
    let mut chain = Chain::new();
    let mut count = 0_u8;
    for body in transforms {
        chain.push(PayloadType::TRANSFORM, body);
        count = count.checked_add(1).expect("a configuration holds fewer than 256 proposals");
    }
    let spi_size = u8::try_from(spi.len()).expect("an SPI is at most 255 bytes");
    let mut proposal = vec![number, protocol.0, spi_size, count];
    proposal.extend_from_slice(spi);
    proposal.extend_from_slice(chain.bytes());

    let mut body = Vec::new();
    body.extend_from_slice(&DOI_IPSEC.to_be_bytes());
    body.extend_from_slice(&SITUATION_IDENTITY_ONLY.to_be_bytes());
    body.extend_from_slice(Chain::new().with(PayloadType::PROPOSAL, &proposal).bytes());
    body
}
