//! `fail_closed`: a table of our own in nftables that stays after exit and crash. It drops what comes from a protected address by any
//! interface but the TUN device, and what would leave to one by any other.
//!
//! ```text
//!  table inet tandem_TUN {                                       local: our outer address, remote: the peer or a probe's target
//!    set protected4, protected6        the [[route]] destinations less what is exempt, as ranges
//!    chain prerouting  (raw)           saddr not protected: accept;  lo, TUN: accept;  remote -> local ESP, UDP 500/4500, ICMP: accept;
//!                                      ICMP errors -> local: accept;  drop
//!    chain postrouting (last)          daddr not protected: accept;  lo, TUN: accept;  local -> remote the same: accept;  drop
//!  }
//! ```
//!
//! The kernel is spoken to directly (nfnetlink), so no `nft` program is needed. The table is replaced in one transaction: there is no
//! moment without it.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Cmp, DataAttribute, ExpressionAttribute, Expressions, Hook, HookNumber, Immediate, InetHookNumber,
    ListAttribute, Lookup, Meta, MetaKey, NfTablesMessage, Operator, Payload, Register, RuleAttribute, RuleMessage, SetAttribute,
    SetElementAttribute, SetElementFlags, SetElementList, SetElementMessage, SetFlags, SetMessage, TableAttribute, TableMessage, Verdict,
    VerdictAttribute,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use thiserror::Error;

use super::sockets::{IKE_PORT, NAT_PORT};

/// Every table of ours begins with this.
const PREFIX: &str = "tandem_";
/// Written into the table, so that a foreign table of a like name is not taken for ours.
const MARK: &[u8] = b"tandem";
/// `NFNL_SUBSYS_NFTABLES`, named at a transaction's begin.
const SUBSYSTEM: u16 = 10;
/// `NF_IP_PRI_RAW`: before connection tracking, so that a dropped packet leaves no entry.
const RAW: i32 = -300;
/// `NF_IP_PRI_LAST` is the highest; 300 is after everybody's source NAT.
const LAST: i32 = 300;
/// nft's own numbers of the key types, so that `nft list` shows addresses.
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;
/// `NFT_LOOKUP_F_INV`: matches what is not in the set.
const NOT_IN: u32 = 1;
/// Elements in one message; an attribute's length has 16 bits.
const CHUNK: usize = 500;
/// The largest message of the kernel, in bytes.
const LARGEST: usize = 64 << 10;

/// Never protected unless a destination is more specific: this host, loopback, link-local, multicast, broadcast. Without them an interface cannot
/// even find its neighbours (RFC 4861) while `0.0.0.0/0` or `::/0` is protected.
const LOCAL_ONLY: [(IpAddr, u8); 9] = [
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 32),
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4),
    (IpAddr::V4(Ipv4Addr::BROADCAST), 32),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 128),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
];

/// Why the table could not be made or removed.
#[derive(Debug, Error)]
pub enum NftError {
    /// The kernel has no nftables.
    #[error("the kernel has no nftables (`modprobe nf_tables`), which `fail_closed` needs: {0}")]
    Missing(#[source] io::Error),
    /// The kernel refused.
    #[error("the kernel refused the table {table} of `fail_closed`: {source}")]
    Refused {
        /// The table's name.
        table: String,
        /// Its reason.
        source: io::Error,
    },
}

/// What is protected, and what may pass all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailClosed {
    /// Name of the TUN device.
    pub tun: String,
    /// The destinations of all `[[route]]`s.
    pub destinations: Vec<IpNet>,
    /// The local selectors and the subnets this machine is connected to: they matter where they are more specific than a destination that contains
    /// them (`0.0.0.0/0`).
    pub exempt: Vec<IpNet>,
    /// Our address and the peer's, of each connection.
    pub peers: Vec<(IpAddr, IpAddr)>,
    /// Our address and the target, of each probe outside the tunnel.
    pub probes: Vec<(IpAddr, IpAddr)>,
}

