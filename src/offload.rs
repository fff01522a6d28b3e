//! Runs of TCP segments as one packet, both ways across the TUN device's offload header (`struct virtio_net_hdr`).
//!
//! ```text
//!  from the kernel   one packet of up to 64 KiB + header  -> Segmentation::write, once for each segment
//!  to the kernel     segments of one flow, in order       -> coalesce -> one header, one write
//! ```
//!
//! A segment made here is what the kernel's own segmentation would have made, and segments are only put together if that would give them back as
//! they were: the inner packets on the wire are the same with offloads and without.

use tandem_esp::Packet;

use crate::ip::{self, Header, protocol, v4, v6};

/// Length of the offload header in bytes (`struct virtio_net_hdr`, VIRTIO 1.2 section 5.1.6).
pub const HEADER_LEN: usize = 10;
/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`: the checksum at `csum_start + csum_offset` holds the pseudo header's sum only.
const NEEDS_CSUM: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_TCPV4` and `_TCPV6`.
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;

/// Fields of a TCP header (RFC 9293 section 3.1), relative to its start.
mod tcp {
    use std::ops::Range;
    pub(super) const SEQUENCE: Range<usize> = 4..8;
    /// Acknowledgment number, and behind data offset and flags the window.
    pub(super) const ACKNOWLEDGMENT: Range<usize> = 8..12;
    pub(super) const DATA_OFFSET: usize = 12;
    pub(super) const FLAGS: usize = 13;
    pub(super) const WINDOW: Range<usize> = 14..16;
    pub(super) const CHECKSUM: Range<usize> = 16..18;
    pub(super) const URGENT: Range<usize> = 18..20;
    pub(super) const MIN_LEN: usize = 20;
    pub(super) const FIN: u8 = 0x01;
    pub(super) const PSH: u8 = 0x08;
    pub(super) const ACK: u8 = 0x10;
    pub(super) const ECE: u8 = 0x40;
    pub(super) const CWR: u8 = 0x80;
}

/// What the header says of a packet from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offload {
    /// The packet is whole.
    None,
    /// Its checksum is to be completed: where the covered bytes start, and where in them the field is.
    Checksum {
        /// First covered byte.
        start: usize,
        /// Offset of the field from there.
        offset: usize,
    },
    /// It is a run of TCP segments with so many bytes of payload each; the last may have less.
    Tcp {
        /// Payload of a segment in bytes.
        segment: usize,
    },
    /// Something that was not asked for.
    Unknown,
}

impl Offload {
    /// Reads the header.
    pub fn parse(header: &[u8; HEADER_LEN]) -> Self {
        let [flags, kind, _, _, size_low, size_high, start_low, start_high, offset_low, offset_high] = *header;
        let number = |low, high| usize::from(u16::from_ne_bytes([low, high]));
        match kind {
            0 if flags & NEEDS_CSUM == 0 => Self::None,
            0 => Self::Checksum { start: number(start_low, start_high), offset: number(offset_low, offset_high) },
            GSO_TCPV4 | GSO_TCPV6 => Self::Tcp { segment: number(size_low, size_high) },
            _ => Self::Unknown,
        }
    }
}

/// Completes a checksum that the kernel left to the device. Returns false if it lies outside the packet.
pub fn complete_checksum(packet: &mut [u8], start: usize, offset: usize) -> bool {
    let Some(covered) = packet.get_mut(start..) else { return false };
    // The field holds the pseudo header's sum already, so it is summed like the rest.
    let checksum = match ip::checksum(covered) {
        0 => 0xffff, // zero would mean "no checksum" in UDP; both are the same number in ones' complement
        c => c,
    };
    match covered.get_mut(offset..).and_then(|field| field.first_chunk_mut::<2>()) {
        Some(field) => *field = checksum.to_be_bytes(),
        None => return false,
    }
    true
}

/// How a large packet from the kernel falls into segments.
#[derive(Clone, Copy, Debug)]
pub struct Segmentation {
    header: Header,
    tcp: usize,
    headers_len: usize,
    segment: usize,
    payload_len: usize,
}

