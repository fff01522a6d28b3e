//! IPv4 and IPv6 headers as the packet path needs them: read once into a [`Header`], changed in place with the checksum kept right.
//!
//! Every length is checked against the buffer once, in [`Header::parse`]; what it returns lies inside the packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use thiserror::Error;

/// IP protocol numbers (IANA) that the packet path knows by name.
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// Fragment header of IPv6.
    pub const IPV6_FRAGMENT: u8 = 44;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
    /// UDP-Lite.
    pub const UDP_LITE: u8 = 136;
    /// DCCP.
    pub const DCCP: u8 = 33;
}

/// Fields of the IPv4 header (RFC 791 section 3.1).
pub mod v4 {
    use std::ops::Range;

    /// Version and header length in 32-bit words.
    pub const VERSION_IHL: usize = 0;
    /// DSCP and ECN.
    pub const TOS: usize = 1;
    /// Length of header and data in bytes.
    pub const TOTAL_LENGTH: Range<usize> = 2..4;
    /// Same in all fragments of a packet.
    pub const IDENTIFICATION: Range<usize> = 4..6;
    /// Flags and fragment offset in units of 8 bytes.
    pub const FRAGMENT: Range<usize> = 6..8;
    /// Hops left.
    pub const TTL: usize = 8;
    /// What follows.
    pub const PROTOCOL: usize = 9;
    /// Of the header alone.
    pub const CHECKSUM: Range<usize> = 10..12;
    /// Source address.
    pub const SOURCE: Range<usize> = 12..16;
    /// Destination address.
    pub const DESTINATION: Range<usize> = 16..20;
    /// Length without options.
    pub const MIN_LEN: usize = 20;
    /// Flag "don't fragment".
    pub const DF: u16 = 0x4000;
    /// Flag "more fragments".
    pub const MF: u16 = 0x2000;
    /// The offset's bits.
    pub const OFFSET_MASK: u16 = 0x1fff;
}

/// Fields of the IPv6 header (RFC 8200 section 3).
pub mod v6 {
    use std::ops::Range;

    /// Version, traffic class and flow label.
    pub const VERSION_CLASS_LABEL: Range<usize> = 0..4;
    /// Length of what follows this header, in bytes.
    pub const PAYLOAD_LENGTH: Range<usize> = 4..6;
    /// What follows.
    pub const NEXT_HEADER: usize = 6;
    /// Hops left.
    pub const HOP_LIMIT: usize = 7;
    /// Source address.
    pub const SOURCE: Range<usize> = 8..24;
    /// Destination address.
    pub const DESTINATION: Range<usize> = 24..40;
    /// Length of the fixed header.
    pub const LEN: usize = 40;
    /// Every link carries packets of this size (RFC 8200 section 5).
    pub const MIN_MTU: usize = 1280;
}

/// Neither IPv4 nor IPv6, or its lengths contradict the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no IP packet, or its lengths do not fit")]
pub struct Malformed;

/// What the packet path must know of a packet's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source address; its family is the packet's version.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Length of the whole packet in bytes; the buffer may hold more (padding, RFC 4303 section 2.7).
    pub total_len: usize,
    /// Length of the IPv4 header with options, or of the fixed IPv6 header.
    pub header_len: usize,
    /// DSCP and ECN: IPv4's TOS byte, IPv6's traffic class.
    pub tos: u8,
    /// Upper-layer protocol, behind all extension headers.
    pub protocol: u8,
    /// Where the upper-layer header begins; `None` in a fragment that is not the first.
    pub transport: Option<usize>,
    /// Offset of a fragment in bytes, and whether more follow; `None` in a whole packet.
    pub fragment: Option<Fragment>,
    /// IPv4's flag "don't fragment"; routers never fragment IPv6 (RFC 8200 section 5).
    pub dont_fragment: bool,
}

/// A fragment's place in its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Bytes before it.
    pub offset: usize,
    /// Whether it is not the last.
    pub more: bool,
}

impl Header {
    /// Reads the header at the beginning of `packet`, which may be longer than the IP packet itself.
    pub fn parse(packet: &[u8]) -> Result<Self, Malformed> {
        match packet.first().ok_or(Malformed)? >> 4 {
            4 => Self::parse_v4(packet),
            6 => Self::parse_v6(packet),
            _ => Err(Malformed),
        }
    }