impl FailClosed {
    /// Puts the table in force, in place of the one that is there.
    pub fn install(&self) -> Result<(), NftError> {
        let name = table_name(&self.tun);
        transact(&name, self.messages(&name))
    }

    /// One table for both: what either protects is protected, what either lets pass may pass. For the time in which one takes the other's place.
    #[must_use]
    pub fn beside(mut self, other: Self) -> Self {
        self.destinations.extend(other.destinations);
        self.exempt.extend(other.exempt);
        self.peers.extend(other.peers);
        self.probes.extend(other.probes);
        self
    }

    fn messages(&self, name: &str) -> Vec<NfTablesMessage> {
        // Deleting what may not be there fails, so it is made first; the kernel sees only the outcome.
        let mut messages = vec![table(name), delete(name), table(name)];
        for family in [Family::V4, Family::V6] {
            messages.push(family.set(name));
            let ranges = protected(&self.destinations, &self.exempt, family);
            let elements: Vec<_> = ranges.iter().flat_map(|range| family.elements(*range)).collect();
            messages.extend(elements.chunks(CHUNK).map(|chunk| {
                NfTablesMessage::NewSetElement(SetElementMessage {
                    attributes: vec![
                        SetElementList::Table(name.to_owned()),
                        SetElementList::Set(family.set_name().to_owned()),
                        SetElementList::Elements(chunk.to_vec()),
                    ],
                })
            }));
        }
        messages.push(chain(name, Side::In));
        messages.push(chain(name, Side::Out));
        for side in [Side::In, Side::Out] {
            messages.extend(self.rules(side).into_iter().map(|rule| {
                NfTablesMessage::NewRule(RuleMessage {
                    attributes: vec![
                        RuleAttribute::Table(name.to_owned()),
                        RuleAttribute::Chain(side.chain_name().to_owned()),
                        RuleAttribute::Expressions(rule.0),
                    ],
                })
            }));
        }
        messages
    }

    fn rules(&self, side: Side) -> Vec<Rule> {
        let mut rules: Vec<Rule> = [Family::V4, Family::V6].map(|f| Rule::new().family(f).unprotected(side, f).accept()).into();
        rules.extend(["lo", &self.tun].map(|device| Rule::new().device(side, device).accept()));
        let peers: BTreeSet<_> = self.peers.iter().copied().collect();
        for &(local, remote) in &peers {
            let between = || Rule::new().between(side, local, remote);
            rules.push(between().protocol(libc::IPPROTO_ESP).accept());
            rules.extend([IKE_PORT, NAT_PORT].map(|port| between().protocol(libc::IPPROTO_UDP).our_port(side, port).accept()));
        }
        let pinged: BTreeSet<_> = self.probes.iter().copied().chain(peers.iter().copied()).collect();
        rules.extend(pinged.iter().map(|&(local, remote)| Rule::new().between(side, local, remote).icmp(local).accept()));
        if side == Side::In {
            // A router on the way may have any address; without its "fragmentation needed" the outer path's MTU is never learnt.
            let locals: BTreeSet<_> = peers.iter().map(|&(local, _)| local).collect();
            for local in locals {
                let errors: &[u8] = if local.is_ipv4() { &[3, 11, 12] } else { &[1, 2, 3, 4] };
                rules.extend(errors.iter().map(|&kind| Rule::new().to(local).icmp(local).icmp_type(kind).accept()));
            }
        }
        rules.push(Rule::new().count().verdict(libc::NF_DROP));
        rules
    }
}

/// Removes the table of this TUN device. Returns whether there was one.
pub fn remove(tun: &str) -> Result<bool, NftError> {
    let name = table_name(tun);
    match transact(&name, vec![delete(&name)]) {
        Err(NftError::Refused { source, .. }) if source.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        result => result.map(|()| true),
    }
}

