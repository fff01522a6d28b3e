//! `[gateway]`, `[[track]]` and `[[route]]`: the machine's side, the probes, and which connection carries what.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::connection::{Draft, dangling, inside};
use super::read::{Item, Ledger, Section, Taken, quoted};
use super::{Gateway, Rank, Route, Track, Via, file};
use crate::policy::Policy;

/// Comware's default preference of a static route.
const PREFERENCE: u32 = 60;
/// Bounds of a probe's frequency and timeout.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);
const MOST_INTERVAL: Duration = Duration::from_secs(86_400);
/// Room for the path in a Unix socket's address, less its final NUL (`sockaddr_un`).
const SOCKET_PATH: usize = 107;

/// Reads `[gateway]`; without it everything is at its default.
pub(super) fn gateway<'a>(ledger: &mut Ledger<'a>, root: &Section<'a>) -> Gateway {
    let mut gateway = Gateway {
        tun: "tandem0".into(),
        mtu: None,
        control: PathBuf::from("/run/tandem/tandem.sock"),
        http: None,
        http_token_file: None,
        fail_closed: true,
    };
    let Some(value) = root.value("gateway") else { return gateway };
    let Some(section) = Section::open(ledger, value, "[gateway]".into(), "gateway") else { return gateway };
    if let Some(tun) = section.read(ledger, "tun", Item::interface) {
        gateway.tun = tun.into_inner().to_owned();
    }
    gateway.mtu = section.read(ledger, "mtu", mtu).and_then(Spanned::into_inner);
    let directory = ledger.directory();
    if let Some(control) = section.read(ledger, "control", |item| control(item, directory)) {
        gateway.control = control.into_inner();
    }
    gateway.http_token_file = section
        .read(ledger, "http_token_file", |item| {
            let path = directory.join(item.str("the name of a file")?);
            file::secret(&path).map_err(|(message, expected)| item.wrong(format!("`http_token_file`: {message}"), expected))?;
            Ok(path)
        })
        .map(Spanned::into_inner);
    if let Some(http) = section.read(ledger, "http", http) {
        if !http.get_ref().ip().is_loopback() && !section.has("http_token_file") {
            let expected =
                "expected http_token_file = \"FILE\" beside it (and TLS in front), or an address of loopback such as 127.0.0.1:9470";
            ledger.error(http.span(), format!("`http` = {} can be reached from other machines", http.get_ref()), expected);
        }
        gateway.http = Some(http.into_inner());
    }
    if let Some(fail_closed) = section.read(ledger, "fail_closed", Item::bool) {
        if !fail_closed.get_ref() {
            ledger.warn(fail_closed.span(), "with fail_closed = false, protected traffic leaves in clear whenever tandem is not running");
        }
        gateway.fail_closed = fail_closed.into_inner();
    }
    gateway
}

/// `"auto"` or bytes: from 576 (RFC 791's least reassembly size) to 9000 (jumbo frames).
fn mtu(item: &Item<'_>) -> Taken<Option<u16>> {
    const EXPECTED: &str = "expected \"auto\" or a number from 576 to 9000";
    if let Ok(text) = item.str("") {
        return if text == "auto" { Ok(None) } else { Err(item.wrong(format!("`mtu` = {} is not known", quoted(text)), EXPECTED)) };
    }
    let number = item.integer(576..=9000)?;
    Ok(u16::try_from(number).ok())
}

fn control(item: &Item<'_>, directory: &Path) -> Taken<PathBuf> {
    let text = item.str("the path of a socket")?;
    let path = directory.join(text);
    let length = path.as_os_str().len();
    if text.is_empty() || text.contains('\0') || length > SOCKET_PATH {
        let expected = format!("expected 1 to {SOCKET_PATH} bytes, the room in a socket's address");
        return Err(item.wrong(format!("`control` = {} cannot be the path of a socket", quoted(text)), expected));
    }
    Ok(path)
}

fn http(item: &Item<'_>) -> Taken<SocketAddr> {
    let text = item.str("ADDRESS:PORT such as \"127.0.0.1:9470\"")?;
    let address: Option<SocketAddr> = text.parse().ok().filter(|a: &SocketAddr| a.port() != 0);
    address.ok_or_else(|| item.wrong(format!("`http` = {} is no address with a port", quoted(text)), "expected one such as 127.0.0.1:9470"))
}

