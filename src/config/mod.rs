//! The configuration: one TOML file becomes a [`Config`] in which nothing needs to be checked again, or a list of every fault found.
//!
//! ```text
//!  file -> TOML document -> typed values, fault by fault -> names resolved -> traps named -> Config
//!  file.rs     toml crate   read.rs, connection.rs, routing.rs (acl.rs, names.rs)   traps.rs
//!  every fault: error.rs; its line, with secrets masked: source.rs
//! ```

mod acl;
mod connection;
mod error;
mod file;
pub(crate) mod names;
mod read;
mod routing;
mod source;
mod traps;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use tandem_ike::ConnectionConfig;

use toml::de::DeTable;
use zeroize::Zeroizing;

pub use error::{ConfigError, ConfigErrors};
use read::{Ledger, Section, quoted};

use crate::policy::Policy;

/// Where the control socket is if nothing is said.
pub const DEFAULT_CONTROL: &str = "/run/tandem/tandem.sock";

/// A whole configuration file.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[gateway]`.
    pub gateway: Gateway,
    /// `[[connection]]`, in the order of the file; a connection's index here is its `ConnectionId`.
    pub connections: Vec<Connection>,
    /// `[[track]]`.
    pub tracks: Vec<Track>,
    /// `[[route]]`.
    pub routes: Vec<Route>,
    /// What is allowed but unwise, one sentence each with its line.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads a configuration file and the files it names.
    ///
    /// # Errors
    /// Every fault found: of the file itself, its syntax, or what it says.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let (bytes, readable_by_others) =
            file::config(path).map_err(|(message, expected)| ConfigErrors::of_file(path, message, expected))?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => read(text, path, readable_by_others),
            Err(error) => Err(not_utf8(&bytes, error.valid_up_to(), path)),
        }
    }

    /// Reads a configuration from text; `origin` names it in errors, and relative paths start at its directory.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, origin: &Path) -> Result<Self, ConfigErrors> {
        read(text, origin, false)
    }
}

/// The whole way from text to configuration.
fn read(text: &str, origin: &Path, readable_by_others: bool) -> Result<Config, ConfigErrors> {
    let mut ledger = Ledger::new(text, origin);
    let (document, broken) = DeTable::parse_recoverable(text);
    for error in &broken {
        let (message, expected) = match error.message().split_once(", expected ") {
            Some((message, expected)) => (message, format!("expected {expected}")),
            None if error.message() == "duplicate key" => ("a key for the second time", "expected every key once in its table".into()),
            None => (error.message(), "expected TOML (https://toml.io)".into()),
        };
        ledger.error(error.span().unwrap_or(0..0), format!("not TOML: {message}"), expected);
    }
    // What recovery makes of broken syntax would only bring faults that are not there.
    if !broken.is_empty() {
        return Err(ledger.into_errors());
    }
    let root = Section::of(&mut ledger, document.get_ref(), 0..0, String::new(), "");
    let gateway = routing::gateway(&mut ledger, &root);
    let mut acls = connection::acls(&mut ledger, &root);
    let sections = root.tables(&mut ledger, "connection");
    if !root.has("connection") {
        ledger.error(0..0, "there is no [[connection]]", "expected one or more");
    }
    // Without what the names refer to, every reference would be one more fault.
    if sections.is_empty() || (acls.is_empty() && root.has("acl")) {
        return Err(ledger.into_errors());
    }
    let drafts: Vec<_> = sections.iter().map(|section| connection::read(&mut ledger, section, &mut acls)).collect();
    unique(&mut ledger, &drafts);
    let tracks = routing::tracks(&mut ledger, &root, &drafts);
    if tracks.is_empty() && root.has("track") {
        return Err(ledger.into_errors());
    }
    let routes = routing::routes(&mut ledger, &root, &drafts, &tracks);
    if readable_by_others && let Some(draft) = drafts.iter().find(|draft| draft.holds_psk) {
        let sentence = "this file holds a key and others can read it: chmod 600, or put the key into a `psk_file`";
        ledger.warn(draft.places.name.clone(), sentence);
    }

    let places: Vec<_> = tracks.iter().filter_map(|(id, _)| Some(id.as_ref()?.span())).collect();
    let tracks: Vec<Track> = tracks.into_iter().filter_map(|(_, track)| track).collect();
    let connections: Vec<Connection> = drafts.iter().filter_map(|draft| draft.connection.clone()).collect();
    for (draft, connection) in drafts.iter().zip(&connections).filter(|(_, c)| c.interface.as_ref() == Some(&gateway.tun)) {
        let message = format!("the `interface` of {} is the TUN device", connection.ike.name);
        ledger.error(draft.places.name.clone(), message, "expected the interface towards the peer");
    }
    if ledger.is_clean() {
        let placed: Vec<_> = places.into_iter().zip(tracks.iter().copied()).collect();
        traps::warn(&mut ledger, &acls, &drafts, &connections, &placed, &routes);
    }
    let routes = routes.into_iter().map(|draft| draft.route).collect();
    let warnings = ledger.close()?;
    Ok(Config { gateway, connections, tracks, routes, warnings })
}

