//! The nonce payload (RFC 2408 section 3.13, RFC 2409 section 5).

use rand::CryptoRng;

use super::reader::Malformed;

/// Our nonces' length in bytes: at least half the output of any prf we use.
pub const LEN: usize = 32;

/// A fresh nonce.
pub fn random(rng: &mut (impl CryptoRng + ?Sized)) -> Vec<u8> {
    let mut nonce = vec![0; LEN];
    rng.fill_bytes(&mut nonce);
    nonce
}

/// Takes a nonce: `Ni_b` or `Nr_b`.
///
/// # Errors
/// It is not 8 to 256 bytes long (RFC 2409 section 5).
pub fn parse(body: &[u8]) -> Result<&[u8], Malformed> {
    match body.len() {
        8..=256 => Ok(body),
        other => Err(Malformed::length("length of the nonce", other, "8 to 256")),
    }
}
