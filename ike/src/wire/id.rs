//! The identification payload (RFC 2407 section 4.6.2): who a peer is in phase 1, a proxy identity in phase 2.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::reader::{Malformed, Reader};
use crate::config::{Identity, ProxyIdentity};

/// What the identification data hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdType(pub u8);

impl IdType {
    /// An IPv4 address.
    pub const IPV4_ADDR: Self = Self(1);
    /// A domain name.
    pub const FQDN: Self = Self(2);
    /// `user@domain`.
    pub const USER_FQDN: Self = Self(3);
    /// An IPv4 address and its mask.
    pub const IPV4_ADDR_SUBNET: Self = Self(4);
    /// An IPv6 address.
    pub const IPV6_ADDR: Self = Self(5);
    /// An IPv6 address and its mask.
    pub const IPV6_ADDR_SUBNET: Self = Self(6);
    /// The first and the last IPv4 address.
    pub const IPV4_ADDR_RANGE: Self = Self(7);
    /// The first and the last IPv6 address.
    pub const IPV6_ADDR_RANGE: Self = Self(8);
    /// A distinguished name, DER.
    pub const DER_ASN1_DN: Self = Self(9);
    /// An opaque key id.
    pub const KEY_ID: Self = Self(11);

    /// How long the data of this type must be.
    fn data_len(self) -> Option<usize> {
        match self {
            Self::IPV4_ADDR => Some(4),
            Self::IPV4_ADDR_SUBNET | Self::IPV4_ADDR_RANGE => Some(8),
            Self::IPV6_ADDR => Some(16),
            Self::IPV6_ADDR_SUBNET | Self::IPV6_ADDR_RANGE => Some(32),
            _ => None,
        }
    }
}

/// An identification payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identification {
    /// What the data hold.
    pub id_type: IdType,
    /// IP protocol; 0 means any.
    pub protocol: u8,
    /// Port; 0 means any. In phase 1 protocol and port are 0 and 0, or 17 and 500.
    pub port: u16,
    /// By type.
    pub data: Vec<u8>,
}

impl Identification {
    /// Reads an identification payload's body.
    ///
    /// # Errors
    /// The data have another length than an address type takes, or there are none.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let id_type = IdType(reader.u8("identification type")?);
        let protocol = reader.u8("identification protocol")?;
        let port = reader.u16("identification port")?;
        let data = match id_type.data_len() {
            Some(len) => reader.take(len, "identification data")?,
            None if reader.is_empty() => return Err(Malformed::length("length of the identification data", 0, "at least 1")),
            None => reader.rest(),
        };
        reader.finish("identification data")?;
        Ok(Self { id_type, protocol, port, data: data.to_vec() })
    }

    /// The payload's body: `IDii_b`, `IDir_b`, `IDci` or `IDcr` of RFC 2409.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = vec![self.id_type.0, self.protocol];
        body.extend_from_slice(&self.port.to_be_bytes());
        body.extend_from_slice(&self.data);
        body
    }

    /// What we say of ourselves in phase 1: protocol and port zero (RFC 2407 section 4.6.2).
    pub fn of_identity(identity: &Identity) -> Self {
        let (id_type, data) = match identity {
            Identity::Address(IpAddr::V4(address)) => (IdType::IPV4_ADDR, address.octets().to_vec()),
            Identity::Address(IpAddr::V6(address)) => (IdType::IPV6_ADDR, address.octets().to_vec()),
            Identity::Fqdn(name) => (IdType::FQDN, name.as_bytes().to_vec()),
        };
        Self { id_type, protocol: 0, port: 0, data }
    }

    /// One side of a quick mode's selectors.
    pub fn of_proxy(proxy: &ProxyIdentity) -> Self {
        let (id_type, data) = match proxy.net {
            IpNet::V4(net) if net.prefix_len() == 32 => (IdType::IPV4_ADDR, net.addr().octets().to_vec()),
            IpNet::V4(net) => (IdType::IPV4_ADDR_SUBNET, [net.network().octets(), net.netmask().octets()].concat()),
            IpNet::V6(net) if net.prefix_len() == 128 => (IdType::IPV6_ADDR, net.addr().octets().to_vec()),
            IpNet::V6(net) => (IdType::IPV6_ADDR_SUBNET, [net.network().octets(), net.netmask().octets()].concat()),
        };
        Self { id_type, protocol: proxy.protocol, port: proxy.port, data }
    }

    /// Who the peer says it is; `None` for a type that a configuration cannot name, which therefore equals no configured identity.
    pub fn identity(&self) -> Option<Identity> {
        match self.content() {
            Content::V4Address(address) => Some(Identity::Address(address.into())),
            Content::V6Address(address) => Some(Identity::Address(address.into())),
            Content::Text(name) if self.id_type == IdType::FQDN => Some(Identity::Fqdn(name.strip_suffix('.').unwrap_or(name).to_owned())),
            _ => None,
        }
    }

    /// The addresses as one prefix, host bits cleared; `None` for a mask with holes, a range that is no prefix, or a name.
    pub fn proxy_identity(&self) -> Option<ProxyIdentity> {
        let net = match self.content() {
            Content::V4Address(address) => IpNet::from(IpAddr::from(address)),
            Content::V6Address(address) => IpNet::from(IpAddr::from(address)),
            Content::V4Subnet(address, mask) => Ipv4Net::with_netmask(address, mask).ok()?.trunc().into(),
            Content::V6Subnet(address, mask) => Ipv6Net::with_netmask(address, mask).ok()?.trunc().into(),
            Content::V4Range(first, last) => v4_range(first, last)?.into(),
            Content::V6Range(first, last) => v6_range(first, last)?.into(),
            Content::Text(_) | Content::Bytes(_) => return None,
        };
        Some(ProxyIdentity { net, protocol: self.protocol, port: self.port })
    }

    fn content(&self) -> Content<'_> {
        let data = self.data.as_slice();
        let content = match self.id_type {
            IdType::IPV4_ADDR => v4(data).map(Content::V4Address),
            IdType::IPV6_ADDR => v6(data).map(Content::V6Address),
            IdType::IPV4_ADDR_SUBNET => v4_pair(data).map(|(address, mask)| Content::V4Subnet(address, mask)),
            IdType::IPV4_ADDR_RANGE => v4_pair(data).map(|(first, last)| Content::V4Range(first, last)),
            IdType::IPV6_ADDR_SUBNET => v6_pair(data).map(|(address, mask)| Content::V6Subnet(address, mask)),
            IdType::IPV6_ADDR_RANGE => v6_pair(data).map(|(first, last)| Content::V6Range(first, last)),
            IdType::FQDN | IdType::USER_FQDN => std::str::from_utf8(data).ok().filter(|text| is_printable(text)).map(Content::Text),
            _ => None,
        };
        content.unwrap_or(Content::Bytes(data))
    }
}

