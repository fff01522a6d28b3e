//! Configurations, as text: the scenario's two gateways with cheap algorithms, and a third one.

use std::net::IpAddr;
use std::path::Path;

use tandem::config::Config;

/// What varies between the runs.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Connections between the two ends: 1 or 2.
    pub(crate) connections: usize,
    /// Of phase 1.
    pub(crate) group: &'static str,
    pub(crate) pfs: &'static str,
    pub(crate) ike_lifetime: &'static str,
    pub(crate) esp_lifetime: &'static str,
    pub(crate) nat_traversal: &'static str,
    /// `start` of the cloud's end.
    pub(crate) cloud_start: &'static str,
    /// The cloud checks the tunnels' health.
    pub(crate) health_checks: bool,
    /// The on-premises end tracks the first path.
    pub(crate) track: bool,
    /// More selectors under the same ISAKMP SA.
    pub(crate) children: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            connections: 2,
            group: "group1",
            pfs: "disabled",
            ike_lifetime: "24h",
            esp_lifetime: "24h",
            nat_traversal: "auto",
            cloud_start: "on-traffic",
            health_checks: false,
            track: true,
            children: 1,
        }
    }
}

/// The outer addresses of the on-premises end, by connection.
pub(crate) const ONPREM: [&str; 2] = ["198.51.100.20", "192.0.2.40"];
/// The outer address of the cloud.
pub(crate) const CLOUD: &str = "203.0.113.21";
/// The on-premises interfaces, by connection.
pub(crate) const LINKS: [&str; 2] = ["ge1", "ge2"];

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Inner addresses for which this connection is the only or the preferred way: the on-premises side's and the cloud's.
pub(crate) fn hosts(connection: usize) -> (IpAddr, IpAddr) {
    (ip(&format!("192.168.0.{}", connection + 1)), ip(&format!("172.16.{}.1", (connection + 1) * 10)))
}

impl Setup {
    fn algorithms(&self) -> String {
        format!(
            "ike = {{ proposals = [\"aes128-sha1-{}\"], lifetime = \"{}\" }}\n\
             esp = {{ proposals = [\"aes128-sha1\"], pfs = \"{}\", lifetime = \"{}\" }}\nnat_traversal = \"{}\"\n",
            self.group, self.ike_lifetime, self.pfs, self.esp_lifetime, self.nat_traversal
        )
    }

    /// The access lists, seen from the on-premises end: `children` pairs of proxy identities.
    fn acl(&self, mirrored: bool) -> String {
        let rule = |child: usize| {
            let (ours, theirs) = match child {
                0 => ("192.168.0.0/24".to_owned(), "172.16.0.0/16".to_owned()),
                n => (format!("192.168.{n}.0/24"), format!("172.{}.0.0/16", 16 + n)),
            };
            if mirrored { format!("\"permit ip {theirs} {ours}\"") } else { format!("\"permit ip {ours} {theirs}\"") }
        };
        let rules: Vec<_> = (0..self.children).map(rule).collect();
        format!("[[acl]]\nname = \"100\"\nrules = [{}]\n", rules.join(", "))
    }

    /// The on-premises end: `start = "always"`, the first path tracked, a /32 for each connection.
    pub(crate) fn onprem(&self) -> Config {
        let mut text = "[gateway]\ntun = \"tandem0\"\n".to_owned() + &self.acl(false);
        for (c, local) in ONPREM.iter().enumerate().take(self.connections) {
            text += &format!(
                "[[connection]]\nname = \"conn{}\"\nlocal = \"{}\"\ninterface = \"{}\"\nremote = \"{CLOUD}\"\npsk = \"fddsFF123****\"\n\
                 start = \"always\"\nacl = \"100\"\n{}",
                c + 1,
                local,
                LINKS[c],
                self.algorithms()
            );
        }
        if self.track {
            text += &format!(
                "[[track]]\nid = 1\nicmp_echo = {{ destination = \"{CLOUD}\", via = \"conn1\" }}\n\
                 frequency = \"5s\"\ntimeout = \"3s\"\nfail_after = 2\n"
            );
        }
        for c in 0..self.connections {
            let (_, theirs) = hosts(c);
            let rank = if c == 0 { "preference = 40\n" } else { "" };
            let track = if c == 0 && self.track { "track = 1\n" } else { "" };
            text += &format!("[[route]]\ndestination = \"172.16.0.0/16\"\nconnection = \"conn{}\"\n{rank}{track}", c + 1);
            text += &format!("[[route]]\ndestination = \"{theirs}/32\"\nconnection = \"conn{}\"\n", c + 1);
        }
        for n in 1..self.children {
            text += &format!("[[route]]\ndestination = \"172.{}.0.0/16\"\nconnection = \"conn1\"\n", 16 + n);
        }
        Config::parse(&text, Path::new("onprem.toml")).unwrap()
    }

    /// The cloud's end.
    pub(crate) fn cloud(&self) -> Config {
        let mut text = "[gateway]\ntun = \"tandem0\"\n".to_owned() + &self.acl(true);
        for (c, remote) in ONPREM.iter().enumerate().take(self.connections) {
            let (ours, theirs) = hosts(c);
            let health = match self.health_checks {
                true => format!("health_check = {{ source = \"{theirs}\", destination = \"{ours}\", interval = \"3s\", retries = 3 }}\n"),
                false => String::new(),
            };
            text += &format!(
                "[[connection]]\nname = \"conn{}\"\nlocal = \"{CLOUD}\"\nremote = \"{}\"\npsk = \"fddsFF123****\"\nstart = \"{}\"\nacl = \"100\"\n{}{health}",
                c + 1,
                remote,
                self.cloud_start,
                self.algorithms()
            );
        }
        for c in 0..self.connections {
            let (ours, _) = hosts(c);
            let weight = if c == 0 { 100 } else { 0 };
            text += &format!("[[route]]\ndestination = \"192.168.0.0/24\"\nconnection = \"conn{}\"\nweight = {weight}\n", c + 1);
            text += &format!("[[route]]\ndestination = \"{ours}/32\"\nconnection = \"conn{}\"\n", c + 1);
        }
        for n in 1..self.children {
            text += &format!("[[route]]\ndestination = \"192.168.{n}.0/24\"\nconnection = \"conn1\"\n");
        }
        Config::parse(&text, Path::new("cloud.toml")).unwrap()
    }
}

/// Three gateways, each with a connection to each of the others, all of them `always`.
pub(crate) fn triangle() -> [Config; 3] {
    std::array::from_fn(|end| {
        let mut text = "[gateway]\ntun = \"tandem0\"\n".to_owned();
        for peer in (0..3).filter(|&peer| peer != end) {
            text += &format!(
                "[[connection]]\nname = \"to{peer}\"\nlocal = \"198.51.100.{}\"\nremote = \"198.51.100.{}\"\npsk = \"key\"\nstart = \"always\"\n\
                 selectors = {{ local = \"10.{end}.0.0/16\", remote = \"10.{peer}.0.0/16\" }}\n{}\
                 [[route]]\ndestination = \"10.{peer}.0.0/16\"\nconnection = \"to{peer}\"\n",
                end + 1,
                peer + 1,
                Setup { ike_lifetime: "10m", esp_lifetime: "5m", ..Setup::default() }.algorithms(),
            );
        }
        Config::parse(&text, Path::new("triangle.toml")).unwrap()
    })
}