/// `tandem down --all`: removes every table of ours. Returns their names.
pub fn remove_all() -> Result<Vec<String>, NftError> {
    let mut removed = Vec::new();
    for name in our_tables()? {
        transact(&name, vec![delete(&name)])?;
        removed.push(name);
    }
    Ok(removed)
}

fn table_name(tun: &str) -> String {
    format!("{PREFIX}{tun}")
}

/// The addresses from `first` to `last`, as numbers.
type Range = (u128, u128);

/// What is protected, as disjoint ranges in order: an address whose longest prefix among destinations and exempt nets is a destination.
fn protected(destinations: &[IpNet], exempt: &[IpNet], family: Family) -> Vec<Range> {
    let local_only = LOCAL_ONLY.iter().filter_map(|&(address, len)| IpNet::new(address, len).ok());
    let exempt = exempt.iter().copied().chain(local_only).map(|net| (net, false));
    let mut nets: Vec<(IpNet, bool)> = destinations.iter().map(|net| (*net, true)).chain(exempt).filter(|(n, _)| family.has(n)).collect();
    // The longest prefix first; of equals the protected one.
    nets.sort_by_key(|(net, is_protected)| (std::cmp::Reverse(net.prefix_len()), !is_protected));
    let range = |net: &IpNet| (number(net.network()), number(net.broadcast()));
    // Between two neighbouring starts of something nothing changes.
    let starts: BTreeSet<u128> =
        nets.iter().map(|(n, _)| range(n)).flat_map(|(first, last)| [Some(first), last.checked_add(1)]).flatten().collect();
    let mut ranges: Vec<Range> = Vec::new();
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([u128::MAX]);
    for (&start, end) in starts.iter().zip(ends) {
        let inside = |(net, _): &&(IpNet, bool)| (range(net).0..=range(net).1).contains(&start);
        if nets.iter().find(inside).is_some_and(|(_, is_protected)| *is_protected) {
            match ranges.last_mut() {
                Some(before) if before.1 + 1 == start => before.1 = end,
                _ => ranges.push((start, end)),
            }
        }
    }
    ranges
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

/// The two kinds of addresses. The enum's numbers are `NFPROTO_IPV4` and `NFPROTO_IPV6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4 = 2,
    V6 = 10,
}

impl Family {
    fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    fn has(self, net: &IpNet) -> bool {
        Self::of(net.addr()) == self
    }

    /// Bytes of an address.
    fn len(self) -> u32 {
        if self == Self::V4 { 4 } else { 16 }
    }

    /// Where in its header an address lies: source and destination (RFC 791 section 3.1, RFC 8200 section 3).
    fn offsets(self) -> (u32, u32) {
        if self == Self::V4 { (12, 16) } else { (8, 24) }
    }

    fn set_name(self) -> &'static str {
        if self == Self::V4 { "protected4" } else { "protected6" }
    }

    fn set(self, table: &str) -> NfTablesMessage {
        NfTablesMessage::NewSet(SetMessage {
            attributes: vec![
                SetAttribute::Table(table.to_owned()),
                SetAttribute::Name(self.set_name().to_owned()),
                SetAttribute::Flags(SetFlags::Interval),
                SetAttribute::KeyType(if self == Self::V4 { TYPE_IPV4 } else { TYPE_IPV6 }),
                SetAttribute::KeyLen(self.len()),
                SetAttribute::Id(self as u32),
            ],
        })
    }

    /// A range is two elements: its first address, and the one behind its last unless the addresses end there.
    fn elements(self, (first, last): Range) -> Vec<ListAttribute<SetElementAttribute>> {
        let key = |n: u128| SetElementAttribute::Key(DataAttribute::Value(self.bytes(n)));
        let mut elements = vec![ListAttribute::Element(vec![key(first)])];
        let highest = if self == Self::V4 { u128::from(u32::MAX) } else { u128::MAX };
        if last < highest {
            elements.push(ListAttribute::Element(vec![key(last + 1), SetElementAttribute::Flags(SetElementFlags::IntervalEnd)]));
        }
        elements
    }

    fn bytes(self, n: u128) -> Vec<u8> {
        let bytes = n.to_be_bytes();
        bytes.get(bytes.len() - self.len() as usize..).unwrap_or_default().to_vec()
    }
}