impl Segmentation {
    /// Looks at a packet with `segment` bytes of payload for each segment; `None` if it is no TCP packet with such a payload.
    pub fn of(packet: &[u8], segment: usize) -> Option<Self> {
        let header = Header::parse(packet).ok()?;
        let tcp = header.transport.filter(|_| header.protocol == protocol::TCP && header.fragment.is_none())?;
        let tcp_len = usize::from(packet.get(tcp + tcp::DATA_OFFSET)? >> 4) * 4;
        let headers_len = tcp + tcp_len;
        let payload_len = header.total_len.checked_sub(headers_len).filter(|&len| len > 0 && segment > 0 && tcp_len >= tcp::MIN_LEN)?;
        Some(Self { header, tcp, headers_len, segment, payload_len })
    }

    /// Number of segments.
    pub fn count(&self) -> usize {
        self.payload_len.div_ceil(self.segment)
    }

    /// Length of the largest segment with its headers, in bytes.
    pub fn largest(&self) -> usize {
        self.headers_len + self.segment.min(self.payload_len)
    }

    /// Writes segment `index` of `packet` to the start of `out`, which has room for the largest one, and returns its length; 0 behind the last one.
    pub fn write(&self, packet: &[u8], index: usize, out: &mut [u8]) -> usize {
        let offset = index * self.segment;
        let Some(len) = self.payload_len.checked_sub(offset).filter(|&len| len > 0).map(|len| len.min(self.segment)) else { return 0 };
        let is_last = offset + len == self.payload_len;
        let total = self.headers_len + len;
        let (Some(out), Some(headers), Some(payload)) =
            (out.get_mut(..total), packet.get(..self.headers_len), packet.get(self.headers_len + offset..self.headers_len + offset + len))
        else {
            return 0;
        };
        let (own_headers, own_payload) = out.split_at_mut(self.headers_len);
        own_headers.copy_from_slice(headers);
        own_payload.copy_from_slice(payload);
        let (ip_header, tcp_header) = own_headers.split_at_mut(self.tcp);
        set_length(ip_header, self.header.is_v6(), total);
        if !self.header.is_v6() {
            add_to(ip_header, v4::IDENTIFICATION, index as u16);
            ip::set_v4_checksum(ip_header);
        }
        add_to_sequence(tcp_header, offset as u32);
        if !is_last {
            tcp_header[tcp::FLAGS] &= !(tcp::FIN | tcp::PSH);
        }
        if index > 0 {
            // Said once for the whole window (RFC 3168 section 6.1.2).
            tcp_header[tcp::FLAGS] &= !tcp::CWR;
        }
        tcp_header[tcp::CHECKSUM].fill(0);
        let message = out.get(self.tcp..).unwrap_or_default();
        let checksum = ip::transport_checksum(self.header.source, self.header.destination, protocol::TCP, message);
        if let Some(field) = out.get_mut(self.tcp..).and_then(|m| m.get_mut(tcp::CHECKSUM)) {
            field.copy_from_slice(&checksum.to_be_bytes());
        }
        total
    }
}

/// A run of packets that goes to the kernel as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// How many packets; the first one's header now speaks for all of them.
    pub packets: usize,
    /// Bytes of headers, which the packets after the first leave away.
    pub headers_len: usize,
    /// The offload header.
    pub header: [u8; HEADER_LEN],
}

