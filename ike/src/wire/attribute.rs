//! Attributes of transforms and of RESPONDER-LIFETIME (RFC 2408 section 3.3).

use super::reader::{Malformed, Reader};

/// No legal transform has more; the longest seen has eight.
pub const MAX_ATTRIBUTES: usize = 32;

/// The top bit of the type says that the value is in the next two bytes.
const SHORT_FORM: u16 = 0x8000;

/// One attribute; what its type means depends on the phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The type without the format bit.
    pub kind: u16,
    /// The value.
    pub value: AttributeValue<'a>,
}

/// A value in one of the two forms. Peers use either for the same attribute, so compare by [`Attribute::number`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeValue<'a> {
    /// Type and value.
    Short(u16),
    /// Type, length and value.
    Long(&'a [u8]),
}

impl<'a> Attribute<'a> {
    /// Reads attributes up to the end of `bytes`, in their order.
    ///
    /// # Errors
    /// One is cut off, or there are more than [`MAX_ATTRIBUTES`].
    pub fn parse_all(bytes: &'a [u8]) -> Result<Vec<Self>, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut attributes = Vec::new();
        while !reader.is_empty() {
            if attributes.len() == MAX_ATTRIBUTES {
                return Err(Malformed::too_many("attributes of a transform", MAX_ATTRIBUTES));
            }
            let kind = reader.u16("attribute type")?;
            let field = reader.u16("attribute value")?;
            let value = match kind & SHORT_FORM {
                0 => AttributeValue::Long(reader.take(usize::from(field), "attribute value")?),
                _ => AttributeValue::Short(field),
            };
            attributes.push(Self { kind: kind & !SHORT_FORM, value });
        }
        Ok(attributes)
    }

    /// The value as a number; a longer one than 64 bits counts as the largest.
    pub fn number(&self) -> u64 {
        match self.value {
            AttributeValue::Short(value) => u64::from(value),
            AttributeValue::Long(bytes) => {
                let significant = bytes.iter().skip_while(|&&byte| byte == 0);
                if significant.clone().count() > size_of::<u64>() {
                    return u64::MAX;
                }
                significant.fold(0, |value, &byte| value << 8 | u64::from(byte))
            }
        }
    }
}

/// Appends an attribute, in the short form where the value fits 16 bits, else in four bytes (86,400 seconds).
pub fn push_attribute(bytes: &mut Vec<u8>, kind: u16, value: u32) {
    match u16::try_from(value) {
        Ok(short) => {
            bytes.extend_from_slice(&(kind | SHORT_FORM).to_be_bytes());
            bytes.extend_from_slice(&short.to_be_bytes());
        }
        Err(_) => {
            bytes.extend_from_slice(&kind.to_be_bytes());
            bytes.extend_from_slice(&4_u16.to_be_bytes());
            bytes.extend_from_slice(&value.to_be_bytes());
        }
    }
}