/// Packets that come in, or that go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    In,
    Out,
}

impl Side {
    fn chain_name(self) -> &'static str {
        match self {
            Self::In => "prerouting",
            Self::Out => "postrouting",
        }
    }
}

/// The expressions of one rule, in order; each narrows what the next ones see.
struct Rule(Vec<ListAttribute<ExpressionAttribute>>);

impl Rule {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn push(mut self, expression: Expressions) -> Self {
        self.0.push(expression.into());
        self
    }

    fn load_meta(self, key: MetaKey) -> Self {
        self.push(Expressions::Meta(vec![Meta::DestinationRegister(Register::Reg1), Meta::Key(key)]))
    }

    /// `base`: 1 for the IP header, 2 for what follows it.
    fn load_payload(self, base: u32, offset: u32, len: u32) -> Self {
        self.push(Expressions::Payload(vec![
            Payload::DestinationRegister(Register::Reg1),
            Payload::Base(base),
            Payload::Offset(offset),
            Payload::Len(len),
        ]))
    }

    fn equals(self, value: Vec<u8>) -> Self {
        self.push(Expressions::Cmp(vec![
            Cmp::SourceRegister(Register::Reg1),
            Cmp::Op(Operator::Equal),
            Cmp::Data(DataAttribute::Value(value)),
        ]))
    }

    fn family(self, family: Family) -> Self {
        self.load_meta(MetaKey::Nfproto).equals(vec![family as u8])
    }

    /// The address that counts on this side is not protected.
    fn unprotected(self, side: Side, family: Family) -> Self {
        let (source, destination) = family.offsets();
        let offset = if side == Side::In { source } else { destination };
        self.load_payload(1, offset, family.len()).push(Expressions::Lookup(vec![
            Lookup::Set(family.set_name().to_owned()),
            Lookup::SetId(family as u32),
            Lookup::SourceRegister(Register::Reg1),
            Lookup::Flags(NOT_IN),
        ]))
    }

    fn device(self, side: Side, name: &str) -> Self {
        let mut padded = name.as_bytes().to_vec();
        padded.resize(libc::IFNAMSIZ, 0);
        self.load_meta(if side == Side::In { MetaKey::Iifname } else { MetaKey::Oifname }).equals(padded)
    }

    /// From `remote` to `local` where packets come in, the other way where they go out.
    fn between(self, side: Side, local: IpAddr, remote: IpAddr) -> Self {
        let (source, destination) = if side == Side::In { (remote, local) } else { (local, remote) };
        let family = Family::of(local);
        let source = Family::of(source).bytes(number(source));
        self.to(destination).load_payload(1, family.offsets().0, family.len()).equals(source)
    }

    fn to(self, destination: IpAddr) -> Self {
        let family = Family::of(destination);
        self.family(family).load_payload(1, family.offsets().1, family.len()).equals(family.bytes(number(destination)))
    }

    fn protocol(self, number: i32) -> Self {
        self.load_meta(MetaKey::L4Proto).equals(vec![number as u8])
    }

    /// The UDP port at our end.
    fn our_port(self, side: Side, port: u16) -> Self {
        self.load_payload(2, if side == Side::In { 2 } else { 0 }, 2).equals(port.to_be_bytes().to_vec())
    }

    fn icmp(self, like: IpAddr) -> Self {
        self.protocol(if like.is_ipv4() { libc::IPPROTO_ICMP } else { libc::IPPROTO_ICMPV6 })
    }

    fn icmp_type(self, kind: u8) -> Self {
        self.load_payload(2, 0, 1).equals(vec![kind])
    }

    fn count(self) -> Self {
        self.push(Expressions::Other { expression_type: "counter".to_owned(), attributes: Vec::new() })
    }