    fn parse_v4(packet: &[u8]) -> Result<Self, Malformed> {
        let fixed: &[u8; v4::MIN_LEN] = packet.first_chunk().ok_or(Malformed)?;
        let header_len = usize::from(fixed[v4::VERSION_IHL] & 0x0f) * 4;
        let total_len = usize::from(be16(fixed, v4::TOTAL_LENGTH));
        if header_len < v4::MIN_LEN || total_len < header_len || total_len > packet.len() {
            return Err(Malformed);
        }
        let fragment = be16(fixed, v4::FRAGMENT);
        let (offset, more) = (usize::from(fragment & v4::OFFSET_MASK) * 8, fragment & v4::MF != 0);
        // No packet that it could be a part of is that long.
        if offset + total_len > usize::from(u16::MAX) {
            return Err(Malformed);
        }
        Ok(Self {
            source: Ipv4Addr::from([fixed[12], fixed[13], fixed[14], fixed[15]]).into(),
            destination: Ipv4Addr::from([fixed[16], fixed[17], fixed[18], fixed[19]]).into(),
            total_len,
            header_len,
            tos: fixed[v4::TOS],
            protocol: fixed[v4::PROTOCOL],
            transport: (offset == 0).then_some(header_len),
            fragment: (offset != 0 || more).then_some(Fragment { offset, more }),
            dont_fragment: fragment & v4::DF != 0,
        })
    }

    fn parse_v6(packet: &[u8]) -> Result<Self, Malformed> {
        let fixed: &[u8; v6::LEN] = packet.first_chunk().ok_or(Malformed)?;
        let total_len = v6::LEN + usize::from(be16(fixed, v6::PAYLOAD_LENGTH));
        let packet = packet.get(..total_len).ok_or(Malformed)?;
        let (protocol, transport, fragment) = upper_layer(packet, fixed[v6::NEXT_HEADER])?;
        Ok(Self {
            source: Ipv6Addr::from(octets16(fixed, v6::SOURCE)).into(),
            destination: Ipv6Addr::from(octets16(fixed, v6::DESTINATION)).into(),
            total_len,
            header_len: v6::LEN,
            tos: (fixed[0] << 4) | (fixed[1] >> 4),
            protocol,
            transport,
            fragment,
            dont_fragment: true,
        })
    }

    /// Whether it is IPv6.
    pub fn is_v6(&self) -> bool {
        self.source.is_ipv6()
    }

    /// Whether it is a fragment but not the first: the upper-layer header is in another packet.
    pub fn is_later_fragment(&self) -> bool {
        self.transport.is_none()
    }

    /// Whether this fragment would write over the TCP flags that were looked at in the first one: an attack, never a packet
    /// (RFC 1858 section 4, RFC 4301 section 7.1).
    pub fn overwrites_tcp_flags(&self) -> bool {
        self.protocol == protocol::TCP && !self.is_v6() && self.fragment.is_some_and(|fragment| fragment.offset == 8)
    }

    /// Source and destination port of TCP, UDP, UDP-Lite, SCTP and DCCP; zeros where they are not in this packet.
    pub fn ports(&self, packet: &[u8]) -> (u16, u16) {
        let has_ports = matches!(self.protocol, protocol::TCP | protocol::UDP | protocol::UDP_LITE | protocol::SCTP | protocol::DCCP);
        match self.transport.and_then(|at| packet.get(at..self.total_len)?.first_chunk::<4>()) {
            Some(&[a, b, c, d]) if has_ports => (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])),
            _ => (0, 0),
        }
    }

    /// The bytes of the upper layer, unless this is a later fragment.
    pub fn payload<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        packet.get(self.transport?..self.total_len)
    }
}

