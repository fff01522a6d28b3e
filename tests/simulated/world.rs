//! The ends, the hosts behind them, and time: one event after the other, with a look at the invariants after each.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tandem::config::{Config, Via};
use tandem::datapath::{Control, Inbound, InboundBatch, Outbound, OutboundBatch, Received};
use tandem::events::Kind;
use tandem::gateway::{Gateway, Input, Output};
use tandem::ip::{self, Header, protocol};
use tandem::machine::{Address, Change, Link, LocalEnd, Machine};
use tandem::sadb::{Notice, OuterPath, Tables};
use tandem::stats::Drops;
use tandem_esp::{HEADROOM, Packet, TAILROOM};

use crate::invariants::Witness;
use crate::network::{Content, Flight, Network};
use crate::setups::{self, Setup};

/// Inner packets, from this end's host to a host behind another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) end: usize,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
}

/// How hosts behind the ends talk.
pub(crate) enum Traffic {
    /// Each flow sends a real packet this often.
    Packets { every: Duration, next: Instant },
    /// There is always traffic, but only its consequences for the control path are computed, whenever an end wakes up: the tables say
    /// what would be authentic.
    Implied,
    /// None.
    Silence,
}

/// See the file's first line.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) began: Instant,
    pub(crate) ends: Vec<End>,
    pub(crate) network: Network,
    pub(crate) flows: Vec<Flow>,
    pub(crate) traffic: Traffic,
    pub(crate) witness: Witness,
    pub(crate) rng: StdRng,
    /// What happened, in words, if somebody wants to know.
    pub(crate) story: Option<Vec<String>>,
    serial: u64,
    /// Some end's tables are new since the last look.
    changed: bool,
}

/// A machine that runs a gateway, or not.
pub(crate) struct End {
    pub(crate) config: Config,
    pub(crate) machine: Machine,
    /// Its outer addresses whose link is up.
    reachable: Vec<IpAddr>,
    pub(crate) process: Option<Process>,
    /// How far its clock has jumped ahead of the world's.
    pub(crate) ahead: Duration,
    /// Events since the beginning: world time, kind, connection.
    pub(crate) events: Vec<(Duration, Kind, Option<String>)>,
}

/// One life of a gateway: what `kill -9` takes away.
pub(crate) struct Process {
    pub(crate) gateway: Gateway,
    pub(crate) tables: Arc<Tables>,
    /// When it must be called, by its own clock.
    wake: Option<Instant>,
    outbound: Outbound,
    inbound: Inbound,
    notices: Notices,
    drops: Arc<Drops>,
    /// When the last unknown SPI was told, in [`Traffic::Implied`].
    unknown_told: Option<Instant>,
}

#[derive(Clone, Default)]
struct Notices(Arc<Mutex<VecDeque<Notice>>>);

impl Control for Notices {
    fn notify(&mut self, notice: Notice) -> bool {
        self.0.lock().unwrap().push_back(notice);
        true
    }
}

impl World {
    /// The scenario's two ends, not started yet.
    pub(crate) fn new(seed: u64, setup: &Setup) -> Self {
        let flow = |connection| {
            let (ours, theirs) = setups::hosts(connection);
            [Flow { end: 0, source: ours, destination: theirs }, Flow { end: 1, source: theirs, destination: ours }]
        };
        let flows = (0..setup.connections).flat_map(flow).collect();
        Self::of(seed, [setup.onprem(), setup.cloud()], flows)
    }

    pub(crate) fn of(seed: u64, configs: impl IntoIterator<Item = Config>, flows: Vec<Flow>) -> Self {
        let now = Instant::now();
        let ends: Vec<_> = configs.into_iter().map(End::new).collect();
        Self {
            now,
            began: now,
            witness: Witness::new(now, flows.len()),
            ends,
            network: Network::new(),
            flows,
            traffic: Traffic::Packets { every: Duration::from_secs(1), next: now },
            rng: StdRng::seed_from_u64(seed),
            story: None,
            serial: 0,
            changed: true,
        }
    }

