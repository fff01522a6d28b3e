//! The machine's links and addresses, and word of every change: whether a connection's path is there is decided by what the kernel says
//! at once, without waiting for a probe to be lost.

use std::collections::BTreeMap;
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
use super::sockets::LocalEnd;

/// Kernel buffer for changes, in bytes. If it overflows all the same, [`Change::Lost`] says so.
const BUFFER: usize = 1 << 20;
/// The largest message of the kernel, in bytes.
const LARGEST: usize = 64 << 10;

/// Links and addresses as the kernel last told them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    links: BTreeMap<u32, Link>,
    addresses: Vec<Address>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether it is set up and has a carrier.
    pub up: bool,
    /// Whether it is the loopback.
    pub loopback: bool,
    /// Its MTU in bytes.
    pub mtu: u32,
}

/// An address of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Index of the link it is on.
    pub link: u32,
    /// The address and the length of its subnet's prefix.
    pub net: IpNet,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A link is new or different.
    Link(Link),
    /// The link with this index is gone.
    LinkGone(u32),
    /// An address is new.
    Address(Address),
    /// An address is gone.
    AddressGone(Address),
    /// Changes came faster than they were read: ask [`Netlink::machine`] for the whole again.
    Lost,
}

impl Machine {
    /// Takes a change over. Returns whether anything is different now; [`Change::Lost`] changes nothing here.
    pub fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Link(link) => self.links.insert(link.index, link.clone()).as_ref() != Some(&link),
            Change::LinkGone(index) => {
                self.addresses.retain(|a| a.link != index);
                self.links.remove(&index).is_some()
            }
            Change::Address(address) => {
                let new = !self.addresses.contains(&address);
                if new {
                    self.addresses.push(address);
                }
                new
            }
            Change::AddressGone(address) => {
                let before = self.addresses.len();
                self.addresses.retain(|a| *a != address);
                self.addresses.len() != before
            }
            Change::Lost => false,
        }
    }

    /// The link of this name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|l| l.name == name)
    }

    /// The link that this end's packets use: the one it names, else the one that has its address.
    pub fn link_of(&self, end: &LocalEnd) -> Option<&Link> {
        match &end.interface {
            Some(name) => self.link(name),
            None => self.addresses.iter().find(|a| a.net.addr() == end.address).and_then(|a| self.links.get(&a.link)),
        }
    }

    /// Whether packets can leave from this end: its interface is up and its address present.
    pub fn is_ready(&self, end: &LocalEnd) -> bool {
        self.addresses.iter().any(|a| a.net.addr() == end.address) && self.link_of(end).is_some_and(|l| l.up)
    }

    /// Why packets cannot leave from this end, in words; `None` if they can.
    pub fn obstacle(&self, end: &LocalEnd) -> Option<String> {
        let link = self.link_of(end);
        match (&end.interface, link) {
            (Some(name), None) => Some(format!("there is no interface {name}")),
            _ if !self.addresses.iter().any(|a| a.net.addr() == end.address) => {
                Some(format!("{} is an address of no interface", end.address))
            }
            (_, Some(link)) if !link.up => Some(format!("the interface {} is down", link.name)),
            _ => None,
        }
    }

    /// The largest MTU of these ends' links in bytes; 1500 while none is known.
    pub fn largest_mtu(&self, ends: &[LocalEnd]) -> u16 {
        let largest = ends.iter().filter_map(|e| self.link_of(e)).map(|l| l.mtu).max();
        largest.map_or(1500, |mtu| u16::try_from(mtu).unwrap_or(u16::MAX))
    }

    /// The subnets that this machine is directly connected to.
    pub fn connected(&self) -> impl Iterator<Item = IpNet> {
        self.addresses.iter().map(|a| a.net.trunc())
    }

    /// Our address that packets of our own into the tunnel should come from: inside one of the local `selectors`, the most specific first, and none
    /// of the `outer` addresses, which belong outside. The route towards the tunnel names it, so that the gateway itself can ping through.
    pub fn preferred_source(&self, selectors: &[IpNet], outer: &[IpAddr]) -> Option<IpAddr> {
        let candidates = self.addresses.iter().filter(|a| {
            let link = self.links.get(&a.link);
            !outer.contains(&a.net.addr()) && link.is_some_and(|l| l.up && !l.loopback) && !is_link_local(a.net.addr())
        });
        candidates
            .filter_map(|a| {
                let inside = selectors.iter().filter(|s| s.contains(&a.net.addr())).map(IpNet::prefix_len).max()?;
                Some((std::cmp::Reverse(inside), a.net.addr()))
            })
            .min_by_key(|(inside, _)| *inside) // the first of equals: the kernel's own order
            .map(|(_, address)| address)
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => a.is_unicast_link_local(),
    }
}

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
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn machine() -> Machine {
        let mut m = Machine::default();
        for (index, name, loopback) in [(1, "lo", true), (2, "ge1", false), (3, "lan", false)] {
            m.apply(Change::Link(Link { index, name: name.into(), up: true, loopback, mtu: 1500 }));
        }
        for (link, net) in [(1, "127.0.0.1/8"), (2, "198.51.100.20/24"), (3, "192.168.0.1/24"), (3, "192.168.0.2/24")] {
            m.apply(Change::Address(Address { link, net: net.parse().unwrap() }));
        }
        m
    }

    fn end(address: &str, interface: Option<&str>) -> LocalEnd {
        LocalEnd { address: address.parse().unwrap(), interface: interface.map(str::to_owned) }
    }

    #[test]
    fn an_end_is_ready_while_its_link_is_up_and_its_address_present() {
        let mut m = machine();
        let ge1 = end("198.51.100.20", Some("ge1"));
        assert!(m.is_ready(&ge1) && m.is_ready(&end("198.51.100.20", None)));
        let address = Address { link: 2, net: "198.51.100.20/24".parse().unwrap() };
        assert!(m.apply(Change::AddressGone(address)));
        assert!(!m.is_ready(&ge1));
        assert!(m.apply(Change::Address(address)) && m.is_ready(&ge1));
        let down = Link { index: 2, name: "ge1".into(), up: false, loopback: false, mtu: 1500 };
        assert!(m.apply(Change::Link(down.clone())) && !m.apply(Change::Link(down)), "the same news twice is no change");
        assert!(!m.is_ready(&ge1) && !m.is_ready(&end("198.51.100.20", None)));
    }

    #[test]
    fn a_link_that_is_gone_takes_its_addresses_along() {
        let mut m = machine();
        assert!(m.apply(Change::LinkGone(3)));
        assert_eq!(m.connected().count(), 2);
    }

    #[test]
    fn the_preferred_source_lies_inside_the_selectors_and_is_no_outer_address() {
        let m = machine();
        let any: IpNet = "0.0.0.0/0".parse().unwrap();
        let outer = ["198.51.100.20".parse().unwrap()];
        assert_eq!(m.preferred_source(&["192.168.0.0/24".parse().unwrap()], &outer), Some("192.168.0.1".parse().unwrap()));
        assert_eq!(m.preferred_source(&[any], &outer), Some("192.168.0.1".parse().unwrap()));
        assert_eq!(m.preferred_source(&[any, "192.168.0.2/32".parse().unwrap()], &outer), Some("192.168.0.2".parse().unwrap()));
        assert_eq!(m.preferred_source(&["10.0.0.0/8".parse().unwrap()], &outer), None);
    }

    #[test]
    fn what_cannot_be_read_asks_for_the_whole_again() {
        assert_eq!(changes(&[7; 20]), [Change::Lost]);
        assert_eq!(changes(&[]), []);
    }
}
