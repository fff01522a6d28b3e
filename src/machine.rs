//! The machine's links and addresses as the control path sees them: a snapshot, and what a change makes of it. `io/machine.rs` asks the kernel.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

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
    /// Changes came faster than they were read: the whole has to be asked for again.
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

/// Where a connection's own packets leave from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalEnd {
    /// The address. It may be absent now and come later.
    pub address: IpAddr,
    /// The interface that its packets must use; it must exist.
    pub interface: Option<String>,
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => a.is_unicast_link_local(),
    }
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
}
