//! Routes and rules of our own in the kernel. All carry [`PROTOCOL`], so that the next start finds what a crash left, and what does not
//! carry it is never touched.
//!
//! ```text
//!  main table    DEST dev TUN metric 0 [src PREFERRED]     while tandem runs; goes with the device
//!                unreachable DEST metric 4294967295        fail_closed: stays after exit and crash
//!  own table     REMOTE via NEXT_HOP dev INTERFACE         with `next_hop`; the rule `from LOCAL lookup TABLE` leads to it
//! ```

use std::net::IpAddr;

use futures_util::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Handle, IpVersion, RouteMessageBuilder};
use thiserror::Error;

/// The protocol number of our routes and rules: free in `rtnetlink.h` and in iproute2's `rt_protos`.
pub const PROTOCOL: u8 = 156;
/// Metric of the `unreachable` routes: the worst there is.
const WORST: u32 = u32::MAX;
/// Priority of our rules: before the main table (32766).
const RULE_PRIORITY: u32 = 15600;
/// Our own tables begin here; one for each TUN device and connection.
const FIRST_TABLE: u32 = 156_000_000;

/// Why the kernel's routes could not be read or changed.
#[derive(Debug, Error)]
pub enum NetlinkError {
    /// Somebody else has a route to that prefix, as good as ours would be.
    #[error("there is a route to {destination} already ({owner}), which tandem does not touch: remove it, or give it a metric above 0")]
    Taken {
        /// The prefix.
        destination: IpNet,
        /// The route in iproute2's words.
        owner: String,
    },
    /// The kernel refused.
    #[error("{what}: {source}")]
    Refused {
        /// What was being done.
        what: String,
        /// Its reason.
        source: rtnetlink::Error,
    },
    /// There is no connection to the kernel.
    #[error("cannot open a netlink socket: {0}")]
    Open(#[source] std::io::Error),
}

impl NetlinkError {
    pub(super) fn new(what: impl Into<String>, source: rtnetlink::Error) -> Self {
        Self::Refused { what: what.into(), source }
    }
}

/// A connection to the kernel's routing.
#[derive(Clone, Debug)]
pub struct Netlink {
    handle: Handle,
}

/// A route towards the TUN device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelRoute {
    /// The prefix.
    pub destination: IpNet,
    /// Index of the TUN device.
    pub tun: u32,
    /// Where packets of the gateway itself come from.
    pub source: Option<IpAddr>,
}

/// How one connection's own packets reach its peer (`next_hop`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Underlay {
    /// Our address.
    pub local: IpAddr,
    /// The peer.
    pub remote: IpAddr,
    /// The router on the way.
    pub next_hop: IpAddr,
    /// Index of the interface.
    pub interface: u32,
    /// The table, from [`underlay_table`].
    pub table: u32,
}

/// The routing table of a connection's underlay, different for every TUN device of the machine and every connection.
pub fn underlay_table(tun: u32, connection: usize) -> u32 {
    FIRST_TABLE + tun % 10_000 * 1000 + (connection % 1000) as u32
}

