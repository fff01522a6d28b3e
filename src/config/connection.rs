//! `[[acl]]` and `[[connection]]`: whom to negotiate with, as whom, about what.

use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use ipnet::IpNet;
use tandem_ike::{
    ConnectionConfig, Dpd, EspProposal, Group, Identity, IkeProposal, NatTraversal, ProxyIdentity, Psk, Start, TrafficSelectors,
};
use toml::Spanned;
use toml::de::DeValue;

use super::read::{Item, Ledger, Section, Taken, nearest, quoted};
use super::{Connection, HealthCheck, acl, file, names};
use crate::policy::{Action, Flow, Policy, Rule};

/// 24 h, the cloud's default and its longest lifetime.
const LIFETIME: Duration = Duration::from_secs(86_400);
/// The shortest lifetime: below it an SA would be replaced all the time.
const LEAST_LIFETIME: Duration = Duration::from_secs(10);
/// The longest, ten years: it fits the 32-bit seconds in which lifetimes travel (RFC 2407 section 4.5).
const MOST_LIFETIME: Duration = Duration::from_secs(315_576_000);
/// The shortest time between two questions to a peer.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);
/// The longest; whoever waits longer has turned the thing off.
const MOST_INTERVAL: Duration = Duration::from_secs(86_400);

/// `[[acl]]` after reading.
pub(super) struct Acl<'a> {
    pub(super) name: Spanned<&'a str>,
    /// `None` if a rule is wrong.
    policy: Option<Policy>,
    /// Where each rule stands.
    pub(super) rules: Vec<Range<usize>>,
    pub(super) used: bool,
}

impl Acl<'_> {
    pub(super) fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }
}

/// Where the parts of a connection stand, for the faults and warnings that need more than one of them.
pub(super) struct Places {
    pub(super) name: Range<usize>,
    pub(super) addresses: Range<usize>,
    pub(super) next_hop: Range<usize>,
}

/// A connection's name, which others may refer to even if the rest of it is wrong, and the rest.
pub(super) struct Draft<'a> {
    pub(super) name: Option<Spanned<&'a str>>,
    pub(super) connection: Option<Connection>,
    pub(super) places: Places,
    /// Whether its key stands in this file.
    pub(super) holds_psk: bool,
}

/// Reads every `[[acl]]`.
pub(super) fn acls<'a>(ledger: &mut Ledger<'a>, root: &Section<'a>) -> Vec<Acl<'a>> {
    let mut acls: Vec<Acl<'a>> = Vec::new();
    for section in root.tables(ledger, "acl") {
        let name = section.require(ledger, "name", "name = \"NAME\"", Item::name);
        if !section.has("rules") {
            section.lacks(ledger, "rules", "rules = [\"permit ip 192.168.0.0/24 172.16.0.0/16\"]");
        }
        let example = "[\"permit ip 192.168.0.0/24 172.16.0.0/16\"]";
        let lines = section.list(ledger, "rules", example, |item| item.str("a rule such as \"permit ip any any\"")).unwrap_or_default();
        let complete = section.value("rules").and_then(|v| v.get_ref().as_array()).is_some_and(|all| all.len() == lines.len());
        let policy = policy(ledger, &lines).filter(|_| complete);
        if policy.as_ref().is_some_and(|policy| policy.children().is_empty() && !policy.rules().is_empty()) {
            ledger.error(
                section.key_span("rules"),
                "none of the rules is a permit",
                "expected one permit or more: what none permits is dropped",
            );
        }
        let Some(name) = name else { continue };
        if let Some(first) = acls.iter().find(|acl| acl.name.get_ref() == name.get_ref()) {
            let line = ledger.line(&first.name.span());
            ledger.error(name.span(), format!("a second access list {}", quoted(name.get_ref())), format!("the first is on line {line}"));
        }
        acls.push(Acl { name, policy, rules: lines.iter().map(Spanned::span).collect(), used: false });
    }
    acls
}

/// Reads the rules of one access list and numbers its permits.
fn policy(ledger: &mut Ledger<'_>, lines: &[Spanned<&str>]) -> Option<Policy> {
    let mut rules = Vec::new();
    let mut children = 0..;
    for text in lines {
        match acl::line(text.get_ref()) {
            Ok(acl::Line { permit: false, selectors }) => rules.push(Rule { selectors, action: Action::Discard }),
            Ok(acl::Line { permit: true, selectors }) => {
                rules.extend(children.next().map(|child| Rule { selectors, action: Action::Protect(child) }));
            }
            Err(error) => ledger.error(ledger.inside(text, error.part), error.message, error.expected),
        }
    }
    (rules.len() == lines.len()).then(|| Policy::new(rules))
}

