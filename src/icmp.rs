//! The few ICMP messages that a gateway writes itself: echoes that ask whether a path works, and the errors that tell a sender its packet is too big.

use std::net::{IpAddr, Ipv4Addr};

use crate::ip::{self, Header, protocol, v4, v6};
use crate::sadb::EchoEntry;

/// Length of the header of every message here.
const HEADER_LEN: usize = 8;
/// Hops that our own packets may take: the recommended default (RFC 1700, "IP TIME TO LIVE").
const HOPS: u8 = 64;
/// Most bytes of an ICMP error over IPv4 (RFC 1812 section 4.3.2.3).
const V4_ERROR_MAX: usize = 576;
/// The longest packet that [`too_big`] writes (RFC 4443 section 2.4 (c): the minimum MTU of IPv6).
pub const ERROR_MAX: usize = v6::MIN_MTU;

/// Types of ICMPv4 (RFC 792).
mod type4 {
    pub(super) const ECHO_REPLY: u8 = 0;
    pub(super) const DESTINATION_UNREACHABLE: u8 = 3;
    pub(super) const ECHO_REQUEST: u8 = 8;
    /// Destination unreachable, source quench, redirect, time exceeded, parameter problem.
    pub(super) const ERRORS: [u8; 5] = [3, 4, 5, 11, 12];
    /// Code of "destination unreachable": fragmentation needed and DF set.
    pub(super) const FRAGMENTATION_NEEDED: u8 = 4;
}

/// Types of ICMPv6 (RFC 4443). Below 128 are the errors.
mod type6 {
    pub(super) const PACKET_TOO_BIG: u8 = 2;
    pub(super) const FIRST_INFORMATIONAL: u8 = 128;
    pub(super) const ECHO_REQUEST: u8 = 128;
    pub(super) const ECHO_REPLY: u8 = 129;
    pub(super) const REDIRECT: u8 = 137;
}

/// Makes a whole echo packet with the payload of [`EchoEntry::payload`], to be sent through a tunnel. `None` if the addresses are of
/// different families.
pub fn echo_packet(source: IpAddr, destination: IpAddr, echo: &EchoEntry, sequence: u16) -> Option<Vec<u8>> {
    let (kind, protocol) = match (source, destination) {
        (IpAddr::V4(_), IpAddr::V4(_)) => (type4::ECHO_REQUEST, protocol::ICMP),
        (IpAddr::V6(_), IpAddr::V6(_)) => (type6::ECHO_REQUEST, protocol::ICMPV6),
        _ => return None,
    };
    let payload = echo.payload(sequence);
    let start = header_len(source);
    let mut packet = vec![0; start + HEADER_LEN + payload.len()];
    write_ip_header(&mut packet, source, destination, protocol);
    let message = &mut packet[start..];
    message[0] = kind;
    message[4..6].copy_from_slice(&echo.id.to_be_bytes());
    message[6..8].copy_from_slice(&sequence.to_be_bytes());
    message[HEADER_LEN..].copy_from_slice(&payload);
    set_checksum(message, source, destination);
    Some(packet)
}

/// Puts the checksum into an ICMP message whose checksum field is zero; ICMPv6's covers the addresses (RFC 4443 section 2.3).
fn set_checksum(message: &mut [u8], source: IpAddr, destination: IpAddr) {
    let sum = if source.is_ipv6() { ip::transport_checksum(source, destination, protocol::ICMPV6, message) } else { ip::checksum(message) };
    message[2..4].copy_from_slice(&sum.to_be_bytes());
}

/// A reply to an echo of [`echo_packet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoReply {
    /// ICMP identifier.
    pub id: u16,
    /// ICMP sequence number; the payload holds the same.
    pub sequence: u16,
    /// The first bytes of the payload.
    pub token: [u8; 16],
}

