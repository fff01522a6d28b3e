//! The packet threads between two namespaces: real TUN devices, real sockets, real SAs.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use socket2::{Domain, Protocol, Socket, Type};
use tandem_ike::{ChildKeys, ChildSaId, EncryptionAlgorithm, EspTransform, IntegrityAlgorithm, ProxyIdentity, TrafficSelectors};
use tokio::time::timeout;

use super::clock;
use super::namespace::{Namespace, shell};
use super::sockets::Sockets;
use super::tun::Tun;
use super::worker::{Notices, PacketThreads, WorkerError};
use crate::handoff;
use crate::icmp::echo_packet;
use crate::machine::LocalEnd;
use crate::policy::{Action, Policy, Rule};
use crate::sadb::{
    ConnectionEntry, EchoEntry, Handover, InboundEntry, Inject, Notice, OutboundEntry, OuterPath, RouteEntry, SaFacts, Tables,
};
use crate::stats::{Counters, DropReason, Drops};

const SOON: Duration = Duration::from_secs(2);
const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 20));
const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));
const ECHO: EchoEntry = EchoEntry { id: 0x7a0d, token: *b"sixteen bytes of" };

/// One end's packet path, running.
struct End {
    tun: Arc<Tun>,
    threads: PacketThreads,
    notices: Notices,
    drops: Arc<Drops>,
    tables: Arc<Tables>,
}

/// Two namespaces with the outer addresses `A` and `B`, and the inner ones 192.168.0.1 and 172.16.1.10.
fn namespaces() -> (Namespace, Namespace) {
    let (a, b) = (Namespace::new(), Namespace::new());
    a.join(&b, ("ge1", "ge1"), ("198.51.100.20/24", "198.51.100.1/24"));
    a.shell("ip addr add 192.168.0.1/32 dev lo");
    b.shell("ip addr add 172.16.1.10/32 dev lo");
    (a, b)
}

/// Starts the end `A` or the other one in the calling thread's namespace.
fn start(first: bool, in_udp: bool) -> End {
    start_over((A, B), first, in_udp)
}

/// As [`start`], over these outer addresses.
fn start_over(outer: (IpAddr, IpAddr), first: bool, in_udp: bool) -> End {
    let tun = Arc::new(Tun::open("tandem0", 1400).unwrap());
    let (local, remote) = if first { outer } else { (outer.1, outer.0) };
    shell(if first {
        "ip route add 172.16.0.0/16 dev tandem0 src 192.168.0.1"
    } else {
        "ip route add 192.168.0.0/24 dev tandem0 src 172.16.1.10"
    });
    let sockets = Arc::new(Sockets::open(&[LocalEnd { address: local, interface: Some("ge1".into()) }], None).unwrap());
    let drops = Arc::new(Drops::default());
    let (threads, notices) = PacketThreads::start(tun.clone(), sockets, drops.clone(), 1500).unwrap();
    let path = if in_udp {
        OuterPath::Udp { local: SocketAddr::new(local, 4500), remote: SocketAddr::new(remote, 4500) }
    } else {
        OuterPath::Esp { local, remote }
    };
    let tables = Arc::new(tables(first, path));
    threads.publish(tables.clone());
    End { tun, threads, notices, drops, tables }
}

