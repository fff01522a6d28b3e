//! The two ends, the wire, and what is checked after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tandem_ike::*;

pub const A: usize = 0;
pub const B: usize = 1;
pub const CONN: ConnectionId = ConnectionId(1);

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn proxy(net: &str) -> ProxyIdentity {
    ProxyIdentity { net: net.parse().unwrap(), protocol: 0, port: 0 }
}

/// Side A: 198.51.100.20 with 192.168.0.0/24 behind it.
pub fn config_a() -> ConnectionConfig {
    ConnectionConfig {
        name: "conn1".into(),
        local: ip("198.51.100.20"),
        remote: ip("203.0.113.21"),
        psk: Psk::new("correct horse"),
        psk_next: None,
        local_id: Identity::Address(ip("198.51.100.20")),
        remote_id: Identity::Address(ip("203.0.113.21")),
        start: Start::Always,
        ike_proposals: vec!["aes128-sha1-group2".parse().unwrap()],
        ike_lifetime: secs(86_400),
        esp_proposals: vec!["aes128-sha1".parse().unwrap()],
        pfs: Some(Group::Modp1024),
        esp_lifetime: secs(86_400),
        dpd: Some(Dpd { delay: secs(10), timeout: secs(30) }),
        nat_traversal: NatTraversal::Auto,
        children: vec![TrafficSelectors { local: proxy("192.168.0.0/24"), remote: proxy("172.16.0.0/16") }],
    }
}

/// The other side of a configuration.
pub fn mirror(config: &ConnectionConfig) -> ConnectionConfig {
    let children = config.children.iter().map(|child| TrafficSelectors { local: child.remote, remote: child.local }).collect();
    ConnectionConfig {
        local: config.remote,
        remote: config.local,
        local_id: config.remote_id.clone(),
        remote_id: config.local_id.clone(),
        start: Start::Passive,
        children,
        ..config.clone()
    }
}

/// What an end knows of one of its IPsec SA pairs.
#[derive(Clone, Debug)]
pub struct Installed {
    pub child: usize,
    pub role: Role,
    pub spi_in: u32,
    pub spi_out: u32,
    pub keymat_in: Vec<u8>,
    pub keymat_out: Vec<u8>,
    pub encapsulation: Encapsulation,
    pub lifetime: Duration,
    pub transform: EspTransform,
    pub pfs: Option<Group>,
    pub ready: bool,
}

/// One end with its memory of events.
pub struct Side {
    pub endpoint: Endpoint,
    pub pairs: BTreeMap<ChildSaId, Installed>,
    pub ike: Option<IkeSaInfo>,
    pub events: Vec<(Instant, String)>,
    pub failures: Vec<(Instant, Failure)>,
    pub deleted: Vec<(ChildSaId, DeleteReason)>,
    pub established: usize,
    pub installed: usize,
    pub dead: usize,
    pub moved: Vec<Encapsulation>,
}

impl Side {
    fn new(seed: u8) -> Self {
        Self {
            endpoint: Endpoint::new([seed; 32]),
            pairs: BTreeMap::new(),
            ike: None,
            events: Vec::new(),
            failures: Vec::new(),
            deleted: Vec::new(),
            established: 0,
            installed: 0,
            dead: 0,
            moved: Vec::new(),
        }
    }

    /// The pair that packets leave on: the newest ready one.
    pub fn outbound(&self, child: usize) -> Option<&Installed> {
        self.pairs.values().rev().find(|pair| pair.child == child && pair.ready)
    }

    pub fn codes(&self) -> Vec<Code> {
        self.failures.iter().map(|(_, failure)| failure.code).collect()
    }

    pub fn last_code(&self) -> Option<Code> {
        self.failures.last().map(|(_, failure)| failure.code)
    }

    fn take(&mut self, now: Instant, event: Event) {
        self.events.push((now, format!("{event:?}")));
        match event {
            Event::IkeEstablished { info, .. } => {
                self.ike = Some(info);
                self.established += 1;
            }
            Event::IkeClosed { .. } => self.ike = None,
            Event::ChildInstalled { child, id, role, keys, encapsulation, lifetime, transform, pfs, .. } => {
                let pair = Installed {
                    child,
                    role,
                    spi_in: keys.spi_in,
                    spi_out: keys.spi_out,
                    keymat_in: keys.keymat_in.clone(),
                    keymat_out: keys.keymat_out.clone(),
                    encapsulation,
                    lifetime,
                    transform,
                    pfs,
                    ready: false,
                };
                assert!(keys.spi_in >= 0x100, "reserved SPI");
                assert!(self.pairs.values().all(|other| other.spi_in != keys.spi_in), "SPI used twice");
                assert!(self.pairs.insert(id, pair).is_none(), "name used twice");
                self.installed += 1;
                assert!(self.pairs.len() <= 64, "the number of SAs is bounded");
            }
            Event::ChildReady { id, .. } => {
                let pair = self.pairs.get_mut(&id).expect("ready after installed");
                assert!(!pair.ready, "ready twice");
                pair.ready = true;
            }
            Event::ChildDeleted { id, reason, .. } => {
                assert!(self.pairs.remove(&id).is_some(), "deleted what was not there");
                self.deleted.push((id, reason));
            }
            Event::PeerMoved { encapsulation, .. } => self.moved.push(encapsulation),
            Event::PeerDead { .. } => self.dead += 1,
            Event::Failed { failure, .. } => self.failures.push((now, failure)),
            Event::Negotiating { .. } | Event::Warning { .. } | Event::IkeKey { .. } => {}
        }
    }
}

