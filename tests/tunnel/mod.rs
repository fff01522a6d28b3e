//! Two packet paths with SAs between them and no network: what one seals, the test carries to the other.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rand::SeedableRng;
use rand::rngs::StdRng;
use tandem::datapath::{Control, Inbound, InboundBatch, Outbound, OutboundBatch, Received, Sealed};
use tandem::handoff;
use tandem::policy::{Action, Policy, Rule};
use tandem::sadb::{ConnectionEntry, Handover, InboundEntry, Notice, OutboundEntry, OuterPath, RouteEntry, SaFacts, Tables};
use tandem::stats::{Counters, DropReason, Drops};
use tandem_esp::{HEADROOM, Packet, TAILROOM};
use tandem_ike::{ChildKeys, ChildSaId, EncryptionAlgorithm, EspTransform, IntegrityAlgorithm, ProxyIdentity, TrafficSelectors};

pub const TRANSFORM: EspTransform = EspTransform::Cbc(EncryptionAlgorithm::Aes128, IntegrityAlgorithm::Sha1);

/// One end: both directions, its tables, and what it told the control path.
pub struct Gateway {
    pub address: IpAddr,
    pub tables: Tables,
    pub outbound: Outbound,
    pub inbound: Inbound,
    pub drops: Arc<Drops>,
    pub notices: Arc<Mutex<Vec<Notice>>>,
    /// Makes the control path refuse notices.
    pub deaf: Arc<AtomicBool>,
    pub now_ms: u64,
}

struct Listener {
    notices: Arc<Mutex<Vec<Notice>>>,
    deaf: Arc<AtomicBool>,
}

impl Control for Listener {
    fn notify(&mut self, notice: Notice) -> bool {
        let heard = !self.deaf.load(Ordering::Relaxed);
        if heard {
            self.notices.lock().unwrap().push(notice);
        }
        heard
    }
}

/// A sealed packet on its way.
#[derive(Clone, Debug)]
pub struct Wire {
    pub bytes: Vec<u8>,
    pub path: OuterPath,
    pub tos: u8,
}

impl Gateway {
    pub fn new(address: impl Into<IpAddr>) -> Self {
        let (drops, notices, deaf) = <(Arc<Drops>, Arc<Mutex<Vec<Notice>>>, Arc<AtomicBool>)>::default();
        let listener = || Box::new(Listener { notices: Arc::clone(&notices), deaf: Arc::clone(&deaf) });
        Self {
            address: address.into(),
            tables: Tables::default(),
            outbound: Outbound::new(Arc::clone(&drops), listener()),
            inbound: Inbound::new(Arc::clone(&drops), listener()),
            drops,
            notices,
            deaf,
            now_ms: 0,
        }
    }

    /// Adds a connection with these rules and no SA; returns its index.
    pub fn connection(&mut self, rules: &[(&str, &str, bool)]) -> usize {
        let mut permits = 0..;
        let rules: Vec<Rule> = rules
            .iter()
            .map(|&(local, remote, permit)| Rule {
                selectors: selectors(local, remote),
                action: if permit { Action::Protect(permits.next().unwrap()) } else { Action::Discard },
            })
            .collect();
        let policy = Policy::new(rules);
        let outbound = policy.children().iter().map(|_| None).collect();
        self.tables.connections.push(ConnectionEntry { policy: Arc::new(policy), outbound, counters: Arc::new(Counters::default()) });
        self.tables.connections.len() - 1
    }

    pub fn route(&mut self, destination: &str, connection: usize) {
        self.tables.routes.push(RouteEntry { destination: destination.parse().unwrap(), connection });
    }

    /// Makes the tables count.
    pub fn commit(&mut self) {
        let tables = Arc::new(self.tables.clone());
        self.outbound.update(&tables);
        self.inbound.update(&tables);
    }

    /// What the outbound path makes of these packets: what goes to the network, and what goes back to the TUN device.
    pub fn seal(&mut self, packets: &[Vec<u8>]) -> (Vec<Wire>, Vec<Vec<u8>>) {
        let mut batch = outbound_batch(packets);
        self.outbound.process(self.now_ms, &mut batch);
        assert!(batch.packets.is_empty());
        let returned = batch.returned.iter().map(|p| batch.arena[p.range()].to_vec()).collect();
        (wires(&batch), returned)
    }

    pub fn inject(&mut self, connection: usize, packet: &[u8]) -> Vec<Wire> {
        let mut batch = outbound_batch(&[packet.to_vec()]);
        self.outbound.inject(connection, &mut batch);
        wires(&batch)
    }

    /// What the inbound path makes of these.
    pub fn open(&mut self, wires: &[Wire]) -> Vec<Vec<u8>> {
        let mut batch = InboundBatch::default();
        for wire in wires {
            let packet = Packet { start: batch.arena.len(), len: wire.bytes.len() };
            batch.arena.extend(&wire.bytes);
            batch.received.push(received(packet, wire.path, wire.tos));
        }
        self.inbound.process(self.now_ms, &mut batch);
        assert!(batch.received.is_empty());
        batch.delivered.iter().map(|p| batch.arena[p.range()].to_vec()).collect()
    }

    pub fn told(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.notices.lock().unwrap())
    }

    /// Every counter that is not zero.
    pub fn dropped(&self) -> Vec<(DropReason, u64)> {
        DropReason::ALL.iter().map(|&r| (r, self.drops.get(r))).filter(|&(_, n)| n != 0).collect()
    }

    /// The facts of the child's SA to send on.
    pub fn facts(&self, connection: usize, child: usize) -> Arc<SaFacts> {
        Arc::clone(&self.tables.connections[connection].outbound[child].as_ref().unwrap().facts)
    }
}

