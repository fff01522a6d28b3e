//! Whole IPv4 packets, built and sent by hand.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use anyhow::Context;
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
}
