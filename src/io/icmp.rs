//! Echoes outside the tunnel, for tracks with `via = "NAME"`: raw ICMP sockets bound to a connection's own address and interface,
//! so that a probe tests that path and no other.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::net::SendFlags;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::net::UdpSocket;

use crate::ip;
use crate::machine::LocalEnd;

/// Length of the ICMP header of an echo: type, code, checksum, identifier, sequence number (RFC 792).
const HEADER: usize = 8;
/// Longest packet that is looked at; a reply repeats what we sent, which is far shorter.
const LONGEST: usize = 1500;

/// A reply to an echo with this socket's identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EchoReply {
    /// Who answered.
    pub from: IpAddr,
    /// The echo's sequence number.
    pub sequence: u16,
    /// The echo's payload as it came back.
    pub payload: Vec<u8>,
}

/// A socket for echoes from one local end.
#[derive(Debug)]
pub struct EchoSocket {
    /// A raw socket: tokio's type for UDP only waits, sends and receives, which is the same for both.
    socket: UdpSocket,
    v4: bool,
    id: u16,
}

impl EchoSocket {
    /// Opens a socket that sends from this end and hears replies with identifier `id` and nothing else: the kernel filters. Must be called inside a
    /// tokio runtime. The interface must exist; the address may come later.
    pub fn open(end: &LocalEnd, id: u16) -> io::Result<Self> {
        let v4 = end.address.is_ipv4();
        let (domain, protocol) = if v4 { (Domain::IPV4, Protocol::ICMPV4) } else { (Domain::IPV6, Protocol::ICMPV6) };
        let socket = Socket::new(domain, Type::RAW.nonblocking().cloexec(), Some(protocol))?;
        socket.attach_filter(&filter(v4, id))?;
        if let Some(name) = &end.interface {
            socket.bind_device(Some(name.as_bytes()))?;
        }
        if v4 {
            socket.set_freebind_v4(true)?
        } else {
            socket.set_freebind_v6(true)?
        }
        socket.bind(&SocketAddr::new(end.address, 0).into())?;
        Ok(Self { socket: UdpSocket::from_std(socket.into())?, v4, id })
    }

    /// Sends one echo; a track's payload is [`EchoEntry::payload`](crate::sadb::EchoEntry::payload). Never waits.
    pub fn send(&self, destination: IpAddr, sequence: u16, payload: &[u8]) -> io::Result<()> {
        let mut message = Vec::with_capacity(HEADER + payload.len());
        message.extend_from_slice(&[if self.v4 { 8 } else { 128 }, 0, 0, 0]); // echo (RFC 792) or echo request (RFC 4443 section 4.1)
        message.extend_from_slice(&self.id.to_be_bytes());
        message.extend_from_slice(&sequence.to_be_bytes());
        message.extend_from_slice(payload);
        // The checksum of ICMPv6 covers a pseudo-header and is the kernel's work (RFC 3542 section 3.1).
        if self.v4 {
            let checksum = ip::checksum(&message);
            message.splice(2..4, checksum.to_be_bytes());
        }
        // Not tokio's way of sending, which would first wait to be told that there is room.
        rustix::net::sendto(&self.socket, &message, SendFlags::empty(), &SocketAddr::new(destination, 0))?;
        Ok(())
    }

    /// Waits for the next reply. Safe to cancel.
    pub async fn receive(&self) -> io::Result<EchoReply> {
        loop {
            let mut buffer = [0; LONGEST];
            let (len, from) = self.socket.recv_from(&mut buffer).await?;
            if let Some((sequence, payload)) = buffer.get(..len).and_then(|packet| parse(packet, self.v4, self.id)) {
                return Ok(EchoReply { from: from.ip(), sequence, payload: payload.to_vec() });
            }
        }
    }
}

/// Sequence number and payload of a reply with this identifier; an IPv4 packet still has its IP header.
fn parse(packet: &[u8], v4: bool, id: u16) -> Option<(u16, &[u8])> {
    let header = if v4 { usize::from(packet.first()? & 0x0f) * 4 } else { 0 };
    let (kind, rest) = packet.get(header..)?.split_first_chunk::<HEADER>()?;
    let [kind, code, _, _, id_high, id_low, sequence_high, sequence_low] = *kind;
    let expected = if v4 { 0 } else { 129 };
    (kind == expected && code == 0 && u16::from_be_bytes([id_high, id_low]) == id)
        .then(|| (u16::from_be_bytes([sequence_high, sequence_low]), rest))
}

/// A classic BPF program that lets echo replies with this identifier pass, so that other people's pings wake nobody.
/// The kernel shows it an IPv4 packet from the IP header on, an ICMPv6 message from its type on.
fn filter(v4: bool, id: u16) -> Vec<SockFilter> {
    let op = |code: u32, jt, jf, k| SockFilter::new(code as u16, jt, jf, k);
    let (mode, kind) = if v4 { (libc::BPF_IND, 0) } else { (libc::BPF_ABS, 129) };
    let mut program = Vec::new();
    if v4 {
        program.push(op(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0, 0, 0)); // X = length of the IP header
    }
    program.extend([
        op(libc::BPF_LD | libc::BPF_B | mode, 0, 0, 0),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 3, kind),
        op(libc::BPF_LD | libc::BPF_H | mode, 0, 0, 4),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, u32::from(id)),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ]);
    program
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_reply_is_ours_only_with_our_identifier() {
        let mut packet = vec![0x45; 20];
        packet.extend_from_slice(&[0, 0, 0, 0, 0x12, 0x34, 0, 7, b'x']);
        assert_eq!(parse(&packet, true, 0x1234), Some((7, &b"x"[..])));
        assert_eq!(parse(&packet, true, 0x1235), None);
        assert_eq!(parse(&packet[..27], true, 0x1234), None);
        packet[20] = 8;
        assert_eq!(parse(&packet, true, 0x1234), None, "an echo is no reply");
        assert_eq!(parse(&[], true, 0x1234), None);
    }
}