    /// Both ends started, and time for every connection to come up.
    pub(crate) fn up(seed: u64, setup: &Setup) -> Self {
        let mut world = Self::new(seed, setup);
        world.start_all();
        world.run(10);
        for connection in 0..setup.connections {
            assert!(world.is_up(0, connection) && world.is_up(1, connection), "connection {connection} did not come up");
        }
        world
    }

    pub(crate) fn start_all(&mut self) {
        for end in 0..self.ends.len() {
            self.start(end);
        }
    }

    /// A new process, which knows nothing.
    pub(crate) fn start(&mut self, end: usize) {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let at = &mut self.ends[end];
        let now = self.now + at.ahead;
        let drops = Arc::<Drops>::default();
        let notices = Notices::default();
        let mut gateway = Gateway::new(now, at.config.clone(), Arc::clone(&drops), seed);
        gateway.start(now, at.machine.clone());
        let outbound = Outbound::new(Arc::clone(&drops), Box::new(notices.clone()));
        let inbound = Inbound::new(Arc::clone(&drops), Box::new(notices.clone()));
        at.process = Some(Process { gateway, tables: Arc::default(), wake: None, outbound, inbound, notices, drops, unknown_told: None });
        self.drain(end);
        self.look();
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, end: usize) {
        self.ends[end].process = None;
        self.changed = true;
        self.look();
    }

    /// A process that ends well: with DELETE.
    pub(crate) fn stop(&mut self, end: usize) {
        let now = self.clock(end);
        if let Some(process) = &mut self.ends[end].process {
            process.gateway.stop(now);
            self.drain(end);
        }
        self.kill(end);
    }

    pub(crate) fn tell(&mut self, end: usize, input: Input) {
        let now = self.clock(end);
        if let Some(process) = &mut self.ends[end].process {
            process.gateway.handle(now, input);
            self.drain(end);
        }
        self.look();
    }

    /// Sets the link of an address up or down.
    pub(crate) fn set_link(&mut self, end: usize, name: &str, up: bool) {
        let at = &mut self.ends[end];
        let link = at.machine.link(name).unwrap().clone();
        if at.machine.apply(Change::Link(Link { up, ..link })) {
            at.find_reachable();
            let machine = at.machine.clone();
            self.tell(end, Input::Machine(machine));
        }
    }

    /// An end's clock.
    pub(crate) fn clock(&self, end: usize) -> Instant {
        self.now + self.ends[end].ahead
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.began
    }

    pub(crate) fn run(&mut self, seconds: u64) {
        self.run_until(seconds, |_| false);
    }

    /// Runs until something is true; when, if it became so in time.
    pub(crate) fn run_until(&mut self, seconds: u64, mut done: impl FnMut(&Self) -> bool) -> Option<Duration> {
        let end = self.now + Duration::from_secs(seconds);
        loop {
            if done(self) {
                return Some(self.elapsed());
            }
            if !self.step(end) {
                return None;
            }
        }
    }

    /// When something happens next by itself.
    pub(crate) fn next(&self) -> Option<Instant> {
        let wakes = self.ends.iter().filter_map(|end| Some(end.process.as_ref()?.wake? - end.ahead));
        let traffic = if let Traffic::Packets { next, .. } = self.traffic { Some(next) } else { None };
        wakes.chain(self.network.next()).chain(traffic).min()
    }

