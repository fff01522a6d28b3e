//! TCP's maximum segment size, lowered in SYNs so that the segments of both ends fit the tunnel without "fragmentation needed".

use crate::ip::{self, Header, protocol};

/// Where the fields of the TCP header lie (RFC 9293 section 3.1).
mod tcp {
    use std::ops::Range;

    pub(super) const DATA_OFFSET: usize = 12;
    pub(super) const FLAGS: usize = 13;
    pub(super) const CHECKSUM: Range<usize> = 16..18;
    pub(super) const MIN_LEN: usize = 20;
    pub(super) const SYN: u8 = 0x02;
}

/// Lowers the MSS option of a SYN to what fits an inner packet of `max_inner` bytes: less 20 bytes of TCP header and 20 or 40 bytes of IP
/// header (RFC 9293 section 3.7.1). Never raises it, never adds one: without the option the peer sends at most 536 or 1220 bytes anyway.
pub(super) fn clamp(packet: &mut [u8], header: &Header, max_inner: usize) {
    if header.protocol != protocol::TCP {
        return;
    }
    let Some(segment) = header.transport.and_then(|at| packet.get_mut(at..header.total_len)) else { return };
    if segment.len() < tcp::MIN_LEN || segment[tcp::FLAGS] & tcp::SYN == 0 {
        return;
    }
    let limit = max_inner.saturating_sub(tcp::MIN_LEN + if header.is_v6() { 40 } else { 20 });
    let limit = u16::try_from(limit).unwrap_or(u16::MAX);
    let header_len = usize::from(segment[tcp::DATA_OFFSET] >> 4) * 4;
    let Some(at) = mss_option(segment.get(tcp::MIN_LEN..header_len).unwrap_or_default()).map(|at| at + tcp::MIN_LEN) else { return };
    let old = u16::from_be_bytes([segment[at], segment[at + 1]]);
    if old <= limit {
        return;
    }
    segment[at..at + 2].copy_from_slice(&limit.to_be_bytes());
    let sum = u16::from_be_bytes([segment[tcp::CHECKSUM.start], segment[tcp::CHECKSUM.start + 1]]);
    // An option may begin at an odd byte; then its bytes are the halves of two words of the sum, which is the sum of swapped words.
    let (old, new) = if at % 2 == 0 { (old, limit) } else { (old.swap_bytes(), limit.swap_bytes()) };
    segment[tcp::CHECKSUM].copy_from_slice(&ip::checksum_update(sum, old, new).to_be_bytes());
}

/// Where the two bytes of the MSS are among the options.
fn mss_option(options: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match options.get(at..)? {
            [2, 4, _, _, ..] => return Some(at + 2),
            [1, ..] => at += 1,
            [0, ..] | [_, 0 | 1, ..] => return None,
            [_, len, ..] => at += usize::from(*len),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    /// A segment with these flags and options, with right checksums.
    fn segment(v6: bool, flags: u8, options: &[u8]) -> Vec<u8> {
        let tcp_len = 20 + options.len();
        assert_eq!(tcp_len % 4, 0);
        let mut packet = if v6 { vec![0; 40] } else { vec![0; 20] };
        if v6 {
            packet[0] = 0x60;
            packet[4..6].copy_from_slice(&(tcp_len as u16).to_be_bytes());
            packet[6] = protocol::TCP;
            (packet[8], packet[24]) = (0xfd, 0xfd);
        } else {
            packet[0] = 0x45;
            packet[2..4].copy_from_slice(&(20 + tcp_len as u16).to_be_bytes());
            packet[9] = protocol::TCP;
            (packet[12], packet[16]) = (10, 10);
        }
        let at = packet.len();
        packet.extend([0x13, 0x88, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, (tcp_len as u8 / 4) << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend(options);
        let header = Header::parse(&packet).unwrap();
        let sum = ip::transport_checksum(header.source, header.destination, protocol::TCP, &packet[at..]);
        packet[at + 16..at + 18].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn clamped(mut packet: Vec<u8>, max_inner: usize) -> Vec<u8> {
        let header = Header::parse(&packet).unwrap();
        clamp(&mut packet, &header, max_inner);
        let sum = ip::transport_checksum(header.source, header.destination, protocol::TCP, &packet[header.header_len..]);
        assert_eq!(sum, 0, "the checksum is right");
        packet
    }

    #[test]
    fn a_syn_asks_for_segments_that_fit() {
        for flags in [tcp::SYN, tcp::SYN | 0x10] {
            let packet = clamped(segment(false, flags, &[2, 4, 0x05, 0xb4]), 1422);
            assert_eq!(packet[40..44], [2, 4, 0x05, 0x66], "1382");
            let packet = clamped(segment(true, flags, &[1, 1, 2, 4, 0x05, 0xa0, 1, 0]), 1422);
            assert_eq!(packet[60..68], [1, 1, 2, 4, 0x05, 0x52, 1, 0], "1362");
        }
    }

    #[test]
    fn an_option_at_an_odd_byte_keeps_the_checksum_right() {
        let packet = clamped(segment(false, tcp::SYN, &[1, 2, 4, 0x05, 0xb4, 1, 1, 0]), 1400);
        assert_eq!(packet[40..45], [1, 2, 4, 0x05, 0x50]);
    }

    #[test]
    fn what_is_small_enough_or_no_syn_stays_as_it_is() {
        for packet in [
            segment(false, tcp::SYN, &[2, 4, 0x05, 0x66]),
            segment(false, tcp::SYN, &[2, 4, 0x02, 0x18]),
            segment(false, tcp::SYN, &[]),
            segment(false, 0x10, &[2, 4, 0x05, 0xb4]),
            segment(false, tcp::SYN, &[3, 0, 2, 4, 0xff, 0xff, 0, 0]),
            segment(false, tcp::SYN, &[0, 2, 4, 0xff, 0xff, 0, 0, 0]),
        ] {
            assert_eq!(clamped(packet.clone(), 1422), packet);
        }
    }

    proptest! {
        #[test]
        fn no_options_make_it_panic(options in proptest::collection::vec(any::<u8>(), 0..40), offset: u8, max_inner in 0usize..2000) {
            let mut options = options;
            options.truncate(options.len() & !3);
            let mut packet = segment(false, tcp::SYN, &options);
            packet[32] = offset;
            let header = Header::parse(&packet).unwrap();
            clamp(&mut packet, &header, max_inner);
        }
    }
}
