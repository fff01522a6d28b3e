//! Which connection carries what: the choice among `[[route]]`s, as a pure function of what is valid.
//!
//! Candidates for an address are all routes that contain it. Among the valid ones the longest prefix wins, then the rank. If none is valid,
//! the most wanted one of the longest prefix is used all the same. All addresses whose longest containing prefix is the same have the same
//! candidates, so the answer is computed once for each prefix, and the packet path only has to find the longest one.

use ipnet::IpNet;

use crate::config::Route;
use crate::sadb::RouteEntry;

/// What `status` says of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteState {
    /// Packets take it now, be it as last resort.
    Active,
    /// Valid, but another one is used.
    Standby,
    /// Not valid, and not used.
    Invalid,
}

impl RouteState {
    /// The word in `status`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Invalid => "invalid",
        }
    }
}

/// The outcome for all routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// For the packet path: one entry for each prefix, the longest first.
    pub table: Vec<RouteEntry>,
    /// For each route, in the order of the configuration.
    pub states: Vec<RouteState>,
}

/// Chooses. `valid[i]` says whether `routes[i]` may be used.
pub fn decide(routes: &[Route], valid: &[bool]) -> Decision {
    let mut prefixes: Vec<IpNet> = routes.iter().map(|r| r.destination).collect();
    prefixes.sort_by(|a, b| b.prefix_len().cmp(&a.prefix_len()).then(a.cmp(b)));
    prefixes.dedup();

    let is_valid = |index: usize| valid.get(index).copied().unwrap_or(false);
    let mut states: Vec<_> = (0..routes.len()).map(|i| if is_valid(i) { RouteState::Standby } else { RouteState::Invalid }).collect();
    let mut table = Vec::with_capacity(prefixes.len());
    for prefix in prefixes {
        // The longest prefix first, then the rank, then the order of the file; a last resort is the first candidate of all.
        let mut candidates: Vec<(usize, &Route)> = routes.iter().enumerate().filter(|(_, r)| r.destination.contains(&prefix)).collect();
        candidates.sort_by_key(|&(i, r)| (u8::MAX - r.destination.prefix_len(), r.rank.order(), i));
        let chosen = candidates.iter().find(|&&(i, _)| is_valid(i)).or(candidates.first());
        if let Some(&(index, route)) = chosen {
            table.push(RouteEntry { destination: prefix, connection: route.connection });
            if let Some(state) = states.get_mut(index) {
                *state = RouteState::Active;
            }
        }
    }
    Decision { table, states }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Rank;

    fn route(destination: &str, connection: usize, rank: Rank) -> Route {
        Route { destination: destination.parse().unwrap(), connection, rank, track: None }
    }

    /// The document's routes: /16 by conn1 (preference 40) and conn2 (60), and a /32 by each.
    fn document() -> Vec<Route> {
        vec![
            route("172.16.0.0/16", 0, Rank::Preference(40)),
            route("172.16.0.0/16", 1, Rank::Preference(60)),
            route("172.16.10.1/32", 0, Rank::Preference(60)),
            route("172.16.20.1/32", 1, Rank::Preference(60)),
        ]
    }

    /// The connection that an address goes by.
    fn by(decision: &Decision, address: &str) -> Option<usize> {
        let address: std::net::IpAddr = address.parse().unwrap();
        decision.table.iter().find(|e| e.destination.contains(&address)).map(|e| e.connection)
    }

    #[test]
    fn with_everything_well_each_check_goes_by_its_own_connection_and_the_rest_by_the_first() {
        let decision = decide(&document(), &[true; 4]);
        assert_eq!(by(&decision, "172.16.1.10"), Some(0));
        assert_eq!(by(&decision, "172.16.10.1"), Some(0));
        assert_eq!(by(&decision, "172.16.20.1"), Some(1));
        assert_eq!(by(&decision, "10.0.0.1"), None);
        assert_eq!(decision.states, [RouteState::Active, RouteState::Standby, RouteState::Active, RouteState::Active]);
    }

    #[test]
    fn an_invalid_host_route_falls_back_to_the_valid_network_route() {
        let decision = decide(&document(), &[false, true, false, true]);
        assert_eq!(by(&decision, "172.16.1.10"), Some(1));
        assert_eq!(by(&decision, "172.16.10.1"), Some(1));
        assert_eq!(decision.states, [RouteState::Invalid, RouteState::Active, RouteState::Invalid, RouteState::Active]);
    }

    #[test]
    fn if_none_is_valid_the_most_preferred_one_of_the_longest_prefix_is_the_last_resort() {
        let decision = decide(&document(), &[false; 4]);
        assert_eq!(by(&decision, "172.16.1.10"), Some(0));
        assert_eq!(by(&decision, "172.16.20.1"), Some(1));
        assert_eq!(decision.states, [RouteState::Active, RouteState::Invalid, RouteState::Active, RouteState::Active]);
    }

    #[test]
    fn the_clouds_rule_holds_for_every_combination_of_well_and_unwell() {
        let routes = [route("192.168.0.0/24", 0, Rank::Weight(100)), route("192.168.0.0/24", 1, Rank::Weight(0))];
        for (active_well, standby_well, expected) in [(true, true, 0), (true, false, 0), (false, true, 1), (false, false, 0)] {
            let decision = decide(&routes, &[active_well, standby_well]);
            assert_eq!(by(&decision, "192.168.0.10"), Some(expected), "{active_well} {standby_well}");
        }
    }
}