/// A datagram on the wire.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub from: usize,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub payload: Vec<u8>,
    /// Counts different messages in the order in which they were first sent, from 1: the nine of a handshake are 1 to 9.
    pub number: usize,
    /// How many times this very message was sent before.
    pub repetition: usize,
}

impl Datagram {
    /// The IKE message, without a marker.
    pub fn message(&self) -> &[u8] {
        if self.local.port() == 4500 { self.payload.get(4..).unwrap_or_default() } else { &self.payload }
    }

    pub fn exchange(&self) -> Option<u8> {
        self.message().get(18).copied()
    }
}

/// What becomes of a datagram.
pub enum Fate {
    Deliver,
    Drop,
    Delay(Duration),
    Copies(usize),
    Replace(Vec<u8>),
}

type Rule = Box<dyn FnMut(&Datagram) -> Fate>;
type Translate = Box<dyn FnMut(usize, SocketAddr, SocketAddr) -> (SocketAddr, SocketAddr)>;

/// The two ends and what is between them.
pub struct Pair {
    pub now: Instant,
    pub sides: [Side; 2],
    pub latency: Duration,
    /// Every datagram sent, in order.
    pub log: Vec<Datagram>,
    pub rule: Rule,
    /// From (sender, source, destination) as sent to (source, destination) as received.
    pub translate: Translate,
    in_flight: Vec<(Instant, usize, usize, SocketAddr, SocketAddr, Vec<u8>)>,
    sequence: usize,
    numbers: BTreeMap<Vec<u8>, (usize, usize)>,
    pub start: Instant,
}

impl Pair {
    /// Both ends with these configurations, nothing started.
    pub fn new(a: ConnectionConfig, b: ConnectionConfig) -> Self {
        let now = Instant::now();
        let mut pair = Self {
            now,
            start: now,
            sides: [Side::new(1), Side::new(2)],
            latency: millis(10),
            log: Vec::new(),
            rule: Box::new(|_| Fate::Deliver),
            translate: Box::new(|_, source, destination| (source, destination)),
            in_flight: Vec::new(),
            sequence: 0,
            numbers: BTreeMap::new(),
        };
        pair.sides[A].endpoint.configure(now, CONN, a);
        pair.sides[B].endpoint.configure(now, CONN, b);
        pair
    }

    /// Side A starts and everything comes up.
    pub fn up(a: ConnectionConfig, b: ConnectionConfig) -> Self {
        let mut pair = Self::new(a, b);
        pair.connect(A);
        pair.run(secs(3));
        pair.assert_up();
        pair
    }

    pub fn default_up() -> Self {
        Self::up(config_a(), mirror(&config_a()))
    }

    pub fn connect(&mut self, side: usize) {
        self.sides[side].endpoint.connect(self.now, CONN);
        self.drain();
    }

    pub fn act(&mut self, side: usize, act: impl FnOnce(&mut Endpoint, Instant)) {
        act(&mut self.sides[side].endpoint, self.now);
        self.drain();
    }

    /// A process that died without a word and started again with the same configuration.
    pub fn restart(&mut self, side: usize, config: ConnectionConfig) {
        // Two ends with one seed would choose the same cookies, which in the world they never do.
        let seed = u8::try_from(100 + self.log.len() % 75 + 75 * side).unwrap();
        let failures = std::mem::take(&mut self.sides[side].failures);
        self.sides[side] = Side::new(seed);
        self.sides[side].failures = failures;
        self.sides[side].endpoint.configure(self.now, CONN, config);
    }

    /// Lets `span` pass.
    pub fn run(&mut self, span: Duration) {
        let until = self.now + span;
        self.drain();
        loop {
            let arrival = self.in_flight.iter().map(|flight| flight.0).min();
            let timers = self.sides.iter().filter_map(|side| side.endpoint.poll_timeout()).min();
            let Some(next) = arrival.into_iter().chain(timers).min().filter(|&at| at <= until) else { break };
            self.now = self.now.max(next);
            self.step();
        }
        self.now = until;
    }

    /// Runs until `done`, at most for `span`; says how long it took.
    pub fn run_until(&mut self, span: Duration, mut done: impl FnMut(&Self) -> bool) -> Option<Duration> {
        let begin = self.now;
        self.drain();
        loop {
            if done(self) {
                return Some(self.now - begin);
            }
            let arrival = self.in_flight.iter().map(|flight| flight.0).min();
            let timers = self.sides.iter().filter_map(|side| side.endpoint.poll_timeout()).min();
            let next = arrival.into_iter().chain(timers).min().filter(|&at| at <= begin + span)?;
            self.now = self.now.max(next);
            self.step();
        }
    }

