//! What a configuration may say and hardly ever means: the traps that can be seen in one file, as warnings.

use ipnet::IpNet;

use super::connection::{Acl, Draft};
use super::read::Ledger;
use super::routing::RouteDraft;
use super::{Connection, Track, Via};

/// Warns about every trap in a configuration without faults.
pub(super) fn warn(
    ledger: &mut Ledger<'_>,
    acls: &[Acl<'_>],
    drafts: &[Draft<'_>],
    connections: &[Connection],
    tracks: &[(std::ops::Range<usize>, Track)],
    routes: &[RouteDraft],
) {
    for acl in acls {
        access_list(ledger, acl);
    }
    for (index, (draft, connection)) in drafts.iter().zip(connections).enumerate() {
        own_next_hop(ledger, draft, connection, connections);
        unrouted(ledger, draft, index, connection, routes);
        swallowed_peer(ledger, draft, connection, routes);
    }
    for route in routes {
        uncovered(ledger, route, connections);
    }
    for (id, (span, track)) in tracks.iter().enumerate() {
        probe(ledger, span.clone(), track, connections, routes);
        if !routes.iter().any(|r| r.route.track == Some(id)) {
            ledger.warn(span.clone(), format_args!("no route depends on track {}", track.id));
        }
    }
}

/// Rules that never decide, and lists that nobody uses.
fn access_list(ledger: &mut Ledger<'_>, acl: &Acl<'_>) {
    let name = acl.name.get_ref();
    if !acl.used {
        ledger.warn(acl.name.span(), format_args!("no connection uses the access list \"{name}\""));
    }
    let rules = acl.policy().map(crate::policy::Policy::rules).unwrap_or_default();
    for (index, (rule, span)) in rules.iter().zip(&acl.rules).enumerate() {
        let earlier = rules.iter().zip(&acl.rules).take(index).find(|(earlier, _)| earlier.covers(rule));
        if let Some((_, first)) = earlier {
            let line = ledger.line(first);
            ledger.warn(
                span.clone(),
                format_args!("this rule of \"{name}\" never decides: the rule on line {line} covers it, and the first match wins"),
            );
        }
    }
}

/// `next_hop` is a router; devices write their own address there to mean "the connection from this address".
fn own_next_hop(ledger: &mut Ledger<'_>, draft: &Draft<'_>, connection: &Connection, connections: &[Connection]) {
    if let Some(hop) = connection.next_hop
        && let Some(own) = connections.iter().find(|c| c.ike.local == hop)
    {
        let sentence = format!(
            "the next hop {hop} is our own address (`local` of {}); it must be the router towards {}, and a [[route]] names its connection instead",
            own.ike.name, connection.ike.remote
        );
        ledger.warn(draft.places.next_hop.clone(), sentence);
    }
}

/// A connection that nothing is sent through.
fn unrouted(ledger: &mut Ledger<'_>, draft: &Draft<'_>, index: usize, connection: &Connection, routes: &[RouteDraft]) {
    if !routes.iter().any(|r| r.route.connection == index) {
        ledger.warn(
            draft.places.name.clone(),
            format_args!("no route leads through {}: it can receive, but nothing is sent through it", connection.ike.name),
        );
    }
}

/// The peer's own address behind the tunnel: without an interface to hold them, the tunnel's packets would enter the tunnel.
fn swallowed_peer(ledger: &mut Ledger<'_>, draft: &Draft<'_>, connection: &Connection, routes: &[RouteDraft]) {
    let peer = connection.ike.remote;
    if connection.interface.is_none()
        && let Some(route) = routes.iter().find(|r| r.route.destination.contains(&peer))
    {
        let sentence = format!(
            "the route to {} takes in the peer's own address {peer}, and {} has no `interface`: its packets would enter the tunnel that they carry",
            route.route.destination, connection.ike.name
        );
        ledger.warn(draft.places.addresses.clone(), sentence);
    }
}

/// A route wider than what the connection may carry: the source document's /16 beside an access list of /24.
fn uncovered(ledger: &mut Ledger<'_>, route: &RouteDraft, connections: &[Connection]) {
    let Some(connection) = connections.get(route.route.connection) else { return };
    let destination = route.route.destination;
    let remotes: Vec<IpNet> = connection.policy.children().iter().map(|child| child.remote.net).collect();
    if IpNet::aggregate(&remotes).iter().any(|net| net.contains(&destination)) {
        return;
    }
    let listed: Vec<String> = IpNet::aggregate(&remotes).iter().map(IpNet::to_string).collect();
    let sentence = format!(
        "the route to {destination} reaches beyond what {} protects ({}); packets to the rest are dropped: \
         widen the selectors to {destination} on both ends, or narrow the route",
        connection.ike.name,
        listed.join(", ")
    );
    ledger.warn(route.destination.clone(), sentence);
}

/// A probe outside the tunnel that does not test the path it is meant for.
fn probe(ledger: &mut Ledger<'_>, span: std::ops::Range<usize>, track: &Track, connections: &[Connection], routes: &[RouteDraft]) {
    let Via::Outside(index) = track.via else { return };
    let Some(connection) = connections.get(index) else { return };
    let (name, destination) = (&connection.ike.name, track.destination);
    if let Some(route) = routes.iter().find(|r| r.route.destination.contains(&destination)) {
        let sentence = format!(
            "track {} probes {destination} outside the tunnel, but the route to {} leads it into one; via = \"tunnel:{name}\" tests the tunnel",
            track.id, route.route.destination
        );
        ledger.warn(span.clone(), sentence);
    }
    if connection.interface.is_none() {
        let sentence = format!("track {} is bound to {name}'s address but to no `interface`: it can pass through another uplink", track.id);
        ledger.warn(span, sentence);
    }
}