/// Walks the extension headers of RFC 8200 section 4 to the upper layer. Stops behind a later fragment's header: what follows is data.
fn upper_layer(packet: &[u8], mut next: u8) -> Result<(u8, Option<usize>, Option<Fragment>), Malformed> {
    let mut at = v6::LEN;
    let mut fragment = None;
    loop {
        let header = packet.get(at..).unwrap_or_default();
        match next {
            // Hop-by-hop options, routing, destination options, mobility, HIP, shim6: length in 8 bytes, not counting the first 8.
            0 | 43 | 60 | 135 | 139 | 140 => {
                let &[following, words] = header.first_chunk().ok_or(Malformed)?;
                (next, at) = (following, at + (usize::from(words) + 1) * 8);
            }
            // The authentication header counts in 4 bytes, less 2 (RFC 4302 section 2.2).
            51 => {
                let &[following, words] = header.first_chunk().ok_or(Malformed)?;
                (next, at) = (following, at + (usize::from(words) + 2) * 4);
            }
            protocol::IPV6_FRAGMENT => {
                let &[following, _, high, low] = header.first_chunk().ok_or(Malformed)?;
                let field = u16::from_be_bytes([high, low]);
                let this = Fragment { offset: usize::from(field & !7), more: field & 1 != 0 };
                (next, at) = (following, at + 8);
                if this.offset != 0 {
                    return if at <= packet.len() { Ok((next, None, Some(this))) } else { Err(Malformed) };
                }
                fragment = Some(this);
            }
            _ => return if at <= packet.len() { Ok((next, Some(at), fragment)) } else { Err(Malformed) },
        }
    }
}

/// Puts another TOS byte (traffic class) into a packet that [`Header::parse`] has accepted. The IPv4 header checksum follows.
pub fn set_tos(packet: &mut [u8], tos: u8) {
    let Some(&[first, second]) = packet.first_chunk() else { return };
    if first >> 4 == 4 {
        let Some(header) = packet.first_chunk_mut::<{ v4::MIN_LEN }>() else { return };
        let sum = be16(header, v4::CHECKSUM);
        let changed = checksum_update(sum, u16::from_be_bytes([first, second]), u16::from_be_bytes([first, tos]));
        header[v4::TOS] = tos;
        header[v4::CHECKSUM].copy_from_slice(&changed.to_be_bytes());
    } else if let Some(start) = packet.first_chunk_mut::<2>() {
        *start = [(first & 0xf0) | (tos >> 4), (tos << 4) | (second & 0x0f)];
    }
}

/// Computes the checksum of the IPv4 header that `header` holds, and puts it in.
pub fn set_v4_checksum(header: &mut [u8]) {
    if let Some(field) = header.get_mut(v4::CHECKSUM) {
        field.fill(0);
        let sum = checksum(header).to_be_bytes();
        header[v4::CHECKSUM].copy_from_slice(&sum);
    }
}

/// The two low bits of a TOS byte (RFC 3168 section 5).
pub mod ecn {
    /// The bits.
    pub const MASK: u8 = 3;
    /// The transport does not understand ECN.
    pub const NOT_ECT: u8 = 0;
    /// ECN-capable transport, codepoint 1.
    pub const ECT_1: u8 = 1;
    /// ECN-capable transport, codepoint 0.
    pub const ECT_0: u8 = 2;
    /// Congestion experienced.
    pub const CE: u8 = 3;

    /// The TOS byte that leaves the tunnel: the inner DSCP, and the ECN field of the table in RFC 6040 section 4.2.
    /// `None`: the packet must be dropped.
    pub fn decapsulate(inner: u8, outer: u8) -> Option<u8> {
        match (inner & MASK, outer & MASK) {
            (NOT_ECT, CE) => None,
            (ECT_0, ECT_1) => Some(inner & !MASK | ECT_1),
            (ECT_0 | ECT_1, CE) => Some(inner | CE),
            _ => Some(inner),
        }
    }
}

/// The internet checksum of these bytes (RFC 1071), as it goes into a header.
pub fn checksum(bytes: &[u8]) -> u16 {
    !fold(sum(bytes))
}

/// The checksum of an upper-layer message with its pseudo header (RFC 793 section 3.1, RFC 8200 section 8.1). `message` includes the
/// checksum field: zero it first to compute, leave it to verify (the result is 0).
pub fn transport_checksum(source: IpAddr, destination: IpAddr, protocol: u8, message: &[u8]) -> u16 {
    let addresses = |address: IpAddr| match address {
        IpAddr::V4(a) => sum(&a.octets()),
        IpAddr::V6(a) => sum(&a.octets()),
    };
    !fold(addresses(source) + addresses(destination) + u64::from(protocol) + message.len() as u64 + sum(message))
}