fn tables(first: bool, path: OuterPath) -> Tables {
    let side = |net: &str| ProxyIdentity { net: net.parse().unwrap(), protocol: 0, port: 0 };
    let (lan, vpc) = (side("192.168.0.0/24"), side("172.16.0.0/16"));
    let (local, remote) = if first { (lan, vpc) } else { (vpc, lan) };
    let selectors = TrafficSelectors { local, remote };
    let suite = handoff::suite(EspTransform::Cbc(EncryptionAlgorithm::Aes128, IntegrityAlgorithm::Sha1)).unwrap();
    let key = |to: u8| (0..suite.keymat_len() as u8).map(|i| i * 7 + to).collect::<Vec<u8>>();
    let (to_us, to_peer) = if first { (1, 2) } else { (2, 1) };
    let (spi_in, spi_out) = (0x1000 + u32::from(to_us), 0x1000 + u32::from(to_peer));
    let keys = ChildKeys { spi_in, spi_out, keymat_in: key(to_us), keymat_out: key(to_peer) };
    let (outbound, inbound) = handoff::sa_pair(suite, &keys, 1024, &mut StdRng::seed_from_u64(1)).unwrap();
    let facts = Arc::new(SaFacts {
        id: ChildSaId(1),
        connection: 0,
        selectors,
        spi_in,
        spi_out,
        counters: Counters::default(),
        tell_authentic: AtomicBool::new(false),
    });
    let in_udp = matches!(path, OuterPath::Udp { .. });
    let outbound = OutboundEntry { facts: facts.clone(), sa: Handover::new(outbound), path, max_inner: 1400 };
    Tables {
        connections: vec![ConnectionEntry {
            policy: Arc::new(Policy::new(vec![Rule { selectors, action: Action::Protect(0) }])),
            outbound: vec![Some(Arc::new(outbound))],
            counters: Arc::default(),
        }],
        routes: vec![RouteEntry { destination: selectors.remote.net, connection: 0 }],
        inbound: vec![Arc::new(InboundEntry { facts, sa: Handover::new(inbound), child: 0, in_udp })],
        echoes: vec![ECHO],
    }
}

impl End {
    async fn notice(&mut self) -> Notice {
        timeout(SOON, self.notices.next()).await.expect("a notice")
    }