/// Reads every `[[track]]`. The id stands beside a track that may be wrong, so that routes can be told apart from dangling ones.
pub(super) fn tracks<'a>(ledger: &mut Ledger<'a>, root: &Section<'a>, drafts: &[Draft<'a>]) -> Vec<(Option<Spanned<u32>>, Option<Track>)> {
    let mut tracks: Vec<(Option<Spanned<u32>>, Option<Track>)> = Vec::new();
    for section in root.tables(ledger, "track") {
        let id = section.require(ledger, "id", "id = NUMBER", |item| item.integer(1..=u32::MAX));
        if let Some(id) = &id
            && let Some(first) = tracks.iter().filter_map(|(other, _)| other.as_ref()).find(|other| other.get_ref() == id.get_ref())
        {
            let line = ledger.line(&first.span());
            ledger.error(id.span(), format!("a second track {}", id.get_ref()), format!("the first is on line {line}"));
        }
        let track = track(ledger, &section, id.as_ref().map_or(0, |id| *id.get_ref()), drafts);
        tracks.push((id, track));
    }
    tracks
}

fn track<'a>(ledger: &mut Ledger<'a>, section: &Section<'a>, id: u32, drafts: &[Draft<'a>]) -> Option<Track> {
    let duration = |ledger: &mut Ledger<'a>, key: &str, default: u64, least: Duration| {
        section.read(ledger, key, |item| item.duration(least, MOST_INTERVAL)).map_or(Duration::from_secs(default), Spanned::into_inner)
    };
    let frequency = section.read(ledger, "frequency", |item| match item.duration(Duration::ZERO, MOST_INTERVAL)? {
        Duration::ZERO => Err(item.wrong(
            "`frequency` = 0s would probe once and never again",
            "expected the time between probes, such as \"5s\" (0 means one shot on some devices)",
        )),
        _ => item.duration(LEAST_INTERVAL, MOST_INTERVAL),
    });
    let frequency = frequency.map_or(Duration::from_secs(5), Spanned::into_inner);
    let timeout = duration(ledger, "timeout", 3, LEAST_INTERVAL);
    if timeout > frequency {
        let span = section.value("timeout").map_or(section.span.clone(), Spanned::span);
        ledger.warn(span, "`timeout` (default 3s) is longer than `frequency`: a probe is still open when the next one leaves");
    }
    let count = |ledger: &mut Ledger<'a>, key: &str, default: u32| {
        section.read(ledger, key, |item| item.integer(1..=1000)).map_or(default, Spanned::into_inner)
    };
    let fail_after = count(ledger, "fail_after", 3);
    let recover_after = count(ledger, "recover_after", 1);
    let delay_up = duration(ledger, "delay_up", 0, Duration::ZERO);
    let delay_down = duration(ledger, "delay_down", 0, Duration::ZERO);

    if !section.has("icmp_echo") {
        section.lacks(ledger, "icmp_echo", "icmp_echo = { destination = \"ADDRESS\", via = \"CONNECTION\" }");
    }
    let probe = section.table(ledger, "icmp_echo")?;
    let destination = probe.require(ledger, "destination", "destination = \"ADDRESS\"", Item::address);
    let source = probe.read(ledger, "source", Item::address);
    let via = probe.require(ledger, "via", "via = \"CONNECTION\" or via = \"tunnel:CONNECTION\"", |item| {
        let text = item.str("a connection's name, or \"tunnel:\" and a connection's name")?;
        Ok(text.strip_prefix("tunnel:").map_or((text, false), |name| (name, true)))
    });
    let (via, destination) = (via?, destination?);
    let (name, tunnel) = *via.get_ref();
    let index = connection(ledger, &Spanned::new(via.span(), name), drafts)?;
    let (via, source) = if tunnel {
        let policy = drafts.get(index)?.connection.as_ref().map(|c| &c.policy);
        let source = match (policy, source, probe.has("source")) {
            (Some(policy), None, false) => Some(derived_source(ledger, &probe, policy, &destination)?),
            (Some(policy), Some(source), _) => {
                inside(ledger, policy, &source, &destination, "probe");
                Some(source.into_inner())
            }
            _ => None,
        };
        (Via::Tunnel(index), source)
    } else {
        for outer in [Some(&destination), source.as_ref()].into_iter().flatten().filter(|a| a.get_ref().is_ipv6()) {
            let message = format!("{} is an IPv6 address, outside the tunnel", outer.get_ref());
            ledger.error(outer.span(), message, "tandem's outer addresses are IPv4; expected one such as 203.0.113.21");
        }
        (Via::Outside(index), source.map(Spanned::into_inner))
    };
    let destination = destination.into_inner();
    Some(Track { id, destination, via, source, frequency, timeout, fail_after, recover_after, delay_up, delay_down })
}

/// The source of a probe through a tunnel that names none: the local selector, if it is one address.
fn derived_source<'a>(ledger: &mut Ledger<'a>, probe: &Section<'a>, policy: &Policy, destination: &Spanned<IpAddr>) -> Option<IpAddr> {
    let single = policy
        .children()
        .into_iter()
        .filter(|child| child.remote.net.contains(destination.get_ref()))
        .map(|child| child.local.net)
        .find(|net| net.prefix_len() == net.max_prefix_len());
    let Some(net) = single else {
        probe.lacks(ledger, "source", "source = \"ADDRESS\" inside the local selector, which holds more than one address");
        return None;
    };
    inside(ledger, policy, &Spanned::new(destination.span(), net.addr()), destination, "probe");
    Some(net.addr())
}

