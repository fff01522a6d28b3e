//! Who is it for? Sorting what arrives on UDP port 4500 (RFC 3948 section 2).

/// The four zero bytes before an IKE message on port 4500. No ESP packet begins so: SPI 0 is reserved for local use and never sent (RFC 4303 section 2.1).
pub const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// What a UDP payload on port 4500 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One byte, 0xFF.
    Keepalive,
    /// An IKE message behind the non-ESP marker.
    Ike,
    /// Perhaps an ESP packet: an SPI, a sequence number and something behind them. SPIs 1 to 255 are reserved too (RFC 4303 section 2.1), no SA has one, so
    /// looking the SPI up refuses them.
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

#[cfg(test)]
mod tests {
    use super::{Kind, classify};

    #[test]
    fn payloads_are_told_apart_by_their_first_bytes() {
        assert_eq!(classify(&[0xff]), Kind::Keepalive);
        assert_eq!(classify(&[0, 0, 0, 0, 0xcf]), Kind::Ike);
        assert_eq!(classify(&[0, 0, 1, 0, 0, 0, 0, 1, 0]), Kind::Esp);
        assert_eq!(classify(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0]), Kind::Esp);
    }

    #[test]
    fn what_is_too_short_for_either_is_a_runt() {
        for runt in [&[][..], &[0], &[0xfe], &[0xff, 0xff], &[0, 0, 0, 0], &[0, 0, 1, 0, 0, 0, 0, 1]] {
            assert_eq!(classify(runt), Kind::Runt, "{runt:?}");
        }
    }
}