impl Netlink {
    /// Connects. Must be called inside a tokio runtime, which then carries the connection.
    pub fn connect() -> Result<Self, NetlinkError> {
        // Strict checking makes the kernel filter dumps; a router may hold a million routes.
        let (connection, handle, _) = rtnetlink::new_connection_with_strict_check().map_err(NetlinkError::Open)?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Makes the route, or makes ours to this prefix look like it. A foreign route in its place is an error and stays.
    pub async fn add_tunnel_route(&self, route: &TunnelRoute) -> Result<(), NetlinkError> {
        let what = || format!("adding the route to {} towards the TUN device", route.destination);
        let message = tunnel_route(route);
        match self.handle.route().add(message.clone()).execute().await {
            Err(e) if is(&e, libc::EEXIST) => {}
            result => return result.map_err(|e| NetlinkError::new(what(), e)),
        }
        let present = self.routes(&of_family(route.destination.addr())).await?;
        let foreign = present.iter().find(|r| {
            table(r) == u32::from(RouteHeader::RT_TABLE_MAIN)
                && destination(r) == Some(route.destination)
                && metric(r) == tunnel_metric(route.destination)
                && !is_ours(r)
        });
        if let Some(owner) = foreign {
            return Err(NetlinkError::Taken { destination: route.destination, owner: describe(owner) });
        }
        // In one step: a packet that found no route in between would be refused as unreachable.
        self.handle.route().add(message).replace().execute().await.map_err(|e| NetlinkError::new(what(), e))
    }

    /// Removes our route to this prefix; none is no error.
    pub async fn remove_tunnel_route(&self, route: &TunnelRoute) -> Result<(), NetlinkError> {
        self.delete(tunnel_route(route)).await
    }

    /// Makes the `unreachable` route that keeps packets for this prefix from following another route while there is no tunnel.
    pub async fn add_unreachable(&self, destination: IpNet) -> Result<(), NetlinkError> {
        match self.handle.route().add(unreachable(destination)).execute().await {
            Err(e) if is(&e, libc::EEXIST) => Ok(()),
            result => result.map_err(|e| NetlinkError::new(format!("adding the unreachable route to {destination}"), e)),
        }
    }

    /// Removes it again; none is no error.
    pub async fn remove_unreachable(&self, destination: IpNet) -> Result<(), NetlinkError> {
        self.delete(unreachable(destination)).await
    }

    /// Makes rule and route of an underlay; what is there already is left. The kernel drops the route when the link goes down, so this is called again
    /// after every link-up and new address.
    pub async fn add_underlay(&self, underlay: &Underlay) -> Result<(), NetlinkError> {
        let what = || format!("keeping {} via {} for {}", underlay.remote, underlay.next_hop, underlay.local);
        let mut request = self.handle.rule().add();
        *request.message_mut() = rule(underlay);
        match request.execute().await {
            Err(e) if is(&e, libc::EEXIST) => {}
            result => result.map_err(|e| NetlinkError::new(what(), e))?,
        }
        // The table is our own, so replacing touches nobody else's route.
        self.handle.route().add(underlay_route(underlay)).replace().execute().await.map_err(|e| NetlinkError::new(what(), e))
    }

    /// Removes both; what is not there is no error.
    pub async fn remove_underlay(&self, underlay: &Underlay) -> Result<(), NetlinkError> {
        self.delete_rule(rule(underlay)).await?;
        self.delete(underlay_route(underlay)).await
    }

    /// At start: removes what an earlier run left, except `unreachable` routes to the destinations in `keep`. While another tandem runs on this
    /// machine (a route of our protocol leads to another device than `tun`), what cannot be told from its routes and rules stays.
    pub async fn clean_up(&self, tun: u32, keep: &[IpNet]) -> Result<(), NetlinkError> {
        let routes = self.our_routes().await?;
        if routes.iter().any(|r| is_towards_tun(r) && output(r) != Some(tun)) {
            tracing::info!("another tandem runs on this machine: what an earlier run may have left is not removed");
            return Ok(());
        }
        self.remove_rules().await?;
        for route in routes {
            let kept = route.header.kind == RouteType::Unreachable && destination(&route).is_some_and(|d| keep.contains(&d));
            if !kept {
                self.delete(route).await?;
            }
        }
        Ok(())
    }

    /// The TUN device of a tandem that runs on this machine: its routes go with it, so one that is there is in use.
    pub async fn tunnel_in_use(&self) -> Result<Option<String>, NetlinkError> {
        Ok(self.our_routes().await?.iter().find(|r| is_towards_tun(r)).and_then(output).map(device))
    }

    /// `tandem down --all`: removes every route and rule of ours, the `unreachable` ones too. Returns how many routes it were.
    pub async fn remove_all(&self) -> Result<usize, NetlinkError> {
        self.remove_rules().await?;
        let routes = self.our_routes().await?;
        let count = routes.len();
        for route in routes {
            self.delete(route).await?;
        }
        Ok(count)
    }

    async fn remove_rules(&self) -> Result<(), NetlinkError> {
        for version in [IpVersion::V4, IpVersion::V6] {
            let rules: Vec<_> =
                self.handle.rule().get(version).execute().try_collect().await.map_err(|e| NetlinkError::new("listing rules", e))?;
            let ours = |r: &RuleMessage| r.attributes.contains(&RuleAttribute::Protocol(RouteProtocol::from(PROTOCOL)));
            for rule in rules.into_iter().filter(ours) {
                self.delete_rule(rule).await?;
            }
        }
        Ok(())
    }

    async fn our_routes(&self) -> Result<Vec<RouteMessage>, NetlinkError> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut filter = RouteMessage::default();
            filter.header.address_family = family;
            filter.header.protocol = RouteProtocol::from(PROTOCOL);
            routes.extend(self.routes(&filter).await?.into_iter().filter(is_ours));
        }
        Ok(routes)
    }

    async fn routes(&self, filter: &RouteMessage) -> Result<Vec<RouteMessage>, NetlinkError> {
        self.handle.route().get(filter.clone()).execute().try_collect().await.map_err(|e| NetlinkError::new("listing routes", e))
    }

    async fn delete(&self, route: RouteMessage) -> Result<(), NetlinkError> {
        let what = destination(&route).map_or_else(|| "removing a route".to_owned(), |d| format!("removing the route to {d}"));
        match self.handle.route().del(route).execute().await {
            Err(e) if is(&e, libc::ESRCH) || is(&e, libc::ENOENT) || is(&e, libc::ENODEV) => Ok(()),
            result => result.map_err(|e| NetlinkError::new(what, e)),
        }
    }

    async fn delete_rule(&self, rule: RuleMessage) -> Result<(), NetlinkError> {
        match self.handle.rule().del(rule).execute().await {
            Err(e) if is(&e, libc::ESRCH) || is(&e, libc::ENOENT) => Ok(()),
            result => result.map_err(|e| NetlinkError::new("removing a rule", e)),
        }
    }
}

