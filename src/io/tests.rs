//! The machine's side against a real kernel, in network namespaces that the tests make.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use ipnet::IpNet;
use tandem_ike::Transmit;
use tokio::time::timeout;

use super::icmp::EchoSocket;
use super::machine::Watcher;
use super::namespace::{Namespace, shell};
use super::netlink::{Netlink, NetlinkError, TunnelRoute, Underlay, underlay_table};
use super::nft::{self, FailClosed};
use super::sockets::{SocketError, Sockets, path_mtu};
use super::tun::{Read, Tun, TunError};
use crate::ip::checksum;
use crate::machine::{Change, LocalEnd};
use crate::sadb::Notice;

const SOON: Duration = Duration::from_secs(2);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn end(address: &str, interface: Option<&str>) -> LocalEnd {
    LocalEnd { address: ip(address), interface: interface.map(str::to_owned) }
}

/// A gateway with uplink `ge1` (198.51.100.20), and a machine on the other side of it (198.51.100.1).
fn gateway_and_internet() -> (Namespace, Namespace) {
    let (gateway, internet) = (Namespace::new(), Namespace::new());
    gateway.join(&internet, ("ge1", "ge1"), ("198.51.100.20/24", "198.51.100.1/24"));
    (gateway, internet)
}

/// Whether a datagram with source `from` sent in one namespace arrives at `to` in the other.
fn arrives(sender: &Namespace, from: &'static str, receiver: &Namespace, to: &'static str) -> bool {
    let socket = receiver.run(move || {
        let socket = UdpSocket::bind(to).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        socket
    });
    sender.run(move || {
        // A route or a firewall of our own may refuse it at once; then it does not arrive either.
        let _ = UdpSocket::bind(from).unwrap().send_to(b"clear", to);
    });
    socket.recv(&mut [0; 16]).is_ok()
}

#[test]
fn the_tun_device_carries_packets_both_ways_and_vanishes_with_its_owner() {
    let ns = Namespace::new();
    let tun = ns.run(|| Tun::open("tandem0", 1400).unwrap());
    let link = ns.shell("ip -d link show tandem0");
    for part in ["mtu 1400", "LOWER_UP", "qlen 1000", "vnet_hdr on", "addrgenmode none"] {
        assert!(link.contains(part), "{part}: {link}");
    }
    assert_eq!(tun.read(&mut [0; 2000]).unwrap(), Read::Empty, "no packet that nobody sent");

    // Out: what the kernel routes there is read whole, checksums included.
    ns.shell("ip addr add 192.168.0.1/32 dev lo && ip route add 172.16.0.0/16 dev tandem0 src 192.168.0.1");
    let socket = ns.run(|| UdpSocket::bind("192.168.0.1:7000").unwrap());
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket.send_to(b"hello", "172.16.1.10:7001").unwrap();
    let mut packet = [0; 2000];
    let Read::Packet(len) = tun.read(&mut packet).unwrap() else { panic!("a packet") };
    assert_eq!((len, &packet[12..20], &packet[28..33]), (33, &[192, 168, 0, 1, 172, 16, 1, 10][..], &b"hello"[..]));
    assert_eq!(checksum(&packet[..20]), 0);
    let mut pseudo = packet[12..20].to_vec();
    pseudo.extend_from_slice(&[0, 17, 0, 13]);
    pseudo.extend_from_slice(&packet[20..33]);
    assert_eq!(checksum(&pseudo), 0, "the UDP checksum is complete");

    // In: the same packet, turned round, reaches the socket. Swapping words keeps both checksums right.
    let mut answer = packet[..len].to_vec();
    answer[12..20].copy_from_slice(&[172, 16, 1, 10, 192, 168, 0, 1]);
    answer[20..24].copy_from_slice(&[packet[22], packet[23], packet[20], packet[21]]);
    assert!(tun.write(&[std::io::IoSlice::new(&[0; crate::offload::HEADER_LEN]), std::io::IoSlice::new(&answer)]));
    let (n, from) = socket.recv_from(&mut [0; 16]).unwrap();
    assert_eq!((n, from), (5, "172.16.1.10:7001".parse().unwrap()));

    // A packet longer than the buffer is noticed; the kernel would have cut it.
    socket.send_to(&[0; 500], "172.16.1.10:7001").unwrap();
    assert_eq!(tun.read(&mut [0; 100]).unwrap(), Read::Damaged);

    drop(tun);
    assert!(!ns.shell("ip -br link").contains("tandem0"));
    assert!(!ns.shell("ip route").contains("172.16"));
}