/// Looks how many packets from the first on the kernel can take as one, and rewrites the first one's header if there are more than one.
pub fn coalesce(arena: &mut [u8], packets: &[Packet], most: usize) -> Run {
    let single = Run { packets: 1, headers_len: 0, header: [0; HEADER_LEN] };
    let Some(first) = packets.first().and_then(|p| Candidate::look(arena.get(p.range())?)) else { return single };
    let (mut last, mut total, mut count) = (first, first.total_len, 1);
    for packet in packets.iter().take(most).skip(1) {
        let next = arena.get(packet.range()).zip(packets.first().and_then(|p| arena.get(p.range()))).and_then(|(bytes, first_bytes)| {
            let next = Candidate::look_unchecked(bytes)?;
            (last.may_be_followed(&first) && next.follows(&last, &first, count, bytes, first_bytes)).then_some(next)
        });
        let Some(next) = next.filter(|n| total + n.payload_len <= usize::from(u16::MAX)).filter(|n| n.checks(&arena[packet.range()]))
        else {
            break;
        };
        total += next.payload_len;
        count += 1;
        last = next;
    }
    let Some(bytes) = packets.first().and_then(|p| arena.get_mut(p.range())).filter(|_| count > 1) else { return single };
    let (ip_header, tcp_part) = bytes.split_at_mut(first.tcp);
    set_length(ip_header, first.v6, total);
    if !first.v6 {
        ip::set_v4_checksum(ip_header);
    }
    tcp_part[tcp::FLAGS] |= last.flags;
    // The pseudo header's sum; the kernel adds the rest, or leaves it to a device that can.
    let sum = !ip::transport_checksum(first.source, first.destination, protocol::TCP, &[]);
    let sum = u32::from(sum) + (total - first.tcp) as u32;
    let sum = ((sum & 0xffff) + (sum >> 16)) as u16;
    tcp_part[tcp::CHECKSUM].copy_from_slice(&sum.to_be_bytes());

    let mut header = [0; HEADER_LEN];
    header[0] = NEEDS_CSUM;
    header[1] = if first.v6 { GSO_TCPV6 } else { GSO_TCPV4 };
    header[2..4].copy_from_slice(&(first.headers_len as u16).to_ne_bytes());
    header[4..6].copy_from_slice(&(first.payload_len as u16).to_ne_bytes());
    header[6..8].copy_from_slice(&(first.tcp as u16).to_ne_bytes());
    header[8..10].copy_from_slice(&(tcp::CHECKSUM.start as u16).to_ne_bytes());
    Run { packets: count, headers_len: first.headers_len, header }
}

/// A TCP segment that may be part of a run.
#[derive(Clone, Copy)]
struct Candidate {
    v6: bool,
    source: std::net::IpAddr,
    destination: std::net::IpAddr,
    tcp: usize,
    headers_len: usize,
    payload_len: usize,
    total_len: usize,
    sequence: u32,
    flags: u8,
    identification: u16,
    dont_fragment: bool,
}

impl Candidate {
    /// As [`look_unchecked`](Self::look_unchecked), with correct checksums: a damaged segment must stay recognisable as damaged.
    fn look(packet: &[u8]) -> Option<Self> {
        Self::look_unchecked(packet).filter(|c| c.checks(packet))
    }

    /// Only data, acknowledged, without options of IP, fragments, urgent data, or the ends of a connection but FIN.
    fn look_unchecked(packet: &[u8]) -> Option<Self> {
        // Most packets that are none are told by one byte.
        let (v6, next) = match packet.first()? >> 4 {
            4 => (false, *packet.get(v4::PROTOCOL)?),
            6 => (true, *packet.get(v6::NEXT_HEADER)?),
            _ => return None,
        };
        let header = (next == protocol::TCP).then(|| Header::parse(packet).ok())??;
        let tcp = header.transport.filter(|_| header.fragment.is_none())?;
        if tcp != (if v6 { v6::LEN } else { v4::MIN_LEN }) || header.total_len != packet.len() {
            return None;
        }
        let tcp_header = packet.get(tcp..)?;
        let headers_len = tcp + usize::from(tcp_header.get(tcp::DATA_OFFSET)? >> 4) * 4;
        let payload_len = packet.len().checked_sub(headers_len).filter(|&len| len > 0 && headers_len >= tcp + tcp::MIN_LEN)?;
        let flags = *tcp_header.get(tcp::FLAGS)?;
        let is_data = flags & !(tcp::PSH | tcp::FIN | tcp::ECE) == tcp::ACK && tcp_header.get(tcp::URGENT)? == [0, 0];
        let (identification, dont_fragment) = if v6 { (0, true) } else { (be16(packet.get(v4::IDENTIFICATION)?), header.dont_fragment) };
        is_data.then_some(Self {
            v6,
            source: header.source,
            destination: header.destination,
            tcp,
            headers_len,
            payload_len,
            total_len: packet.len(),
            sequence: u32::from_be_bytes(*tcp_header.get(tcp::SEQUENCE)?.first_chunk()?),
            flags,
            identification,
            dont_fragment,
        })
    }

