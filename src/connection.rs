//! One connection as the control path sees it: its SAs, whether they are proven, its path and its health.
//!
//! A pair is *proven* once its quick mode is complete. It is in doubt again when the link or address goes, the track turns negative or the peer
//! is dead: meanwhile the peer may have dropped our SPIs. A new quick mode proves, and so does an authentic packet on the old pair.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tandem_ike::{ChildSaId, Encapsulation, EspTransform, Group, IkeSaInfo, NatStatus, Role, Start};

use crate::config;
use crate::health::Health;
use crate::machine::LocalEnd;
use crate::policy::Policy;
use crate::sadb::{ConnectionEntry, InboundEntry, OutboundEntry, SaFacts};
use crate::stats::Counters;
use crate::status::{ChildStatus, ConnectionStatus, ErrorStatus, seconds};

/// One IPsec SA pair.
#[derive(Debug)]
pub struct SaPair {
    /// The half we receive on.
    pub inbound: Arc<InboundEntry>,
    /// The half we send on.
    pub outbound: Arc<OutboundEntry>,
    /// What protects its packets.
    pub transform: EspTransform,
    /// The group of PFS.
    pub pfs: Option<Group>,
    /// When we shall replace it.
    pub rekey_at: Option<Instant>,
    /// Its place among the pairs that became ready, 1 being the first; `None` while its quick mode is not complete.
    pub ready: Option<u64>,
    /// Whether the peer is known to hold it.
    pub proven: bool,
}

impl SaPair {
    /// Facts shared with the packet path.
    pub fn facts(&self) -> &SaFacts {
        &self.inbound.facts
    }
}

/// A connection at work.
#[derive(Debug)]
pub struct Connection {
    /// Its configuration.
    pub config: config::Connection,
    /// Where its own packets leave from.
    pub end: LocalEnd,
    /// For the packet path.
    pub policy: Arc<Policy>,
    /// Since start, over all its SAs.
    pub counters: Arc<Counters>,
    /// Facts of the last ISAKMP SA, and whether it still stands.
    pub ike_sa: Option<(IkeSaInfo, bool)>,
    /// Whether a quick mode failed under the present ISAKMP SA.
    pub quick_mode_failed: bool,
    /// Live pairs, the oldest first.
    pub pairs: Vec<SaPair>,
    /// How many pairs have become ready so far.
    pub ready_count: u64,
    /// Whether it should be up: from the start if it says `always`, later by `tandem up` and `tandem down`.
    pub wanted: bool,
    /// Whether its link is up and its address there.
    pub can_leave: bool,
    /// Whether its packets can leave: link up, address present, and no probe outside the tunnel says otherwise.
    pub path_up: bool,
    /// The MTU that a router on the way has asked for, in bytes, if it is less than the link's.
    pub path_mtu: Option<u32>,
    /// Its health check, if it has one, and the ICMP identifier of its echoes.
    pub health: Option<(Health, u16)>,
    /// Why the last negotiation failed.
    pub last_error: Option<ErrorStatus>,
    /// Inbound packets when we last told the negotiator that the peer lives.
    pub packets_seen: u64,
}

impl Connection {
    /// A connection without SAs. `echo_id` names its health check's echoes.
    pub fn new(config: config::Connection, echo_id: u16) -> Self {
        Self {
            end: LocalEnd { address: config.ike.local, interface: config.interface.clone() },
            policy: Arc::new(config.policy.clone()),
            counters: Arc::default(),
            ike_sa: None,
            quick_mode_failed: false,
            pairs: Vec::new(),
            ready_count: 0,
            wanted: config.ike.start == Start::Always,
            can_leave: false,
            path_up: false,
            path_mtu: None,
            health: config.health_check.map(|check| (Health::new(check), echo_id)),
            last_error: None,
            packets_seen: 0,
            config,
        }
    }