#[test]
fn a_tun_device_in_use_is_named_and_one_that_nobody_holds_is_taken_over() {
    let ns = Namespace::new();
    ns.shell("ip link add tandem1 type veth peer name other && ip tuntap add tandem2 mode tun vnet_hdr");
    ns.run(|| {
        let _first = Tun::open("tandem0", 1400).unwrap();
        let error = Tun::open("tandem0", 1400).unwrap_err();
        assert!(matches!(error, TunError::InUse(_)) && error.to_string().contains("tandem0 is in use"), "{error}");
        assert!(matches!(Tun::open("tandem1", 1400), Err(TunError::NotTun(_))));
        let stale = Tun::open("tandem2", 1400).unwrap();
        assert!(shell("ip -br link").contains("tandem2"));
        drop(stale);
    });
    assert!(!ns.shell("ip -br link").contains("tandem2"), "what was taken over vanishes too");
}

#[test]
fn a_strict_reverse_path_filter_is_loosened_on_the_tun_device_only() {
    let ns = Namespace::new();
    ns.shell("echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter; ip link add ge1 type veth peer name other");
    let before = ns.shell("cat /proc/sys/net/ipv4/conf/ge1/rp_filter");
    let _tun = ns.run(|| Tun::open("tandem0", 1400).unwrap());
    assert_eq!(ns.shell("cat /proc/sys/net/ipv4/conf/tandem0/rp_filter").trim(), "2");
    assert_eq!(ns.shell("cat /proc/sys/net/ipv4/conf/ge1/rp_filter"), before);
}

#[test]
fn every_reason_not_to_open_the_sockets_is_named() {
    let (gateway, _internet) = gateway_and_internet();
    gateway.run(|| {
        let error = Sockets::open(&[end("198.51.100.20", Some("ge7"))], None).unwrap_err();
        assert!(matches!(error, SocketError::NoInterface { .. }) && error.to_string().contains("no interface ge7"), "{error}");
        for port in [500, 4500] {
            let _other = UdpSocket::bind(("0.0.0.0", port)).unwrap();
            let error = Sockets::open(&[end("198.51.100.20", Some("ge1"))], None).unwrap_err();
            assert!(error.to_string().starts_with(&format!("port {port} of 198.51.100.20 is in use")), "{error}");
        }
        let two = [end("198.51.100.20", Some("ge1")), end("198.51.100.20", None)];
        assert!(matches!(Sockets::open(&two, None), Err(SocketError::TwoInterfaces { .. })));
        let shared = [end("198.51.100.20", Some("ge1")), end("198.51.100.20", Some("ge1"))];
        let first = Sockets::open(&shared, None).unwrap();
        assert_eq!(first.readable().count(), 2, "one raw and one UDP socket for both");
        let reloaded = Sockets::open(&[shared[0].clone(), end("127.0.0.1", None)], Some(&first)).unwrap();
        assert_eq!(reloaded.readable().count(), 4, "what is there already is kept and not bound a second time");
    });
}

#[test]
fn ike_leaves_and_arrives_at_the_ports_it_is_meant_for_and_an_address_may_come_late() {
    let (gateway, internet) = gateway_and_internet();
    gateway.shell("ip addr del 198.51.100.20/24 dev ge1");
    let peer = internet.run(|| UdpSocket::bind("198.51.100.1:500").unwrap());
    peer.set_read_timeout(Some(SOON)).unwrap();
    gateway.run_async(|| async move {
        let sockets = Sockets::open(&[end("198.51.100.20", Some("ge1"))], None).unwrap();
        let transmit = |port| Transmit {
            local: SocketAddr::new(ip("198.51.100.20"), port),
            remote: "198.51.100.1:500".parse().unwrap(),
            payload: vec![port as u8; 3],
        };
        assert!(sockets.send_ike(&transmit(500)).is_err(), "nothing leaves from an address that we do not have");
        shell("ip addr add 198.51.100.20/24 dev ge1");
        for port in [500, 4500] {
            sockets.send_ike(&transmit(port)).unwrap();
            let (_, from) = peer.recv_from(&mut [0; 16]).unwrap();
            assert_eq!(from, SocketAddr::new(ip("198.51.100.20"), port));
        }
        assert!(sockets.send_ike(&transmit(501)).is_err());

        let (sink, mut notices) = tokio::sync::mpsc::channel(4);
        let _readers = sockets.read_ike(&sink).unwrap();
        peer.send_to(b"message 2", "198.51.100.20:500").unwrap();
        let Ok(Some(Notice::Ike { local, remote, datagram })) = timeout(SOON, notices.recv()).await else { panic!("a datagram") };
        assert_eq!((local.port(), remote.to_string(), datagram), (500, "198.51.100.1:500".to_owned(), b"message 2".to_vec()));
        shell("ip link set ge1 mtu 1400");
        assert_eq!(path_mtu(&end("198.51.100.20", Some("ge1")), ip("198.51.100.1")).unwrap(), 1400);
    });
}