    fn checks(&self, packet: &[u8]) -> bool {
        let whole_header = self.v6 || packet.get(..v4::MIN_LEN).is_some_and(|header| ip::checksum(header) == 0);
        let message = packet.get(self.tcp..).unwrap_or_default();
        whole_header && ip::transport_checksum(self.source, self.destination, protocol::TCP, message) == 0
    }

    /// A shorter segment, PSH and FIN end a run.
    fn may_be_followed(&self, first: &Self) -> bool {
        self.payload_len == first.payload_len && self.flags & (tcp::PSH | tcp::FIN) == 0
    }

    /// Whether this is the segment after `last`, the `place`-th of a run that segmenting would give back just like this.
    fn follows(&self, last: &Self, first: &Self, place: usize, bytes: &[u8], first_bytes: &[u8]) -> bool {
        let same = |range: std::ops::Range<usize>| bytes.get(range.clone()) == first_bytes.get(range);
        let tcp = |range: std::ops::Range<usize>| first.tcp + range.start..first.tcp + range.end;
        let same_ip = if self.v6 {
            same(v6::VERSION_CLASS_LABEL) && same(v6::HOP_LIMIT..v6::DESTINATION.end)
        } else {
            same(v4::VERSION_IHL..v4::TOTAL_LENGTH.start)
                && same(v4::FRAGMENT)
                && same(v4::TTL..v4::PROTOCOL + 1)
                && same(v4::SOURCE.start..v4::DESTINATION.end)
                // Without DF the number matters to whoever puts fragments together (RFC 6864 section 4).
                && (self.dont_fragment || self.identification == first.identification.wrapping_add(place as u16))
        };
        self.v6 == first.v6
            && self.headers_len == first.headers_len
            && self.payload_len <= first.payload_len
            && self.sequence == last.sequence.wrapping_add(last.payload_len as u32)
            && (self.flags ^ first.flags) & !(tcp::PSH | tcp::FIN) == 0
            && same_ip
            && same(tcp(0..tcp::SEQUENCE.start))
            && same(tcp(tcp::ACKNOWLEDGMENT))
            && same(tcp(tcp::WINDOW))
            && same(first.tcp + tcp::MIN_LEN..first.headers_len)
    }
}

fn set_length(ip_header: &mut [u8], is_v6: bool, total: usize) {
    let (field, length) = if is_v6 { (v6::PAYLOAD_LENGTH, total - v6::LEN) } else { (v4::TOTAL_LENGTH, total) };
    ip_header[field].copy_from_slice(&(length as u16).to_be_bytes());
}

fn add_to(header: &mut [u8], field: std::ops::Range<usize>, n: u16) {
    let value = be16(&header[field.clone()]).wrapping_add(n);
    header[field].copy_from_slice(&value.to_be_bytes());
}

fn add_to_sequence(tcp_header: &mut [u8], n: u32) {
    if let Some(field) = tcp_header.get_mut(tcp::SEQUENCE).and_then(|f| f.first_chunk_mut::<4>()) {
        *field = u32::from_be_bytes(*field).wrapping_add(n).to_be_bytes();
    }
}

