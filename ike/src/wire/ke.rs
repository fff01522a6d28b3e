//! The key exchange payload (RFC 2408 section 3.7): the bare public value.

use super::reader::Malformed;

/// The longest public value of a group we know: 4096 bits.
const MAX_LEN: usize = 512;

/// Takes the public value. Whether it is a good one, only its group can say.
///
/// # Errors
/// It is empty or longer than that of any group we know.
pub fn parse(body: &[u8]) -> Result<&[u8], Malformed> {
    match body.len() {
        1..=MAX_LEN => Ok(body),
        other => Err(Malformed::length("length of the key exchange", other, "1 to 512")),
    }
}
