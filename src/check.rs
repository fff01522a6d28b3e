//! `tandem check`: what a configuration means in a few lines, or what is wrong with it.

use std::fmt::Write;
use std::path::Path;

use tandem_ike::{Start, TrafficSelectors};

use crate::config::names::{esp_name, group_name, ike_name};
use crate::config::{Config, Connection, Rank, Route, Via};

/// What the command says, and with which exit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Text for people, with a final newline.
    pub text: String,
    /// Whether the configuration can be used.
    pub usable: bool,
}

impl Report {
    /// 0 if the configuration can be used, else 2, the status of a wrong configuration.
    pub fn exit_status(&self) -> u8 {
        if self.usable { 0 } else { 2 }
    }
}

/// Checks one configuration file.
pub fn run(path: &Path) -> Report {
    match Config::load(path) {
        Ok(config) => Report { text: summary(path, &config), usable: true },
        Err(errors) => Report { text: format!("{errors}\n"), usable: false },
    }
}

/// The configuration as it was understood, warnings first.
pub fn summary(path: &Path, config: &Config) -> String {
    let mut lines: Vec<String> = config.warnings.iter().map(|warning| format!("warning: {warning}")).collect();
    lines.push(format!(
        "{}: OK ({}, {}, {}, {})",
        path.display(),
        count(config.connections.len(), "connection"),
        count(config.tracks.len(), "track"),
        count(config.routes.len(), "route"),
        count(config.warnings.len(), "warning"),
    ));
    for connection in &config.connections {
        lines.extend(connection_lines(connection));
    }
    for track in &config.tracks {
        let way = match track.via {
            Via::Outside(index) => format!("outside the tunnel of {}", name(config, index)),
            Via::Tunnel(index) => format!("through the tunnel of {}", name(config, index)),
        };
        let frequency = humantime::format_duration(track.frequency);
        let after = count(track.fail_after as usize, "loss");
        lines.push(format!("  track {}: {} {way}, every {frequency}, negative after {after}", track.id, track.destination));
    }
    for route in &config.routes {
        lines.push(format!("  route {}", route_line(config, route)));
    }
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    })
}

fn connection_lines(connection: &Connection) -> Vec<String> {
    let ike = &connection.ike;
    let interface = connection.interface.as_ref().map(|i| format!(" on {i}")).unwrap_or_default();
    let start = match ike.start {
        Start::Always => "always up",
        Start::OnTraffic => "on traffic",
        Start::Passive => "answers only",
    };
    let proposals = ike.ike_proposals.iter().map(ike_name).collect::<Vec<_>>().join(", ");
    let transforms = ike.esp_proposals.iter().map(esp_name).collect::<Vec<_>>().join(", ");
    let pfs = ike.pfs.map_or("no PFS".to_owned(), |group| format!("PFS {}", group_name(group)));
    let mut lines = vec![
        format!("  connection {}: {}{interface} to {}, {start}", ike.name, ike.local, ike.remote),
        format!("    ike {proposals}; esp {transforms}, {pfs}"),
    ];
    lines.extend(ike.children.iter().map(|child| format!("    protects {}", selectors(child))));
    if let Some(health) = &connection.health_check {
        let interval = humantime::format_duration(health.interval);
        let retries = count(health.retries as usize, "loss");
        lines.push(format!("    health check {} to {}, every {interval}, failed after {retries}", health.source, health.destination));
    }
    lines
}

fn selectors(child: &TrafficSelectors) -> String {
    let port = |port: u16| if port == 0 { String::new() } else { format!(" port {port}") };
    let protocol = match child.local.protocol {
        0 => String::new(),
        number => format!(" (protocol {number})"),
    };
    format!("{}{} to {}{}{protocol}", child.local.net, port(child.local.port), child.remote.net, port(child.remote.port))
}

fn route_line(config: &Config, route: &Route) -> String {
    let rank = match route.rank {
        Rank::Preference(preference) => format!("preference {preference}"),
        Rank::Weight(weight) => format!("weight {weight}"),
    };
    let track = route.track.and_then(|index| config.tracks.get(index)).map(|track| format!(", track {}", track.id)).unwrap_or_default();
    format!("{} through {}, {rank}{track}", route.destination, name(config, route.connection))
}

fn name(config: &Config, index: usize) -> &str {
    config.connections.get(index).map_or("?", |connection| connection.ike.name.as_str())
}

fn count(number: usize, what: &str) -> String {
    match (number, what) {
        (1, what) => format!("1 {what}"),
        (number, "loss") => format!("{number} losses"),
        (number, what) => format!("{number} {what}s"),
    }
}
