//! Right configurations and what becomes of them; files; secrets; warnings.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use tandem::config::{Config, HealthCheck, Rank, Route, Track, Via};
use tandem::policy::{Action, Flow};
use tandem_ike::{
    Dpd, EncryptionAlgorithm, EspTransform, Group, HashAlgorithm, Identity, IkeProposal, IntegrityAlgorithm, NatTraversal, ProxyIdentity,
    Start, TrafficSelectors,
};

const ONPREM: &str = include_str!("../examples/onprem.toml");
const CLOUD: &str = include_str!("../examples/cloud.toml");

/// The least that is a configuration, with these lines at the end of its one connection and of the whole.
fn small(connection: &str, rest: &str) -> String {
    format!(
        "[[connection]]\nname = \"conn1\"\nlocal = \"198.51.100.20\"\nremote = \"203.0.113.21\"\n{connection}\n\
         [[route]]\ndestination = \"172.16.0.0/16\"\nconnection = \"conn1\"\n{rest}"
    )
}

fn parse(text: &str) -> Config {
    Config::parse(text, Path::new("tandem.toml")).unwrap_or_else(|errors| panic!("{errors}"))
}

fn refused(text: &str) -> String {
    Config::parse(text, Path::new("tandem.toml")).unwrap_err().to_string()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn pair(local: &str, remote: &str) -> TrafficSelectors {
    let side = |net: &str| ProxyIdentity { net: net.parse().unwrap(), protocol: 0, port: 0 };
    TrafficSelectors { local: side(local), remote: side(remote) }
}

const DAY: Duration = Duration::from_secs(86_400);
const IKE: IkeProposal = IkeProposal { encryption: EncryptionAlgorithm::Aes128, hash: HashAlgorithm::Sha1, group: Group::Modp1024 };
const ESP: EspTransform = EspTransform::Cbc(EncryptionAlgorithm::Aes128, IntegrityAlgorithm::Sha1);
const DPD: Dpd = Dpd { delay: Duration::from_secs(10), timeout: Duration::from_secs(30) };

#[test]
fn the_on_premises_example_means_what_it_says() {
    let config = parse(ONPREM);
    assert_eq!(config.warnings, [""; 0]);
    let gateway = &config.gateway;
    assert_eq!((gateway.tun.as_str(), gateway.mtu, gateway.fail_closed), ("tandem0", None, true));
    assert_eq!(gateway.control, Path::new("/run/tandem/onprem.sock"));
    assert_eq!((gateway.http, &gateway.http_token_file), (Some("127.0.0.1:9470".parse::<SocketAddr>().unwrap()), &None));

    assert_eq!(config.connections.len(), 2);
    for (connection, (name, local, interface)) in
        config.connections.iter().zip([("conn1", "198.51.100.20", "ge1"), ("conn2", "192.0.2.40", "ge2")])
    {
        let ike = &connection.ike;
        assert_eq!((ike.name.as_str(), ike.local, ike.remote), (name, ip(local), ip("203.0.113.21")));
        assert_eq!((ike.psk.as_bytes(), &ike.psk_next), (&b"fddsFF123****"[..], &None));
        assert_eq!(ike.local_id, Identity::Address(ip(local)));
        assert_eq!(ike.remote_id, Identity::Address(ip("203.0.113.21")));
        assert_eq!((ike.start, ike.nat_traversal, ike.dpd), (Start::Always, NatTraversal::Auto, Some(DPD)));
        assert_eq!((ike.ike_proposals.as_slice(), ike.ike_lifetime), (&[IKE][..], DAY));
        assert_eq!((ike.esp_proposals.as_slice(), ike.pfs, ike.esp_lifetime), (&[ESP][..], Some(Group::Modp1024), DAY));
        assert_eq!(ike.children, [pair("192.168.0.0/24", "172.16.0.0/16")]);
        assert_eq!(connection.policy.children(), ike.children);
        assert_eq!((connection.interface.as_deref(), connection.next_hop), (Some(interface), None));
        assert_eq!((connection.replay_window, connection.health_check), (1024, None));
    }
    assert_eq!(
        config.tracks,
        [Track {
            id: 1,
            destination: ip("203.0.113.21"),
            via: Via::Outside(0),
            source: None,
            frequency: Duration::from_secs(5),
            timeout: Duration::from_secs(3),
            fail_after: 2,
            recover_after: 1,
            delay_up: Duration::ZERO,
            delay_down: Duration::ZERO,
        }]
    );
    let route = |destination: &str, connection, preference, track| Route {
        destination: destination.parse().unwrap(),
        connection,
        rank: Rank::Preference(preference),
        track,
    };
    assert_eq!(
        config.routes,
        [
            route("172.16.0.0/16", 0, 40, Some(0)),
            route("172.16.0.0/16", 1, 60, None),
            route("172.16.10.1/32", 0, 60, None),
            route("172.16.20.1/32", 1, 60, None),
        ]
    );
}

#[test]
fn the_cloud_example_means_what_it_says() {
    let config = parse(CLOUD);
    assert_eq!(config.warnings, [""; 0]);
    assert_eq!((config.gateway.tun.as_str(), config.gateway.mtu, config.gateway.fail_closed), ("tandem0", None, true));
    assert_eq!(config.gateway.control, Path::new("/run/tandem/cloud.sock"));
    assert_eq!(config.gateway.http, Some("127.0.0.1:9471".parse::<SocketAddr>().unwrap()));

    assert_eq!(config.connections.len(), 2);
    for (connection, (name, remote, source, destination)) in config
        .connections
        .iter()
        .zip([("conn1", "198.51.100.20", "172.16.10.1", "192.168.0.1"), ("conn2", "192.0.2.40", "172.16.20.1", "192.168.0.2")])
    {
        let ike = &connection.ike;
        assert_eq!((ike.name.as_str(), ike.local, ike.remote), (name, ip("203.0.113.21"), ip(remote)));
        assert_eq!(ike.psk.as_bytes(), b"fddsFF123****");
        assert_eq!((&ike.local_id, &ike.remote_id), (&Identity::Address(ip("203.0.113.21")), &Identity::Address(ip(remote))));
        assert_eq!((ike.start, ike.nat_traversal, ike.dpd), (Start::OnTraffic, NatTraversal::Auto, Some(DPD)));
        assert_eq!((ike.ike_proposals.as_slice(), ike.ike_lifetime), (&[IKE][..], DAY));
        assert_eq!((ike.esp_proposals.as_slice(), ike.pfs, ike.esp_lifetime), (&[ESP][..], Some(Group::Modp1024), DAY));
        assert_eq!(ike.children, [pair("172.16.0.0/16", "192.168.0.0/24")]);
        assert_eq!((&connection.interface, connection.next_hop, connection.replay_window), (&None, None, 1024));
        let interval = Duration::from_secs(3);
        let (source, destination) = (ip(source), ip(destination));
        assert_eq!(connection.health_check, Some(HealthCheck { source, destination, interval, retries: 3, reset_tunnel: true }));
        let flow = Flow { local: source, remote: destination, protocol: 1, local_port: 0, remote_port: 0 };
        assert_eq!(connection.policy.decide(&flow), Action::Protect(0));
    }
    assert_eq!(config.tracks, []);
    let route =
        |connection, weight| Route { destination: "192.168.0.0/24".parse().unwrap(), connection, rank: Rank::Weight(weight), track: None };
    assert_eq!(config.routes, [route(0, 100), route(1, 0)]);
    assert!(config.routes[0].rank.order() < config.routes[1].rank.order());
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = parse(&small(
        "psk = \"k\"\nselectors = \"any\"",
        "[[track]]\nid = 7\nicmp_echo = { destination = \"192.0.2.1\", via = \"conn1\" }\n",
    ));
    assert_eq!(config.gateway.control, Path::new("/run/tandem/tandem.sock"));
    assert_eq!((config.gateway.tun.as_str(), config.gateway.http, config.gateway.fail_closed), ("tandem0", None, true));
    let ike = &config.connections[0].ike;
    assert_eq!(
        (ike.start, ike.ike_lifetime, ike.esp_lifetime, ike.pfs, ike.dpd),
        (Start::Always, DAY, DAY, Some(Group::Modp1024), Some(DPD))
    );
    assert_eq!((ike.ike_proposals.as_slice(), ike.esp_proposals.as_slice()), (&[IKE][..], &[ESP][..]));
    assert_eq!(ike.children, [pair("0.0.0.0/0", "0.0.0.0/0")]);
    let track = config.tracks[0];
    assert_eq!((track.frequency, track.timeout, track.fail_after), (Duration::from_secs(5), Duration::from_secs(3), 3));
}

#[test]
fn everything_that_can_be_said_is_understood() {
    let text = r#"
gateway = { tun = "ipsec7", mtu = 1380, control = "run/ctl.sock", http = "[::1]:80", fail_closed = false }

[[acl]]
name = "web"
rules = [
  "deny   ip  host 192.168.0.66 any",
  'permit tcp 192.168.0.0 0.0.0.255 172.16.0.0/16 eq 443',
  "permit 47  192.168.0.0/24 host 172.16.0.9",
  "permit icmp any any",
]

[[connection]]
name = "conn1"
local = "198.51.100.20"
interface = "ge1"
next_hop = "198.51.100.1"
remote = "203.0.113.21"
psk = 'a " b \ # // c'
psk_next = "naïve"
local_id = "@gw.example.com."
remote_id = "203.0.113.99"
start = "passive"
acl = "web"
nat_traversal = "force"
dpd = "off"
health_check = { source = "192.168.0.1", destination = "172.16.10.1", interval = "200ms", retries = 1, reset_tunnel = false }

[connection.ike]
proposals = ["aes256-sha512-group16", "3des-sha384-group15"]
lifetime = 3600

[connection.esp]
proposals = ["aes256gcm16", "aes192-sha256"]
pfs = "disabled"
lifetime = "1h 30m"
replay_window = 64

[[connection]]
name = "six"
local = "198.51.100.20"
remote = "203.0.113.22"
psk = "k"
selectors = { local = "2001:db8:1::1", remote = "2001:db8:2::/48" }
dpd = { delay = 2 }

[[track]]
id = 4000000000
icmp_echo = { destination = "2001:db8:2::5", via = "tunnel:six" }
frequency = "200ms"
fail_after = 2
recover_after = 3
delay_up = 10
delay_down = "1s"

[[track]]
id = 2
icmp_echo = { destination = "172.16.10.1", via = "tunnel:conn1", source = "192.168.0.1" }

[[route]]
destination = "2001:db8:2::/48"
connection = "six"
track = 4000000000

[[route]]
destination = "172.16.10.1"
connection = "conn1"
track = 2
"#;
    let config = Config::parse(text, Path::new("/etc/tandem/tandem.toml")).unwrap();
    let gateway = &config.gateway;
    assert_eq!((gateway.tun.as_str(), gateway.mtu, gateway.fail_closed), ("ipsec7", Some(1380), false));
    assert_eq!(gateway.control, Path::new("/etc/tandem/run/ctl.sock"), "relative paths start at the file");

    let connection = &config.connections[0];
    let ike = &connection.ike;
    assert_eq!(ike.psk.as_bytes(), br#"a " b \ # // c"#);
    assert_eq!(ike.psk_next.as_ref().unwrap().as_bytes(), "naïve".as_bytes());
    assert_eq!((&ike.local_id, &ike.remote_id), (&Identity::Fqdn("gw.example.com".into()), &Identity::Address(ip("203.0.113.99"))));
    assert_eq!((ike.start, ike.nat_traversal, ike.dpd), (Start::Passive, NatTraversal::Force, None));
    assert_eq!((ike.ike_lifetime, ike.esp_lifetime), (Duration::from_secs(3600), Duration::from_secs(5400)));
    assert_eq!(ike.ike_proposals.iter().map(|p| p.group).collect::<Vec<_>>(), [Group::Modp4096, Group::Modp3072]);
    assert_eq!(ike.esp_proposals, [EspTransform::Gcm16(256), EspTransform::Cbc(EncryptionAlgorithm::Aes192, IntegrityAlgorithm::Sha256)]);
    assert_eq!((ike.pfs, connection.replay_window, connection.next_hop), (None, 64, Some(ip("198.51.100.1"))));
    assert_eq!(ike.children.len(), 3, "one for each permit");
    assert_eq!((ike.children[0].remote.protocol, ike.children[0].remote.port, ike.children[0].local.port), (6, 443, 0));
    assert_eq!(connection.policy.rules()[0].action, Action::Discard);
    assert_eq!(connection.policy.rules()[3].action, Action::Protect(2));
    let health = connection.health_check.unwrap();
    assert_eq!((health.interval, health.retries, health.reset_tunnel), (Duration::from_millis(200), 1, false));

    assert_eq!(config.connections[1].ike.dpd, Some(Dpd { delay: Duration::from_secs(2), timeout: Duration::from_secs(30) }));
    let [six, two] = config.tracks.as_slice() else { panic!() };
    assert_eq!((six.id, six.via, six.source), (4_000_000_000, Via::Tunnel(1), Some(ip("2001:db8:1::1"))), "the only local address");
    assert_eq!((six.frequency, six.timeout), (Duration::from_millis(200), Duration::from_secs(3)), "as in the file or by default");
    assert_eq!((six.delay_up, six.delay_down, six.fail_after, six.recover_after), (Duration::from_secs(10), Duration::from_secs(1), 2, 3));
    assert_eq!((two.via, two.source), (Via::Tunnel(0), Some(ip("192.168.0.1"))));
    assert_eq!(config.routes[1].destination, "172.16.10.1/32".parse().unwrap());
}

#[test]
fn all_faults_are_found_in_one_go_in_the_order_of_the_file() {
    let text = small("psk = \"k\"\nselectors = \"all\"\nstart = \"now\"", "weight = 200\n")
        .replace("198.51.100.20", "198.51.100.300")
        .replace("\"172.16.0.0/16\"", "\"172.16.1.0/16\"");
    let errors = Config::parse(&text, Path::new("tandem.toml")).unwrap_err();
    assert_eq!(errors.iter().map(|e| e.position().unwrap().0).collect::<Vec<_>>(), [3, 6, 7, 9, 11]);
    let text = "a =\nb = 1\nc ==\n";
    let errors = Config::parse(text, Path::new("tandem.toml")).unwrap_err();
    assert_eq!(errors.iter().map(|e| e.position().unwrap().0).collect::<Vec<_>>(), [1, 3], "also in the syntax");
    let many = Config::parse(&"x y\n".repeat(5000), Path::new("tandem.toml")).unwrap_err().to_string();
    assert!(many.ends_with("more") && many.lines().count() < 300, "but no flood");
}

#[test]
fn columns_count_characters_and_control_characters_stay_out_of_the_terminal() {
    let said = refused(&small("psk = \"k\"\nselectors = \"any\"\n\tinterface = \"é\\u001b[31m/\"", ""));
    assert!(said.starts_with("tandem.toml:7:14: `interface` = \"é\\u{1b}[31m/\" cannot be"), "{said}");
    let said = refused("x = \"\u{1b}[31mred\"\n");
    assert!(!said.contains('\u{1b}') && said.contains("tandem.toml:1:6"), "{said}");
    let said = refused(&small("psk = \"k\"\r\nselectors = \"all\"\r", ""));
    assert!(said.contains("\n6 | selectors = \"all\"\n  |             ^^^^^ expected"), "{said:?}");
}

#[test]
fn warnings_name_the_traps_with_their_lines() {
    let trap = |connection: &str, rest: &str| parse(&small(connection, rest)).warnings;
    let acl = |rules: &str| format!("[[acl]]\nname = \"100\"\nrules = [{rules}]\n");
    assert_eq!(
        trap("psk = \"k\"\nacl = \"100\"", &acl("\"permit ip 192.168.0.0 0.0.0.255 172.16.0.0 0.0.0.255\"")),
        ["tandem.toml:8: the route to 172.16.0.0/16 reaches beyond what conn1 protects (172.16.0.0/24); packets to the rest are dropped: \
             widen the selectors to 172.16.0.0/16 on both ends, or narrow the route"]
    );
    let halves = "\"permit ip any 172.16.0.0/17\", \"permit ip any 172.16.128.0/17\"";
    assert_eq!(trap("psk = \"k\"\nacl = \"100\"", &acl(halves)), [""; 0], "two halves are the whole");
    assert_eq!(
        trap("psk = \"k\"\nacl = \"100\"", &acl("\"permit ip any any\",\n\"deny tcp any 172.16.0.0/16\"")),
        ["tandem.toml:13: this rule of \"100\" never decides: the rule on line 12 covers it, and the first match wins"]
    );
    assert_eq!(
        trap("psk = \"k\"\nselectors = \"any\"", &acl("\"permit ip any any\"")),
        ["tandem.toml:11: no connection uses the access list \"100\""]
    );
    assert_eq!(
        trap("psk = \"k\"\nselectors = \"any\"\ninterface = \"ge1\"\nnext_hop = \"198.51.100.20\"", ""),
        ["tandem.toml:8: the next hop 198.51.100.20 is our own address (`local` of conn1); it must be the router towards 203.0.113.21, \
             and a [[route]] names its connection instead"]
    );
    assert_eq!(
        trap("psk = \"k\"\nselectors = \"any\"", "[[route]]\ndestination = \"172.16.0.0/16\"\nconnection = \"conn1\"\npreference = 60\n"),
        ["tandem.toml:13: two routes to 172.16.0.0/16 with the preference 60 (the other on line 7): the first in the file wins"]
    );
    assert_eq!(
        trap("psk = \"k\"\nselectors = \"any\"", "[[route]]\ndestination = \"any\"\nconnection = \"conn1\"\n"),
        ["tandem.toml:4: the route to 0.0.0.0/0 takes in the peer's own address 203.0.113.21, and conn1 has no `interface`: \
             its packets would enter the tunnel that they carry"]
    );
    let track =
        "track = 1\n[[track]]\nid = 1\nicmp_echo = { destination = \"172.16.1.10\", via = \"conn1\" }\nfrequency = 1\ntimeout = 2\n";
    assert_eq!(
        trap("psk = \"k\"\nselectors = \"any\"", track),
        [
            "tandem.toml:12: track 1 probes 172.16.1.10 outside the tunnel, but the route to 172.16.0.0/16 leads it into one; \
             via = \"tunnel:conn1\" tests the tunnel",
            "tandem.toml:12: track 1 is bound to conn1's address but to no `interface`: it can pass through another uplink",
            "tandem.toml:15: `timeout` (default 3s) is longer than `frequency`: a probe is still open when the next one leaves",
        ]
    );
    let weak =
        "psk = \"k\"\nselectors = \"any\"\nike = { proposals = [\"des-md5-group1\"], lifetime = \"2d\" }\nesp = { pfs = \"group1\" }";
    assert_eq!(
        trap(weak, ""),
        [
            "tandem.toml:7: des is weak; use it only if the peer knows nothing better",
            "tandem.toml:7: md5 is weak; use it only if the peer knows nothing better",
            "tandem.toml:7: group1 is weak; use it only if the peer knows nothing better",
            "tandem.toml:7: the lifetime is longer than 24h, the most that the cloud takes",
            "tandem.toml:8: group1 is weak; use it only if the peer knows nothing better",
        ]
    );
    let alone = small("psk = \"k\"\nselectors = \"any\"", "").split("[[route]]").next().unwrap().to_owned();
    assert_eq!(parse(&alone).warnings, ["tandem.toml:2: no route leads through conn1: it can receive, but nothing is sent through it"]);
}

fn write(directory: &Path, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn a_file_that_is_no_configuration_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let said = |path: &Path| Config::load(path).unwrap_err().to_string().replace(directory.path().to_str().unwrap(), "DIR");
    assert_eq!(said(&directory.path().join("none.toml")), "DIR/none.toml: cannot be read: no such file or directory; expected a file");
    assert_eq!(said(directory.path()), "DIR: is a directory; expected a file");
    assert_eq!(said(Path::new("/dev/null")), "/dev/null: is no regular file; expected a file");
    let fifo = directory.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert_eq!(said(&fifo), "DIR/fifo: is no regular file; expected a file", "and nobody waits for a writer");
    let large = write(directory.path(), "large.toml", vec![b'#'; (1 << 20) + 1], 0o600);
    assert_eq!(said(&large), "DIR/large.toml: is larger than 1048576 bytes; expected the right file");
    let latin = write(directory.path(), "latin.toml", b"[gateway]\ntun = \"caf\xe9\"\n", 0o600);
    assert_eq!(
        said(&latin),
        "DIR/latin.toml:2:11: the byte 0xe9 is no UTF-8\n  |\n2 | tun = \"caf\u{fffd}\"\n  |           ^ expected a TOML file, in UTF-8"
    );
    let empty = write(directory.path(), "empty.toml", "", 0o600);
    assert_eq!(said(&empty), "DIR/empty.toml:1:1: there is no [[connection]]\n  |\n1 | \n  | ^ expected one or more");
}

#[test]
fn a_key_file_gives_its_bytes_less_one_newline() {
    let directory = tempfile::tempdir().unwrap();
    let config = write(directory.path(), "tandem.toml", small("psk_file = \"conn1.psk\"\nselectors = \"any\"", ""), 0o644);
    for (content, key) in [
        (&b"simple"[..], &b"simple"[..]),
        (b"simple\n", b"simple"),
        (b"two\n\n", b"two\n"),
        (b" \"#//'\xff\x00\n", b" \"#//'\xff\x00"),
        (&[b'x'; 100], &[b'x'; 100]),
        (b"1", b"1"),
    ] {
        write(directory.path(), "conn1.psk", content, 0o600);
        let config = Config::load(&config).unwrap();
        assert_eq!(config.connections[0].ike.psk.as_bytes(), key);
        assert_eq!(config.warnings, [""; 0], "the configuration itself holds no secret");
    }
}

#[test]
fn a_key_file_that_others_can_read_or_that_is_empty_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let text = small("psk = \"k\"\npsk_next_file = \"next.psk\"\nselectors = \"any\"", "");
    let config = write(directory.path(), "tandem.toml", &text, 0o600);
    let said = || match Config::load(&config) {
        Ok(_) => "nothing".to_owned(),
        Err(errors) => errors.to_string().lines().next().unwrap().replace(directory.path().to_str().unwrap(), "DIR"),
    };
    for (mode, fits) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o644, false), (0o620, false)] {
        write(directory.path(), "next.psk", "the next key", 0o600);
        fs::set_permissions(directory.path().join("next.psk"), fs::Permissions::from_mode(mode)).unwrap();
        let expected = format!("DIR/tandem.toml:6:17: `psk_next_file`: DIR/next.psk is open to others (mode {mode:04o})");
        assert_eq!(said(), if fits { "nothing".to_owned() } else { expected });
    }
    for empty in ["", "\n"] {
        fs::remove_file(directory.path().join("next.psk")).unwrap();
        write(directory.path(), "next.psk", empty, 0o600);
        assert_eq!(said(), "DIR/tandem.toml:6:17: `psk_next_file`: DIR/next.psk is empty");
    }
    write(directory.path(), "next.psk", [b'x'; 4097], 0o600);
    assert_eq!(said(), "DIR/tandem.toml:6:17: `psk_next_file`: DIR/next.psk is larger than 4096 bytes");
}