impl EchoReply {
    /// Reads a whole IP packet, as it comes out of a tunnel. `None` if it is anything else, a fragment,
    /// its checksum is wrong, or payload and header disagree about the sequence number.
    pub fn parse(packet: &[u8], header: &Header) -> Option<Self> {
        if header.fragment.is_some() {
            return None;
        }
        let message = header.payload(packet)?;
        match (header.source, header.protocol) {
            (IpAddr::V4(_), protocol::ICMP) if message.first() == Some(&type4::ECHO_REPLY) => {
                (ip::checksum(message) == 0).then(|| Self::read(message))?
            }
            (IpAddr::V6(_), protocol::ICMPV6) if message.first() == Some(&type6::ECHO_REPLY) => {
                let sum = ip::transport_checksum(header.source, header.destination, protocol::ICMPV6, message);
                (sum == 0).then(|| Self::read(message))?
            }
            _ => None,
        }
    }

    fn read(message: &[u8]) -> Option<Self> {
        let (&[_, 0, _, _, id0, id1, seq0, seq1], payload) = message.split_first_chunk::<HEADER_LEN>()? else { return None };
        let (token, rest) = payload.split_first_chunk::<16>()?;
        let repeated: &[u8; 2] = rest.first_chunk()?;
        let reply = Self { id: u16::from_be_bytes([id0, id1]), sequence: u16::from_be_bytes([seq0, seq1]), token: *token };
        (*repeated == [seq0, seq1]).then_some(reply)
    }

    /// Whether it answers this echo.
    pub fn answers(&self, echo: &EchoEntry) -> bool {
        self.id == echo.id && self.token == echo.token
    }
}

/// Whether an ICMP error may answer this packet: not if it is an ICMP error or redirect itself, a later fragment, or went to or came
/// from an address that is no single host's (RFC 1122 section 3.2.2, RFC 1812 section 4.3.2.7, RFC 4443 section 2.4 (e)).
pub fn may_answer(packet: &[u8], header: &Header) -> bool {
    let Some(message) = header.payload(packet) else { return false };
    let answerable = match (header.protocol, message.first()) {
        (protocol::ICMP, Some(kind)) => !type4::ERRORS.contains(kind),
        (protocol::ICMPV6, Some(&kind)) => kind >= type6::FIRST_INFORMATIONAL && kind != type6::REDIRECT,
        (protocol::ICMP | protocol::ICMPV6, None) => false,
        _ => true,
    };
    // "Packet too big" is the one error that may answer a multicast (RFC 4443 section 2.4 (e.3)).
    let to_host = header.destination.is_ipv6() || is_host(header.destination);
    answerable && is_host(header.source) && to_host
}

fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            // 240/4 holds the broadcast address; 0/8 is "this network".
            !(a.is_loopback() || a.is_multicast() || a.octets()[0] == 0 || a.octets()[0] >= 240)
        }
        IpAddr::V6(a) => !(a.is_loopback() || a.is_multicast() || a.is_unspecified()),
    }
}

/// Writes the answer to a packet that is larger than `mtu` into `out` and returns its length: "fragmentation needed" with the next-hop MTU
/// (RFC 1191 section 4), or ICMPv6's "packet too big". It comes from the address that the packet went to: Linux takes a packet with an address
/// of its own from the TUN device only where `accept_local` is set there, else it is a martian. `out` holds at least [`ERROR_MAX`] bytes; `None` if it does not, or if no error [may answer](may_answer).
pub fn too_big(packet: &[u8], header: &Header, mtu: usize, out: &mut [u8]) -> Option<usize> {
    // A multicast address is no source.
    if !may_answer(packet, header) || header.destination.is_multicast() {
        return None;
    }
    let source = header.destination;
    let (limit, protocol) = if header.is_v6() { (ERROR_MAX, protocol::ICMPV6) } else { (V4_ERROR_MAX, protocol::ICMP) };
    let start = header_len(source);
    let quoted = packet.get(..header.total_len.min(limit - start - HEADER_LEN))?;
    let len = start + HEADER_LEN + quoted.len();
    let out = out.get_mut(..len)?;
    write_ip_header(out, source, header.source, protocol);
    let message = &mut out[start..];
    if header.is_v6() {
        message[..4].copy_from_slice(&[type6::PACKET_TOO_BIG, 0, 0, 0]);
        message[4..8].copy_from_slice(&u32::try_from(mtu).unwrap_or(u32::MAX).to_be_bytes());
    } else {
        message[..6].copy_from_slice(&[type4::DESTINATION_UNREACHABLE, type4::FRAGMENTATION_NEEDED, 0, 0, 0, 0]);
        message[6..8].copy_from_slice(&u16::try_from(mtu).unwrap_or(u16::MAX).to_be_bytes());
    }
    message[HEADER_LEN..].copy_from_slice(quoted);
    set_checksum(message, source, header.source);
    Some(len)
}