    /// One event. Returns false when there is none by `until`; it is that time then.
    pub(crate) fn step(&mut self, until: Instant) -> bool {
        let Some(at) = self.next().filter(|&at| at <= until) else {
            self.now = self.now.max(until);
            self.look();
            return false;
        };
        self.now = self.now.max(at);
        if let Some(flight) = self.network.arrival(self.now) {
            self.deliver(flight);
        } else if let Some(end) = self.woken() {
            if matches!(self.traffic, Traffic::Implied) {
                self.imply_traffic(end);
            }
            let now = self.clock(end);
            if let Some(process) = &mut self.ends[end].process {
                process.gateway.handle_timeout(now);
            }
            self.drain(end);
        } else if let Traffic::Packets { every, next } = &mut self.traffic {
            *next += *every;
            for flow in 0..self.flows.len() {
                self.send_packet(flow);
            }
        }
        self.look();
        true
    }

    fn woken(&self) -> Option<usize> {
        (0..self.ends.len()).find(|&end| self.ends[end].process.as_ref().is_some_and(|p| p.wake.is_some_and(|at| at <= self.clock(end))))
    }

    fn look(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        self.witness.look(self.now, &self.ends, changed);
    }

    /// A packet arrives.
    pub(crate) fn deliver(&mut self, flight: Flight) {
        let Some(end) = self.owner(flight.to.ip()) else { return };
        let Flight { from, to, content } = flight;
        match content {
            Content::Echo { track, sequence } => {
                self.send(end, Flight { from: to, to: from, content: Content::EchoReply { track, sequence } });
            }
            Content::EchoReply { track, sequence } => self.tell(end, Input::ProbeReply { track, sequence }),
            Content::Ike(datagram) => self.tell(end, Input::Notice(Notice::Ike { local: to, remote: from, datagram })),
            Content::Esp(bytes) => self.open(end, from, to, &bytes),
        }
    }

    /// The end that has this address, if its link is up.
    fn owner(&self, address: IpAddr) -> Option<usize> {
        self.ends.iter().position(|end| end.can_leave(address))
    }

    fn send(&mut self, end: usize, flight: Flight) {
        if self.ends[end].can_leave(flight.from.ip()) {
            self.network.send(self.now, &mut self.rng, flight);
        }
    }

    /// What an end's gateway wants done, until it wants nothing more.
    fn drain(&mut self, end: usize) {
        loop {
            let now = self.clock(end);
            let Some(process) = &mut self.ends[end].process else { return };
            let Some(output) = process.gateway.poll_output() else {
                let notice = process.notices.0.lock().unwrap().pop_front();
                if let Some(notice) = notice {
                    process.gateway.handle(now, Input::Notice(notice));
                    continue;
                }
                process.wake = process.gateway.poll_timeout();
                return;
            };
            match output {
                Output::Tables(tables) => {
                    process.outbound.update(&tables);
                    process.inbound.update(&tables);
                    process.tables = tables;
                    self.changed = true;
                }
                Output::Transmit(transmit) => {
                    let flight = Flight { from: transmit.local, to: transmit.remote, content: Content::Ike(transmit.payload) };
                    self.send(end, flight);
                }
                Output::Probe { track, sequence } => {
                    let config = &self.ends[end].config;
                    let Via::Outside(connection) = config.tracks[track].via else { continue };
                    let from = SocketAddr::new(config.connections[connection].ike.local, 0);
                    let to = SocketAddr::new(config.tracks[track].destination, 0);
                    self.send(end, Flight { from, to, content: Content::Echo { track, sequence } });
                }
                Output::Inject(inject) => self.seal(end, inject.packet, Some(inject.connection)),
                Output::Event(event) => {
                    let elapsed = self.elapsed();
                    if let Some(story) = &mut self.story {
                        let of = event.connection.as_deref().unwrap_or("");
                        story.push(format!("{:10.3} end {end} {of}: {}", elapsed.as_secs_f64(), event.message));
                    }
                    self.ends[end].events.push((elapsed, event.kind, event.connection));
                }
                Output::Mtu(_) | Output::Keys(_) => {}
            }
        }
    }