/// The checksum after one aligned 16-bit word it covers has changed (RFC 1624, equation 3).
pub fn checksum_update(checksum: u16, old: u16, new: u16) -> u16 {
    !fold(u64::from(!checksum) + u64::from(!old) + u64::from(new))
}

fn sum(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(2);
    let whole: u64 = words.by_ref().map(|w| u64::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    whole + words.remainder().first().map_or(0, |&last| u64::from(last) << 8)
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn be16(bytes: &[u8], field: Range<usize>) -> u16 {
    bytes.get(field).and_then(|b| b.first_chunk()).map_or(0, |&b| u16::from_be_bytes(b))
}

fn octets16(header: &[u8; v6::LEN], field: Range<usize>) -> [u8; 16] {
    let mut octets = [0; 16];
    octets.copy_from_slice(&header[field]);
    octets
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use hex_literal::hex;
    use proptest::prelude::*;

    use super::*;

    /// 192.168.0.10 -> 172.16.1.10, UDP 5000 -> 53, 4 bytes of data.
    const UDP_V4: [u8; 32] = hex!("45 00 0020 1234 4000 40 11 0000 c0a8000a ac10010a 1388 0035 000c 0000 01020304");

    fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
        let mut p = vec![0x60, 0, 0, 0];
        p.extend((payload.len() as u16).to_be_bytes());
        p.extend([next, 64]);
        p.extend(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).octets());
        p.extend(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 2).octets());
        p.extend(payload);
        p
    }

    #[test]
    fn an_ipv4_header_is_read_field_by_field() {
        let h = Header::parse(&UDP_V4).unwrap();
        assert_eq!((h.source, h.destination), ([192, 168, 0, 10].into(), [172, 16, 1, 10].into()));
        assert_eq!((h.total_len, h.header_len, h.tos, h.protocol), (32, 20, 0, 17));
        assert_eq!((h.transport, h.fragment, h.dont_fragment), (Some(20), None, true));
        assert_eq!(h.ports(&UDP_V4), (5000, 53));
    }

    #[test]
    fn what_lies_behind_the_total_length_is_no_part_of_the_packet() {
        let mut padded = UDP_V4.to_vec();
        padded.extend([0xaa; 40]);
        assert_eq!(Header::parse(&padded).unwrap().total_len, 32);
    }

    #[test]
    fn lengths_that_contradict_the_buffer_are_refused() {
        let damaged = |at: usize, byte: u8| {
            let mut p = UDP_V4;
            p[at] = byte;
            Header::parse(&p)
        };
        assert_eq!(damaged(0, 0x44), Err(Malformed), "header shorter than 20 bytes");
        assert_eq!(damaged(0, 0x4f), Err(Malformed), "header longer than the packet");
        assert_eq!(damaged(3, 19), Err(Malformed), "total length shorter than the header");
        assert_eq!(damaged(3, 33), Err(Malformed), "total length longer than the buffer");
        assert_eq!(damaged(0, 0x55), Err(Malformed), "version 5");
        assert_eq!(Header::parse(&[]), Err(Malformed));
        assert_eq!(damaged(6, 0x1f).map(|h| h.fragment.map(|f| f.offset)), Ok(Some(0x1f00 * 8)));
        let mut beyond = UDP_V4;
        beyond[6..8].copy_from_slice(&hex!("1ffd"));
        assert_eq!(Header::parse(&beyond), Err(Malformed), "a fragment that ends behind byte 65535");
        assert_eq!(Header::parse(&v6(17, &[0; 8])[..47]), Err(Malformed), "payload length longer than the buffer");
        assert_eq!(Header::parse(&v6(0, &[6, 1, 0, 0, 0, 0, 0, 0])), Err(Malformed), "options longer than the packet");
    }

    #[test]
    fn ports_are_read_only_from_the_first_fragment() {
        let mut first = UDP_V4;
        first[6..8].copy_from_slice(&hex!("2000"));
        let h = Header::parse(&first).unwrap();
        assert_eq!((h.fragment, h.ports(&first)), (Some(Fragment { offset: 0, more: true }), (5000, 53)));
        let mut later = UDP_V4;
        later[6..8].copy_from_slice(&hex!("0003"));
        let h = Header::parse(&later).unwrap();
        assert_eq!((h.fragment, h.ports(&later)), (Some(Fragment { offset: 24, more: false }), (0, 0)));
        assert!(h.is_later_fragment());
    }

    #[test]
    fn ports_cut_off_by_the_total_length_are_not_read_from_the_padding() {
        let mut p = UDP_V4;
        p[3] = 22;
        assert_eq!(Header::parse(&p).unwrap().ports(&p), (0, 0));
    }

    #[test]
    fn extension_headers_are_walked_to_the_upper_layer() {
        let p = v6(0, &hex!("3c 00 0104 00000000  2c 00 0104 00000000  06 00 0001 00000007  01bb 1f90 00000000"));
        let h = Header::parse(&p).unwrap();
        assert_eq!((h.protocol, h.transport), (protocol::TCP, Some(64)));
        assert_eq!(h.fragment, Some(Fragment { offset: 0, more: true }));
        assert_eq!(h.ports(&p), (443, 8080));
        let p = v6(44, &hex!("11 00 0009 00000007 01bb1f90"));
        let h = Header::parse(&p).unwrap();
        assert_eq!((h.protocol, h.transport, h.ports(&p)), (protocol::UDP, None, (0, 0)));
        assert_eq!(h.fragment, Some(Fragment { offset: 8, more: true }));
    }

    #[test]
    fn the_tos_byte_changes_with_the_checksum() {
        let mut p = UDP_V4;
        set_v4_checksum(&mut p[..20]);
        assert_eq!(checksum(&p[..20]), 0);
        set_tos(&mut p, 0xbb);
        assert_eq!((p[1], checksum(&p[..20])), (0xbb, 0));
        let mut p = v6(59, &[]);
        p[1] = 0x05;
        set_tos(&mut p, 0xb9);
        assert_eq!((&p[..2], Header::parse(&p).unwrap().tos), (&hex!("6b95")[..], 0xb9));
    }

    /// RFC 6040 section 4.2, figure 4: rows are the inner field, columns the outer one, in the order Not-ECT, ECT(0), ECT(1), CE.
    #[test]
    fn decapsulation_follows_the_table_of_rfc_6040() {
        use ecn::{CE, ECT_0, ECT_1, NOT_ECT};
        let order = [NOT_ECT, ECT_0, ECT_1, CE];
        let table = [
            (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
            (ECT_0, [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)]),
            (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
            (CE, [Some(CE), Some(CE), Some(CE), Some(CE)]),
        ];
        for (inner, row) in table {
            for (outer, expected) in order.into_iter().zip(row) {
                let got = ecn::decapsulate(0xb8 | inner, 0x20 | outer);
                assert_eq!(got, expected.map(|e| 0xb8 | e), "inner {inner:02b}, outer {outer:02b}");
            }
        }
    }

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        assert_eq!(checksum(&hex!("0001 f203 f4f5 f6f7")), !0xddf2);
        assert_eq!(checksum(&hex!("0001 f203 f4f5 f6")), !0xdcfb);
    }

    proptest! {
        #[test]
        fn a_changed_word_gives_the_checksum_of_the_changed_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 8..64), new: u16) {
            bytes.truncate(bytes.len() & !1);
            let before = checksum(&bytes);
            let old = u16::from_be_bytes([bytes[4], bytes[5]]);
            bytes[4..6].copy_from_slice(&new.to_be_bytes());
            // Zero has two forms in one's complement.
            let same = |a: u16, b: u16| a == b || (a == 0 && b == 0xffff) || (a == 0xffff && b == 0);
            prop_assert!(same(checksum_update(before, old, new), checksum(&bytes)));
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128), version in prop_oneof![Just(0x45u8), Just(0x60)]) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() { *first = version; }
            if let Ok(h) = Header::parse(&bytes) {
                prop_assert!(h.total_len <= bytes.len() && h.transport.is_none_or(|t| t <= h.total_len));
                let _ = (h.ports(&bytes), h.payload(&bytes));
                set_tos(&mut bytes, 7);
                prop_assert_eq!(Header::parse(&bytes).unwrap().tos, 7);
            }
        }
    }
}