#[test]
fn a_page_beyond_loopback_needs_a_token_that_is_secret() {
    let directory = tempfile::tempdir().unwrap();
    let text =
        format!("[gateway]\nhttp = \"0.0.0.0:9470\"\nhttp_token_file = \"token\"\n{}", small("psk = \"k\"\nselectors = \"any\"", ""));
    let config = write(directory.path(), "tandem.toml", text, 0o600);
    write(directory.path(), "token", "0123456789abcdef", 0o600);
    assert_eq!(Config::load(&config).unwrap().gateway.http_token_file, Some(directory.path().join("token")));
    write(directory.path(), "token", "0123456789abcdef", 0o644);
    assert!(Config::load(&config).unwrap_err().to_string().contains("is open to others (mode 0644)"));
}

#[test]
fn a_configuration_with_a_key_that_others_can_read_gets_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "tandem.toml", small("psk = \"k\"\nselectors = \"any\"", ""), 0o644);
    let expected =
        format!("{}:2: this file holds a key and others can read it: chmod 600, or put the key into a `psk_file`", path.display());
    assert_eq!(Config::load(&path).unwrap().warnings, [expected]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(Config::load(&path).unwrap().warnings, [""; 0]);
}

#[test]
fn a_secret_never_shows_however_broken_its_line_is() {
    for line in [
        // Syntax.
        "psk = \"SECRET",
        "psk = SECRET",
        "psk = 'SECRET\"",
        "psk \"SECRET\"",
        "psk: SECRET",
        "psk",
        "psk =\n\"SECRET\"",
        "psk = \"SEC\\qRET SECRET\"",
        "psk = \"SECRET\" \"SECRET\"",
        "psk = \"SECRET\"\npsk = \"SECRET\"",
        "psk = \"\"\"\nname = \"SECRET\"\nSECRET\n",
        "psk = '''\nSECRET",
        "psk = '''\nx = SECRET\n''' SECRET",
        "psk = [\n\"SECRET\" \"SECRET\"\n]",
        "psk = { name = \"SECRET\" \"SECRET\" }",
        "\"psk\" = SECRET",
        "'psk_next' = SECRET",
        "\"p\\u0073k\" = SECRET",
        "psk_next = \u{1b}\"SECRET\"",
        "name = \"x\", psk = \"SECRET\"",
        "local_id = \"x\" # the psk is SECRET",
        "SECRET",
        // What is written, and what it is called.
        "psk = 1234SECRET",
        "psk = [\"SECRET\"]",
        "psk = { file = \"SECRET\" }",
        "pks = \"SECRET\"",
        "pskk = \"SECRET\"",
        "PSK = \"SECRET\"",
        "psk-next = \"SECRET\"",
        "pre_shared_key = \"SECRET\"",
        "secret = SECRET",
        "psk = \"SECRET\"\npsk_file = \"/nonexistent\"",
        "psk = \"SECRET\"\npsk_next = 5",
        "ike = { psk = \"SECRET\" }",
        "esp = { lifetime = \"x\", key = \"SECRET\" }",
    ] {
        for text in
            [small(&format!("{line}\nselectors = \"any\"\n"), ""), small("selectors = \"any\"\nstart = \"never\"\n", line), line.to_owned()]
        {
            let errors = Config::parse(&text, Path::new("tandem.toml")).unwrap_err();
            for shown in [errors.to_string(), format!("{errors:?}"), format!("{errors:#?}")] {
                assert!(!shown.contains("SEC") && !shown.contains("RET"), "{line}\n{shown}");
            }
        }
    }
}

