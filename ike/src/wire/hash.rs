//! The hash payload (RFC 2408 section 3.11): the bare output of the prf.

use super::reader::Malformed;

/// The longest hash we know: SHA2-512.
const MAX_LEN: usize = 64;

/// Takes the hash. A length other than the negotiated hash's makes it unequal, nothing more.
///
/// # Errors
/// It is empty or longer than any hash we know.
pub fn parse(body: &[u8]) -> Result<&[u8], Malformed> {
    match body.len() {
        1..=MAX_LEN => Ok(body),
        other => Err(Malformed::length("length of the hash", other, "1 to 64")),
    }
}