    /// A host sends a packet that there is only once.
    pub(crate) fn send_packet(&mut self, flow: usize) {
        self.serial += 1;
        let Flow { end, source, destination } = self.flows[flow];
        let packet = udp(source, destination, self.serial);
        self.witness.sent(self.now, self.serial, flow, packet.clone());
        self.seal(end, packet, None);
    }

    fn seal(&mut self, end: usize, packet: Vec<u8>, connection: Option<usize>) {
        let now_ms = self.clock(end).duration_since(self.began).as_millis() as u64;
        let Some(process) = &mut self.ends[end].process else { return };
        let mut batch = OutboundBatch { arena: vec![0; HEADROOM], ..Default::default() };
        batch.arena.extend(&packet);
        batch.arena.resize(HEADROOM + packet.len() + TAILROOM, 0);
        batch.packets.push(Packet { start: HEADROOM, len: packet.len() });
        match connection {
            Some(connection) => process.outbound.inject(connection, &mut batch),
            None => process.outbound.process(now_ms, &mut batch),
        }
        for sealed in &batch.sealed {
            let (from, to) = match sealed.path {
                OuterPath::Esp { local, remote } => (SocketAddr::new(local, 0), SocketAddr::new(remote, 0)),
                OuterPath::Udp { local, remote } => (local, remote),
            };
            self.send(end, Flight { from, to, content: Content::Esp(batch.arena[sealed.packet.range()].to_vec()) });
        }
        self.drain(end);
    }

    fn open(&mut self, end: usize, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let now_ms = self.clock(end).duration_since(self.began).as_millis() as u64;
        let Some(process) = &mut self.ends[end].process else { return };
        let packet = Packet { start: 0, len: bytes.len() };
        let received = vec![Received { packet, local: to.ip(), remote: from, in_udp: to.port() != 0, tos: 0 }];
        let mut batch = InboundBatch { arena: bytes.to_vec(), received, ..Default::default() };
        process.inbound.process(now_ms, &mut batch);
        let delivered: Vec<_> = batch.delivered.iter().map(|p| batch.arena[p.range()].to_vec()).collect();
        for packet in delivered {
            self.receive(end, packet);
        }
        self.drain(end);
    }

    /// A host behind an end gets a packet: it answers echoes, and the witness looks at everything else.
    fn receive(&mut self, end: usize, mut packet: Vec<u8>) {
        let header = Header::parse(&packet).unwrap();
        if header.protocol == protocol::UDP {
            self.witness.received(self.now, &packet);
        } else if packet[20] == 8 {
            let (source, destination) = (packet[12..16].to_vec(), packet[16..20].to_vec());
            packet[12..16].copy_from_slice(&destination);
            packet[16..20].copy_from_slice(&source);
            packet[20] = 0;
            packet[22..24].fill(0);
            let sum = ip::checksum(&packet[20..]);
            packet[22..24].copy_from_slice(&sum.to_be_bytes());
            self.seal(end, packet, None);
        }
    }

    /// What an end that wakes up would have heard since from the traffic towards it, and what its own traffic would have missed.
    fn imply_traffic(&mut self, end: usize) {
        let mut heard = Vec::new();
        for (other, sender) in self.ends.iter().enumerate().filter(|&(other, _)| other != end) {
            let Some(process) = &sender.process else { continue };
            for entry in process.tables.connections.iter().flat_map(|c| &c.outbound).flatten() {
                let (from, to) = entry.path.addresses();
                let open =
                    !self.network.black_holes.contains(&(from, to)) && self.owner(from) == Some(other) && self.owner(to) == Some(end);
                if open {
                    heard.push((from, to, entry.facts.spi_out));
                }
            }
        }
        let now = self.now;
        let Some(process) = &mut self.ends[end].process else { return };
        for (remote, local, spi) in heard {
            let mut queue = process.notices.0.lock().unwrap();
            if let Some(entry) = process.tables.inbound.iter().find(|entry| entry.facts.spi_in == spi) {
                entry.facts.counters.inbound.add(1, 100);
                process.tables.connections[entry.facts.connection].counters.inbound.add(1, 100);
                if entry.facts.tell_authentic.swap(false, Ordering::Relaxed) {
                    queue.push_back(Notice::Authentic { spi_in: spi, remote: None });
                }
            } else if process.unknown_told.is_none_or(|at| now >= at + Duration::from_secs(1)) {
                process.unknown_told = Some(now);
                queue.push_back(Notice::UnknownSpi { local, remote });
            }
        }
        for (connection, entry) in process.tables.connections.iter().enumerate() {
            for (child, _) in entry.outbound.iter().enumerate().filter(|(_, outbound)| outbound.is_none()) {
                process.notices.0.lock().unwrap().push_back(Notice::NoSa { connection, child });
            }
        }
        self.drain(end);
    }

