//! The parts of an ESP packet that are not cryptography (RFC 4303 section 2).
//!
//! ```text
//!  | SPI 4 | sequence 4 | IV | inner packet | padding 1, 2, 3, ... | pad length 1 | next header 1 | ICV |
//!                            |--------------- encrypted (ciphertext) -----------------------------|
//!  |---------------------------------- authenticated -------------------------------------------|
//! ```

use crate::suite::{HEADER_LEN, TRAILER_LEN};
use crate::{OpenError, Packet, Suite};

/// Next header of an inner IPv4 packet (IP-in-IP).
const IPV4: u8 = 4;
/// Next header of an inner IPv6 packet.
const IPV6: u8 = 41;
/// Next header of a dummy packet (RFC 4303 section 2.6).
const NO_NEXT_HEADER: u8 = 59;

/// The default contents of the padding (RFC 4303 section 2.4).
const PADDING: [u8; 255] = {
    let mut padding = [0; 255];
    let mut i = 0;
    while i < padding.len() {
        padding[i] = i as u8 + 1;
        i += 1;
    }
    padding
};

/// The next header that says what the inner packet is, by its version nibble: 41 for IPv6, else 4.
pub(crate) fn next_header_of(inner: &[u8]) -> u8 {
    match inner.first() {
        Some(first) if first >> 4 == 6 => IPV6,
        _ => IPV4,
    }
}

/// Writes header, IV, padding and trailer around an inner packet, still in clear. Returns the place of the whole packet; the ICV's bytes are not yet set.
pub(crate) fn enclose(arena: &mut [u8], inner: Packet, suite: Suite, spi: u32, sequence: u32, iv: &[u8], next_header: u8) -> Packet {
    let padding = suite.padding_len(inner.len);
    let start = inner.start - HEADER_LEN - suite.iv_len();

    let (head, tail) = arena[start..].split_at_mut(HEADER_LEN + suite.iv_len() + inner.len);
    head[..4].copy_from_slice(&spi.to_be_bytes());
    head[4..HEADER_LEN].copy_from_slice(&sequence.to_be_bytes());
    head[HEADER_LEN..][..suite.iv_len()].copy_from_slice(&iv[..suite.iv_len()]);
    tail[..padding].copy_from_slice(&PADDING[..padding]);
    tail[padding] = padding as u8;
    tail[padding + 1] = next_header;

    Packet { start, len: inner.len + suite.overhead(inner.len) }
}

/// Checks a packet's length against the algorithms: header, IV, a ciphertext of whole blocks that holds the trailer, ICV.
pub(crate) fn check_length(sealed: Packet, suite: Suite) -> Result<(), OpenError> {
    let ciphertext = sealed.len.wrapping_sub(HEADER_LEN + suite.iv_len() + suite.icv_len());
    if sealed.len < suite.min_sealed() || ciphertext & (suite.alignment() - 1) != 0 {
        return Err(OpenError::Malformed);
    }
    Ok(())
}

/// The sequence number of a packet whose length was checked.
pub(crate) fn sequence_of(arena: &[u8], sealed: Packet) -> u64 {
    let field = &arena[sealed.start + 4..][..4];
    field.iter().fold(0, |sequence, &byte| sequence << 8 | u64::from(byte))
}

/// Header, IV and ciphertext: everything but the ICV.
pub(crate) fn authenticated(sealed: Packet, suite: Suite) -> Packet {
    Packet { start: sealed.start, len: sealed.len - suite.icv_len() }
}

/// IV and ciphertext.
pub(crate) fn iv_and_ciphertext(sealed: Packet, suite: Suite) -> Packet {
    Packet { start: sealed.start + HEADER_LEN, len: sealed.len - HEADER_LEN - suite.icv_len() }
}

/// Where the ICV lies.
pub(crate) fn icv(sealed: Packet, suite: Suite) -> Packet {
    Packet { start: sealed.start + sealed.len - suite.icv_len(), len: suite.icv_len() }
}

/// Finds the inner packet in a decrypted one, after checking padding and next header.
pub(crate) fn inner_of(arena: &[u8], decrypted: Packet, suite: Suite) -> Result<Packet, OpenError> {
    let start = decrypted.start + HEADER_LEN + suite.iv_len();
    let plaintext = &arena[start..decrypted.start + decrypted.len - suite.icv_len()];
    let Some((rest, &[pad_length, next_header])) = plaintext.split_last_chunk::<TRAILER_LEN>() else {
        return Err(OpenError::Malformed);
    };
    let pad_length = usize::from(pad_length);
    let Some(len) = rest.len().checked_sub(pad_length) else {
        return Err(OpenError::BadPadding);
    };
    if rest[len..] != PADDING[..pad_length] {
        return Err(OpenError::BadPadding);
    }
    match next_header {
        IPV4 | IPV6 => Ok(Packet { start, len }),
        NO_NEXT_HEADER => Err(OpenError::Dummy),
        _ => Err(OpenError::BadNextHeader),
    }
}
