//! What the kernel says of this machine: links and addresses, as one snapshot. The control path compares snapshots instead of following events,
//! so that a missed event can never leave it with a wrong picture.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whether it is administratively up and has a carrier.
    pub up: bool,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Its addresses, each with the prefix that is on the link.
    pub addresses: Vec<IpNet>,
}

/// All interfaces, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The links.
    pub links: BTreeMap<String, Link>,
}

impl Machine {
    /// The interface that has this address.
    pub fn interface_of(&self, address: IpAddr) -> Option<(&str, &Link)> {
        self.links.iter().find(|(_, link)| link.addresses.iter().any(|net| net.addr() == address)).map(|(name, link)| (name.as_str(), link))
    }

    /// The link that a connection with this local address leaves by: the named one, or the one that has the address.
    pub fn link(&self, interface: Option<&str>, local: IpAddr) -> Option<&Link> {
        match interface {
            Some(name) => self.links.get(name),
            None => self.interface_of(local).map(|(_, link)| link),
        }
    }

    /// Whether packets can leave from this address by its interface: the address is there and the link is up.
    pub fn can_leave(&self, interface: Option<&str>, local: IpAddr) -> bool {
        self.interface_of(local).is_some() && self.link(interface, local).is_some_and(|link| link.up)
    }

    /// An address of this machine, other than on `except`, that lies inside `net`; the lowest one, so that the choice is stable.
    pub fn address_inside(&self, net: IpNet, except: &str) -> Option<IpAddr> {
        let addresses = self.links.iter().filter(|(name, _)| *name != except).flat_map(|(_, link)| &link.addresses);
        addresses.map(IpNet::addr).filter(|address| net.contains(address) && !address.is_loopback()).min()
    }
}