/// Zero is the best metric of IPv4; for IPv6 zero means 1024 and one is the best.
fn tunnel_metric(destination: IpNet) -> u32 {
    u32::from(destination.addr().is_ipv6())
}

fn tunnel_route(route: &TunnelRoute) -> RouteMessage {
    let mut message = ours(route.destination, RouteType::Unicast, tunnel_metric(route.destination));
    message.header.scope = RouteScope::Link;
    message.attributes.push(RouteAttribute::Oif(route.tun));
    if let Some(source) = route.source.filter(|s| s.is_ipv4() == route.destination.addr().is_ipv4()) {
        message.attributes.push(RouteAttribute::PrefSource(source.into()));
    }
    message
}

fn unreachable(destination: IpNet) -> RouteMessage {
    ours(destination, RouteType::Unreachable, WORST)
}

fn underlay_route(underlay: &Underlay) -> RouteMessage {
    let mut message = ours(underlay.remote.into(), RouteType::Unicast, tunnel_metric(underlay.remote.into()));
    message.header.table = RouteHeader::RT_TABLE_UNSPEC;
    message.attributes.extend([
        RouteAttribute::Table(underlay.table),
        RouteAttribute::Gateway(underlay.next_hop.into()),
        RouteAttribute::Oif(underlay.interface),
    ]);
    message
}

fn rule(underlay: &Underlay) -> RuleMessage {
    let mut message = RuleMessage::default();
    let net = IpNet::from(underlay.local);
    message.header.family = family(underlay.local);
    message.header.src_len = net.prefix_len();
    message.header.action = RuleAction::ToTable;
    message.attributes.extend([
        RuleAttribute::Source(underlay.local),
        RuleAttribute::Priority(RULE_PRIORITY),
        RuleAttribute::Table(underlay.table),
        RuleAttribute::Protocol(RouteProtocol::from(PROTOCOL)),
    ]);
    message
}

/// A route of ours in the main table.
fn ours(destination: IpNet, kind: RouteType, metric: u32) -> RouteMessage {
    let mut message = RouteMessageBuilder::<IpAddr>::new().kind(kind).protocol(RouteProtocol::from(PROTOCOL)).build();
    message.header.address_family = family(destination.addr());
    message.header.destination_prefix_length = destination.prefix_len();
    message.attributes.push(RouteAttribute::Destination(destination.network().into()));
    if metric != 0 {
        message.attributes.push(RouteAttribute::Priority(metric));
    }
    message
}

fn of_family(address: IpAddr) -> RouteMessage {
    let mut filter = RouteMessage::default();
    filter.header.address_family = family(address);
    filter
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn is_ours(route: &RouteMessage) -> bool {
    route.header.protocol == RouteProtocol::from(PROTOCOL)
}

fn destination(route: &RouteMessage) -> Option<IpNet> {
    let address = route.attributes.iter().find_map(|a| match a {
        RouteAttribute::Destination(RouteAddress::Inet(a)) => Some(IpAddr::V4(*a)),
        RouteAttribute::Destination(RouteAddress::Inet6(a)) => Some(IpAddr::V6(*a)),
        _ => None,
    });
    // The default route has no such attribute.
    let any = || match route.header.address_family {
        AddressFamily::Inet6 => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        _ => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
    };
    IpNet::new(address.unwrap_or_else(any), route.header.destination_prefix_length).ok()
}

fn metric(route: &RouteMessage) -> u32 {
    route.attributes.iter().find_map(|a| if let RouteAttribute::Priority(p) = a { Some(*p) } else { None }).unwrap_or(0)
}

fn table(route: &RouteMessage) -> u32 {
    let long = route.attributes.iter().find_map(|a| if let RouteAttribute::Table(t) = a { Some(*t) } else { None });
    long.unwrap_or(u32::from(route.header.table))
}

/// Whether a route of ours leads into a tunnel.
fn is_towards_tun(route: &RouteMessage) -> bool {
    table(route) == u32::from(RouteHeader::RT_TABLE_MAIN) && route.header.kind == RouteType::Unicast
}

fn output(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|a| if let RouteAttribute::Oif(i) = a { Some(*i) } else { None })
}

/// A device's name, or its index if it is gone.
fn device(index: u32) -> String {
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0)).ok();
    socket.and_then(|s| rustix::net::netdevice::index_to_name(&s, index).ok()).unwrap_or_else(|| index.to_string())
}

fn describe(route: &RouteMessage) -> String {
    let mut text = format!("{:?}", route.header.kind).to_lowercase();
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(a)) => text += &format!(" via {a}"),
            RouteAttribute::Gateway(RouteAddress::Inet6(a)) => text += &format!(" via {a}"),
            RouteAttribute::Oif(index) => text += &format!(" dev {}", device(*index)),
            _ => {}
        }
    }
    text + &format!(" proto {}", format!("{:?}", route.header.protocol).to_lowercase())
}

fn is(error: &rtnetlink::Error, errno: i32) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(e) if e.raw_code() == -errno)
}