/// Reads one `[[connection]]`.
pub(super) fn read<'a>(ledger: &mut Ledger<'a>, section: &Section<'a>, acls: &mut [Acl<'a>]) -> Draft<'a> {
    let name = section.require(ledger, "name", "name = \"NAME\"", Item::name);
    let local = section.require(ledger, "local", "local = \"ADDRESS\", our address", Item::outer_address);
    let remote = section.require(ledger, "remote", "remote = \"ADDRESS\", the peer's address", Item::outer_address);
    if let (Some(local), Some(remote)) = (&local, &remote)
        && local.get_ref() == remote.get_ref()
    {
        ledger.error(remote.span(), format!("`local` and `remote` are both {}", remote.get_ref()), "expected the peer's address");
    }
    let (interface, next_hop) = underlay(ledger, section);

    let psk = key(ledger, section, "psk", "psk_file");
    if !section.has("psk") && !section.has("psk_file") {
        section.lacks(ledger, "psk", "psk_file = \"FILE\" or psk = \"KEY\"");
    }
    let psk_next = key(ledger, section, "psk_next", "psk_next_file");
    let local_id = section.read(ledger, "local_id", identity);
    let remote_id = section.read(ledger, "remote_id", identity);

    const START: [(&str, Start); 3] = [("always", Start::Always), ("on-traffic", Start::OnTraffic), ("passive", Start::Passive)];
    let start = section.read(ledger, "start", |item| item.word(&START));
    const NAT: [(&str, NatTraversal); 3] = [("auto", NatTraversal::Auto), ("force", NatTraversal::Force), ("off", NatTraversal::Off)];
    let nat_traversal = section.read(ledger, "nat_traversal", |item| item.word(&NAT));

    let (ike_proposals, ike_lifetime) = ike(ledger, section);
    let esp = esp(ledger, section);
    let dpd = dpd(ledger, section);
    let policy = selectors(ledger, section, acls);
    let health_check = health_check(ledger, section, policy.as_ref());

    let places = Places {
        name: name.as_ref().map_or(section.span.clone(), Spanned::span),
        addresses: remote.as_ref().map_or(section.span.clone(), Spanned::span),
        next_hop: section.value("next_hop").map_or(section.span.clone(), Spanned::span),
    };
    let holds_psk = section.has("psk") || section.has("psk_next");
    let connection = (|| {
        let (local, remote) = (local?.into_inner(), remote?.into_inner());
        let policy = policy?;
        Some(Connection {
            ike: ConnectionConfig {
                name: (*name.as_ref()?.get_ref()).to_owned(),
                local,
                remote,
                psk: psk?,
                psk_next,
                local_id: local_id.map_or(Identity::Address(local), Spanned::into_inner),
                remote_id: remote_id.map_or(Identity::Address(remote), Spanned::into_inner),
                start: start.map_or(Start::Always, Spanned::into_inner),
                ike_proposals,
                ike_lifetime,
                esp_proposals: esp.proposals,
                pfs: esp.pfs,
                esp_lifetime: esp.lifetime,
                dpd,
                nat_traversal: nat_traversal.map_or(NatTraversal::Auto, Spanned::into_inner),
                children: policy.children(),
            },
            interface,
            next_hop,
            policy,
            replay_window: esp.replay_window,
            health_check,
            retired: false,
        })
    })();
    Draft { name, connection, places, holds_psk }
}

/// `interface` and `next_hop`.
fn underlay<'a>(ledger: &mut Ledger<'a>, section: &Section<'a>) -> (Option<String>, Option<IpAddr>) {
    let interface = section.read(ledger, "interface", Item::interface);
    let next_hop = section.read(ledger, "next_hop", Item::outer_address);
    if section.has("next_hop") && !section.has("interface") {
        ledger.error(
            section.key_span("next_hop"),
            "`next_hop` without `interface`",
            "expected interface = \"NAME\" beside it: the route to the peer leaves by it",
        );
    }
    (interface.map(|i| i.into_inner().to_owned()), next_hop.map(Spanned::into_inner))
}