/// The index of the connection with this name.
fn connection(ledger: &mut Ledger<'_>, name: &Spanned<&str>, drafts: &[Draft<'_>]) -> Option<usize> {
    let names = drafts.iter().filter_map(|draft| draft.name.as_ref()).map(|name| *name.get_ref());
    let index = drafts.iter().position(|draft| draft.name.as_ref().is_some_and(|n| n.get_ref() == name.get_ref()));
    // A connection without a readable name may be the one that is meant.
    if index.is_none() && drafts.iter().all(|draft| draft.name.is_some()) {
        dangling(ledger, name, "connection", "[[connection]]", names);
    }
    index
}

/// A route and the places of its parts.
pub(super) struct RouteDraft {
    pub(super) route: Route,
    pub(super) destination: Range<usize>,
    pub(super) rank: Range<usize>,
}

/// Reads every `[[route]]`.
pub(super) fn routes<'a>(
    ledger: &mut Ledger<'a>,
    root: &Section<'a>,
    drafts: &[Draft<'a>],
    tracks: &[(Option<Spanned<u32>>, Option<Track>)],
) -> Vec<RouteDraft> {
    let mut routes: Vec<RouteDraft> = Vec::new();
    for section in root.tables(ledger, "route") {
        let destination = section.require(ledger, "destination", "destination = \"NET\"", Item::net);
        let name = section.require(ledger, "connection", "connection = \"NAME\"", |item| item.str("a name in quotes"));
        let rank = rank(ledger, &section);
        let track = section.read(ledger, "track", |item| item.integer(1..=u32::MAX)).and_then(|id| {
            let index = tracks.iter().position(|(other, _)| other.as_ref().is_some_and(|other| other.get_ref() == id.get_ref()));
            if index.is_none() && tracks.iter().all(|(id, _)| id.is_some()) {
                let ids: Vec<String> = tracks.iter().filter_map(|(id, _)| Some(id.as_ref()?.get_ref().to_string())).collect();
                let expected = match ids.as_slice() {
                    [] => "there is no [[track]] in this file".to_owned(),
                    [id] => format!("expected {id}"),
                    ids => format!("expected one of {}", ids.join(", ")),
                };
                ledger.error(id.span(), format!("there is no track {}", id.get_ref()), expected);
            }
            index
        });
        let index = name.and_then(|name| connection(ledger, &name, drafts));
        let (Some(destination), Some(connection), Some(rank)) = (destination, index, rank) else { continue };
        let route = Route { destination: *destination.get_ref(), connection, rank: *rank.get_ref(), track };
        for first in routes.iter().filter(|first| first.route.destination == route.destination) {
            conflict(ledger, first, &route, rank.span());
        }
        routes.push(RouteDraft { route, destination: destination.span(), rank: rank.span() });
    }
    routes
}

/// `preference` or `weight`, not both.
fn rank<'a>(ledger: &mut Ledger<'a>, section: &Section<'a>) -> Option<Spanned<Rank>> {
    let preference = section.read(ledger, "preference", |item| item.integer(0..=65_535));
    let weight = section.read(ledger, "weight", |item| item.integer(0..=100));
    match (section.has("preference"), section.has("weight")) {
        (true, true) => {
            ledger.error(section.key_span("weight"), "both `preference` and `weight`", "expected one of them");
            None
        }
        (true, false) => preference.map(|p| Spanned::new(p.span(), Rank::Preference(p.into_inner()))),
        (false, true) => weight.map(|w| Spanned::new(w.span(), Rank::Weight(w.into_inner()))),
        (false, false) => Some(Spanned::new(section.span.clone(), Rank::Preference(PREFERENCE))),
    }
}

/// Two routes to one destination must say which of them wins.
fn conflict(ledger: &mut Ledger<'_>, first: &RouteDraft, route: &Route, at: Range<usize>) {
    let destination = route.destination;
    let line = ledger.line(&first.rank);
    match (first.route.rank, route.rank) {
        (Rank::Weight(a), Rank::Weight(b)) if a == b => {
            let expected = format!("expected 100 for the active and 0 for the standby; the other is on line {line}");
            ledger.error(at, format!("two routes to {destination} with the weight {a}"), expected);
        }
        (Rank::Preference(a), Rank::Preference(b)) if a == b => {
            let sentence =
                format!("two routes to {destination} with the preference {a} (the other on line {line}): the first in the file wins");
            ledger.warn(at, sentence);
        }
        (Rank::Weight(_), Rank::Preference(_)) | (Rank::Preference(_), Rank::Weight(_)) => {
            let message = format!("routes to {destination} by preference and by weight");
            ledger.error(at, message, format!("expected one way for all of them; the other is on line {line}"));
        }
        _ => {}
    }
}
