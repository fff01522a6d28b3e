//! Two packet paths with SAs between them and no network: what one seals, the test carries to the other.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
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

pub(crate) const TRANSFORM: EspTransform = EspTransform::Cbc(EncryptionAlgorithm::Aes128, IntegrityAlgorithm::Sha1);

/// One end: both directions, its tables, and what it told the control path.
pub(crate) struct Gateway {
    pub(crate) address: IpAddr,
    pub(crate) tables: Tables,
    pub(crate) outbound: Outbound,
    pub(crate) inbound: Inbound,
    pub(crate) drops: Arc<Drops>,
    pub(crate) notices: Arc<Mutex<Notices>>,
    pub(crate) now_ms: u64,
}

/// What the control path heard, and how much it can hear before it takes it out.
pub(crate) struct Notices {
    pub(crate) heard: Vec<Notice>,
    pub(crate) capacity: usize,
}

struct Listener(Arc<Mutex<Notices>>);

impl Control for Listener {
    fn notify(&mut self, notice: Notice) -> bool {
        let mut notices = self.0.lock().unwrap();
        let room = notices.heard.len() < notices.capacity;
        if room {
            notices.heard.push(notice);
        }
        room
    }
}

/// A sealed packet on its way.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) bytes: Vec<u8>,
    pub(crate) path: OuterPath,
    pub(crate) tos: u8,
}

impl Gateway {
    pub(crate) fn new(address: impl Into<IpAddr>) -> Self {
        let drops = Arc::new(Drops::default());
        let notices = Arc::new(Mutex::new(Notices { heard: Vec::new(), capacity: usize::MAX }));
        let listener = || Box::new(Listener(Arc::clone(&notices)));
        Self {
            address: address.into(),
            tables: Tables::default(),
            outbound: Outbound::new(Arc::clone(&drops), listener()),
            inbound: Inbound::new(Arc::clone(&drops), listener()),
            drops,
            notices,
            now_ms: 0,
        }
    }

    /// Adds a connection with these rules and no SA; returns its index.
    pub(crate) fn connection(&mut self, rules: &[(&str, &str, bool)]) -> usize {
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

    pub(crate) fn route(&mut self, destination: &str, connection: usize) {
        self.tables.routes.push(RouteEntry { destination: destination.parse().unwrap(), connection });
    }

    /// Makes the tables count.
    pub(crate) fn commit(&mut self) {
        let tables = Arc::new(self.tables.clone());
        self.outbound.update(&tables);
        self.inbound.update(&tables);
    }

    /// What the outbound path makes of these packets: what goes to the network, and what goes back to the TUN device.
    pub(crate) fn seal(&mut self, packets: &[Vec<u8>]) -> (Vec<Wire>, Vec<Vec<u8>>) {
        let mut batch = outbound_batch(packets);
        self.outbound.process(self.now_ms, &mut batch);
        assert!(batch.packets.is_empty());
        let returned = batch.returned.iter().map(|p| batch.arena[p.range()].to_vec()).collect();
        (wires(&batch), returned)
    }

    /// What the inbound path makes of these.
    pub(crate) fn open(&mut self, wires: &[Wire]) -> Vec<Vec<u8>> {
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

    pub(crate) fn told(&self) -> Vec<Notice> {
        std::mem::take(&mut self.notices.lock().unwrap().heard)
    }

    /// Every counter that is not zero.
    pub(crate) fn dropped(&self) -> Vec<(DropReason, u64)> {
        DropReason::ALL.iter().map(|&r| (r, self.drops.get(r))).filter(|&(_, n)| n != 0).collect()
    }
}

/// Seen from the other end of a path.
pub(crate) fn received(packet: Packet, path: OuterPath, tos: u8) -> Received {
    let (local, remote, in_udp) = match path {
        OuterPath::Esp { local, remote } => (remote, SocketAddr::new(local, 0), false),
        OuterPath::Udp { local, remote } => (remote.ip(), local, true),
    };
    Received { packet, local, remote, in_udp, tos }
}

/// A batch of these packets, laid out as the reading thread does.
pub(crate) fn outbound_batch(packets: &[Vec<u8>]) -> OutboundBatch {
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

pub(crate) fn wires(batch: &OutboundBatch) -> Vec<Wire> {
    batch.sealed.iter().map(|&Sealed { packet, path, tos }| Wire { bytes: batch.arena[packet.range()].to_vec(), path, tos }).collect()
}

pub(crate) fn selectors(local: &str, remote: &str) -> TrafficSelectors {
    let side = |net: &str| ProxyIdentity { net: net.parse().unwrap(), protocol: 0, port: 0 };
    TrafficSelectors { local: side(local), remote: side(remote) }
}

/// How an SA pair is made.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    pub(crate) connection: usize,
    pub(crate) child: usize,
    /// Name and, from it, SPIs and keys.
    pub(crate) id: u32,
    pub(crate) in_udp: bool,
    pub(crate) max_inner: usize,
}

impl Default for Link {
    fn default() -> Self {
        Self { connection: 0, child: 0, id: 1, in_udp: false, max_inner: 1438 }
    }
}

/// Installs an SA pair on both ends, which have the same connections. `selectors` are the first one's.
pub(crate) fn link(a: &mut Gateway, b: &mut Gateway, link: Link, selectors: TrafficSelectors) {
    let (spi_a, spi_b) = (0x1000 + link.id, 0x2000 + link.id);
    let (address_a, address_b) = (a.address, b.address);
    install(
        a,
        link,
        selectors,
        address_b,
        ChildKeys { spi_in: spi_a, spi_out: spi_b, keymat_in: keymat(link.id, 1), keymat_out: keymat(link.id, 2) },
    );
    let mirrored = TrafficSelectors { local: selectors.remote, remote: selectors.local };
    install(
        b,
        link,
        mirrored,
        address_a,
        ChildKeys { spi_in: spi_b, spi_out: spi_a, keymat_in: keymat(link.id, 2), keymat_out: keymat(link.id, 1) },
    );
}

/// Keys of the packets to the first end (1) or the second (2).
pub(crate) fn keymat(id: u32, to: u32) -> Vec<u8> {
    let len = handoff::suite(TRANSFORM).unwrap().keymat_len() as u32;
    (0..len).map(|i| (i * 31 + id * 7 + to) as u8).collect()
}

fn install(gateway: &mut Gateway, link: Link, selectors: TrafficSelectors, peer: IpAddr, keys: ChildKeys) {
    let (spi_in, spi_out) = (keys.spi_in, keys.spi_out);
    let suite = handoff::suite(TRANSFORM).unwrap();
    let (outbound, inbound) = handoff::sa_pair(suite, &keys, 1024, &mut StdRng::seed_from_u64(u64::from(spi_in))).unwrap();
    let facts = Arc::new(SaFacts {
        id: ChildSaId(u64::from(link.id)),
        connection: link.connection,
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
    gateway.tables.inbound.push(Arc::new(InboundEntry {
        facts: Arc::clone(&facts),
        sa: Handover::new(inbound),
        child: link.child,
        in_udp: link.in_udp,
    }));
    let entry = OutboundEntry { facts, sa: Handover::new(outbound), path, max_inner: link.max_inner };
    gateway.tables.connections[link.connection].outbound[link.child] = Some(Arc::new(entry));
}

/// The scenario's two ends with `connections` connections of equal selectors, each with its SA pair; the first one has the routes.
pub(crate) fn pair(connections: usize, shape: Link) -> (Gateway, Gateway) {
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
pub(crate) fn udp(source: [u8; 4], destination: [u8; 4], ports: (u16, u16), len: usize) -> Vec<u8> {
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