    /// Takes another configuration of the same connection; SAs are the negotiator's business. A health check that did not change goes on.
    pub fn reconfigure(&mut self, config: config::Connection, echo_id: u16) {
        let keeps_check = self.config.health_check == config.health_check;
        if config.ike.start != self.config.ike.start {
            self.wanted = config.ike.start == Start::Always;
        }
        for pair in &mut self.pairs {
            let child = config.ike.children.iter().position(|c| *c == pair.facts().selectors);
            if let Some(child) = child.filter(|&c| c != pair.inbound.child) {
                pair.inbound = Arc::new(pair.inbound.renumbered(child));
            }
        }
        let fresh = Self::new(config, echo_id);
        self.end = fresh.end;
        self.policy = fresh.policy;
        self.config = fresh.config;
        if !keeps_check {
            self.health = fresh.health;
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config.ike.name
    }

    /// The pair with this name.
    pub fn pair_mut(&mut self, id: ChildSaId) -> Option<&mut SaPair> {
        self.pairs.iter_mut().find(|p| p.facts().id == id)
    }

    /// The pair that packets of this child leave by: the one that became ready last.
    pub fn newest(&self, child: usize) -> Option<&SaPair> {
        self.pairs.iter().filter(|p| p.inbound.child == child && p.ready.is_some()).max_by_key(|p| p.ready)
    }

    /// The pair that became ready last, of any child.
    pub fn newest_of_all(&self) -> Option<&SaPair> {
        self.pairs.iter().filter(|p| p.ready.is_some()).max_by_key(|p| p.ready)
    }

    /// Whether the peer is known to hold a pair of ours.
    pub fn is_proven(&self) -> bool {
        self.pairs.iter().any(|p| p.ready.is_some() && p.proven)
    }

    /// Nothing is known any more of what the peer holds. The packet path tells of the next authentic packet on each pair.
    pub fn doubt(&mut self) {
        for pair in &mut self.pairs {
            pair.proven = false;
            pair.facts().tell_authentic.store(true, Ordering::Relaxed);
        }
    }

    /// Whether its health check, if it has one, is passed.
    pub fn is_healthy(&self) -> bool {
        self.health.as_ref().is_none_or(|(health, _)| health.is_healthy())
    }

    /// What the packet path needs for sending.
    pub fn entry(&self) -> ConnectionEntry {
        ConnectionEntry {
            policy: Arc::clone(&self.policy),
            outbound: (0..self.config.ike.children.len()).map(|child| self.newest(child).map(|p| Arc::clone(&p.outbound))).collect(),
            counters: Arc::clone(&self.counters),
        }
    }

    /// The cloud's name for its state.
    pub fn state(&self) -> &'static str {
        let ike_stands = self.ike_sa.as_ref().is_some_and(|(_, stands)| *stands);
        match (self.newest_of_all().is_some(), ike_stands, self.quick_mode_failed) {
            (true, _, _) => "ipsec_sa_established",
            (false, true, false) => "ike_sa_established",
            (false, true, true) => "ipsec_sa_not_established",
            (false, false, _) => "ike_sa_not_established",
        }
    }

    /// Its part of the status document.
    pub fn status(&self, now: Instant) -> ConnectionStatus {
        let is_down = self.newest_of_all().is_none() && !self.ike_sa.as_ref().is_some_and(|(_, stands)| *stands);
        let info = self.ike_sa.as_ref().filter(|_| !is_down).map(|(info, _)| info);
        let rekey = self.ike_sa.as_ref().filter(|(_, stands)| *stands).and_then(|(info, _)| info.rekey_at);
        let left = |at: Option<Instant>| at.map(|at| seconds(at.saturating_duration_since(now)));
        let encapsulation = self.newest_of_all().map(|p| p.inbound.in_udp);
        ConnectionStatus {
            name: self.name().to_owned(),
            local: self.config.ike.local.to_string(),
            remote: self.config.ike.remote.to_string(),
            state: self.state().to_owned(),
            role: info.map(|i| if i.role == Role::Initiator { "initiator" } else { "responder" }.to_owned()),
            encapsulation: info.map(|i| {
                let in_udp = encapsulation.unwrap_or(matches!(i.encapsulation, Encapsulation::Udp { .. }));
                if in_udp { "udp" } else { "esp" }.to_owned()
            }),
            nat: info.map(|i| nat_name(i.nat).to_owned()),
            ike_proposal: info.map(|i| i.proposal.to_string()),
            established_s: info.map(|i| seconds(now.saturating_duration_since(i.established))),
            rekey_in_s: left(rekey),
            health: match &self.health {
                None => "off",
                Some((health, _)) if health.is_healthy() => "success",
                Some(_) => "failed",
            }
            .to_owned(),
            children: (0..self.config.ike.children.len()).filter_map(|child| self.newest(child)).map(|pair| pair.status(now)).collect(),
            packets_in: self.counters.inbound.packets(),
            packets_out: self.counters.outbound.packets(),
            bytes_in: self.counters.inbound.bytes(),
            bytes_out: self.counters.outbound.bytes(),
            last_error: self.last_error.clone(),
        }
    }
}

impl SaPair {
    fn status(&self, now: Instant) -> ChildStatus {
        let counters = &self.facts().counters;
        ChildStatus {
            local: selector_text(&self.facts().selectors.local),
            remote: selector_text(&self.facts().selectors.remote),
            esp_proposal: self.transform.to_string(),
            pfs: self.pfs.map_or_else(|| "disabled".to_owned(), |group| group.to_string()),
            spi_in: format!("{:08x}", self.facts().spi_in),
            spi_out: format!("{:08x}", self.facts().spi_out),
            packets_in: counters.inbound.packets(),
            packets_out: counters.outbound.packets(),
            bytes_in: counters.inbound.bytes(),
            bytes_out: counters.outbound.bytes(),
            rekey_in_s: self.rekey_at.map(|at| seconds(at.saturating_duration_since(now))),
        }
    }
}

/// `192.168.0.0/24`, or with protocol and port `192.168.0.0/24 tcp 443`.
fn selector_text(identity: &tandem_ike::ProxyIdentity) -> String {
    let mut text = identity.net.to_string();
    match identity.protocol {
        0 => {}
        1 => text += " icmp",
        6 => text += " tcp",
        17 => text += " udp",
        other => text += &format!(" protocol {other}"),
    }
    if identity.port != 0 {
        text += &format!(" {}", identity.port);
    }
    text
}

fn nat_name(nat: NatStatus) -> &'static str {
    match nat {
        NatStatus::None => "none",
        NatStatus::Local => "local",
        NatStatus::Remote => "remote",
        NatStatus::Both => "both",
        NatStatus::Forced => "forced",
    }
}