    fn counters(&self) -> &Counters {
        &self.tables.connections[0].counters
    }
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = clock::now();
    while !condition() {
        assert!(start.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn two_gateways_carry_packets_in_raw_esp_and_in_udp() {
    for in_udp in [false, true] {
        let (a, b) = namespaces();
        let (end_a, end_b) = (a.run(move || start(true, in_udp)), b.run(move || start(false, in_udp)));
        a.shell(
            "ping -c3 -i0.05 -W2 172.16.1.10 && ping -c3 -i0.05 -W2 -s 1372 -M do 172.16.1.10 && ping -q -f -c1000 -s 1000 172.16.1.10",
        );
        for end in [&end_a, &end_b] {
            assert_eq!((end.counters().inbound.packets(), end.counters().outbound.packets()), (1006, 1006));
            assert!(DropReason::ALL.iter().all(|r| end.drops.get(*r) == 0));
        }
    }
}

#[test]
fn the_outer_addresses_may_be_ipv6() {
    for in_udp in [false, true] {
        let (a, b) = namespaces();
        a.shell("ip addr add fd00::20/64 dev ge1 nodad");
        b.shell("ip addr add fd00::1/64 dev ge1 nodad");
        let outer: (IpAddr, IpAddr) = ("fd00::20".parse().unwrap(), "fd00::1".parse().unwrap());
        let (_end_a, _end_b) = (a.run(move || start_over(outer, true, in_udp)), b.run(move || start_over(outer, false, in_udp)));
        a.shell("ping -c2 -i0.05 -W2 172.16.1.10");
    }
}

#[test]
fn a_tcp_stream_arrives_whole_and_nothing_is_dropped_on_the_way() {
    for in_udp in [false, true] {
        let (a, b) = namespaces();
        let (end_a, end_b) = (a.run(move || start(true, in_udp)), b.run(move || start(false, in_udp)));
        let listener = b.run(|| TcpListener::bind("172.16.1.10:5201").unwrap());
        let sent: Vec<u8> = (0..20 << 20u32).map(|i: u32| (i ^ (i >> 11)) as u8).collect();
        let expected = sent.clone();
        let receiver = std::thread::spawn(move || {
            let mut received = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
            assert!(received == expected, "{} bytes", received.len());
        });
        a.run(move || TcpStream::connect("172.16.1.10:5201").unwrap().write_all(&sent).unwrap());
        receiver.join().unwrap();
        for end in [&end_a, &end_b] {
            let dropped: Vec<_> = DropReason::ALL.iter().filter(|r| end.drops.get(**r) != 0).collect();
            assert!(dropped.is_empty(), "{dropped:?}");
        }
    }
}

#[test]
fn a_packet_that_the_tunnel_cannot_carry_is_answered_through_the_device() {
    let (a, _b) = namespaces();
    let end = a.run(|| {
        let end = start(true, false);
        end.tun.set_mtu(1500).unwrap();
        end
    });
    let told = a.shell("ping -c1 -W1 -s 1450 -M do 172.16.1.10 || true");
    assert!(told.contains("Frag needed and DF set (mtu = 1400)"), "{told}");
    assert_eq!(end.drops.get(DropReason::TooBig), 1);
}

#[test]
fn the_outer_header_has_the_inner_tos_and_may_not_be_fragmented() {
    let (a, b) = namespaces();
    let raw = b.run(|| {
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(50))).unwrap();
        raw.set_read_timeout(Some(SOON)).unwrap();
        raw
    });
    let _end = a.run(|| start(true, false));
    a.shell("ping -Q 0xb8 -c1 -W0.1 172.16.1.10 || true");
    let mut packet = [0; 2000];
    let n = (&raw).read(&mut packet).unwrap();
    assert!(n > 100);
    assert_eq!((packet[1], packet[6] & 0x40, packet[9]), (0xb8, 0x40, 50));
    assert_eq!(&packet[12..24], &[198, 51, 100, 20, 198, 51, 100, 1, 0, 0, 0x10, 2], "addresses and SPI");
}

#[test]
fn what_arrives_on_port_4500_is_sorted() {
    let (a, b) = namespaces();
    let mut end = a.run(|| start(true, true));
    let peer = b.run(|| UdpSocket::bind("198.51.100.1:4500").unwrap());
    for payload in [&b"\xff"[..], b"\x01\x02", b"\0\0\0\0 an IKE message", b"\x12\x34\x56\x78 no SPI that we know"] {
        peer.send_to(payload, "198.51.100.20:4500").unwrap();
    }
    a.run_async(move || async move {
        let (mut ike, mut spi) = (None, None);
        for _ in 0..2 {
            match end.notice().await {
                Notice::Ike { local, remote, datagram } => ike = Some((local.port(), remote.to_string(), datagram)),
                Notice::UnknownSpi { local, remote, .. } => spi = Some((local, remote)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(ike.unwrap(), (4500, "198.51.100.1:4500".into(), b"\0\0\0\0 an IKE message".to_vec()));
        assert_eq!(spi.unwrap(), (A, B));
        assert_eq!((end.drops.get(DropReason::Malformed), end.drops.get(DropReason::UnknownSpi)), (1, 1));
        // A flood of IKE is dropped and counted, and other notices still come through.
        for _ in 0..600 {
            peer.send_to(b"\0\0\0\0 flood", "198.51.100.20:4500").unwrap();
        }
        eventually("a full queue is counted", || end.drops.get(DropReason::ControlFull) >= 300);
    });
}

#[test]
fn an_echo_of_our_own_goes_through_the_tunnel_and_its_reply_is_told() {
    let (a, b) = namespaces();
    let (mut end_a, _end_b) = (a.run(|| start(true, false)), b.run(|| start(false, false)));
    a.run_async(|| async move {
        // No address of this machine: the health check's source need not exist.
        let packet = echo_packet("192.168.0.77".parse().unwrap(), "172.16.1.10".parse().unwrap(), &ECHO, 41).unwrap();
        assert!(end_a.threads.inject(Inject { connection: 0, packet }));
        let notice = end_a.notice().await;
        assert!(matches!(notice, Notice::EchoReply { connection: 0, id: 0x7a0d, sequence: 41 }), "{notice:?}");
    });
}

#[test]
fn idle_threads_sleep_and_still_let_go_of_an_sa_that_is_gone() {
    let (a, _b) = namespaces();
    let end = a.run(|| start(true, false));
    let threads = a.run(|| {
        eventually("both threads run", || packet_threads().len() == 2);
        packet_threads()
    });
    let sa = Arc::downgrade(end.tables.connections[0].outbound[0].as_ref().unwrap());
    eventually("both threads hold the SA's facts", || sa.strong_count() > 1);
    std::thread::sleep(Duration::from_millis(100));
    let before: Vec<_> = threads.iter().map(|t| switches(t)).collect();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(threads.iter().map(|t| switches(t)).collect::<Vec<_>>(), before, "nobody woke up");

    let End { threads, tables, .. } = end;
    threads.publish(Arc::default());
    drop(tables);
    eventually("the SA is gone although no packet came", || sa.strong_count() == 0);
    let stopping = clock::now();
    threads.stop();
    assert!(stopping.elapsed() < Duration::from_millis(500));
}

#[test]
fn a_dead_uplink_and_a_smaller_path_are_counted_and_told() {
    let (a, _b) = namespaces();
    let mut end = a.run(|| start(true, false));
    a.shell("ip link set ge1 mtu 1000; ping -c1 -W0.1 -s 1200 172.16.1.10 || true");
    assert_eq!(end.drops.get(DropReason::SendFailed), 1);
    a.shell("ip link set ge1 down; ping -c2 -i0.05 -W0.1 172.16.1.10 || true");
    assert_eq!(end.drops.get(DropReason::SendFailed), 3);
    a.run_async(|| async move {
        let notice = end.notice().await;
        assert!(matches!(notice, Notice::PathMtu { path: OuterPath::Esp { local: A, remote: B } }), "{notice:?}");
    });
}

#[test]
fn a_device_that_somebody_removes_ends_the_thread_with_the_reason() {
    let (a, _b) = namespaces();
    let mut end = a.run(|| start(true, false));
    a.shell("ip link del tandem0");
    a.run_async(|| async move {
        let error = timeout(SOON, end.threads.failed()).await.expect("reported");
        assert!(matches!(error, WorkerError::Broken { thread: "tandem-out", .. }), "{error}");
    });
}

#[test]
fn an_interface_that_comes_back_under_another_index_gets_new_sockets() {
    let (a, b) = namespaces();
    let (end_a, end_b) = (a.run(|| start(true, true)), b.run(|| start(false, true)));
    a.shell("ping -c1 -W2 172.16.1.10; ip link del ge1");
    a.join(&b, ("ge1", "ge1"), ("198.51.100.20/24", "198.51.100.1/24"));
    a.shell("! ping -c1 -W0.2 172.16.1.10");
    let reopen = |address| Arc::new(Sockets::open(&[LocalEnd { address, interface: Some("ge1".into()) }], None).unwrap());
    end_a.threads.replace_sockets(a.run(move || reopen(A)));
    end_b.threads.replace_sockets(b.run(move || reopen(B)));
    a.shell("ping -c1 -W2 172.16.1.10");
}

/// The threads of the packet path in the calling thread's namespace, as folders of `/proc`.
fn packet_threads() -> Vec<PathBuf> {
    let here = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|t| t.unwrap().path());
    tasks
        .filter(|t| std::fs::read_to_string(t.join("comm")).is_ok_and(|name| name.starts_with("tandem-")))
        .filter(|t| std::fs::read_link(t.join("ns/net")).is_ok_and(|ns| ns == here))
        .collect()
}

/// How often a thread has gone to sleep.
fn switches(task: &Path) -> String {
    let status = std::fs::read_to_string(task.join("status")).unwrap();
    status.lines().find(|l| l.starts_with("voluntary_ctxt_switches")).unwrap().to_owned()
}
