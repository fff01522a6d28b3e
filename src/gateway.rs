//! The control path, pure: what arrives goes in as an [`Input`], what has to happen comes out as an [`Output`]. It owns no socket and reads no clock.
//!
//! ```text
//!  datagram, notice --> IKE --> events --> SA pairs ---+
//!  probe's answer ----> tracks, health checks ---------+--> valid routes --> Tables --> packet path
//!  links, addresses --> paths -------------------------+
//!  a command ---------> IKE                                 datagrams, echoes, events
//! ```
//!
//! **The rule of use.** After every [`Gateway::handle`] or [`Gateway::handle_timeout`] take [`Gateway::poll_output`] until `None`, in order: new tables
//! come before the datagrams that let the peer use a new SA. Then ask [`Gateway::poll_timeout`] once.

mod negotiated;
mod paths;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, RngExt as _, SeedableRng};
use tandem_ike::{ConnectionId, Endpoint, NatTraversal, Start, Transmit};

use crate::config::{Config, Via};
use crate::connection::Connection;
use crate::events::{Event, Kind};
use crate::handoff;
use crate::icmp;
use crate::keylog::Keys;
use crate::machine::Machine;
use crate::routing::{self, Decision};
use crate::sadb::{EchoEntry, Inject, Notice, OuterPath, Tables};
use crate::stats::Drops;
use crate::status::{RouteStatus, Status, TrackStatus, seconds};
use crate::tracker::{Track, TrackState};

/// MTU of a path whose link is not known, in bytes: Ethernet's.
const DEFAULT_PATH_MTU: u32 = 1500;

/// What the control path reacts to.
#[derive(Debug)]
pub enum Input {
    /// Word from the packet path, or an IKE datagram.
    Notice(Notice),
    /// An answer to a track's echo outside the tunnel.
    ProbeReply {
        /// Index of the track.
        track: usize,
        /// The echo's sequence number.
        sequence: u16,
    },
    /// What the kernel knows of the path's MTU, asked after [`Notice::PathMtu`].
    PathMtu {
        /// The path.
        path: OuterPath,
        /// Its MTU in bytes.
        mtu: u32,
    },
    /// Links and addresses as they are now.
    Machine(Machine),
    /// `tandem up`: the connection's index.
    Up(usize),
    /// `tandem down`.
    Down(usize),
    /// `tandem rekey`.
    Rekey(usize),
}

/// What has to happen, in this order.
#[derive(Debug)]
pub enum Output {
    /// The packet path uses these tables from now on.
    Tables(Arc<Tables>),
    /// The MTU of the TUN device, in bytes.
    Mtu(u16),
    /// An IKE datagram leaves.
    Transmit(Transmit),
    /// A track's echo leaves outside the tunnel.
    Probe {
        /// Index of the track.
        track: usize,
        /// The echo's sequence number.
        sequence: u16,
    },
    /// An echo leaves through a tunnel.
    Inject(Inject),
    /// Keys for the key log; only after [`Gateway::log_keys`].
    Keys(Keys),
    /// Something to tell people.
    Event(Event),
}

/// A track and the ICMP identifier of its echoes.
struct Probed {
    track: Track,
    echo_id: u16,
}

/// The whole control path.
pub struct Gateway {
    config: Config,
    ike: Endpoint,
    connections: Vec<Connection>,
    tracks: Vec<Probed>,
    machine: Machine,
    routes: Decision,
    /// Which routes the decision was made for; `None` after a change of the routes themselves.
    valid: Option<Vec<bool>>,
    token: [u8; 16],
    rng: StdRng,
    drops: Arc<Drops>,
    started: Instant,
    mtu: u16,
    /// The tables that were handed over no longer tell the truth.
    stale: bool,
    /// The last ICMP identifier given to a track or health check. They are consecutive, so that no two of our echoes share one.
    last_echo_id: u16,
    logs_keys: bool,
    outputs: VecDeque<Output>,
}