/// Seen from the other end of a path.
pub fn received(packet: Packet, path: OuterPath, tos: u8) -> Received {
    let (local, remote, in_udp) = match path {
        OuterPath::Esp { local, remote } => (remote, SocketAddr::new(local, 0), false),
        OuterPath::Udp { local, remote } => (remote.ip(), local, true),
    };
    Received { packet, local, remote, in_udp, tos }
}

/// A batch of these packets, laid out as the reading thread does.
pub fn outbound_batch(packets: &[Vec<u8>]) -> OutboundBatch {
    let mut batch = OutboundBatch::default();
    for bytes in packets {
        let start = batch.arena.len() + HEADROOM;
        batch.arena.resize(start, 0xee);
        batch.arena.extend(bytes);
        batch.arena.resize(start + bytes.len() + TAILROOM, 0xee);
        batch.packets.push(Packet { start, len: bytes.len() });
    }
    batch
}

fn wires(batch: &OutboundBatch) -> Vec<Wire> {
    batch.sealed.iter().map(|&Sealed { packet, path, tos }| Wire { bytes: batch.arena[packet.range()].to_vec(), path, tos }).collect()
}

pub fn selectors(local: &str, remote: &str) -> TrafficSelectors {
    let side = |net: &str| ProxyIdentity { net: net.parse().unwrap(), protocol: 0, port: 0 };
    TrafficSelectors { local: side(local), remote: side(remote) }
}

/// How an SA pair is made.
#[derive(Clone, Copy)]
pub struct Link {
    pub connection: usize,
    pub child: usize,
    /// Name and, from it, SPIs and keys.
    pub id: u32,
    pub in_udp: bool,
    pub max_inner: usize,
}

impl Default for Link {
    fn default() -> Self {
        Self { connection: 0, child: 0, id: 1, in_udp: false, max_inner: 1438 }
    }
}

/// Installs an SA pair on both ends, which have the same connections. `selectors` are the first one's.
pub fn link(a: &mut Gateway, b: &mut Gateway, link: Link, selectors: TrafficSelectors) {
    let (spi_a, spi_b) = (0x1000 + link.id, 0x2000 + link.id);
    let suite = handoff::suite(TRANSFORM).unwrap();
    let key = |salt: u32| (0..suite.keymat_len() as u32).map(|i| (i * 31 + link.id * 7 + salt) as u8).collect::<Vec<u8>>();
    let (address_a, address_b) = (a.address, b.address);
    install(a, link, selectors, address_b, ChildKeys { spi_in: spi_a, spi_out: spi_b, keymat_in: key(1), keymat_out: key(2) });
    let mirrored = TrafficSelectors { local: selectors.remote, remote: selectors.local };
    install(b, link, mirrored, address_a, ChildKeys { spi_in: spi_b, spi_out: spi_a, keymat_in: key(2), keymat_out: key(1) });
}

fn install(gateway: &mut Gateway, link: Link, selectors: TrafficSelectors, peer: IpAddr, keys: ChildKeys) {
    let (spi_in, spi_out) = (keys.spi_in, keys.spi_out);
    let suite = handoff::suite(TRANSFORM).unwrap();
    let (outbound, inbound) = handoff::sa_pair(suite, Box::new(keys), 1024, &mut StdRng::seed_from_u64(u64::from(spi_in))).unwrap();
    let facts = Arc::new(SaFacts {
        id: ChildSaId(u64::from(link.id)),
        connection: link.connection,
        child: link.child,
        selectors,
        spi_in,
        spi_out,
        counters: Counters::default(),
        tell_authentic: AtomicBool::new(false),
    });
    let path = if link.in_udp {
        OuterPath::Udp { local: SocketAddr::new(gateway.address, 4500), remote: SocketAddr::new(peer, 4500) }
    } else {
        OuterPath::Esp { local: gateway.address, remote: peer }
    };
    gateway.tables.inbound.push(Arc::new(InboundEntry { facts: Arc::clone(&facts), sa: Handover::new(inbound), in_udp: link.in_udp }));
    let entry = OutboundEntry { facts, sa: Handover::new(outbound), path, max_inner: link.max_inner };
    gateway.tables.connections[link.connection].outbound[link.child] = Some(Arc::new(entry));
}

/// The scenario's two ends with `connections` connections of equal selectors, each with its SA pair; the first one has the routes.
pub fn pair(connections: usize, shape: Link) -> (Gateway, Gateway) {
    let (mut a, mut b) = (Gateway::new([198, 51, 100, 20]), Gateway::new([203, 0, 113, 21]));
    let sides = ["192.168.0.0/24", "172.16.0.0/16"];
    for connection in 0..connections {
        a.connection(&[(sides[0], sides[1], true)]);
        b.connection(&[(sides[1], sides[0], true)]);
        let shape = Link { connection, id: shape.id + connection as u32, ..shape };
        link(&mut a, &mut b, shape, selectors(sides[0], sides[1]));
    }
    a.route(sides[1], 0);
    b.route(sides[0], 0);
    a.commit();
    b.commit();
    (a, b)
}

/// A UDP packet over IPv4 of `len` bytes in all, without UDP checksum.
pub fn udp(source: [u8; 4], destination: [u8; 4], ports: (u16, u16), len: usize) -> Vec<u8> {
    let mut p = vec![0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 64, 17, 0, 0];
    p[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    p.extend(source);
    p.extend(destination);
    tandem::ip::set_v4_checksum(&mut p);
    p.extend(ports.0.to_be_bytes());
    p.extend(ports.1.to_be_bytes());
    p.extend((len as u16 - 20).to_be_bytes());
    p.extend([0, 0]);
    p.extend((p.len()..len).map(|i| i as u8));
    p
}
