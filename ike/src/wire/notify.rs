//! The notification payload (RFC 2408 section 3.14, RFC 2407 section 4.6.3).

use std::fmt;

use super::header::{Cookie, ProtocolId};
use super::reader::{Malformed, Reader};
use super::{DOI_IPSEC, read_doi};

/// A notification's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NotifyType(pub u16);

macro_rules! notify_types {
    ($($constant:ident $value:literal $name:literal),* $(,)?) => {
        impl NotifyType {
            $(#[doc = $name] pub const $constant: Self = Self($value);)*

            /// The RFC's name, if the type has one.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($value => Some($name),)* _ => None }
            }
        }
    };
}

notify_types! {
    INVALID_PAYLOAD_TYPE        1     "INVALID-PAYLOAD-TYPE",
    DOI_NOT_SUPPORTED           2     "DOI-NOT-SUPPORTED",
    SITUATION_NOT_SUPPORTED     3     "SITUATION-NOT-SUPPORTED",
    INVALID_COOKIE              4     "INVALID-COOKIE",
    INVALID_MAJOR_VERSION       5     "INVALID-MAJOR-VERSION",
    INVALID_MINOR_VERSION       6     "INVALID-MINOR-VERSION",
    INVALID_EXCHANGE_TYPE       7     "INVALID-EXCHANGE-TYPE",
    INVALID_FLAGS               8     "INVALID-FLAGS",
    INVALID_MESSAGE_ID          9     "INVALID-MESSAGE-ID",
    INVALID_PROTOCOL_ID         10    "INVALID-PROTOCOL-ID",
    INVALID_SPI                 11    "INVALID-SPI",
    INVALID_TRANSFORM_ID        12    "INVALID-TRANSFORM-ID",
    ATTRIBUTES_NOT_SUPPORTED    13    "ATTRIBUTES-NOT-SUPPORTED",
    NO_PROPOSAL_CHOSEN          14    "NO-PROPOSAL-CHOSEN",
    BAD_PROPOSAL_SYNTAX         15    "BAD-PROPOSAL-SYNTAX",
    PAYLOAD_MALFORMED           16    "PAYLOAD-MALFORMED",
    INVALID_KEY_INFORMATION     17    "INVALID-KEY-INFORMATION",
    INVALID_ID_INFORMATION      18    "INVALID-ID-INFORMATION",
    INVALID_HASH_INFORMATION    23    "INVALID-HASH-INFORMATION",
    AUTHENTICATION_FAILED       24    "AUTHENTICATION-FAILED",
    INVALID_SIGNATURE           25    "INVALID-SIGNATURE",
    CERTIFICATE_UNAVAILABLE     28    "CERTIFICATE-UNAVAILABLE",
    UNSUPPORTED_EXCHANGE_TYPE   29    "UNSUPPORTED-EXCHANGE-TYPE",
    UNEQUAL_PAYLOAD_LENGTHS     30    "UNEQUAL-PAYLOAD-LENGTHS",
    CONNECTED                   16384 "CONNECTED",
    RESPONDER_LIFETIME          24576 "RESPONDER-LIFETIME",
    REPLAY_STATUS               24577 "REPLAY-STATUS",
    INITIAL_CONTACT             24578 "INITIAL-CONTACT",
    R_U_THERE                   36136 "R-U-THERE",
    R_U_THERE_ACK               36137 "R-U-THERE-ACK",
}

impl NotifyType {
    /// Whether it reports an error (RFC 2408 section 3.14.1: 1 to 16383).
    pub fn is_error(self) -> bool {
        matches!(self.0, 1..=16383)
    }
}

impl fmt::Display for NotifyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "notification {}", self.0),
        }
    }
}

/// A notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification<'a> {
    /// What it is about.
    pub protocol: ProtocolId,
    /// Which SA: both cookies (16 bytes), an ESP SPI (4 bytes), or nothing.
    pub spi: &'a [u8],
    /// What it says.
    pub notify_type: NotifyType,
    /// Further data, by type.
    pub data: &'a [u8],
}

impl<'a> Notification<'a> {
    /// Reads a notification payload's body.
    ///
    /// # Errors
    /// A foreign domain, or an SPI that is cut off.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        read_doi(&mut reader, "notification DOI")?;
        let protocol = ProtocolId(reader.u8("notification protocol")?);
        let spi_size = reader.u8("notification SPI size")?;
        let notify_type = NotifyType(reader.u16("notification type")?);
        let spi = reader.take(usize::from(spi_size), "notification SPI")?;
        Ok(Self { protocol, spi, notify_type, data: reader.rest() })
    }

    /// The payload's body.
    ///
    /// # Panics
    /// The SPI is longer than 255 bytes; ours have at most 16.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.spi.len().saturating_add(self.data.len()).saturating_add(8));
        body.extend_from_slice(&DOI_IPSEC.to_be_bytes());
        body.extend_from_slice(&[self.protocol.0, u8::try_from(self.spi.len()).expect("an SPI is at most 16 bytes")]);
        body.extend_from_slice(&self.notify_type.0.to_be_bytes());
        body.extend_from_slice(self.spi);
        body.extend_from_slice(self.data);
        body
    }
}

/// The SPI of an ISAKMP SA in notifications and deletes: both cookies (RFC 2407 section 4.6.3.3, RFC 3706 section 5.2).
pub fn isakmp_spi(initiator: Cookie, responder: Cookie) -> [u8; 16] {
    let mut spi = [0; 16];
    for (to, from) in spi.iter_mut().zip(initiator.0.into_iter().chain(responder.0)) {
        *to = from;
    }
    spi
}