#[test]
fn a_whole_connection_on_one_line_hides_its_key() {
    let text = "connection = [{ name = \"conn1\", psk = \"SECRET\", local = \"1.2.3\", colour = 1 }]";
    let said = refused(text);
    assert!(!said.contains("SECRET"), "{said}");
    assert!(said.contains("connection = [{ name = \"conn1\", psk = ***"), "{said}");
    let config = parse(&small("psk = \"SECRET\"\npsk_next = \"SECRET\"\nselectors = \"any\"", ""));
    assert!(!format!("{config:?}").contains("SECRET"));
}

#[test]
fn check_says_what_a_configuration_means() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "onprem.toml", ONPREM, 0o640);
    let report = tandem::check::run(&path);
    assert_eq!(report.exit_status(), 0);
    assert_eq!(
        report.text.replace(directory.path().to_str().unwrap(), "DIR"),
        "warning: DIR/onprem.toml:12: this file holds a key and others can read it: chmod 600, or put the key into a `psk_file`
DIR/onprem.toml: OK (2 connections, 1 track, 4 routes, 1 warning)
  connection conn1: 198.51.100.20 on ge1 to 203.0.113.21, always up
    ike aes128-sha1-group2; esp aes128-sha1, PFS group2
    protects 192.168.0.0/24 to 172.16.0.0/16
  connection conn2: 192.0.2.40 on ge2 to 203.0.113.21, always up
    ike aes128-sha1-group2; esp aes128-sha1, PFS group2
    protects 192.168.0.0/24 to 172.16.0.0/16
  track 1: 203.0.113.21 outside the tunnel of conn1, every 5s, negative after 2 losses
  route 172.16.0.0/16 through conn1, preference 40, track 1
  route 172.16.0.0/16 through conn2, preference 60
  route 172.16.10.1/32 through conn1, preference 60
  route 172.16.20.1/32 through conn2, preference 60
"
    );
    let path = write(directory.path(), "cloud.toml", CLOUD.replace("weight      = 0", "weight      = 100"), 0o600);
    let report = tandem::check::run(&path);
    assert_eq!(report.exit_status(), 2);
    let expected = "DIR/cloud.toml:37:15: two routes to 192.168.0.0/24 with the weight 100\n   |\n37 | weight      = 100\n   |               ^^^ expected 100 for the active and 0 for the standby; the other is on line 32\n";
    assert_eq!(report.text.replace(directory.path().to_str().unwrap(), "DIR"), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_damaged_file_never_panics_and_never_shows_its_key(
        cloud in any::<bool>(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, ".{0,6}|[\\[\\]{}\"'=,#\\n]{1,4}"), 1..8),
    ) {
        let mut chars: Vec<char> = if cloud { CLOUD } else { ONPREM }.chars().collect();
        for (at, gone, new) in cuts {
            let at = at.index(chars.len());
            let to = (at + gone).min(chars.len());
            // Damage must not make the key itself something else that would be right to show, such as a name.
            let window: String = chars[at.saturating_sub(40)..(to + 40).min(chars.len())].iter().collect();
            if !window.contains("psk") {
                chars.splice(at..to, new.chars());
            }
        }
        let text: String = chars.into_iter().collect();
        if let Err(errors) = Config::parse(&text, Path::new("tandem.toml")) {
            prop_assert!(errors.iter().count() > 0);
            prop_assert!(!errors.to_string().contains("fddsFF"), "{}", errors);
        }
    }

    #[test]
    fn any_damage_at_all_never_panics(cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..30, any::<String>()), 1..6)) {
        let mut chars: Vec<char> = ONPREM.chars().collect();
        for (at, gone, new) in cuts {
            let at = at.index(chars.len());
            let to = (at + gone).min(chars.len());
            chars.splice(at..to, new.chars());
        }
        let text: String = chars.into_iter().collect();
        let _ = Config::parse(&text, Path::new("tandem.toml")).map_err(|errors| errors.to_string());
    }

    #[test]
    fn any_text_in_any_value_never_panics(value in any::<String>(), key in 0usize..30) {
        let quoted = serde_json::to_string(&value).unwrap();
        let mut index = 0;
        let text: Vec<String> = CLOUD.lines().map(|line| {
            index += usize::from(line.contains('='));
            match line.split_once('=') {
                Some((name, _)) if index == key => format!("{name}= {quoted}"),
                _ => line.to_owned(),
            }
        }).collect();
        let _ = Config::parse(&text.join("\n"), Path::new("tandem.toml")).map_err(|errors| errors.to_string());
    }

    #[test]
    fn any_access_list_rule_never_panics(rule in "(permit|deny|.{0,4}) (ip|tcp|udp|icmp|[0-9]{1,3}) ([0-9./]{0,18}|any|host|eq|[0-9:a-f/]{0,9}| ){0,9}.{0,8}") {
        let text = small("psk = \"k\"\nacl = \"a\"", &format!("[[acl]]\nname = \"a\"\nrules = [{}]\n", serde_json::to_string(&rule).unwrap()));
        let _ = Config::parse(&text, Path::new("tandem.toml")).map_err(|errors| errors.to_string());
    }
}
