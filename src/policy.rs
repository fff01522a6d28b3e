//! Policy by access list: which inner packets a connection may carry, and under which pair of proxy identities.

use std::net::IpAddr;

use tandem_ike::{ProxyIdentity, TrafficSelectors};

/// What a rule does with a packet that it matches (RFC 4301 section 4.4.1 says PROTECT and DISCARD).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `permit`: protect it, by the child with this index.
    Protect(usize),
    /// `deny`: discard it.
    Discard,
}

/// One line of an access list, written for outbound traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which packets.
    pub selectors: TrafficSelectors,
    /// What happens to them.
    pub action: Action,
}

impl Rule {
    /// Whether the rule speaks of this flow.
    ///
    /// A rule with a port speaks only of packets that show their ports: a later fragment has none (its flow says 0) and does not
    /// match, as RFC 4301 section 7.2 has it for selectors that name a port. It then falls to the rules below.
    pub fn matches(&self, flow: &Flow) -> bool {
        let TrafficSelectors { local, remote } = &self.selectors;
        one_side(local, flow.local, flow.protocol, flow.local_port) && one_side(remote, flow.remote, flow.protocol, flow.remote_port)
    }

    /// Whether every flow that `other` speaks of is one that this rule speaks of.
    pub fn covers(&self, other: &Self) -> bool {
        let side = |ours: &ProxyIdentity, theirs: &ProxyIdentity| {
            ours.net.contains(&theirs.net)
                && (ours.protocol == 0 || ours.protocol == theirs.protocol)
                && (ours.port == 0 || ours.port == theirs.port)
        };
        side(&self.selectors.local, &other.selectors.local) && side(&self.selectors.remote, &other.selectors.remote)
    }
}

/// Whether one side of a flow lies inside a proxy identity, whose zeros mean "any".
fn one_side(identity: &ProxyIdentity, address: IpAddr, protocol: u8, port: u16) -> bool {
    identity.net.contains(&address)
        && (identity.protocol == 0 || identity.protocol == protocol)
        && (identity.port == 0 || identity.port == port)
}

/// What the policy looks at in an inner packet, oriented like the rules: our side is `local`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Our side's address: the source of an outbound packet, the destination of an inbound one.
    pub local: IpAddr,
    /// The peer's side's address.
    pub remote: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// TCP or UDP port of our side; 0 where there is none (other protocols, later fragments).
    pub local_port: u16,
    /// TCP or UDP port of the peer's side.
    pub remote_port: u16,
}

/// The rules of one connection, in order; the first match wins, and what matches none is discarded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
}

