//! Which packets belong together: the 5-tuple of a packet, and a small cache from it to what was decided.

use std::net::IpAddr;

use tandem_ike::TrafficSelectors;

use crate::ip::Header;
use crate::policy::{Action, Flow, Rule};

/// The flow of a packet from our side.
pub(super) fn outbound(packet: &[u8], header: &Header) -> Flow {
    let (local_port, remote_port) = header.ports(packet);
    Flow { local: header.source, remote: header.destination, protocol: header.protocol, local_port, remote_port }
}

/// The flow of a packet from the peer's side.
pub(super) fn inbound(packet: &[u8], header: &Header) -> Flow {
    let (remote_port, local_port) = header.ports(packet);
    Flow { local: header.destination, remote: header.source, protocol: header.protocol, local_port, remote_port }
}

/// Whether these selectors contain the flow, as a rule of the access list with the same words would.
pub(super) fn covers(selectors: &TrafficSelectors, flow: &Flow) -> bool {
    Rule { selectors: *selectors, action: Action::Discard }.matches(flow)
}

/// Entries of a [`Cache`]. At 64 bytes each it stays in the second-level cache of any processor.
const ENTRIES: usize = 512;

/// Direct-mapped: a flow has one place, and the last flow to need it has it. Emptied when the tables change.
///
/// `owner` tells apart equal flows for which something different may be true: the SA of an inbound packet, the connection of an injected one.
#[derive(Debug)]
pub(super) struct Cache<V>(Box<[Option<(u32, Flow, V)>]>);

impl<V: Copy> Cache<V> {
    pub(super) fn new() -> Self {
        Self(vec![None; ENTRIES].into())
    }

    pub(super) fn clear(&mut self) {
        self.0.fill(None);
    }

    /// What was decided for this flow, or `decide`s it.
    pub(super) fn get_or_decide(&mut self, owner: u32, flow: &Flow, decide: impl FnOnce() -> V) -> V {
        let place = &mut self.0[slot(owner, flow)];
        match place {
            Some((o, f, value)) if *o == owner && f == flow => *value,
            _ => place.insert((owner, *flow, decide())).2,
        }
    }
}

/// Spreads flows over the cache. A sender who makes them collide only loses the cache's help.
fn slot(owner: u32, flow: &Flow) -> usize {
    let fold = |address: IpAddr| match address {
        IpAddr::V4(a) => u64::from(a.to_bits()),
        IpAddr::V6(a) => {
            let bits = a.to_bits();
            (bits >> 64) as u64 ^ bits as u64
        }
    };
    let ports = u64::from(flow.local_port) << 48 | u64::from(flow.remote_port) << 32 | u64::from(flow.protocol) << 24;
    let mixed = [fold(flow.local), fold(flow.remote), ports ^ u64::from(owner)].into_iter().fold(0u64, |hash, word| {
        // Multiplying by 2^64 / golden ratio spreads low bits upwards (Knuth, The Art of Computer Programming, 6.4).
        (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    });
    (mixed >> 32) as usize % ENTRIES
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tandem_ike::ProxyIdentity;

    use super::*;

    fn flow(local: &str, remote: &str, protocol: u8, local_port: u16, remote_port: u16) -> Flow {
        Flow { local: local.parse().unwrap(), remote: remote.parse().unwrap(), protocol, local_port, remote_port }
    }

    fn id(net: &str, protocol: u8, port: u16) -> ProxyIdentity {
        ProxyIdentity { net: net.parse().unwrap(), protocol, port }
    }

    #[test]
    fn a_decision_is_made_once_for_each_flow_and_owner() {
        let mut cache = Cache::new();
        let f = flow("10.0.0.1", "10.1.0.1", 6, 1, 2);
        let mut asked = 0;
        for _ in 0..3 {
            assert_eq!(
                cache.get_or_decide(0, &f, || {
                    asked += 1;
                    asked
                }),
                1
            );
        }
        assert_eq!(cache.get_or_decide(1, &f, || 7), 7);
        assert_eq!(cache.get_or_decide(0, &flow("10.0.0.1", "10.1.0.1", 6, 1, 3), || 8), 8);
        cache.clear();
        assert_eq!(cache.get_or_decide(0, &f, || 9), 9);
    }

    #[test]
    fn flows_that_share_a_place_are_not_confused() {
        let mut cache = Cache::new();
        for round in 0..2 {
            for port in 0..4 * ENTRIES as u16 {
                let f = flow("fd00::1", "fd01::1", 17, port, 53);
                assert_eq!(cache.get_or_decide(0, &f, || port), port, "round {round}");
            }
        }
    }

    #[test]
    fn selectors_contain_a_flow_by_addresses_protocol_and_ports_of_both_sides() {
        let selectors = TrafficSelectors { local: id("192.168.0.0/24", 6, 0), remote: id("172.16.0.0/16", 6, 443) };
        assert!(covers(&selectors, &flow("192.168.0.9", "172.16.1.1", 6, 5000, 443)));
        assert!(!covers(&selectors, &flow("192.168.1.9", "172.16.1.1", 6, 5000, 443)));
        assert!(!covers(&selectors, &flow("192.168.0.9", "172.17.1.1", 6, 5000, 443)));
        assert!(!covers(&selectors, &flow("192.168.0.9", "172.16.1.1", 17, 5000, 443)));
        assert!(!covers(&selectors, &flow("192.168.0.9", "172.16.1.1", 6, 443, 5000)));
        assert!(!covers(&selectors, &flow("192.168.0.9", "172.16.1.1", 6, 0, 0)), "a later fragment");
        assert!(!covers(&selectors, &flow("fd00::1", "fd01::1", 6, 5000, 443)));
    }
}