#[test]
fn an_echo_is_answered_to_its_own_socket_only() {
    let (gateway, internet) = gateway_and_internet();
    gateway.run_async(|| async {
        let here = end("198.51.100.20", Some("ge1"));
        let (ours, other) = (EchoSocket::open(&here, 0x1234).unwrap(), EchoSocket::open(&here, 0x1235).unwrap());
        ours.send(ip("198.51.100.1"), 7, b"are you there").unwrap();
        let reply = timeout(SOON, ours.receive()).await.unwrap().unwrap();
        assert_eq!((reply.from, reply.sequence, reply.payload), (ip("198.51.100.1"), 7, b"are you there".to_vec()));
        assert!(timeout(Duration::from_millis(100), other.receive()).await.is_err());
    });
    internet.shell("ip addr add fd00::1/64 dev ge1 nodad");
    gateway.shell("ip addr add fd00::20/64 dev ge1 nodad");
    gateway.run_async(|| async {
        let ours = EchoSocket::open(&end("fd00::20", Some("ge1")), 9).unwrap();
        ours.send(ip("fd00::1"), 8, b"six").unwrap();
        assert_eq!(timeout(SOON, ours.receive()).await.unwrap().unwrap().sequence, 8);
        shell("ip link set ge1 down");
        assert!(ours.send(ip("fd00::1"), 9, b"").is_err());
    });
}

#[test]
fn a_link_that_goes_down_or_loses_its_address_is_known_at_once() {
    let (gateway, internet) = gateway_and_internet();
    let (sender, receiver) = std::sync::mpsc::channel::<&str>();
    let carrier = std::thread::spawn(move || {
        while let Ok(state) = receiver.recv() {
            internet.shell(&format!("ip link set ge1 {state}"));
        }
    });
    gateway.run_async(move || async move {
        let ge1 = end("198.51.100.20", Some("ge1"));
        let mut watcher = Watcher::open().unwrap();
        let mut machine = Netlink::connect().unwrap().machine().await.unwrap();
        assert!(machine.is_ready(&ge1) && machine.largest_mtu(std::slice::from_ref(&ge1)) == 1500);
        let mut until = async |ready: bool| {
            timeout(SOON, async {
                while machine.is_ready(&ge1) != ready {
                    let change = watcher.next().await.unwrap();
                    assert_ne!(change, Change::Lost);
                    machine.apply(change);
                }
            })
            .await
            .unwrap_or_else(|_| panic!("not told: ready {ready}"));
        };
        sender.send("down").unwrap(); // the other end: we lose the carrier
        until(false).await;
        sender.send("up").unwrap();
        until(true).await;
        shell("ip addr del 198.51.100.20/24 dev ge1");
        until(false).await;
        shell("ip addr add 198.51.100.20/24 dev ge1");
        until(true).await;
        shell("ip link set ge1 down");
        until(false).await;
        shell("ip link set ge1 up");
        until(true).await;
        shell("ip link del ge1");
        until(false).await;
    });
    carrier.join().unwrap();
}

