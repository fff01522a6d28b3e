//! Whole IPv4 packets, built and sent by hand.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use anyhow::{Context, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns;

/// IP protocol number of UDP.
pub(crate) const UDP: u8 = 17;
/// IP protocol number of ESP.
pub(crate) const ESP: u8 = 50;
/// Bytes of an IPv4 header without options.
const IP_HEADER: usize = 20;

/// An IPv4 packet with a whole header.
pub(crate) fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
    let length = u16::try_from(IP_HEADER + payload.len()).context("packet too long")?;
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    let sum = checksum(&packet);
    packet.splice(10..12, sum.to_be_bytes());
    packet.extend(payload);
    Ok(packet)
}

/// A UDP datagram without checksum, which IPv4 allows.
pub(crate) fn udp(source: u16, destination: u16, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
    let length = u16::try_from(8 + payload.len()).context("datagram too long")?;
    let mut datagram = Vec::new();
    for field in [source, destination, length, 0] {
        datagram.extend(field.to_be_bytes());
    }
    datagram.extend(payload);
    Ok(datagram)
}

/// The packet as the fragments that an Ethernet takes, if it is too long for one. A raw socket sends no longer ones.
pub(crate) fn fragments(packet: Vec<u8>, identification: u16) -> Vec<Vec<u8>> {
    const MTU: usize = 1500;
    let Some((header, payload)) = packet.split_at_checked(IP_HEADER).filter(|_| packet.len() > MTU) else { return vec![packet] };
    let part = MTU - IP_HEADER;
    let count = payload.len().div_ceil(part);
    let fragment = |(n, payload): (usize, &[u8])| {
        let more = if n + 1 < count { 0x2000 } else { 0 };
        let mut fragment = header.to_vec();
        fragment.splice(2..4, ((IP_HEADER + payload.len()) as u16).to_be_bytes());
        fragment.splice(4..6, identification.to_be_bytes());
        fragment.splice(6..8, (more | (n * part / 8) as u16).to_be_bytes());
        fragment.splice(10..12, [0, 0]);
        let sum = checksum(&fragment);
        fragment.splice(10..12, sum.to_be_bytes());
        fragment.extend(payload);
        fragment
    };
    payload.chunks(part).enumerate().map(fragment).collect()
}

/// Sends a packet as it is from a namespace; only the destination in its header decides the way.
pub(crate) fn send(namespace: &str, packet: &[u8], count: u32) -> anyhow::Result<()> {
    let destination: [u8; 4] = packet.get(16..20).and_then(|bytes| bytes.try_into().ok()).context("no IPv4 packet")?;
    let socket = netns::inside(namespace, || {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255)))?;
        socket.set_header_included_v4(true)?;
        Ok(socket)
    })?;
    let target = SocketAddr::V4(SocketAddrV4::new(destination.into(), 0));
    for _ in 0..count {
        socket.send_to(packet, &target.into()).context("sending")?;
    }
    Ok(())
}

/// Hexadecimal with or without 0x.
pub(crate) fn hex(text: &str) -> anyhow::Result<Vec<u8>> {
    let digits = text.trim_start_matches("0x");
    ensure!(digits.len().is_multiple_of(2) && digits.is_ascii(), "odd number of hexadecimal digits");
    (0..digits.len()).step_by(2).map(|at| Ok(u8::from_str_radix(digits.get(at..at + 2).unwrap_or(""), 16)?)).collect()
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_header_sums_to_zero() {
        let packet = ipv4(Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(203, 0, 113, 21), UDP, b"abc").unwrap();
        assert_eq!(checksum(&packet[..IP_HEADER]), 0);
    }

    #[test]
    fn fragments_hold_the_whole_payload_in_order() {
        let payload: Vec<u8> = (0..3000).map(|n| n as u8).collect();
        let packet = ipv4(Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(203, 0, 113, 21), UDP, &payload).unwrap();
        let parts = fragments(packet, 7);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [1500, 1500, 60]);
        assert_eq!(parts.iter().flat_map(|part| &part[IP_HEADER..]).copied().collect::<Vec<_>>(), payload);
        assert_eq!(parts.iter().map(|part| u16::from_be_bytes([part[6], part[7]])).collect::<Vec<_>>(), [0x2000, 0x2000 | 185, 370]);
        assert!(parts.iter().all(|part| checksum(&part[..IP_HEADER]) == 0));
    }
}