fn header_len(address: IpAddr) -> usize {
    if address.is_ipv6() { v6::LEN } else { v4::MIN_LEN }
}

/// Writes the header of a packet that fills `packet`; both addresses are of one family.
fn write_ip_header(packet: &mut [u8], source: IpAddr, destination: IpAddr, protocol: u8) {
    let len = packet.len();
    match (source, destination) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = &mut packet[..v6::LEN];
            header.fill(0);
            header[0] = 0x60;
            header[v6::PAYLOAD_LENGTH].copy_from_slice(&((len - v6::LEN) as u16).to_be_bytes());
            header[v6::NEXT_HEADER] = protocol;
            header[v6::HOP_LIMIT] = HOPS;
            header[v6::SOURCE].copy_from_slice(&source.octets());
            header[v6::DESTINATION].copy_from_slice(&destination.octets());
        }
        (IpAddr::V4(source), IpAddr::V4(destination)) => write_v4_header(packet, source, destination, protocol),
        _ => {}
    }
}

fn write_v4_header(packet: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr, protocol: u8) {
    let len = packet.len() as u16;
    let header = &mut packet[..v4::MIN_LEN];
    header.fill(0);
    header[v4::VERSION_IHL] = 0x45;
    header[v4::TOTAL_LENGTH].copy_from_slice(&len.to_be_bytes());
    header[v4::TTL] = HOPS;
    header[v4::PROTOCOL] = protocol;
    header[v4::SOURCE].copy_from_slice(&source.octets());
    header[v4::DESTINATION].copy_from_slice(&destination.octets());
    ip::set_v4_checksum(header);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const ECHO: EchoEntry = EchoEntry { id: 0x4d2, token: *b"0123456789abcdef" };

    fn reply_to(packet: &[u8]) -> Vec<u8> {
        let header = Header::parse(packet).unwrap();
        let mut reply = packet.to_vec();
        write_ip_header(&mut reply, header.destination, header.source, header.protocol);
        let message = &mut reply[header.header_len..];
        message[0] = if header.is_v6() { type6::ECHO_REPLY } else { type4::ECHO_REPLY };
        message[2..4].fill(0);
        set_checksum(message, header.destination, header.source);
        reply
    }

    fn parse(packet: &[u8]) -> Option<EchoReply> {
        EchoReply::parse(packet, &Header::parse(packet).unwrap())
    }

    #[test]
    fn the_reply_to_an_echo_is_recognised_in_both_families() {
        for (a, b) in [("192.168.0.2", "172.16.20.1"), ("fd00::1", "fd01::2")] {
            let request = echo_packet(a.parse().unwrap(), b.parse().unwrap(), &ECHO, 7).unwrap();
            assert_eq!(parse(&request), None, "a request is no reply");
            let reply = parse(&reply_to(&request)).unwrap();
            assert_eq!((reply.id, reply.sequence), (0x4d2, 7));
            assert!(reply.answers(&ECHO));
            assert!(!reply.answers(&EchoEntry { id: 1, ..ECHO }) && !reply.answers(&EchoEntry { token: [0; 16], ..ECHO }));
        }
    }

    #[test]
    fn a_reply_that_was_changed_on_the_way_is_not_recognised() {
        let request = echo_packet([192, 168, 0, 2].into(), [172, 16, 20, 1].into(), &ECHO, 7).unwrap();
        let good = reply_to(&request);
        let mut damaged = good.clone();
        damaged[30] ^= 1;
        assert_eq!(parse(&damaged), None, "checksum");
        let mut other_sequence = good.clone();
        other_sequence[27] = 8;
        other_sequence[22..24].fill(0);
        let sum = ip::checksum(&other_sequence[20..]).to_be_bytes();
        other_sequence[22..24].copy_from_slice(&sum);
        assert_eq!(parse(&other_sequence), None, "the payload repeats the sequence number");
        let mut fragment = good.clone();
        fragment[6] = 0x20;
        assert_eq!(parse(&fragment), None);
        for len in 28..good.len() {
            let mut short = good[..len].to_vec();
            short[3] = len as u8;
            assert_eq!(parse(&short), None);
        }
    }

    #[test]
    fn an_echo_has_right_checksums_and_one_family() {
        let packet = echo_packet([192, 168, 0, 2].into(), [172, 16, 20, 1].into(), &ECHO, 1).unwrap();
        assert_eq!((ip::checksum(&packet[..20]), ip::checksum(&packet[20..])), (0, 0));
        assert_eq!(packet[20..28], [8, 0, packet[22], packet[23], 0x04, 0xd2, 0, 1]);
        assert_eq!(packet[28..], ECHO.payload(1));
        assert_eq!(echo_packet([192, 168, 0, 2].into(), "fd00::1".parse().unwrap(), &ECHO, 1), None);
    }

    fn big(source: &str, destination: &str, protocol: u8) -> Vec<u8> {
        let (source, destination): (IpAddr, IpAddr) = (source.parse().unwrap(), destination.parse().unwrap());
        let mut packet = vec![0x2a; 1500];
        write_ip_header(&mut packet, source, destination, protocol);
        packet
    }

    fn answer(packet: &[u8], mtu: usize) -> Option<Vec<u8>> {
        let mut out = vec![0; ERROR_MAX];
        let len = too_big(packet, &Header::parse(packet).unwrap(), mtu, &mut out)?;
        out.truncate(len);
        Some(out)
    }

    #[test]
    fn fragmentation_needed_names_the_mtu_and_quotes_the_packet() {
        let packet = big("192.168.0.10", "172.16.1.10", protocol::TCP);
        let error = answer(&packet, 1422).unwrap();
        let header = Header::parse(&error).unwrap();
        assert_eq!((header.source, header.destination), ([172, 16, 1, 10].into(), [192, 168, 0, 10].into()));
        assert_eq!((header.total_len, error.len(), header.protocol), (576, 576, protocol::ICMP));
        assert_eq!(error[20..22], [3, 4]);
        assert_eq!(error[24..28], [0, 0, 0x05, 0x8e]);
        assert_eq!(error[28..], packet[..548]);
        assert_eq!((ip::checksum(&error[..20]), ip::checksum(&error[20..])), (0, 0));
    }

    #[test]
    fn packet_too_big_fills_the_minimum_mtu() {
        let packet = big("fd00::1", "fd01::2", protocol::UDP);
        let error = answer(&packet, 1400).unwrap();
        let header = Header::parse(&error).unwrap();
        assert_eq!((header.source.to_string().as_str(), error.len()), ("fd01::2", 1280));
        assert_eq!(error[40..42], [2, 0]);
        assert_eq!(error[44..48], 1400u32.to_be_bytes());
        assert_eq!(ip::transport_checksum(header.source, header.destination, protocol::ICMPV6, &error[40..]), 0);
    }

    #[test]
    fn no_error_answers_errors_later_fragments_and_packets_of_no_single_host() {
        let mut icmp_error = big("192.168.0.10", "172.16.1.10", protocol::ICMP);
        icmp_error[20] = 3;
        assert_eq!(answer(&icmp_error, 1400), None);
        icmp_error[20] = 8;
        assert!(answer(&icmp_error, 1400).is_some(), "an echo request is answered");
        let mut later = big("192.168.0.10", "172.16.1.10", protocol::UDP);
        later[7] = 9;
        assert_eq!(answer(&later, 1400), None);
        for (source, destination) in [
            ("0.0.0.0", "172.16.1.10"),
            ("224.0.0.5", "172.16.1.10"),
            ("255.255.255.255", "172.16.1.10"),
            ("127.0.0.1", "172.16.1.10"),
            ("192.168.0.10", "224.0.0.5"),
            ("192.168.0.10", "255.255.255.255"),
            ("::", "fd00::1"),
            ("ff02::1", "fd00::1"),
        ] {
            assert_eq!(answer(&big(source, destination, protocol::UDP), 1400), None, "{source} -> {destination}");
        }
        let mut v6_error = big("fd00::1", "fd01::2", protocol::ICMPV6);
        v6_error[40] = 1;
        assert_eq!(answer(&v6_error, 1400), None);
    }
}