fn be16(bytes: &[u8]) -> u16 {
    bytes.first_chunk().map_or(0, |&b| u16::from_be_bytes(b))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// A TCP packet with correct checksums.
    fn packet(v6: bool, dont_fragment: bool, sequence: u32, flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
        let tcp_len = tcp::MIN_LEN + options.len();
        let mut ip_header = if v6 {
            let mut h = vec![0x60, 0x0a, 0xbc, 0xde, 0, 0, protocol::TCP, 63];
            h.extend_from_slice(&[0xfd; 16]);
            h.extend_from_slice(&[0xfe; 16]);
            h
        } else {
            let df = if dont_fragment { 0x40 } else { 0 };
            vec![0x45, 0x02, 0, 0, 0xff, 0xfe, df, 0, 63, protocol::TCP, 0, 0, 192, 168, 0, 10, 172, 16, 1, 10]
        };
        let total = ip_header.len() + tcp_len + payload.len();
        set_length(&mut ip_header, v6, total);
        if !v6 {
            ip::set_v4_checksum(&mut ip_header);
        }
        let mut message = vec![0x9c, 0x40, 0x14, 0x51];
        message.extend_from_slice(&sequence.to_be_bytes());
        message.extend_from_slice(&[0, 0, 0, 7, (tcp_len as u8 / 4) << 4, flags, 1, 0, 0, 0, 0, 0]);
        message.extend_from_slice(options);
        message.extend_from_slice(payload);
        let mut bytes = ip_header;
        let header_len = bytes.len();
        bytes.extend_from_slice(&message);
        let header = Header::parse(&bytes).unwrap();
        let checksum = ip::transport_checksum(header.source, header.destination, protocol::TCP, &bytes[header_len..]);
        bytes[header_len + 16..header_len + 18].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    fn split(packet: &[u8], segment: usize) -> Vec<Vec<u8>> {
        let s = Segmentation::of(packet, segment).unwrap();
        (0..s.count())
            .map(|i| {
                let mut out = vec![0; s.largest()];
                let len = s.write(packet, i, &mut out);
                out.truncate(len);
                out
            })
            .collect()
    }

    /// Lays packets into an arena.
    fn arena(packets: &[Vec<u8>]) -> (Vec<u8>, Vec<Packet>) {
        let mut arena = Vec::new();
        let places = packets
            .iter()
            .map(|p| {
                arena.extend_from_slice(&[0xee; 7]);
                let start = arena.len();
                arena.extend_from_slice(p);
                Packet { start, len: p.len() }
            })
            .collect();
        (arena, places)
    }

    /// What the kernel gets for a run.
    fn joined(arena: &[u8], places: &[Packet], run: &Run) -> Vec<u8> {
        let mut bytes = arena[places[0].range()].to_vec();
        for place in &places[1..run.packets] {
            bytes.extend_from_slice(&arena[place.range()][run.headers_len..]);
        }
        bytes
    }

    proptest! {
        #[test]
        fn segments_put_together_and_split_again_are_the_same(
            v6: bool, dont_fragment: bool, ece: bool, last_flags in 0u8..4, sequence: u32,
            option_words in 0usize..10, segment in 1usize..1500, len in 1usize..60_000,
        ) {
            prop_assume!(len.div_ceil(segment) <= 200);
            let flags = tcp::ACK | if ece { tcp::ECE } else { 0 } | [0, tcp::PSH, tcp::FIN, tcp::PSH | tcp::FIN][usize::from(last_flags)];
            let payload: Vec<u8> = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
            let options = vec![1; option_words * 4];
            let large = packet(v6, dont_fragment, sequence, flags, &options, &payload);
            let segments = split(&large, segment);
            prop_assert_eq!(segments.len(), len.div_ceil(segment));
            for s in &segments {
                prop_assert!(Candidate::look(s).is_some(), "each has correct checksums");
            }
            let (mut bytes, places) = arena(&segments);
            let run = coalesce(&mut bytes, &places, usize::MAX);
            prop_assert_eq!(run.packets, segments.len());
            if run.packets > 1 {
                let together = joined(&bytes, &places, &run);
                prop_assert_eq!(Offload::parse(&run.header), Offload::Tcp { segment });
                prop_assert_eq!(split(&together, segment), segments);
                // The kernel completes the checksum from the pseudo header's sum.
                let mut whole = together;
                let start = run.headers_len - tcp::MIN_LEN - options.len();
                prop_assert!(complete_checksum(&mut whole, start, 16));
                prop_assert_eq!(whole, large);
            }
        }

        #[test]
        fn whatever_comes_in_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), segment in 0usize..300, cut in 0usize..200) {
            if let Some(s) = Segmentation::of(&bytes, segment) {
                let mut out = vec![0; cut];
                for i in 0..s.count() + 1 {
                    s.write(&bytes, i, &mut out);
                }
            }
            let (mut arena, places) = arena(&[bytes.clone(), bytes]);
            coalesce(&mut arena, &places, 64);
        }
    }

    fn run_of(packets: &[Vec<u8>]) -> usize {
        let (mut bytes, places) = arena(packets);
        let before = bytes.clone();
        let run = coalesce(&mut bytes, &places, usize::MAX);
        if run.packets == 1 {
            assert_eq!(bytes, before, "a single packet stays as it is");
        }
        run.packets
    }

    #[test]
    fn what_segmenting_would_not_give_back_is_not_put_together() {
        let a = |sequence, flags| packet(false, true, sequence, flags, &[], &[1; 100]);
        let good = [a(1000, tcp::ACK), a(1100, tcp::ACK)];
        assert_eq!(run_of(&good), 2);
        assert_eq!(run_of(&[a(1000, tcp::ACK), a(1200, tcp::ACK)]), 1, "a gap");
        assert_eq!(run_of(&[a(1100, tcp::ACK), a(1000, tcp::ACK)]), 1, "out of order");
        assert_eq!(run_of(&[a(1000, tcp::ACK | tcp::PSH), a(1100, tcp::ACK)]), 1, "PSH ends a run");
        assert_eq!(run_of(&[a(1000, tcp::ACK), a(1100, tcp::ACK | tcp::CWR)]), 1, "CWR");
        assert_eq!(run_of(&[a(1000, tcp::ACK), a(1100, 0x04 | tcp::ACK)]), 1, "RST");
        assert_eq!(run_of(&[a(1000, 0x02), a(1100, 0x02)]), 1, "SYN");
        assert_eq!(run_of(&[a(1000, tcp::ACK), a(1100, tcp::ACK | tcp::ECE)]), 1, "ECE on one only");
        let short = packet(false, true, 1100, tcp::ACK, &[], &[1; 50]);
        assert_eq!(
            run_of(&[good[0].clone(), short.clone(), packet(false, true, 1150, tcp::ACK, &[], &[1; 50])]),
            2,
            "a shorter one is the last"
        );
        assert_eq!(run_of(&[short, packet(false, true, 1150, tcp::ACK, &[], &[1; 100])]), 1, "a longer one does not follow");
        assert_eq!(run_of(&[good[0].clone(), packet(false, true, 1100, tcp::ACK, &[1; 4], &[1; 100])]), 1, "other options");
        assert_eq!(
            run_of(&[packet(false, false, 1000, tcp::ACK, &[], &[1; 100]), packet(false, false, 1100, tcp::ACK, &[], &[1; 100])]),
            1,
            "same identification without DF"
        );
        assert_eq!(run_of(&[good[0].clone(), packet(true, true, 1100, tcp::ACK, &[], &[1; 100])]), 1, "another IP version");
        for (at, what) in [
            (1, "another DSCP"),
            (8, "another TTL"),
            (15, "another source"),
            (21, "another port"),
            (31, "another acknowledgment"),
            (35, "another window"),
        ] {
            let mut other = good[1].clone();
            other[at] ^= 4;
            ip::set_v4_checksum(&mut other[..20]);
            other[36..38].fill(0);
            let header = Header::parse(&other).unwrap();
            let checksum = ip::transport_checksum(header.source, header.destination, protocol::TCP, &other[20..]);
            other[36..38].copy_from_slice(&checksum.to_be_bytes());
            assert!(Candidate::look(&other).is_some(), "{what}");
            assert_eq!(run_of(&[good[0].clone(), other]), 1, "{what}");
        }
    }

    #[test]
    fn a_damaged_segment_stays_recognisable() {
        let good = |sequence| packet(false, true, sequence, tcp::ACK, &[], &[1; 100]);
        let mut damaged = good(1100);
        damaged[60] ^= 1;
        assert_eq!(run_of(&[good(1000), damaged.clone()]), 1);
        assert_eq!(run_of(&[damaged, good(1200)]), 1);
    }

    #[test]
    fn an_open_checksum_outside_the_packet_is_refused() {
        assert!(!complete_checksum(&mut [0; 19], 20, 0));
        assert!(!complete_checksum(&mut [0; 37], 20, 16));
        assert!(complete_checksum(&mut [0; 38], 20, 16));
    }
}