    pub(crate) fn is_up(&self, end: usize, connection: usize) -> bool {
        self.ends[end].process.as_ref().is_some_and(|process| process.gateway.is_up(connection))
    }

    pub(crate) fn process(&self, end: usize) -> &Process {
        self.ends[end].process.as_ref().unwrap()
    }

    /// The state of the first route of an end that says this.
    pub(crate) fn route(&self, end: usize, destination: &str, connection: &str) -> String {
        let status = self.process(end).gateway.status(self.clock(end));
        let mut routes = status.routes.into_iter();
        routes.find(|r| r.destination == destination && r.connection == connection).unwrap().state
    }

    /// How often something has happened to a connection.
    pub(crate) fn count(&self, end: usize, kind: Kind, connection: &str) -> usize {
        self.ends[end].events.iter().filter(|(_, k, c)| *k == kind && c.as_deref() == Some(connection)).count()
    }

    /// The SPIs of a connection's pairs that an end receives on.
    pub(crate) fn spis_in(&self, end: usize, connection: usize) -> Vec<u32> {
        let inbound = self.process(end).tables.inbound.iter();
        inbound.filter(|entry| entry.facts.connection == connection).map(|entry| entry.facts.spi_in).collect()
    }

    pub(crate) fn dropped(&self, end: usize, reason: tandem::stats::DropReason) -> u64 {
        self.process(end).drops.get(reason)
    }
}

impl End {
    fn new(config: Config) -> Self {
        let mut machine = Machine::default();
        for (n, connection) in config.connections.iter().enumerate() {
            let name = connection.interface.clone().unwrap_or_else(|| "eth0".to_owned());
            let index = if connection.interface.is_some() { n as u32 + 1 } else { 1 };
            machine.apply(Change::Link(Link { index, name, up: true, loopback: false, mtu: 1500 }));
            machine.apply(Change::Address(Address { link: index, net: format!("{}/24", connection.ike.local).parse().unwrap() }));
        }
        let mut end = Self { config, machine, reachable: Vec::new(), process: None, ahead: Duration::ZERO, events: Vec::new() };
        end.find_reachable();
        end
    }

    fn find_reachable(&mut self) {
        let local = self.config.connections.iter().map(|c| LocalEnd { address: c.ike.local, interface: c.interface.clone() });
        self.reachable = local.filter(|end| self.machine.is_ready(end)).map(|end| end.address).collect();
    }

    /// Whether packets can leave from, and arrive at, this address.
    fn can_leave(&self, address: IpAddr) -> bool {
        self.reachable.contains(&address)
    }
}

/// A UDP packet that carries a number.
fn udp(source: IpAddr, destination: IpAddr, serial: u64) -> Vec<u8> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (source, destination) else { panic!("IPv4 only") };
    let mut packet = vec![0x45, 0, 0, 36, 0, 0, 0, 0, 64, protocol::UDP, 0, 0];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    ip::set_v4_checksum(&mut packet);
    packet.extend([0x13, 0x88, 0x13, 0x88, 0, 16, 0, 0]);
    packet.extend(serial.to_be_bytes());
    packet
}
