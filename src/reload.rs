//! What a reload may change, and how the connections keep their indices across it.
//!
//! SAs, tables and threads name a connection by its index, so one that stays keeps it wherever the file has it now. One that is gone leaves its
//! place to a new one, or stays there *retired*: without selectors, routes and key.

use std::net::IpAddr;

use tandem_ike::{Psk, Start};

use crate::config::{Config, Connection, Via};
use crate::policy::Policy;

/// What a running gateway cannot change, in words; `None` if the new configuration can be put in force.
pub fn obstacle(current: &Config, next: &Config) -> Option<String> {
    let (old, new) = (&current.gateway, &next.gateway);
    let outgrows_buffers = new.mtu.is_some_and(|mtu| mtu > old.mtu.unwrap_or_default().max(1500));
    let changed =
        [("tun", old.tun != new.tun), ("control", old.control != new.control), ("http", old.http != new.http), ("mtu", outgrows_buffers)];
    let (name, _) = changed.into_iter().find(|(_, changed)| *changed)?;
    Some(format!("`{name}` in [gateway] has changed, which needs a restart; nothing was changed"))
}

/// Puts the new configuration's connections where the current ones of the same name are.
pub fn arrange(current: &[Connection], mut next: Config) -> Config {
    let mut slots: Vec<Option<Connection>> = current.iter().map(|_| None).collect();
    // For each connection of the file its index from now on.
    let mut places = vec![0; next.connections.len()];
    let mut fresh = Vec::new();
    for (position, connection) in next.connections.into_iter().enumerate() {
        match current.iter().position(|c| !c.retired && c.ike.name == connection.ike.name) {
            Some(index) => {
                places[position] = index;
                slots[index] = Some(connection);
            }
            None => fresh.push((position, connection)),
        }
    }
    for (position, connection) in fresh {
        let index = slots.iter().position(Option::is_none).unwrap_or(slots.len());
        places[position] = index;
        if index == slots.len() {
            slots.push(None);
        }
        slots[index] = Some(connection);
    }
    next.connections = slots.into_iter().zip(0..).map(|(slot, index)| slot.unwrap_or_else(|| retired(&current[index]))).collect();
    for route in &mut next.routes {
        route.connection = places[route.connection];
    }
    for track in &mut next.tracks {
        track.via = match track.via {
            Via::Outside(c) => Via::Outside(places[c]),
            Via::Tunnel(c) => Via::Tunnel(places[c]),
        };
    }
    next
}

fn retired(connection: &Connection) -> Connection {
    let mut connection = connection.clone();
    connection.ike.psk = Psk::new([]);
    connection.ike.psk_next = None;
    connection.ike.start = Start::Passive;
    connection.ike.children.clear();
    connection.policy = Policy::new(Vec::new());
    connection.health_check = None;
    connection.next_hop = None;
    connection.retired = true;
    connection
}

/// The addresses of the connections that are not retired.
pub fn peers(connections: &[Connection]) -> impl Iterator<Item = (IpAddr, IpAddr)> + '_ {
    connections.iter().filter(|c| !c.retired).map(|c| (c.ike.local, c.ike.remote))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::path::Path;

    /// A configuration with these connections, each with a route to a network of its own.
    fn config(names: &[&str]) -> Config {
        let mut text = String::from("[gateway]\ntun = \"t0\"\n");
        for name in names {
            let n = name.trim_start_matches("conn");
            text += &format!(
                "[[connection]]\nname = \"{name}\"\nlocal = \"198.51.100.{n}\"\nremote = \"203.0.113.21\"\npsk = \"x\"\n\
                 selectors = \"any\"\n[[route]]\ndestination = \"10.{n}.0.0/16\"\nconnection = \"{name}\"\n"
            );
        }
        Config::parse(&text, Path::new("test.toml")).unwrap()
    }

    /// The names by index; a retired one in brackets.
    fn places(config: &Config) -> Vec<String> {
        let show = |c: &Connection| if c.retired { format!("({})", c.ike.name) } else { c.ike.name.clone() };
        config.connections.iter().map(show).collect()
    }

    #[test]
    fn connections_that_stay_keep_their_indices_and_routes_follow_the_names() {
        let current = config(&["conn1", "conn2", "conn3"]);
        let next = arrange(&current.connections, config(&["conn3", "conn4", "conn2"]));
        assert_eq!(places(&next), ["conn4", "conn2", "conn3"]);
        for route in &next.routes {
            let name = &next.connections[route.connection].ike.name;
            assert_eq!(route.destination.to_string(), format!("10.{}.0.0/16", name.trim_start_matches("conn")));
        }
    }

    #[test]
    fn one_that_is_gone_is_retired_and_keeps_no_key_until_another_takes_its_place() {
        let current = config(&["conn1", "conn2"]);
        let next = arrange(&current.connections, config(&["conn2"]));
        assert_eq!(places(&next), ["(conn1)", "conn2"]);
        assert!(next.connections[0].ike.psk.as_bytes().is_empty());
        let after = arrange(&next.connections, config(&["conn2", "conn1"]));
        assert_eq!(places(&after), ["conn1", "conn2"]);
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        let current = config(&["conn1"]);
        let mut next = current.clone();
        assert_eq!(obstacle(&current, &next), None);
        next.gateway.tun = "t1".to_owned();
        assert!(obstacle(&current, &next).unwrap().contains("`tun`"));
        next.gateway.tun = current.gateway.tun.clone();
        next.gateway.mtu = Some(1300);
        assert_eq!(obstacle(&current, &next), None);
        next.gateway.mtu = Some(9000);
        assert!(obstacle(&current, &next).unwrap().contains("`mtu`"), "the packet path's buffers have their size from the start");
    }
}
