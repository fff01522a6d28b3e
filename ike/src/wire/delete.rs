//! The delete payload (RFC 2408 section 3.15): SAs that the sender has removed.

use super::header::{Cookie, ProtocolId};
use super::notify::isakmp_spi;
use super::reader::{Malformed, Reader};
use super::{DOI_IPSEC, read_doi};

/// SPIs in one payload that we are willing to look at.
pub const MAX_SPIS: usize = 256;

/// A delete payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete<'a> {
    /// Of which protocol.
    pub protocol: ProtocolId,
    /// The SPIs, all of one size: both cookies for ISAKMP, for ESP the four bytes by which the sender receives.
    pub spis: Vec<&'a [u8]>,
}

impl<'a> Delete<'a> {
    /// Reads a delete payload's body.
    ///
    /// # Errors
    /// A foreign domain, an SPI size of zero, more SPIs than [`MAX_SPIS`], or other lengths than announced.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        read_doi(&mut reader, "delete DOI")?;
        let protocol = ProtocolId(reader.u8("delete protocol")?);
        let size = reader.u8("delete SPI size")?;
        let count = reader.u16("number of SPIs")?;
        if size == 0 {
            return Err(Malformed::value("delete SPI size", size, "at least 1"));
        }
        if usize::from(count) > MAX_SPIS {
            return Err(Malformed::too_many("number of SPIs", MAX_SPIS));
        }
        let spis = (0..count).map(|_| reader.take(usize::from(size), "delete SPI")).collect::<Result<_, _>>()?;
        reader.finish("delete payload")?;
        Ok(Self { protocol, spis })
    }

    /// The ESP SPIs, if it is about ESP; an SPI of another size than 4 names nothing.
    pub fn esp_spis(&self) -> impl Iterator<Item = u32> + '_ {
        let esp = self.protocol == ProtocolId::ESP;
        self.spis.iter().filter(move |_| esp).filter_map(|spi| Some(u32::from_be_bytes((*spi).try_into().ok()?)))
    }

    /// Whether it names this ISAKMP SA.
    pub fn names_isakmp(&self, initiator: Cookie, responder: Cookie) -> bool {
        self.protocol == ProtocolId::ISAKMP && self.spis.iter().any(|spi| *spi == isakmp_spi(initiator, responder))
    }

    /// The body that deletes an ISAKMP SA.
    pub fn encode_isakmp(initiator: Cookie, responder: Cookie) -> Vec<u8> {
        encode(ProtocolId::ISAKMP, &[isakmp_spi(initiator, responder)])
    }

    /// The body that deletes ESP SAs, by the SPIs under which we received.
    pub fn encode_esp(spis: &[u32]) -> Vec<u8> {
        let spis: Vec<_> = spis.iter().map(|spi| spi.to_be_bytes()).collect();
        encode(ProtocolId::ESP, &spis)
    }
}

fn encode<const N: usize>(protocol: ProtocolId, spis: &[[u8; N]]) -> Vec<u8> {
    let size = u8::try_from(N).expect("an SPI is at most 16 bytes");
    let count = u16::try_from(spis.len()).expect("one connection holds far fewer than 65,536 SAs");
    let mut body = Vec::new();
    body.extend_from_slice(&DOI_IPSEC.to_be_bytes());
    body.extend_from_slice(&[protocol.0, size]);
    body.extend_from_slice(&count.to_be_bytes());
    body.extend_from_slice(spis.as_flattened());
    body
}