#[test]
fn routes_to_the_tunnel_appear_and_go_and_foreign_ones_stay() {
    let (gateway, _internet) = gateway_and_internet();
    gateway.shell("ip addr add 192.168.0.1/24 dev ge1; ip route add 10.0.0.0/8 via 198.51.100.1 proto static");
    gateway.shell("ip route add 172.16.0.0/16 via 198.51.100.1 metric 20; ip -6 route add fd07::/16 dev ge1 metric 50");
    gateway.run_async(|| async {
        let tun = Tun::open("tandem0", 1400).unwrap();
        let netlink = Netlink::connect().unwrap();
        let route =
            |destination, source: Option<&str>| TunnelRoute { destination: net(destination), tun: tun.index(), source: source.map(ip) };
        netlink.add_tunnel_route(&route("172.16.0.0/16", None)).await.unwrap();
        netlink.add_tunnel_route(&route("172.16.0.0/16", Some("192.168.0.1"))).await.unwrap();
        netlink.add_tunnel_route(&route("fd07::/16", None)).await.unwrap();
        let routes = shell("ip route");
        assert!(routes.contains("172.16.0.0/16 dev tandem0 proto 156 scope link src 192.168.0.1"), "{routes}");
        assert_eq!(routes.matches("tandem0").count(), 1, "the second replaced the first: {routes}");
        assert!(routes.contains("172.16.0.0/16 via 198.51.100.1 dev ge1 metric 20"), "{routes}");
        assert!(shell("ip route get 172.16.1.10").contains("dev tandem0 src 192.168.0.1"));
        assert!(shell("ip route get fd07::1").contains("dev tandem0"));

        let error = netlink.add_tunnel_route(&route("10.0.0.0/8", None)).await.unwrap_err();
        assert!(matches!(error, NetlinkError::Taken { .. }), "{error}");
        assert!(error.to_string().contains("10.0.0.0/8") && error.to_string().contains("via 198.51.100.1 dev ge1 proto static"), "{error}");

        netlink.add_unreachable(net("172.16.0.0/16")).await.unwrap();
        netlink.add_unreachable(net("172.16.0.0/16")).await.unwrap();
        netlink.add_unreachable(net("172.17.0.0/16")).await.unwrap();
        netlink.add_unreachable(net("fd07::/16")).await.unwrap();
        for destination in ["172.16.0.0/16", "fd07::/16"] {
            netlink.remove_tunnel_route(&route(destination, None)).await.unwrap();
            netlink.remove_tunnel_route(&route(destination, None)).await.unwrap();
        }
        assert!(!shell("ip route; ip -6 route").contains("tandem0"));
        netlink.add_tunnel_route(&route("172.18.0.0/16", None)).await.unwrap();
    });
    // The process has ended: the device and its routes are gone, what keeps traffic from leaving in clear is not.
    assert!(!gateway.shell("ip route").contains("172.18"));
    assert!(gateway.shell("ip route").contains("unreachable 172.17.0.0/16 proto 156 metric 4294967295"));
    gateway.run_async(|| async {
        let tun = Tun::open("tandem0", 1400).unwrap();
        let netlink = Netlink::connect().unwrap();
        netlink.clean_up(tun.index(), &[net("172.16.0.0/16")]).await.unwrap();
        let routes = shell("ip route; ip -6 route");
        assert!(
            routes.contains("unreachable 172.16.0.0/16") && !routes.contains("172.17") && !routes.contains("unreachable fd07"),
            "{routes}"
        );

        // While another instance runs, its routes are left alone.
        netlink.add_tunnel_route(&TunnelRoute { destination: net("172.18.0.0/16"), tun: tun.index(), source: None }).await.unwrap();
        let second = Tun::open("tandem1", 1400).unwrap();
        netlink.clean_up(second.index(), &[]).await.unwrap();
        assert!(shell("ip route").contains("unreachable 172.16.0.0/16"));

        netlink.remove_all().await.unwrap();
        assert!(!shell("ip route; ip -6 route").contains("proto 156"));
        let foreign = shell("ip route");
        assert!(foreign.contains("10.0.0.0/8 via 198.51.100.1") && foreign.contains("172.16.0.0/16 via 198.51.100.1"), "{foreign}");
    });
}

#[test]
fn the_way_to_the_peer_is_kept_in_a_table_of_its_own_and_restored_after_the_link_was_down() {
    let (gateway, _internet) = gateway_and_internet();
    let underlay = |interface| Underlay {
        local: ip("198.51.100.20"),
        remote: ip("203.0.113.21"),
        next_hop: ip("198.51.100.1"),
        interface,
        table: underlay_table(3, 0),
    };
    gateway.run_async(move || async move {
        let netlink = Netlink::connect().unwrap();
        let machine = netlink.machine().await.unwrap();
        let underlay = underlay(machine.link("ge1").unwrap().index);
        netlink.add_underlay(&underlay).await.unwrap();
        netlink.add_underlay(&underlay).await.unwrap();
        let route = || shell("ip route get 203.0.113.21 from 198.51.100.20 || true");
        assert!(route().contains("via 198.51.100.1 dev ge1"), "{}", route());
        assert_eq!(shell("ip rule").matches("from 198.51.100.20 lookup 156003000 proto 156").count(), 1);

        shell("ip link set ge1 down");
        assert!(!shell("ip route show table all").contains("203.0.113.21"));
        assert!(netlink.add_underlay(&underlay).await.is_err(), "not while the link is down");
        shell("ip link set ge1 up");
        netlink.add_underlay(&underlay).await.unwrap();
        assert!(route().contains("via 198.51.100.1 dev ge1"));

        netlink.remove_underlay(&underlay).await.unwrap();
        netlink.remove_underlay(&underlay).await.unwrap();
        assert!(!shell("ip rule; ip route show table all").contains("156"));

        netlink.add_underlay(&underlay).await.unwrap();
        netlink.clean_up(99, &[]).await.unwrap();
        assert!(!shell("ip rule; ip route show table all").contains("156"), "the next start finds what a crash left");
    });
}

