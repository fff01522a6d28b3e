//! The machine's links and addresses, and word of every change: whether a connection's path is there is decided by what the kernel says
//! at once, without waiting for a probe to be lost.

use std::io;
use std::net::IpAddr;

use futures_util::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};

use super::netlink::{Netlink, NetlinkError};
use crate::machine::{Address, Change, Link, Machine};

/// Kernel buffer for changes, in bytes. If it overflows all the same, [`Change::Lost`] says so.
const BUFFER: usize = 1 << 20;
/// The largest message of the kernel, in bytes.
const LARGEST: usize = 64 << 10;

impl Netlink {
    /// All links and addresses. Open a [`Watcher`] first, so that nothing is missed in between.
    pub async fn machine(&self) -> Result<Machine, NetlinkError> {
        let mut machine = Machine::default();
        let links: Vec<_> = self.handle().link().get().execute().try_collect().await.map_err(|e| NetlinkError::new("listing links", e))?;
        let addresses: Vec<_> =
            self.handle().address().get().execute().try_collect().await.map_err(|e| NetlinkError::new("listing addresses", e))?;
        for change in links.into_iter().filter_map(|l| link(l).map(Change::Link)) {
            machine.apply(change);
        }
        for change in addresses.into_iter().filter_map(|a| address(a).map(Change::Address)) {
            machine.apply(change);
        }
        Ok(machine)
    }
}

/// Hears of changes.
pub struct Watcher {
    socket: TokioSocket,
    pending: std::vec::IntoIter<Change>,
    buffer: Vec<u8>,
}

impl Watcher {
    /// Starts to listen. Must be called inside a tokio runtime.
    pub fn open() -> io::Result<Self> {
        let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        socket.socket_mut().set_rx_buf_sz(BUFFER)?;
        socket.socket_mut().bind(&SocketAddr::new(0, groups as u32))?;
        Ok(Self { socket, pending: Vec::new().into_iter(), buffer: Vec::with_capacity(LARGEST) })
    }

    /// Waits for the next change. Safe to cancel.
    pub async fn next(&mut self) -> io::Result<Change> {
        loop {
            if let Some(change) = self.pending.next() {
                return Ok(change);
            }
            self.buffer.clear();
            match self.socket.recv_from(&mut self.buffer).await {
                // Port 0 is the kernel; other processes may send to us too.
                Ok(from) if from.port_number() == 0 => self.pending = changes(&self.buffer).into_iter(),
                Ok(_) => {}
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Change::Lost),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// The changes in one datagram of the kernel; what cannot be read asks for the whole again.
fn changes(mut bytes: &[u8]) -> Vec<Change> {
    let mut changes = Vec::new();
    while !bytes.is_empty() {
        let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) else {
            changes.push(Change::Lost);
            break;
        };
        changes.extend(match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(m)) => link(m).map(Change::Link),
            // Bridges tell of their ports that way; the link itself stays.
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(m)) if u8::from(m.header.interface_family) == 0 => {
                Some(Change::LinkGone(m.header.index))
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(m)) => address(m).map(Change::Address),
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(m)) => address(m).map(Change::AddressGone),
            _ => None,
        });
        let length = (message.header.length as usize).next_multiple_of(4).max(16);
        bytes = bytes.get(length..).unwrap_or_default();
    }
    changes
}

fn link(message: LinkMessage) -> Option<Link> {
    if u8::from(message.header.interface_family) != 0 {
        return None;
    }
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        up: flags.contains(LinkFlags::Up | LinkFlags::Running),
        loopback: flags.contains(LinkFlags::Loopback),
        mtu: 0,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

fn address(message: AddressMessage) -> Option<Address> {
    // On a point-to-point link IFA_ADDRESS is the peer's and IFA_LOCAL ours; IPv6 has only IFA_ADDRESS otherwise.
    let find = |wanted: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(wanted);
    let ours = find(|a| if let AddressAttribute::Local(a) = a { Some(*a) } else { None })
        .or_else(|| find(|a| if let AddressAttribute::Address(a) = a { Some(*a) } else { None }))?;
    Some(Address { link: message.header.index, net: IpNet::new(ours, message.header.prefix_len).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_asks_for_the_whole_again() {
        assert_eq!(changes(&[7; 20]), [Change::Lost]);
        assert_eq!(changes(&[]), []);
    }
}