/// A pre-shared key, given in place or in a file. No message here may hold its value.
fn key<'a>(ledger: &mut Ledger<'a>, section: &Section<'a>, inline: &str, by_file: &str) -> Option<Psk> {
    if section.has(inline) && section.has(by_file) {
        ledger.error(section.key_span(by_file), format!("both `{inline}` and `{by_file}`"), "expected one of them");
        return None;
    }
    let given = section.read(ledger, inline, |item| match item.str("a key in quotes")? {
        "" => Err(item.wrong(format!("`{inline}` is empty"), "expected 1 character or more; `tandem psk` makes one")),
        text => Ok(Psk::new(text)),
    });
    let directory = ledger.directory();
    let read = section.read(ledger, by_file, |item| {
        let path = item.str("the name of a file")?;
        if path.is_empty() {
            return Err(item.wrong(format!("`{by_file}` is empty"), "expected the name of a file"));
        }
        let bytes =
            file::secret(&directory.join(path)).map_err(|(message, expected)| item.wrong(format!("`{by_file}`: {message}"), expected))?;
        Ok(Psk::new(bytes.as_slice()))
    });
    given.or(read).map(Spanned::into_inner)
}

/// An identity: an address, or a domain name.
fn identity(item: &Item<'_>) -> Taken<Identity> {
    let text = item.str("an address or a domain name")?;
    if let Ok(address) = text.parse() {
        return Ok(Identity::Address(address));
    }
    // Other implementations mark names that are not to be looked up with an @, which does not travel.
    let name = text.strip_prefix('@').unwrap_or(text);
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |l: &str| !l.is_empty() && l.len() <= 63 && l.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let address_like = name.chars().all(|c| c.is_ascii_digit() || c == '.');
    if name.len() > 253 || address_like || !name.split('.').all(label) {
        return Err(
            item.wrong(format!("{} is no identity", quoted(text)), "expected an address or a domain name such as \"gw.example.com\"")
        );
    }
    Ok(Identity::Fqdn(name.to_owned()))
}

/// `ike = { ... }`.
fn ike<'a>(ledger: &mut Ledger<'a>, section: &Section<'a>) -> (Vec<IkeProposal>, Duration) {
    let table = section.table(ledger, "ike");
    let proposals = table.as_ref().and_then(|t| proposals(ledger, t, "[\"aes128-sha1-group2\"]", names::ike));
    let lifetime = table.as_ref().and_then(|t| lifetime(ledger, t)).unwrap_or(LIFETIME);
    (proposals.unwrap_or_else(|| names::ike("aes128-sha1-group2").into_iter().collect()), lifetime)
}

/// What `esp = { ... }` says.
struct Esp {
    proposals: Vec<EspProposal>,
    pfs: Option<Group>,
    lifetime: Duration,
    replay_window: u32,
}

/// `esp = { ... }`.
fn esp<'a>(ledger: &mut Ledger<'a>, section: &Section<'a>) -> Esp {
    let mut esp = Esp {
        proposals: names::esp("aes128-sha1").into_iter().collect(),
        pfs: Some(Group::Modp1024),
        lifetime: LIFETIME,
        replay_window: 1024,
    };
    let Some(table) = section.table(ledger, "esp") else { return esp };
    if let Some(proposals) = proposals(ledger, &table, "[\"aes128-sha1\"]", names::esp) {
        esp.proposals = proposals;
    }
    let pfs = table.read(ledger, "pfs", |item| match item.str("\"disabled\" or a group such as \"group2\"")? {
        "disabled" => Ok((None, "disabled")),
        text => {
            let group = names::group(text).map_err(|(message, expected)| {
                item.wrong(message, expected.replace("expected one of", "expected \"disabled\" or one of"))
            })?;
            Ok((Some(group), text))
        }
    });
    if let Some(pfs) = pfs {
        warn_weak(ledger, pfs.span(), pfs.get_ref().1);
        esp.pfs = pfs.into_inner().0;
    }
    if let Some(lifetime) = lifetime(ledger, &table) {
        esp.lifetime = lifetime;
    }
    if let Some(window) = table.read(ledger, "replay_window", |item| item.integer(64..=4096)) {
        esp.replay_window = window.into_inner();
    }
    esp
}

/// A list of proposals.
fn proposals<'a, T: PartialEq>(
    ledger: &mut Ledger<'a>,
    table: &Section<'a>,
    example: &str,
    read: fn(&str) -> Result<T, (String, String)>,
) -> Option<Vec<T>> {
    let listed = table.list(ledger, "proposals", example, |item| {
        let text = item.str("a proposal in quotes")?;
        let proposal = read(text).map_err(|(message, expected)| item.wrong(message, expected))?;
        Ok((text, proposal))
    })?;
    let mut proposals: Vec<T> = Vec::new();
    for entry in listed {
        let span = entry.span();
        let (text, proposal) = entry.into_inner();
        warn_weak(ledger, span.clone(), text);
        match proposals.contains(&proposal) {
            true => ledger.warn(span, format_args!("{} stands twice in the list", quoted(text))),
            false => proposals.push(proposal),
        }
    }
    Some(proposals)
}

