//! Who is it for? Sorting what arrives on UDP port 4500 (RFC 3948 section 2).

/// The four zero bytes before an IKE message on port 4500.
pub const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// What a UDP payload on port 4500 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One byte, 0xFF.
    Keepalive,
    /// An IKE message behind the non-ESP marker.
    Ike,
    /// An ESP packet.
    Esp,
    /// Too short for either.
    Runt,
}

/// Sorts a UDP payload.
pub fn classify(payload: &[u8]) -> Kind {
    match payload {
        [0xff] => Kind::Keepalive,
        [0, 0, 0, 0, _, ..] => Kind::Ike,
        [_, _, _, _, _, _, _, _, _, ..] => Kind::Esp,
        _ => Kind::Runt,
    }
}
