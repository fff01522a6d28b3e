//! The configuration after parsing: nothing in here needs to be checked again.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use tandem_ike::ConnectionConfig;

use crate::policy::Policy;

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
#[derive(Clone, Debug)]
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