fn warn_weak(ledger: &mut Ledger<'_>, span: Range<usize>, text: &str) {
    for name in names::weak(text) {
        ledger.warn(span.clone(), format_args!("{name} is weak; use it only if the peer knows nothing better"));
    }
}

/// `lifetime`, in whole seconds.
fn lifetime<'a>(ledger: &mut Ledger<'a>, table: &Section<'a>) -> Option<Duration> {
    let lifetime = table.read(ledger, "lifetime", |item| {
        let lifetime = item.duration(LEAST_LIFETIME, MOST_LIFETIME)?;
        match lifetime.subsec_nanos() {
            0 => Ok(lifetime),
            _ => Err(item.wrong("`lifetime` has a part of a second", "expected whole seconds: IKE counts in them")),
        }
    })?;
    if *lifetime.get_ref() > LIFETIME {
        ledger.warn(lifetime.span(), "the lifetime is longer than 24h, the most that the cloud takes");
    }
    Some(lifetime.into_inner())
}

/// `dpd = "off"` or a table.
fn dpd<'a>(ledger: &mut Ledger<'a>, section: &Section<'a>) -> Option<Dpd> {
    let mut dpd = Dpd { delay: Duration::from_secs(10), timeout: Duration::from_secs(30) };
    match section.value("dpd").map(Spanned::get_ref) {
        Some(DeValue::Table(_)) => {}
        Some(_) => {
            let off = section.read(ledger, "dpd", |item| match item.str("\"off\" or { delay = \"10s\", timeout = \"30s\" }")? {
                "off" => Ok(()),
                text => Err(item
                    .wrong(format!("`dpd` = {} is not known", quoted(text)), "expected \"off\" or { delay = \"10s\", timeout = \"30s\" }")),
            });
            return if off.is_some() { None } else { Some(dpd) };
        }
        None => return Some(dpd),
    }
    let table = section.table(ledger, "dpd")?;
    for (name, value) in [("delay", &mut dpd.delay), ("timeout", &mut dpd.timeout)] {
        if let Some(read) = table.read(ledger, name, |item| item.duration(LEAST_INTERVAL, MOST_INTERVAL)) {
            *value = read.into_inner();
        }
    }
    Some(dpd)
}

/// `acl` or `selectors`, exactly one of them.
fn selectors<'a>(ledger: &mut Ledger<'a>, section: &Section<'a>, acls: &mut [Acl<'a>]) -> Option<Policy> {
    match (section.has("acl"), section.has("selectors")) {
        (true, true) => {
            ledger.error(section.key_span("selectors"), "both `acl` and `selectors`", "expected one of them");
            None
        }
        (false, false) => {
            section.lacks(ledger, "acl", "acl = \"NAME\", or selectors = \"any\", or selectors = { local = \"NET\", remote = \"NET\" }");
            None
        }
        (true, false) => {
            let name = section.read(ledger, "acl", |item| item.str("a name in quotes"))?;
            if let Some(acl) = acls.iter_mut().find(|acl| acl.name.get_ref() == name.get_ref()) {
                acl.used = true;
                return acl.policy.clone();
            }
            dangling(ledger, &name, "access list", "[[acl]]", acls.iter().map(|acl| *acl.name.get_ref()));
            None
        }
        (false, true) => {
            let (local, remote) = match section.value("selectors").map(Spanned::get_ref) {
                Some(DeValue::Table(_)) => {
                    let table = section.table(ledger, "selectors")?;
                    let local = table.require(ledger, "local", "local = \"NET\", our side", Item::net);
                    let remote = table.require(ledger, "remote", "remote = \"NET\", the peer's side", Item::net);
                    (local?, remote?)
                }
                _ => {
                    let any = section.read(ledger, "selectors", |item| {
                        let expected = "\"any\" or { local = \"NET\", remote = \"NET\" }";
                        match item.str(expected)? {
                            "any" => item.net(),
                            text => Err(item.wrong(format!("`selectors` = {} is not known", quoted(text)), format!("expected {expected}"))),
                        }
                    })?;
                    (any.clone(), any)
                }
            };
            let (from, to) = (remote.span(), *remote.get_ref());
            if local.get_ref().addr().is_ipv4() != to.addr().is_ipv4() {
                let message = format!("IPv4 and IPv6 in one pair of selectors: {} and {to}", local.get_ref());
                ledger.error(from, message, "expected both of one family; \"any\" is 0.0.0.0/0, write \"::/0\" for IPv6");
                return None;
            }
            let side = |net: IpNet| ProxyIdentity { net, protocol: 0, port: 0 };
            Some(Policy::permit(TrafficSelectors { local: side(local.into_inner()), remote: side(to) }))
        }
    }
}