impl Gateway {
    /// A gateway that has not begun to negotiate; [`start`](Self::start) it. The same seed and inputs give the same run.
    pub fn new(now: Instant, config: Config, drops: Arc<Drops>, seed: [u8; 32]) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let mut ike_seed = [0; 32];
        rng.fill_bytes(&mut ike_seed);
        let mut ike = Endpoint::new(ike_seed);
        let mut token = [0; 16];
        rng.fill_bytes(&mut token);
        let mut last_echo_id: u16 = rng.random();
        let mut next_id = || {
            last_echo_id = last_echo_id.wrapping_add(1);
            last_echo_id
        };
        let connections: Vec<_> = config.connections.iter().map(|c| Connection::new(c.clone(), next_id())).collect();
        let tracks: Vec<_> = config.tracks.iter().map(|&t| Probed { track: Track::new(t), echo_id: next_id() }).collect();
        for (index, connection) in config.connections.iter().enumerate() {
            ike.configure(now, id(index), connection.ike.clone());
        }
        let mtu = config
            .gateway
            .mtu
            .unwrap_or_else(|| config.connections.iter().map(|c| least_inner_mtu(c, DEFAULT_PATH_MTU)).min().unwrap_or(1400));
        Self {
            config,
            ike,
            connections,
            tracks,
            machine: Machine::default(),
            routes: Decision::default(),
            valid: None,
            token,
            rng,
            drops,
            started: now,
            mtu,
            stale: true,
            last_echo_id,
            logs_keys: false,
            outputs: VecDeque::new(),
        }
    }

    /// From now on hands out the keys of every SA, for a key log.
    pub fn log_keys(&mut self) {
        self.logs_keys = true;
        self.ike.log_keys();
    }

    /// Begins: tracks probe, and connections with `start = "always"` negotiate.
    pub fn start(&mut self, now: Instant, machine: Machine) {
        self.emit(Event::new(
            Kind::Started,
            format!("tandem {} started with {} connections", env!("CARGO_PKG_VERSION"), self.connections.len()),
        ));
        self.machine = machine;
        for probed in &mut self.tracks {
            probed.track.start(now);
        }
        for index in 0..self.connections.len() {
            self.look_at_path(now, index);
            if let Some(why) = self.note_obstacle(index) {
                let event = Event::new(Kind::PathDown, format!("it cannot begin: {why}")).of(self.connections[index].name());
                self.emit(event);
            }
        }
        self.settle(now);
    }

    /// Puts another configuration in force, arranged by [`reload::arrange`](crate::reload::arrange): what did not change keeps its SAs and its state.
    pub fn reload(&mut self, now: Instant, config: Config) {
        for (index, next) in config.connections.iter().enumerate() {
            match self.connections.get(index) {
                Some(present) if present.config == *next => continue,
                Some(present) if present.name() == next.ike.name && !next.retired && !present.config.retired => {
                    let echo_id = self.next_echo_id();
                    self.connections[index].reconfigure(next.clone(), echo_id);
                    self.ike.configure(now, id(index), next.ike.clone());
                }
                present => {
                    if present.is_some() {
                        self.ike.remove(now, id(index));
                        self.hear_ike(now);
                    }
                    let connection = Connection::new(next.clone(), self.next_echo_id());
                    if index < self.connections.len() {
                        self.connections[index] = connection;
                    } else {
                        self.connections.push(connection);
                    }
                    if !next.retired {
                        self.ike.configure(now, id(index), next.ike.clone());
                    }
                }
            }
            if self.connections[index].wanted {
                self.ike.connect(now, id(index));
            }
        }
        let mut old = std::mem::take(&mut self.tracks);
        for &track in &config.tracks {
            let kept = old.iter().position(|p| *p.track.config() == track).map(|at| old.swap_remove(at));
            let probed = kept.unwrap_or_else(|| {
                let mut track = Track::new(track);
                track.start(now);
                Probed { track, echo_id: self.next_echo_id() }
            });
            self.tracks.push(probed);
        }
        self.config = config;
        self.valid = None;
        for index in 0..self.connections.len() {
            self.look_at_path(now, index);
        }
        self.stale = true;
        self.emit(Event::new(Kind::Reloaded, "the configuration was read again"));
        self.settle(now);
    }

    /// Takes every connection down, with DELETE to the peers.
    pub fn stop(&mut self, now: Instant) {
        self.emit(Event::new(Kind::Stopping, "tandem takes its connections down"));
        for index in 0..self.connections.len() {
            self.ike.close(now, id(index));
        }
        self.settle(now);
    }

    /// Whether a connection can carry packets.
    pub fn is_up(&self, index: usize) -> bool {
        self.connections.get(index).is_some_and(|c| c.newest_of_all().is_some())
    }

    /// How many ISAKMP SAs a connection has, unfinished and retiring ones included: a bounded number.
    pub fn isakmp_sas(&self, index: usize) -> usize {
        self.ike.isakmp_sas(id(index))
    }

    /// The MTU of the TUN device to begin with, in bytes.
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The ICMP identifier and payload token of a track's echoes.
    pub fn track_echo(&self, track: usize) -> Option<EchoEntry> {
        self.tracks.get(track).map(|probed| EchoEntry { id: probed.echo_id, token: self.token })
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Notice(notice) => self.handle_notice(now, notice),
            Input::ProbeReply { track, sequence } => self.with_track(now, track, |track| track.answer(now, sequence)),
            Input::PathMtu { path, mtu } => self.resize(path, mtu),
            Input::Machine(machine) => {
                self.machine = machine;
                for index in 0..self.connections.len() {
                    self.look_at_path(now, index);
                }
            }
            Input::Up(index) => {
                self.connections[index].wanted = true;
                self.ike.connect(now, id(index));
            }
            Input::Down(index) => {
                self.connections[index].wanted = false;
                self.ike.close(now, id(index));
            }
            Input::Rekey(index) => self.ike.rekey(now, id(index)),
        }
        self.settle(now);
    }

    /// Runs what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for index in 0..self.connections.len() {
            // Proof of life for DPD: the packet path only counts, so the counters are read when the negotiator may be about to ask.
            let connection = &mut self.connections[index];
            let seen = connection.counters.inbound.packets();
            if seen != connection.packets_seen {
                connection.packets_seen = seen;
                self.ike.traffic_seen(now, id(index));
            }
            self.run_health_check(now, index);
        }
        for index in 0..self.tracks.len() {
            self.run_track(now, index);
        }
        self.ike.handle_timeout(now);
        self.settle(now);
    }

    /// The next thing that has to happen.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let tracks = self.tracks.iter().filter_map(|probed| probed.track.poll_timeout());
        let health = self.connections.iter().filter_map(|c| c.health.as_ref()?.0.poll_timeout());
        tracks.chain(health).chain(self.ike.poll_timeout()).min()
    }

    fn handle_notice(&mut self, now: Instant, notice: Notice) {
        match notice {
            Notice::Ike { local, remote, datagram } => self.ike.handle(now, local, remote, &datagram),
            Notice::Authentic { spi_in, remote } => {
                self.ike.esp_authentic(now, spi_in);
                if let Some(remote) = remote {
                    self.follow(now, spi_in, remote);
                }
                self.prove(spi_in);
            }
            Notice::UnknownSpi { local, remote } => {
                if let Some(index) = self.connections.iter().position(|c| c.config.ike.local == local && c.config.ike.remote == remote) {
                    self.ike.esp_unknown_spi(now, id(index));
                }
            }
            // The kernel knows; `run` asks it and comes back with `Input::PathMtu`.
            Notice::PathMtu { .. } => {}
            // What `tandem down` took down stays down, whatever the traffic, unless traffic is what it waits for.
            Notice::NoSa { connection, child } => {
                if self.connections.get(connection).is_some_and(|c| c.wanted || c.config.ike.start == Start::OnTraffic) {
                    self.ike.acquire(now, id(connection), child);
                }
            }
            Notice::EchoReply { connection, id: echo_id, sequence } => self.handle_echo_reply(now, connection, echo_id, sequence),
            Notice::SequenceLow { id: pair } => {
                if let Some(index) = self.connections.iter().position(|c| c.pairs.iter().any(|p| p.facts().id == pair)) {
                    self.ike.rekey_child(now, id(index), pair);
                }
            }
        }
    }

    /// A reply counts only for the connection that the echo left by.
    fn handle_echo_reply(&mut self, now: Instant, connection: usize, echo_id: u16, sequence: u16) {
        if let Some(c) = self.connections.get_mut(connection)
            && let Some((health, _)) = c.health.as_mut().filter(|(_, id)| *id == echo_id)
        {
            let was_healthy = health.is_healthy();
            health.answer(now, sequence);
            if !was_healthy && health.is_healthy() {
                let event = Event::new(Kind::Health, "health check: success").of(c.name());
                self.emit(event);
            }
            return;
        }
        let is_ours = |p: &Probed| p.echo_id == echo_id && p.track.config().via == Via::Tunnel(connection);
        if let Some(index) = self.tracks.iter().position(is_ours) {
            self.with_track(now, index, |track| track.answer(now, sequence));
        }
    }

    fn run_health_check(&mut self, now: Instant, index: usize) {
        let connection = &mut self.connections[index];
        let Some((health, echo_id)) = &mut connection.health else { return };
        let was_healthy = health.is_healthy();
        let action = health.handle_timeout(now);
        let (config, echo_id, failed) = (*health.config(), *echo_id, was_healthy && !health.is_healthy());
        let name = connection.name().to_owned();
        if failed {
            let message = format!("health check: failed, {} echoes from {} to {} lost", config.retries, config.source, config.destination);
            self.emit(Event::new(Kind::Health, message).of(&name));
        }
        if action.reset {
            self.emit(Event::new(Kind::Health, "health check: the tunnel is reset").of(&name));
            self.ike.close(now, id(index));
            self.ike.connect(now, id(index));
        }
        if let Some(sequence) = action.send {
            let echo = EchoEntry { id: echo_id, token: self.token };
            self.inject_echo(index, config.source, config.destination, &echo, sequence);
        }
    }

    fn run_track(&mut self, now: Instant, index: usize) {
        let mut send = None;
        self.with_track(now, index, |track| send = track.handle_timeout(now));
        let (Some(sequence), Some(probed)) = (send, self.tracks.get(index)) else { return };
        let config = *probed.track.config();
        match (config.via, config.source) {
            (Via::Outside(_), _) => self.outputs.push_back(Output::Probe { track: index, sequence }),
            (Via::Tunnel(connection), Some(source)) => {
                let echo = EchoEntry { id: probed.echo_id, token: self.token };
                self.inject_echo(connection, source, config.destination, &echo, sequence);
            }
            // `Config::parse` gives every track through a tunnel a source.
            (Via::Tunnel(_), None) => {}
        }
    }

    fn inject_echo(&mut self, connection: usize, source: IpAddr, destination: IpAddr, echo: &EchoEntry, sequence: u16) {
        if let Some(packet) = icmp::echo_packet(source, destination, echo, sequence) {
            self.outputs.push_back(Output::Inject(Inject { connection, packet }));
        }
    }

    /// Does something to a track and draws the consequences if its state changes.
    fn with_track(&mut self, now: Instant, index: usize, change: impl FnOnce(&mut Track)) {
        let Some(probed) = self.tracks.get_mut(index) else { return };
        let before = probed.track.state();
        change(&mut probed.track);
        let after = probed.track.state();
        if before == after {
            return;
        }
        let config = *probed.track.config();
        let way = match config.via {
            Via::Outside(c) => format!("outside the tunnel by {}", self.connections[c].name()),
            Via::Tunnel(c) => format!("through the tunnel of {}", self.connections[c].name()),
        };
        self.emit(Event::new(Kind::Track, format!("track {} is {}: {} {way}", config.id, after.name(), config.destination)));

        for connection in 0..self.connections.len() {
            if !self.config.routes.iter().any(|r| r.connection == connection && r.track == Some(index)) {
                continue;
            }
            if after == TrackState::Negative {
                self.connections[connection].doubt();
            }
            match config.via {
                Via::Outside(_) => self.look_at_path(now, connection),
                // The path outside may be fine, and only the peer has dropped our SAs: new ones tell.
                Via::Tunnel(_) if after == TrackState::Negative => self.prove_again(now, connection),
                Via::Tunnel(_) => {}
            }
        }
    }

    fn next_echo_id(&mut self) -> u16 {
        self.last_echo_id = self.last_echo_id.wrapping_add(1);
        self.last_echo_id
    }

    fn hear_ike(&mut self, now: Instant) {
        while let Some(event) = self.ike.poll_event() {
            self.handle_ike_event(now, event);
        }
    }

    /// After every input: what IKE has to tell, then the routes, then the tables, then what IKE has to send.
    fn settle(&mut self, now: Instant) {
        self.hear_ike(now);
        for connection in &mut self.connections {
            let newest = connection.newest_of_all().map(|p| p.facts().id);
            if let Some((health, _)) = &mut connection.health {
                health.use_pair(now, newest);
            }
        }
        self.choose_routes();
        self.choose_mtu();
        if self.stale {
            self.stale = false;
            self.outputs.push_back(Output::Tables(Arc::new(self.tables())));
        }
        while let Some(transmit) = self.ike.poll_transmit() {
            self.outputs.push_back(Output::Transmit(transmit));
        }
    }

    fn choose_routes(&mut self) {
        let valid: Vec<bool> = self
            .config
            .routes
            .iter()
            .map(|route| {
                let connection = &self.connections[route.connection];
                let track_is_negative =
                    route.track.and_then(|t| self.tracks.get(t)).is_some_and(|p| p.track.state() == TrackState::Negative);
                connection.path_up && connection.is_proven() && connection.is_healthy() && !track_is_negative
            })
            .collect();
        if self.valid.as_ref() == Some(&valid) {
            return;
        }
        let decision = routing::decide(&self.config.routes, &valid);
        self.valid = Some(valid);
        if decision == self.routes {
            return;
        }
        for entry in &decision.table {
            let before = self.routes.table.iter().find(|e| e.destination == entry.destination);
            if let Some(before) = before.filter(|b| b.connection != entry.connection) {
                let (from, to) = (self.connections[before.connection].name(), self.connections[entry.connection].name());
                let event = Event::new(Kind::RouteSwitched, format!("{} goes by {to} now, not by {from}", entry.destination)).of(to);
                self.outputs.push_back(Output::Event(event));
                self.stale = true;
            }
        }
        self.stale |= decision.table != self.routes.table;
        self.routes = decision;
    }

    /// The TUN device's MTU is the configured one, or that of the tightest tunnel.
    fn choose_mtu(&mut self) {
        let tightest = |c: &Connection| {
            c.newest_of_all().map_or_else(|| least_inner_mtu(&c.config, self.path_mtu(c)), |p| clamp_mtu(p.outbound.max_inner))
        };
        let mtu = self.config.gateway.mtu.or_else(|| self.connections.iter().filter(|c| !c.config.retired).map(tightest).min());
        if let Some(mtu) = mtu.filter(|&mtu| mtu != self.mtu) {
            self.mtu = mtu;
            self.outputs.push_back(Output::Mtu(mtu));
        }
    }

    fn tables(&self) -> Tables {
        let health = self.connections.iter().filter_map(|c| c.health.as_ref().map(|(_, id)| *id));
        let tunnel_tracks = self.tracks.iter().filter(|p| matches!(p.track.config().via, Via::Tunnel(_))).map(|p| p.echo_id);
        Tables {
            connections: self.connections.iter().map(Connection::entry).collect(),
            routes: self.routes.table.clone(),
            inbound: self.connections.iter().flat_map(|c| &c.pairs).map(|p| Arc::clone(&p.inbound)).collect(),
            echoes: health.chain(tunnel_tracks).map(|id| EchoEntry { id, token: self.token }).collect(),
        }
    }

    fn path_mtu(&self, connection: &Connection) -> u32 {
        let link = self.machine.link_of(&connection.end).map_or(DEFAULT_PATH_MTU, |link| link.mtu);
        connection.path_mtu.map_or(link, |mtu| mtu.min(link))
    }

    fn tell(&mut self, connection: ConnectionId, kind: Kind, message: String) {
        let event = Event::new(kind, message);
        let event = match self.connections.get(index(connection)) {
            Some(c) => event.of(c.name()),
            None => event,
        };
        self.emit(event);
    }

    fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// The status document.
    pub fn status(&self, now: Instant) -> Status {
        let drops = self.drops.by_name().chain(self.ike.drops().map(|(reason, n)| (reason.name(), n)));
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: seconds(now.saturating_duration_since(self.started)),
            connections: self.connections.iter().filter(|c| !c.config.retired).map(|c| c.status(now)).collect(),
            tracks: self
                .tracks
                .iter()
                .map(|Probed { track, .. }| TrackStatus {
                    id: track.config().id,
                    state: track.state().name().to_owned(),
                    sent: track.train().sent(),
                    received: track.train().received(),
                    rtt_ms: track.train().round_trip().map(|rtt| (rtt.as_secs_f64() * 1e6).round() / 1e3),
                })
                .collect(),
            routes: self
                .config
                .routes
                .iter()
                .zip(&self.routes.states)
                .map(|(route, state)| RouteStatus {
                    destination: route.destination.to_string(),
                    connection: self.connections[route.connection].name().to_owned(),
                    preference: route.rank.preference(),
                    weight: route.rank.weight(),
                    track: route.track.and_then(|t| self.tracks.get(t)).map(|p| p.track.config().id),
                    state: state.name().to_owned(),
                })
                .collect(),
            drops: drops.map(|(name, n)| (name.to_owned(), n)).collect(),
        }
    }
}

fn id(index: usize) -> ConnectionId {
    ConnectionId(u32::try_from(index).unwrap_or(u32::MAX))
}

fn index(id: ConnectionId) -> usize {
    id.0 as usize
}

/// The largest inner packet that fits whatever this connection may agree on.
fn least_inner_mtu(connection: &crate::config::Connection, path_mtu: u32) -> u16 {
    let ike = &connection.ike;
    let (local, remote) = (ike.local, ike.remote);
    let path = match ike.nat_traversal {
        NatTraversal::Off => OuterPath::Esp { local, remote },
        NatTraversal::Auto | NatTraversal::Force => {
            OuterPath::Udp { local: SocketAddr::new(local, 4500), remote: SocketAddr::new(remote, 4500) }
        }
    };
    let inner = |&transform| handoff::suite(transform).map(|suite| handoff::max_inner(suite, path, path_mtu as usize));
    clamp_mtu(ike.esp_proposals.iter().filter_map(|t| inner(t).ok()).min().unwrap_or(0))
}

/// As an MTU that the kernel accepts: IPv4 needs 68 bytes (RFC 791).
fn clamp_mtu(max_inner: usize) -> u16 {
    u16::try_from(max_inner).unwrap_or(u16::MAX).max(68)
}