#[test]
fn nothing_protected_comes_in_or_goes_out_in_clear_and_the_exceptions_pass() {
    let (gateway, internet) = gateway_and_internet();
    internet.shell("ip addr add 172.16.1.10/32 dev lo; ip addr add 203.0.113.21/32 dev lo; ip addr add 203.0.113.99/32 dev lo");
    gateway.shell("ip route add default via 198.51.100.1; ip addr add 192.168.0.1/32 dev lo");
    let table = FailClosed {
        tun: "tandem0".into(),
        destinations: vec![net("172.16.0.0/16"), net("203.0.113.0/24"), net("fd07::/16")],
        exempt: vec![net("198.51.100.0/24")],
        peers: vec![(ip("198.51.100.20"), ip("203.0.113.21"))],
        probes: vec![],
    };
    let (inward, outward) = ("172.16.1.10:9000", "172.16.1.10:9001");
    assert!(arrives(&internet, inward, &gateway, "198.51.100.20:9000") && arrives(&gateway, "0.0.0.0:0", &internet, outward));

    let first = table.clone();
    gateway.run(move || {
        first.install().unwrap();
        first.install().expect("it is replaced, not made twice");
    });
    let listed = gateway.shell("nft list table inet tandem_tandem0");
    assert!(listed.contains("172.16.0.0/16") && listed.contains("counter packets"), "{listed}");
    assert!(!arrives(&internet, inward, &gateway, "198.51.100.20:9000"), "from a protected address by the uplink");
    assert!(!arrives(&gateway, "0.0.0.0:0", &internet, outward), "to a protected address by the uplink");
    assert!(arrives(&internet, "198.51.100.1:9000", &gateway, "198.51.100.20:9002"), "what is not protected passes");

    // The peer lies inside a protected prefix: IKE, ESP and pings between the two outer addresses pass, nothing else.
    for port in ["198.51.100.20:500", "198.51.100.20:4500"] {
        assert!(arrives(&internet, "203.0.113.21:4500", &gateway, port));
    }
    assert!(arrives(&gateway, "198.51.100.20:500", &internet, "203.0.113.21:500"));
    assert!(!arrives(&internet, "203.0.113.21:500", &gateway, "198.51.100.20:9003"));
    assert!(!arrives(&internet, "203.0.113.99:500", &gateway, "198.51.100.20:500"), "another address of the same prefix");
    gateway.shell("ping -c1 -W1 -I 198.51.100.20 203.0.113.21");
    internet.shell("ping -c1 -W1 -I 203.0.113.21 198.51.100.20");
    gateway.shell("! ping -c1 -W1 203.0.113.99");

    // More than one message's elements, and IPv6 of all lengths.
    gateway.run(|| {
        let many = (0..3000u32).map(|i| IpNet::new(IpAddr::V4((0x0a00_0000 + i * 512).into()), 24).unwrap());
        let tun = "tandem0".to_owned();
        FailClosed { tun, destinations: many.chain([net("::/0"), net("fd07::1/128")]).collect(), ..FailClosed::default() }
            .install()
            .unwrap();
    });
    assert!(gateway.shell("nft list set inet tandem_tandem0 protected4").contains("10.23.110.0/24"));

    gateway.shell("nft add table inet tandem_foreign");
    gateway.run(|| {
        assert_eq!(nft::remove_all().unwrap(), ["tandem_tandem0"], "only what is marked as ours");
        assert!(!nft::remove("tandem0").unwrap());
    });
    assert!(arrives(&internet, inward, &gateway, "198.51.100.20:9000"));
}

#[test]
fn a_protected_default_route_leaves_neighbours_and_connected_subnets_alone() {
    let (gateway, internet) = gateway_and_internet();
    internet.shell("ip addr add fd00::1/64 dev ge1 nodad; ip addr add 8.8.8.8/32 dev lo");
    gateway.shell("ip addr add fd00::20/64 dev ge1 nodad; ip route add default via 198.51.100.1");
    gateway.run(|| {
        FailClosed {
            tun: "tandem0".into(),
            destinations: vec![net("0.0.0.0/0"), net("::/0")],
            exempt: vec![net("198.51.100.0/24"), net("fd00::/64")],
            ..FailClosed::default()
        }
        .install()
        .unwrap();
    });
    gateway.shell("ping -c1 -W1 198.51.100.1 && ping -6 -c1 -W1 fd00::1");
    gateway.shell("! ping -c1 -W1 8.8.8.8");
}