impl Policy {
    /// A policy of these rules; the `n`th permit among them must be [`Action::Protect`]`(n)`.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// A policy of one permit.
    pub fn permit(selectors: TrafficSelectors) -> Self {
        Self::new(vec![Rule { selectors, action: Action::Protect(0) }])
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The first rule that matches, or [`Action::Discard`].
    pub fn decide(&self, flow: &Flow) -> Action {
        self.rules.iter().find(|rule| rule.matches(flow)).map_or(Action::Discard, |rule| rule.action)
    }

    /// The pairs of proxy identities, one for each `permit`, in order.
    pub fn children(&self) -> Vec<TrafficSelectors> {
        self.rules.iter().filter(|r| matches!(r.action, Action::Protect(_))).map(|r| r.selectors).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::Ipv4Addr;

    use ipnet::{IpNet, Ipv4Net};
    use proptest::prelude::*;

    use super::*;

    fn side(net: &str, protocol: u8, port: u16) -> ProxyIdentity {
        ProxyIdentity { net: net.parse().unwrap(), protocol, port }
    }

    fn rule(local: ProxyIdentity, remote: ProxyIdentity, action: Action) -> Rule {
        Rule { selectors: TrafficSelectors { local, remote }, action }
    }

    fn flow(local: &str, remote: &str, protocol: u8, local_port: u16, remote_port: u16) -> Flow {
        Flow { local: local.parse().unwrap(), remote: remote.parse().unwrap(), protocol, local_port, remote_port }
    }

    #[test]
    fn a_deny_before_a_permit_wins_and_what_matches_nothing_is_discarded() {
        let policy = Policy::new(vec![
            rule(side("192.168.0.66/32", 0, 0), side("172.16.0.0/16", 0, 0), Action::Discard),
            rule(side("192.168.0.0/24", 0, 0), side("172.16.0.0/16", 0, 0), Action::Protect(0)),
            rule(side("192.168.0.66/32", 0, 0), side("0.0.0.0/0", 0, 0), Action::Protect(1)),
        ]);
        assert_eq!(policy.decide(&flow("192.168.0.66", "172.16.1.1", 6, 1, 2)), Action::Discard);
        assert_eq!(policy.decide(&flow("192.168.0.65", "172.16.1.1", 6, 1, 2)), Action::Protect(0));
        assert_eq!(policy.decide(&flow("192.168.0.66", "10.0.0.1", 6, 1, 2)), Action::Protect(1));
        assert_eq!(policy.decide(&flow("192.168.1.1", "172.16.1.1", 6, 1, 2)), Action::Discard);
        assert_eq!(policy.decide(&flow("2001:db8::1", "2001:db8::2", 6, 1, 2)), Action::Discard);
        assert_eq!(Policy::default().decide(&flow("192.168.0.1", "172.16.1.1", 1, 0, 0)), Action::Discard);
    }

    #[test]
    fn overlapping_permits_protect_by_the_first_and_children_come_in_order() {
        let wide = rule(side("10.0.0.0/8", 0, 0), side("172.16.0.0/16", 0, 0), Action::Protect(1));
        let narrow = rule(side("10.1.0.0/16", 6, 0), side("172.16.0.0/16", 6, 443), Action::Protect(0));
        let policy = Policy::new(vec![narrow, wide]);
        assert_eq!(policy.decide(&flow("10.1.2.3", "172.16.9.9", 6, 5000, 443)), Action::Protect(0));
        assert_eq!(policy.decide(&flow("10.1.2.3", "172.16.9.9", 6, 443, 5000)), Action::Protect(1));
        assert_eq!(policy.decide(&flow("10.1.2.3", "172.16.9.9", 17, 5000, 443)), Action::Protect(1));
        assert_eq!(policy.children(), [narrow.selectors, wide.selectors]);
        assert!(wide.covers(&narrow) && !narrow.covers(&wide));
    }

    #[test]
    fn a_later_fragment_does_not_match_a_rule_with_a_port() {
        let policy = Policy::new(vec![
            rule(side("10.0.0.0/8", 17, 0), side("172.16.0.0/16", 17, 53), Action::Protect(0)),
            rule(side("10.0.0.0/8", 17, 0), side("172.16.0.0/17", 17, 0), Action::Protect(1)),
        ]);
        assert_eq!(policy.decide(&flow("10.0.0.1", "172.16.0.1", 17, 9, 53)), Action::Protect(0));
        assert_eq!(policy.decide(&flow("10.0.0.1", "172.16.0.1", 17, 0, 0)), Action::Protect(1));
        assert_eq!(policy.decide(&flow("10.0.0.1", "172.16.128.1", 17, 0, 0)), Action::Discard);
    }

    /// The same decision, bit by bit: from RFC 4301's words rather than from the code above.
    fn model(rules: &[Rule], flow: &Flow) -> Action {
        fn bits(address: IpAddr) -> Vec<bool> {
            match address {
                IpAddr::V4(a) => (0..32).map(|i| a.to_bits() >> (31 - i) & 1 == 1).collect(),
                IpAddr::V6(_) => vec![],
            }
        }
        for rule in rules {
            let mut all = true;
            for (id, address, port) in
                [(rule.selectors.local, flow.local, flow.local_port), (rule.selectors.remote, flow.remote, flow.remote_port)]
            {
                let (have, want) = (bits(address), bits(id.net.addr()));
                for i in 0..usize::from(id.net.prefix_len()) {
                    all &= have[i] == want[i];
                }
                if id.protocol != 0 {
                    all &= id.protocol == flow.protocol;
                }
                if id.port != 0 {
                    all &= id.port == port;
                }
            }
            if all {
                return rule.action;
            }
        }
        Action::Discard
    }

    /// Few addresses, protocols and ports, so that rules overlap and flows hit them.
    fn address() -> impl Strategy<Value = Ipv4Addr> {
        (0u32..4, 0u32..4).prop_map(|(high, low)| Ipv4Addr::from_bits(0x0a00_0000 | high << 22 | low))
    }

    fn identity(protocol: u8, ported: bool) -> impl Strategy<Value = ProxyIdentity> {
        (address(), prop_oneof![Just(0u8), 8u8..=32], if ported { 0u16..3 } else { 0u16..1 }).prop_map(move |(address, prefix, port)| {
            ProxyIdentity { net: IpNet::V4(Ipv4Net::new(address, prefix).unwrap().trunc()), protocol, port }
        })
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        prop_oneof![Just(0u8), Just(6), Just(17), Just(1)].prop_flat_map(|protocol| {
            let ported = protocol == 6 || protocol == 17;
            (identity(protocol, ported), identity(protocol, ported), any::<bool>()).prop_map(|(local, remote, permit)| Rule {
                selectors: TrafficSelectors { local, remote },
                action: if permit { Action::Protect(0) } else { Action::Discard },
            })
        })
    }

    proptest! {
        #[test]
        fn decide_agrees_with_the_naive_model(
            mut rules in prop::collection::vec(any_rule(), 0..8),
            flows in prop::collection::vec((address(), address(), prop_oneof![Just(1u8), Just(6), Just(17)], 0u16..3, 0u16..3), 1..20),
        ) {
            let mut child = 0;
            for rule in &mut rules {
                if let Action::Protect(index) = &mut rule.action {
                    *index = child;
                    child += 1;
                }
            }
            let policy = Policy::new(rules.clone());
            prop_assert_eq!(policy.children().len(), child);
            for (local, remote, protocol, local_port, remote_port) in flows {
                let flow = Flow { local: local.into(), remote: remote.into(), protocol, local_port, remote_port };
                prop_assert_eq!(policy.decide(&flow), model(&rules, &flow));
            }
        }

        #[test]
        fn a_covered_rule_never_decides(first in any_rule(), second in any_rule(), local in address(), remote in address(), port in 0u16..3) {
            for protocol in [1u8, 6, 17] {
                let flow = Flow { local: local.into(), remote: remote.into(), protocol, local_port: port, remote_port: port };
                prop_assert!(!first.covers(&second) || !second.matches(&flow) || first.matches(&flow));
            }
        }
    }
}