/// Connections must differ in their names, and in their pair of addresses: a peer that writes to us is known by that pair alone.
fn unique(ledger: &mut Ledger<'_>, drafts: &[connection::Draft<'_>]) {
    for (index, draft) in drafts.iter().enumerate() {
        let earlier = || drafts.iter().take(index);
        if let Some(name) = &draft.name
            && let Some(first) = earlier().filter_map(|d| d.name.as_ref()).find(|first| first.get_ref() == name.get_ref())
        {
            let line = ledger.line(&first.span());
            ledger.error(name.span(), format!("a second connection {}", quoted(name.get_ref())), format!("the first is on line {line}"));
        }
        if let Some(connection) = &draft.connection
            && let Some(first) = earlier().find(|d| {
                d.connection.as_ref().is_some_and(|c| (c.ike.local, c.ike.remote) == (connection.ike.local, connection.ike.remote))
            })
        {
            let line = ledger.line(&first.places.addresses);
            let message = format!("a second connection from {} to {}", connection.ike.local, connection.ike.remote);
            ledger.error(
                draft.places.addresses.clone(),
                message,
                format!("expected another pair of addresses; the first is on line {line}"),
            );
        }
    }
}

/// Points at the first byte that is no UTF-8.
fn not_utf8(bytes: &[u8], at: usize, path: &Path) -> ConfigErrors {
    let readable = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
    let mut ledger = Ledger::new(&readable, path);
    let byte = bytes.get(at).copied().unwrap_or_default();
    ledger.error(
        at..at + char::REPLACEMENT_CHARACTER.len_utf8(),
        format!("the byte 0x{byte:02x} is no UTF-8"),
        "expected a TOML file, in UTF-8",
    );
    ledger.into_errors()
}

/// `[gateway]`.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Name of the TUN device; default `tandem0`.
    pub tun: String,
    /// MTU of the TUN device in bytes; `None`: computed from the path and the suites.
    pub mtu: Option<u16>,
    /// Path of the control socket; default `/run/tandem/tandem.sock`.
    pub control: PathBuf,
    /// Address of the page and `/metrics`.
    pub http: Option<SocketAddr>,
    /// File with the token that pages beyond loopback need.
    pub http_token_file: Option<PathBuf>,
    /// Whether protected traffic is kept from ever travelling in clear; default true.
    pub fail_closed: bool,
}

/// `[[connection]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Everything the negotiation depends on: name, addresses, key, identities, proposals, lifetimes, selectors.
    pub ike: ConnectionConfig,
    /// The interface that its sockets are bound to, and whose link state counts.
    pub interface: Option<String>,
    /// The gateway towards the peer, if tandem keeps that route.
    pub next_hop: Option<IpAddr>,
    /// Which inner packets it may carry.
    pub policy: Policy,
    /// Anti-replay window in packets.
    pub replay_window: u32,
    /// The cloud's health check.
    pub health_check: Option<HealthCheck>,
    /// A reload has taken it out of the file; only its index is still in use.
    pub retired: bool,
}

/// `health_check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Source address of the echo; inside the local selectors.
    pub source: IpAddr,
    /// Its destination; inside the remote selectors.
    pub destination: IpAddr,
    /// Time between echoes.
    pub interval: Duration,
    /// Lost echoes in a row that make it fail.
    pub retries: u32,
    /// Whether a failure deletes the SAs and negotiates anew.
    pub reset_tunnel: bool,
}

/// `[[track]]`: a probe and what its answers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its number in the file.
    pub id: u32,
    /// Where the echo goes.
    pub destination: IpAddr,
    /// Which way it goes.
    pub via: Via,
    /// Its source; outside the tunnel the connection's local address if `None`.
    pub source: Option<IpAddr>,
    /// Time between echoes.
    pub frequency: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Failures in a row that make the track negative.
    pub fail_after: u32,
    /// Answers in a row that make it positive again.
    pub recover_after: u32,
    /// How long a positive state waits before it counts.
    pub delay_up: Duration,
    /// How long a negative state waits before it counts.
    pub delay_down: Duration,
}

/// Which way a track's echo goes. The number is the connection's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// `via = "conn1"`: from the connection's local address and interface, outside the tunnel.
    Outside(usize),
    /// `via = "tunnel:conn1"`: through its SA.
    Tunnel(usize),
}

/// `[[route]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The addresses it is for.
    pub destination: IpNet,
    /// Index of the connection.
    pub connection: usize,
    /// How much it is wanted among routes of the same prefix.
    pub rank: Rank,
    /// Index of the track that it depends on.
    pub track: Option<usize>,
}

/// How much a route is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// `preference`: lower wins; 60 if nothing is said.
    Preference(u32),
    /// `weight`: 100 active, 0 standby; higher wins.
    Weight(u32),
}

impl Rank {
    /// The preference, if it has one.
    pub fn preference(self) -> Option<u32> {
        if let Self::Preference(p) = self { Some(p) } else { None }
    }

    /// The weight, if it has one.
    pub fn weight(self) -> Option<u32> {
        if let Self::Weight(w) = self { Some(w) } else { None }
    }

    /// A number to compare by: the smallest wins.
    pub fn order(self) -> u64 {
        match self {
            Self::Preference(p) => u64::from(p),
            Self::Weight(w) => u64::from(u32::MAX - w),
        }
    }
}