    fn accept(self) -> Self {
        self.verdict(libc::NF_ACCEPT)
    }

    fn verdict(self, code: i32) -> Self {
        self.push(Expressions::Immediate(vec![
            Immediate::DestinationRegister(Register::Verdict),
            Immediate::Data(DataAttribute::Verdict(vec![VerdictAttribute::Code(Verdict::Other(code as u32))])),
        ]))
    }
}

fn table(name: &str) -> NfTablesMessage {
    let attributes = vec![TableAttribute::Name(name.to_owned()), TableAttribute::UserData(MARK.to_vec())];
    NfTablesMessage::NewTable(TableMessage { attributes })
}

fn delete(name: &str) -> NfTablesMessage {
    NfTablesMessage::DeleteTable(TableMessage { attributes: vec![TableAttribute::Name(name.to_owned())] })
}

fn chain(table: &str, side: Side) -> NfTablesMessage {
    let (hook, priority) = match side {
        Side::In => (InetHookNumber::PreRouting, RAW),
        Side::Out => (InetHookNumber::PostRouting, LAST),
    };
    NfTablesMessage::NewChain(ChainMessage {
        attributes: vec![
            ChainAttribute::Table(table.to_owned()),
            ChainAttribute::Name(side.chain_name().to_owned()),
            ChainAttribute::Hook(vec![Hook::Number(HookNumber::Inet(hook)), Hook::Priority(priority as u32)]),
            ChainAttribute::Policy(libc::NF_ACCEPT as u32),
            ChainAttribute::Type("filter".to_owned()),
        ],
    })
}

fn framed(inner: NetfilterMessageInner, res_id: u16, family: NetfilterProtoFamily, flags: u16, sequence: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    header.sequence_number = sequence;
    let payload = NetfilterMessage::new(NetfilterHeader::new(family, 0, res_id), inner);
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(payload));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len().next_multiple_of(4)];
    message.serialize(&mut bytes);
    bytes
}

/// Carries these changes out, all or none.
fn transact(table: &str, messages: Vec<NfTablesMessage>) -> Result<(), NftError> {
    let inet = NetfilterProtoFamily::Inet;
    let mut batch = framed(ControlMessage::BatchBegin.into(), SUBSYSTEM, NetfilterProtoFamily::Unspec, 0, 0);
    let mut sequence = 0;
    for message in messages {
        sequence += 1; // APPEND: rules in the order given, each behind the one before
        batch.extend(framed(message.into(), 0, inet, NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK, sequence));
    }
    batch.extend(framed(ControlMessage::BatchEnd.into(), SUBSYSTEM, NetfilterProtoFamily::Unspec, 0, sequence + 1));
    let refused = |source| NftError::Refused { table: table.to_owned(), source };
    let mut failure = None;
    exchange(&batch, |payload| {
        if let NetlinkPayload::Error(e) = payload
            && e.code.is_some()
        {
            failure.get_or_insert_with(|| e.to_io());
        }
    })
    .map_err(|e| if e.raw_os_error() == Some(libc::EPROTONOSUPPORT) { NftError::Missing(e) } else { refused(e) })?;
    match failure {
        None => Ok(()),
        Some(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT)) => Err(NftError::Missing(e)),
        Some(e) => Err(refused(e)),
    }
}

fn our_tables() -> Result<Vec<String>, NftError> {
    let get = NfTablesMessage::GetTable(TableMessage { attributes: Vec::new() });
    let mut names = Vec::new();
    exchange(&framed(get.into(), 0, NetfilterProtoFamily::Inet, NLM_F_DUMP, 1), |payload| {
        let NetlinkPayload::InnerMessage(NetfilterMessage { inner: NetfilterMessageInner::NfTables(NfTablesMessage::NewTable(t)), .. }) =
            payload
        else {
            return;
        };
        let name = t.attributes.iter().find_map(|a| if let TableAttribute::Name(n) = a { Some(n.clone()) } else { None });
        let marked = t.attributes.iter().any(|a| matches!(a, TableAttribute::UserData(mark) if mark == MARK));
        names.extend(name.filter(|n| marked && n.starts_with(PREFIX)));
    })
    .map_err(NftError::Missing)?;
    Ok(names)
}