/// A name that nothing bears.
pub(super) fn dangling<'n>(
    ledger: &mut Ledger<'_>,
    name: &Spanned<&str>,
    what: &str,
    table: &str,
    names: impl Iterator<Item = &'n str> + Clone,
) {
    let expected = match (nearest(name.get_ref(), names.clone()), names.clone().count()) {
        (Some(near), _) => format!("did you mean \"{near}\"?"),
        (None, 0) => format!("there is no {table} in this file"),
        (None, _) => format!("expected one of {}", names.map(quoted).collect::<Vec<_>>().join(", ")),
    };
    ledger.error(name.span(), format!("there is no {what} {}", quoted(name.get_ref())), expected);
}

/// The flow of an echo request from one address to another, as the policy sees it.
pub(super) fn echo(local: IpAddr, remote: IpAddr) -> Flow {
    let protocol = if local.is_ipv4() { 1 } else { 58 };
    Flow { local, remote, protocol, local_port: 0, remote_port: 0 }
}

/// `health_check = { ... }`; an echo that the selectors do not carry could never pass.
fn health_check<'a>(ledger: &mut Ledger<'a>, section: &Section<'a>, policy: Option<&Policy>) -> Option<HealthCheck> {
    let table = section.table(ledger, "health_check")?;
    let source = table.require(ledger, "source", "source = \"ADDRESS\" inside the local selector", Item::address);
    let destination = table.require(ledger, "destination", "destination = \"ADDRESS\" inside the remote selector", Item::address);
    let interval = table.read(ledger, "interval", |item| item.duration(LEAST_INTERVAL, MOST_INTERVAL));
    let retries = table.read(ledger, "retries", |item| item.integer(1..=1000));
    let reset_tunnel = table.read(ledger, "reset_tunnel", Item::bool);
    let (source, destination) = (source?, destination?);
    if let Some(policy) = policy {
        inside(ledger, policy, &source, &destination, "health check");
    }
    Some(HealthCheck {
        source: source.into_inner(),
        destination: destination.into_inner(),
        interval: interval.map_or(Duration::from_secs(3), Spanned::into_inner),
        retries: retries.map_or(3, Spanned::into_inner),
        reset_tunnel: reset_tunnel.is_none_or(Spanned::into_inner),
    })
}

/// Demands that an echo fits through the selectors, and says which of its ends does not.
pub(super) fn inside(ledger: &mut Ledger<'_>, policy: &Policy, source: &Spanned<IpAddr>, destination: &Spanned<IpAddr>, what: &str) {
    if matches!(policy.decide(&echo(*source.get_ref(), *destination.get_ref())), Action::Protect(_)) {
        return;
    }
    let children = policy.children();
    let nets = |side: fn(&TrafficSelectors) -> IpNet| {
        let mut nets: Vec<String> = children.iter().map(|child| side(child).to_string()).collect();
        nets.dedup();
        nets.join(", ")
    };
    let outside = |side: fn(&TrafficSelectors) -> IpNet, address: &IpAddr| !children.iter().any(|child| side(child).contains(address));
    if outside(|c| c.local.net, source.get_ref()) {
        let expected = format!("expected an address of ours in {}; it could never pass", nets(|c| c.local.net));
        ledger.error(source.span(), format!("the {what}'s source {} lies outside the selectors", source.get_ref()), expected);
    }
    if outside(|c| c.remote.net, destination.get_ref()) {
        let expected = format!("expected an address of the peer's side in {}; it could never pass", nets(|c| c.remote.net));
        ledger.error(
            destination.span(),
            format!("the {what}'s destination {} lies outside the selectors", destination.get_ref()),
            expected,
        );
    } else if !outside(|c| c.local.net, source.get_ref()) {
        let message = format!("no rule permits the {what}'s ICMP from {} to {}", source.get_ref(), destination.get_ref());
        ledger.error(destination.span(), message, "expected a permit that covers both ends, ahead of any deny");
    }
}
