//! Policy by access list: which inner packets a connection may carry, and under which pair of proxy identities.

use tandem_ike::TrafficSelectors;

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

/// What the policy looks at in an inner packet, oriented like the rules: our side is `local`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Our side's address: the source of an outbound packet, the destination of an inbound one.
    pub local: std::net::IpAddr,
    /// The peer's side's address.
    pub remote: std::net::IpAddr,
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
    /// A policy of these rules.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The first rule that matches, or [`Action::Discard`].
    pub fn decide(&self, flow: &Flow) -> Action {
        let _ = flow;
        todo!()
    }

    /// The pairs of proxy identities, one for each `permit`, in order.
    pub fn children(&self) -> Vec<TrafficSelectors> {
        self.rules.iter().filter(|r| matches!(r.action, Action::Protect(_))).map(|r| r.selectors).collect()
    }
}