/// Sends a request and shows every answer. The kernel answers before `send` returns, so nothing is waited for.
fn exchange(request: &[u8], mut answer: impl FnMut(NetlinkPayload<NetfilterMessage>)) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.set_non_blocking(true)?;
    socket.send_to(request, &SocketAddr::new(0, 0), 0)?;
    let mut buffer = Vec::with_capacity(LARGEST);
    loop {
        buffer.clear();
        match socket.recv(&mut buffer, 0) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        }
        let mut rest = buffer.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<NetfilterMessage>::deserialize(rest).map_err(io::Error::other)?;
            let length = (message.header.length as usize).next_multiple_of(4).max(16);
            rest = rest.get(length..).unwrap_or_default();
            answer(message.payload);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    fn v4(destinations: &[&str], exempt: &[&str]) -> Vec<String> {
        protected(&nets(destinations), &nets(exempt), Family::V4)
            .into_iter()
            .map(|(a, b)| format!("{}-{}", Ipv4Addr::from(a as u32), Ipv4Addr::from(b as u32)))
            .collect()
    }

    #[test]
    fn a_connected_subnet_is_exempt_only_where_it_is_more_specific_than_the_destination() {
        assert_eq!(v4(&["172.16.0.0/16"], &["192.168.0.0/24"]), ["172.16.0.0-172.16.255.255"]);
        assert_eq!(v4(&["172.16.0.0/16"], &["172.16.9.0/24"]), ["172.16.0.0-172.16.8.255", "172.16.10.0-172.16.255.255"]);
        assert_eq!(v4(&["172.16.9.0/24"], &["172.16.0.0/16"]), ["172.16.9.0-172.16.9.255"], "a wider subnet takes nothing away");
        assert_eq!(v4(&["172.16.0.0/16"], &["172.16.0.0/16"]), ["172.16.0.0-172.16.255.255"], "of equals the protected one counts");
        assert_eq!(v4(&["172.16.0.0/16", "172.16.9.7/32"], &["172.16.9.0/24"]).len(), 3);
    }

    #[test]
    fn while_one_configuration_takes_the_place_of_another_the_destinations_of_both_are_protected() {
        let of = |destination: &str, peer: [u8; 4]| FailClosed {
            tun: "t0".to_owned(),
            destinations: nets(&[destination]),
            peers: vec![([198, 51, 100, 20].into(), peer.into())],
            ..FailClosed::default()
        };
        let both = of("172.16.0.0/16", [203, 0, 113, 21]).beside(of("10.0.0.0/8", [203, 0, 113, 22]));
        assert_eq!(protected(&both.destinations, &both.exempt, Family::V4).len(), 2);
        assert_eq!(both.peers.len(), 2, "and the negotiations of both go on");
    }

    #[test]
    fn neighbouring_and_nested_destinations_become_one_range() {
        assert_eq!(v4(&["10.0.0.0/9", "10.128.0.0/9", "10.1.2.3/32"], &[]), ["10.0.0.0-10.255.255.255"]);
    }

    #[test]
    fn multicast_broadcast_and_link_local_are_never_cut_off_by_a_default_route() {
        assert_eq!(
            v4(&["0.0.0.0/0"], &[]),
            ["0.0.0.1-126.255.255.255", "128.0.0.0-169.253.255.255", "169.255.0.0-223.255.255.255", "240.0.0.0-255.255.255.254"]
        );
        let v6 = protected(&nets(&["::/0"]), &[], Family::V6);
        let neighbour: Ipv6Addr = "ff02::1:ff00:1".parse().unwrap();
        assert!(v6.iter().all(|(a, b)| !(*a..=*b).contains(&u128::from(neighbour))));
    }
}