/// A peer's opaque bytes fill no log: so many of them are shown.
const MAX_SHOWN: usize = 32;

/// The longest name that DNS knows.
const MAX_TEXT: usize = 255;

/// In words, for messages to people; a peer's bytes are shown as hex unless they are printable text.
impl fmt::Display for Identification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.content() {
            Content::V4Address(address) => write!(f, "{address}")?,
            Content::V6Address(address) => write!(f, "{address}")?,
            Content::V4Subnet(address, mask) => match Ipv4Net::with_netmask(address, mask) {
                Ok(net) => write!(f, "{net}")?,
                Err(_) => write!(f, "{address} mask {mask}")?,
            },
            Content::V6Subnet(address, mask) => match Ipv6Net::with_netmask(address, mask) {
                Ok(net) => write!(f, "{net}")?,
                Err(_) => write!(f, "{address} mask {mask}")?,
            },
            Content::V4Range(first, last) => write!(f, "{first}-{last}")?,
            Content::V6Range(first, last) => write!(f, "{first}-{last}")?,
            Content::Text(text) => f.write_str(text)?,
            Content::Bytes(bytes) => {
                match self.id_type {
                    IdType::KEY_ID => f.write_str("key id 0x")?,
                    IdType::DER_ASN1_DN => f.write_str("distinguished name 0x")?,
                    IdType(other) => write!(f, "id type {other} 0x")?,
                }
                bytes.iter().take(MAX_SHOWN).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                if bytes.len() > MAX_SHOWN {
                    write!(f, "... ({} bytes)", bytes.len())?;
                }
            }
        }
        if self.protocol != 0 {
            write!(f, " protocol {}", self.protocol)?;
        }
        if self.port != 0 {
            write!(f, " port {}", self.port)?;
        }
        Ok(())
    }
}

enum Content<'a> {
    V4Address(Ipv4Addr),
    V6Address(Ipv6Addr),
    V4Subnet(Ipv4Addr, Ipv4Addr),
    V6Subnet(Ipv6Addr, Ipv6Addr),
    V4Range(Ipv4Addr, Ipv4Addr),
    V6Range(Ipv6Addr, Ipv6Addr),
    Text(&'a str),
    Bytes(&'a [u8]),
}

fn v4(data: &[u8]) -> Option<Ipv4Addr> {
    Some(<[u8; 4]>::try_from(data).ok()?.into())
}

fn v6(data: &[u8]) -> Option<Ipv6Addr> {
    Some(<[u8; 16]>::try_from(data).ok()?.into())
}

fn v4_pair(data: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (first, second) = data.split_at_checked(4)?;
    Some((v4(first)?, v4(second)?))
}

fn v6_pair(data: &[u8]) -> Option<(Ipv6Addr, Ipv6Addr)> {
    let (first, second) = data.split_at_checked(16)?;
    Some((v6(first)?, v6(second)?))
}

/// The prefix that is exactly this range.
fn v4_range(first: Ipv4Addr, last: Ipv4Addr) -> Option<Ipv4Net> {
    let prefix_len = u8::try_from((first.to_bits() ^ last.to_bits()).leading_zeros()).ok()?;
    Ipv4Net::new(first, prefix_len).ok().filter(|net| net.network() == first && net.broadcast() == last)
}

/// The prefix that is exactly this range.
fn v6_range(first: Ipv6Addr, last: Ipv6Addr) -> Option<Ipv6Net> {
    let prefix_len = u8::try_from((first.to_bits() ^ last.to_bits()).leading_zeros()).ok()?;
    Ipv6Net::new(first, prefix_len).ok().filter(|net| net.network() == first && net.broadcast() == last)
}

fn is_printable(text: &str) -> bool {
    text.len() <= MAX_TEXT && text.chars().all(|character| character.is_ascii_graphic())
}