    fn step(&mut self) {
        let due = self.in_flight.iter().filter(|flight| flight.0 <= self.now).min_by_key(|flight| (flight.0, flight.1)).cloned();
        if let Some(flight) = due {
            self.in_flight.retain(|other| other.1 != flight.1);
            let (_, _, to, source, destination, payload) = flight;
            self.sides[to].endpoint.handle(self.now, destination, source, &payload);
        } else {
            for side in &mut self.sides {
                side.endpoint.handle_timeout(self.now);
            }
        }
        self.drain();
    }

    fn drain(&mut self) {
        for from in [A, B] {
            while let Some(event) = self.sides[from].endpoint.poll_event() {
                self.sides[from].take(self.now, event);
            }
            while let Some(transmit) = self.sides[from].endpoint.poll_transmit() {
                self.send(from, transmit);
            }
        }
    }

    fn send(&mut self, from: usize, transmit: Transmit) {
        let next = self.numbers.len() + 1;
        let key =
            if transmit.local.port() == 4500 { transmit.payload.get(4..).unwrap_or_default().to_vec() } else { transmit.payload.clone() };
        let entry = self.numbers.entry(key).or_insert((next, 0));
        let (number, repetition) = *entry;
        entry.1 += 1;
        let datagram = Datagram { from, local: transmit.local, remote: transmit.remote, payload: transmit.payload, number, repetition };
        self.log.push(datagram.clone());
        let mut payload = datagram.payload.clone();
        let (copies, delay) = match (self.rule)(&datagram) {
            Fate::Drop => return,
            Fate::Deliver => (1, Duration::ZERO),
            Fate::Delay(delay) => (1, delay),
            Fate::Copies(copies) => (copies, Duration::ZERO),
            Fate::Replace(other) => {
                payload = other;
                (1, Duration::ZERO)
            }
        };
        let (source, destination) = (self.translate)(from, datagram.local, datagram.remote);
        for _ in 0..copies {
            self.inject(1 - from, source, destination, payload.clone(), self.latency + delay);
        }
    }

    /// Puts a datagram on the wire, whoever sent it.
    pub fn inject(&mut self, to: usize, source: SocketAddr, destination: SocketAddr, payload: Vec<u8>, delay: Duration) {
        self.sequence += 1;
        self.in_flight.push((self.now + delay, self.sequence, to, source, destination, payload));
    }

    /// An ESP packet from one end through its newest pair; true if the other end could open it.
    pub fn esp(&mut self, from: usize, child: usize) -> bool {
        let Some(pair) = self.sides[from].outbound(child).cloned() else { return false };
        let to = &mut self.sides[1 - from];
        let known = to.pairs.values().find(|other| other.spi_in == pair.spi_out).cloned();
        match known {
            Some(other) => {
                assert_eq!(other.keymat_in, pair.keymat_out, "the same SPI, so the same keys");
                to.endpoint.esp_authentic(self.now, pair.spi_out);
            }
            None => to.endpoint.esp_unknown_spi(self.now, CONN),
        }
        self.drain();
        self.sides[1 - from].pairs.values().any(|other| other.spi_in == pair.spi_out)
    }

    /// Traffic flows both ways for every child.
    pub fn flows(&mut self) -> bool {
        (0..self.children()).all(|child| self.esp(A, child) && self.esp(B, child))
    }

    fn children(&self) -> usize {
        self.sides.iter().flat_map(|side| side.pairs.values().map(|pair| pair.child + 1)).max().unwrap_or(1)
    }

    pub fn is_up(&self) -> bool {
        let agrees = |from: usize| {
            self.sides[from].outbound(0).is_some_and(|pair| {
                self.sides[1 - from].pairs.values().any(|other| other.spi_in == pair.spi_out && other.keymat_in == pair.keymat_out)
            })
        };
        agrees(A) && agrees(B)
    }

    pub fn assert_up(&self) {
        assert!(self.is_up(), "{}", self.story());
    }

    /// Everything that happened, for a failed test.
    pub fn story(&self) -> String {
        let mut lines = Vec::new();
        for (name, side) in ["A", "B"].iter().zip(&self.sides) {
            lines.extend(side.events.iter().map(|(at, event)| (*at, format!("{:>10.3?} {name} {event}", *at - self.start))));
        }
        lines.sort_by_key(|line| line.0);
        lines.into_iter().map(|line| line.1 + "\n").collect()
    }

    pub fn drops(&self, side: usize) -> BTreeMap<&'static str, u64> {
        self.sides[side].endpoint.drops().filter(|&(_, count)| count > 0).map(|(reason, count)| (reason.name(), count)).collect()
    }

    pub fn spis(&self, side: usize) -> BTreeSet<u32> {
        self.sides[side].pairs.values().map(|pair| pair.spi_in).collect()
    }
}
