//! The document that `tandem status --json` and `GET /api/status` show, and its form for people.
//!
//! Every member is always present; what is unknown is `null`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// The whole document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Seconds since start.
    pub uptime_s: f64,
    /// Connections, in the order of the configuration.
    pub connections: Vec<ConnectionStatus>,
    /// Tracks.
    pub tracks: Vec<TrackStatus>,
    /// Routes.
    pub routes: Vec<RouteStatus>,
    /// Every reason a packet can be dropped, with how many were.
    pub drops: BTreeMap<String, u64>,
}

/// One connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the members are described in the interface, in the same words")]
pub struct ConnectionStatus {
    pub name: String,
    pub local: String,
    pub remote: String,
    pub state: String,
    pub role: Option<String>,
    pub encapsulation: Option<String>,
    pub nat: Option<String>,
    pub ike_proposal: Option<String>,
    pub established_s: Option<f64>,
    pub rekey_in_s: Option<f64>,
    pub health: String,
    pub children: Vec<ChildStatus>,
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub last_error: Option<ErrorStatus>,
}

/// One IPsec SA pair.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as above")]
pub struct ChildStatus {
    pub local: String,
    pub remote: String,
    pub esp_proposal: String,
    pub pfs: String,
    pub spi_in: String,
    pub spi_out: String,
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub rekey_in_s: Option<f64>,
}

/// Why the last negotiation failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as above")]
pub struct ErrorStatus {
    pub code: String,
    pub message: String,
    pub advice: String,
}

/// One track.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as above")]
pub struct TrackStatus {
    pub id: u32,
    pub state: String,
    pub sent: u64,
    pub received: u64,
    pub rtt_ms: Option<f64>,
}

/// One route.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as above")]
pub struct RouteStatus {
    pub destination: String,
    pub connection: String,
    pub preference: Option<u32>,
    pub weight: Option<u32>,
    pub track: Option<u32>,
    pub state: String,
}

/// Seconds with a digit more than a person needs, so that documents stay readable.
pub fn seconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

impl Status {
    /// The form for people: a few lines for each connection, then tracks, routes and drops.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write_text(&mut text).unwrap_or_default();
        text
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "tandem {}, up {}", self.version, people_seconds(self.uptime_s))?;
        for c in &self.connections {
            writeln!(out, "\n{}  {} -> {}  {}", c.name, c.local, c.remote, c.state)?;
            if let (Some(role), Some(encapsulation), Some(proposal)) = (&c.role, &c.encapsulation, &c.ike_proposal) {
                let nat = c.nat.as_deref().unwrap_or("none");
                write!(out, "    IKE {proposal}, {role}, ESP in {encapsulation}, NAT {nat}")?;
                match c.rekey_in_s {
                    Some(left) => writeln!(out, ", rekey in {}", people_seconds(left))?,
                    None => writeln!(out)?,
                }
            }
            for child in &c.children {
                writeln!(
                    out,
                    "    {} <-> {}  {} pfs {}  in {} out {}  rekey in {}",
                    child.local,
                    child.remote,
                    child.esp_proposal,
                    child.pfs,
                    child.spi_in,
                    child.spi_out,
                    child.rekey_in_s.map_or("-".to_owned(), people_seconds)
                )?;
            }
            writeln!(
                out,
                "    in {} packets, {}   out {} packets, {}   health {}",
                c.packets_in,
                people_bytes(c.bytes_in),
                c.packets_out,
                people_bytes(c.bytes_out),
                c.health
            )?;
            if let Some(error) = &c.last_error {
                writeln!(out, "    last error {}: {}\n      {}", error.code, error.message, error.advice)?;
            }
        }
        if !self.tracks.is_empty() {
            writeln!(out)?;
        }
        for t in &self.tracks {
            let rtt = t.rtt_ms.map_or(String::new(), |ms| format!(", {ms:.1} ms"));
            writeln!(out, "track {}  {}  {} of {} answered{rtt}", t.id, t.state, t.received, t.sent)?;
        }
        if !self.routes.is_empty() {
            writeln!(out)?;
        }
        for r in &self.routes {
            let rank = match (r.preference, r.weight) {
                (_, Some(weight)) => format!("weight {weight}"),
                (preference, None) => format!("preference {}", preference.unwrap_or_default()),
            };
            let track = r.track.map_or(String::new(), |id| format!(", track {id}"));
            writeln!(out, "route {} by {}  {rank}{track}  {}", r.destination, r.connection, r.state)?;
        }
        let drops: Vec<String> = self.drops.iter().filter(|(_, n)| **n > 0).map(|(name, n)| format!("{name} {n}")).collect();
        if !drops.is_empty() {
            writeln!(out, "\ndropped: {}", drops.join(", "))?;
        }
        Ok(())
    }
}

fn people_seconds(seconds: f64) -> String {
    humantime::format_duration(std::time::Duration::from_secs(seconds.max(0.0) as u64)).to_string()
}

fn people_bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}
