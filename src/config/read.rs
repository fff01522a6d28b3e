//! Reading typed values out of a TOML document, collecting every fault on the way.
//!
//! `serde` would stop at the first fault and lose the places of the others, so this walks the parsed document itself: a reader that
//! meets a wrong value notes the fault and goes on with `None`; a configuration with a fault is never handed out.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, ConfigErrors};
use super::source::Source;

/// Every table and its keys. An inline table goes by the name of its key.
pub(super) const SECTIONS: [(&str, &[&str]); 12] = [
    ("", &["gateway", "connection", "acl", "track", "route"]),
    ("gateway", &["tun", "mtu", "control", "http", "http_token_file", "fail_closed"]),
    (
        "connection",
        &[
            "name",
            "local",
            "interface",
            "remote",
            "next_hop",
            "psk",
            "psk_file",
            "psk_next",
            "psk_next_file",
            "local_id",
            "remote_id",
            "start",
            "acl",
            "selectors",
            "ike",
            "esp",
            "dpd",
            "nat_traversal",
            "health_check",
        ],
    ),
    ("selectors", &["local", "remote"]),
    ("ike", &["proposals", "lifetime"]),
    ("esp", &["proposals", "pfs", "lifetime", "replay_window"]),
    ("dpd", &["delay", "timeout"]),
    ("health_check", &["source", "destination", "interval", "retries", "reset_tunnel"]),
    ("acl", &["name", "rules"]),
    ("track", &["id", "icmp_echo", "frequency", "timeout", "fail_after", "recover_after", "delay_up", "delay_down"]),
    ("icmp_echo", &["destination", "via", "source"]),
    ("route", &["destination", "connection", "preference", "weight", "track"]),
];

/// The keys of one section.
fn keys(section: &str) -> &'static [&'static str] {
    SECTIONS.iter().find(|(name, _)| *name == section).map_or(&[], |(_, keys)| keys)
}

/// Beyond this many faults nobody reads on, and a hostile file would only cost time.
const MOST_ERRORS: usize = 200;

/// Why a value was not taken, and where in it.
pub(super) struct Fault {
    span: Range<usize>,
    message: String,
    expected: String,
}

/// What a reader of one value gives.
pub(super) type Taken<T> = Result<T, Fault>;

/// The faults and warnings found so far.
pub(super) struct Ledger<'a> {
    source: Source<'a>,
    file: &'a Path,
    errors: Vec<ConfigError>,
    warnings: Vec<(usize, String)>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(text: &'a str, file: &'a Path) -> Self {
        Self { source: Source::new(text), file, errors: Vec::new(), warnings: Vec::new() }
    }

    /// Where relative paths start.
    pub(super) fn directory(&self) -> &'a Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    pub(super) fn error(&mut self, span: Range<usize>, message: impl Into<String>, expected: impl Into<String>) {
        if self.errors.len() == MOST_ERRORS {
            return;
        }
        let excerpt = self.source.excerpt(span);
        self.errors.push(ConfigError { file: self.file.to_owned(), message: message.into(), expected: expected.into(), excerpt });
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.error(fault.span, fault.message, fault.expected);
    }

    /// Keeps a value or notes why there is none.
    pub(super) fn take<T>(&mut self, taken: Taken<T>) -> Option<T> {
        taken.map_err(|fault| self.fault(fault)).ok()
    }

    pub(super) fn warn(&mut self, span: Range<usize>, sentence: impl std::fmt::Display) {
        let line = self.source.line_number(span.start);
        self.warnings.push((line, format!("{}:{line}: {sentence}", self.file.display())));
    }

    /// The number of the line of a span, for messages about two places.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.source.line_number(span.start)
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }

    /// The faults found so far, as the end of it.
    pub(super) fn into_errors(self) -> ConfigErrors {
        ConfigErrors::new(self.errors)
    }

    /// The warnings in the order of the file, or the errors.
    pub(super) fn close(mut self) -> Result<Vec<String>, ConfigErrors> {
        if !self.errors.is_empty() {
            return Err(ConfigErrors::new(self.errors));
        }
        self.warnings.sort_by_key(|(line, _)| *line);
        Ok(self.warnings.into_iter().map(|(_, sentence)| sentence).collect())
    }

    /// Maps a place in a string's value to its place in the file: exact unless the string holds escapes.
    pub(super) fn inside(&self, text: &Spanned<&str>, part: Range<usize>) -> Range<usize> {
        let raw = self.source.text().get(text.span()).unwrap_or_default();
        match raw.find(text.get_ref()) {
            Some(at) => text.span().start + at + part.start..text.span().start + at + part.end,
            None => text.span(),
        }
    }
}

/// One table of the file.
#[derive(Clone)]
pub(super) struct Section<'a> {
    table: &'a DeTable<'a>,
    /// Where its header, or the whole inline table, stands.
    pub(super) span: Range<usize>,
    title: String,
}

impl<'a> Section<'a> {
    /// Opens a table whose keys may only be those of the section `name`; every other key is a fault.
    pub(super) fn open(ledger: &mut Ledger<'a>, value: &'a Spanned<DeValue<'a>>, title: String, name: &str) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Self::of(ledger, table, value.span(), title, name)),
            other => {
                ledger.error(value.span(), format!("{title} is {}", kind(other)), format!("expected a table with {}", list(keys(name))));
                None
            }
        }
    }

    pub(super) fn of(ledger: &mut Ledger<'a>, table: &'a DeTable<'a>, span: Range<usize>, title: String, name: &str) -> Self {
        let keys = keys(name);
        for key in table.keys().filter(|key| !keys.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref();
            let expected = match nearest(name, keys.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("expected one of {}", list(keys)),
            };
            let place = if title.is_empty() { "at the top of the file".to_owned() } else { format!("in {title}") };
            ledger.error(key.span(), format!("unknown key {} {place}", quoted(name)), expected);
        }
        Self { table, span, title }
    }

    pub(super) fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    /// Whether the key is there, whatever its value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Where a key stands.
    pub(super) fn key_span(&self, key: &str) -> Range<usize> {
        self.table.get_key_value(key).map_or(self.span.clone(), |(key, _)| key.span())
    }

    /// An optional value: `None` if absent, or wrong and noted.
    pub(super) fn read<T>(&self, ledger: &mut Ledger<'a>, key: &str, reader: impl Fn(&Item<'a>) -> Taken<T>) -> Option<Spanned<T>> {
        let value = self.value(key)?;
        let item = Item { key: key.to_owned(), value };
        ledger.take(reader(&item)).map(|taken| Spanned::new(value.span(), taken))
    }

    /// The same for a value that must be there; `example` shows how it looks.
    pub(super) fn require<T>(
        &self,
        ledger: &mut Ledger<'a>,
        key: &str,
        example: &str,
        reader: impl Fn(&Item<'a>) -> Taken<T>,
    ) -> Option<Spanned<T>> {
        if !self.has(key) {
            self.lacks(ledger, key, example);
        }
        self.read(ledger, key, reader)
    }

    pub(super) fn lacks(&self, ledger: &mut Ledger<'a>, key: &str, example: &str) {
        ledger.error(self.span.clone(), format!("{} has no `{key}`", self.title), format!("expected {example}"));
    }

    /// An inline table, whose section has the name of its key.
    pub(super) fn table(&self, ledger: &mut Ledger<'a>, key: &str) -> Option<Section<'a>> {
        let value = self.value(key)?;
        Section::open(ledger, value, format!("`{key}`"), key)
    }

    /// The tables of a list of tables, such as every `[[connection]]`.
    pub(super) fn tables(&self, ledger: &mut Ledger<'a>, key: &str) -> Vec<Section<'a>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(array) = value.get_ref() else {
            ledger.error(value.span(), format!("`{key}` is {}", kind(value.get_ref())), format!("expected [[{key}]], with two brackets"));
            return Vec::new();
        };
        array.iter().filter_map(|value| Section::open(ledger, value, format!("[[{key}]]"), key)).collect()
    }

    /// The elements of a list, each read on its own; `None` if absent or no list.
    pub(super) fn list<T>(
        &self,
        ledger: &mut Ledger<'a>,
        key: &str,
        example: &str,
        reader: impl Fn(&Item<'a>) -> Taken<T>,
    ) -> Option<Vec<Spanned<T>>> {
        let value = self.value(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            ledger.error(value.span(), format!("`{key}` is {}", kind(value.get_ref())), format!("expected a list such as {example}"));
            return None;
        };
        if array.is_empty() {
            ledger.error(value.span(), format!("`{key}` is empty"), format!("expected a list such as {example}"));
        }
        let items = array.iter().map(|value| (value.span(), reader(&Item { key: key.to_owned(), value })));
        let taken: Vec<_> = items.collect();
        Some(taken.into_iter().filter_map(|(span, taken)| Some(Spanned::new(span, ledger.take(taken)?))).collect())
    }
}

/// A value under its key.
pub(super) struct Item<'a> {
    key: String,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Item<'a> {
    /// A fault of the value, with a message of its own.
    pub(super) fn wrong(&self, message: impl Into<String>, expected: impl Into<String>) -> Fault {
        Fault { span: self.value.span(), message: message.into(), expected: expected.into() }
    }

    fn mistyped(&self, expected: &str) -> Fault {
        self.wrong(format!("`{}` is {}", self.key, kind(self.value.get_ref())), format!("expected {expected}"))
    }

    pub(super) fn str(&self, expected: &str) -> Taken<&'a str> {
        match self.value.get_ref() {
            DeValue::String(text) => Ok(text),
            DeValue::Integer(number) if expected.starts_with("a name") => {
                Err(self.wrong(format!("`{}` is an integer", self.key), format!("expected {expected}: write \"{}\"", number.as_str())))
            }
            _ => Err(self.mistyped(expected)),
        }
    }

    pub(super) fn bool(&self) -> Taken<bool> {
        match self.value.get_ref() {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.mistyped("true or false")),
        }
    }

    pub(super) fn integer(&self, range: std::ops::RangeInclusive<u32>) -> Taken<u32> {
        let expected = match *range.end() {
            u32::MAX => format!("a whole number, {} or more", range.start()),
            end => format!("a whole number from {} to {end}", range.start()),
        };
        let DeValue::Integer(number) = self.value.get_ref() else {
            return Err(self.mistyped(&expected));
        };
        let value = u32::from_str_radix(number.as_str(), number.radix()).ok().filter(|n| range.contains(n));
        value.ok_or_else(|| {
            self.wrong(format!("`{}` = {} is out of range", self.key, clip(number.as_str())), format!("expected {expected}"))
        })
    }

    /// A duration between two bounds.
    pub(super) fn duration(&self, least: Duration, most: Duration) -> Taken<Duration> {
        const EXPECTED: &str = "a duration such as \"5s\", \"500ms\" or \"24h\", or a whole number of seconds";
        let value = match self.value.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok().map(Duration::from_secs),
            DeValue::String(text) => humantime::parse_duration(text).ok(),
            _ => return Err(self.mistyped(EXPECTED)),
        };
        let Some(value) = value else {
            let text = match self.value.get_ref() {
                DeValue::String(text) => quoted(text),
                DeValue::Integer(number) => clip(number.as_str()).into_owned(),
                _ => String::new(),
            };
            return Err(self.wrong(format!("`{}` = {text} is no duration", self.key), format!("expected {EXPECTED}")));
        };
        if value < least || value > most {
            let bounds = format!("expected {} to {}", humantime::format_duration(least), humantime::format_duration(most));
            let which = if value < least { "short" } else { "long" };
            return Err(self.wrong(format!("`{}` = {} is too {which}", self.key, humantime::format_duration(value)), bounds));
        }
        Ok(value)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Taken<T> {
        let names: Vec<String> = words.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let expected = names.join(" or ");
        let text = self.str(&expected)?;
        let found = words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        found.ok_or_else(|| self.wrong(format!("`{}` = {} is not known", self.key, quoted(text)), format!("expected {expected}")))
    }

    pub(super) fn address(&self) -> Taken<IpAddr> {
        let text = self.str("an address such as \"192.168.0.1\"")?;
        text.parse().map_err(|_| {
            let expected =
                if text.contains('/') { "expected one address, without a prefix" } else { "expected an address such as 192.168.0.1" };
            self.wrong(format!("`{}` = {} is no address", self.key, quoted(text)), expected)
        })
    }

    /// An address of the outer network: a unicast IPv4 address.
    pub(super) fn outer_address(&self) -> Taken<IpAddr> {
        match self.address()? {
            IpAddr::V6(v6) => Err(self.wrong(
                format!("`{}` = {v6} is an IPv6 address", self.key),
                "tandem's outer addresses are IPv4; expected one such as 203.0.113.21",
            )),
            IpAddr::V4(v4) if v4.is_unspecified() || v4.is_multicast() || v4 == Ipv4Addr::BROADCAST => {
                Err(self.wrong(format!("`{}` = {v4} is not the address of one machine", self.key), "expected one such as 203.0.113.21"))
            }
            v4 => Ok(v4),
        }
    }

    /// A network: `any`, an address or a CIDR.
    pub(super) fn net(&self) -> Taken<IpNet> {
        let text = self.str("a network such as \"172.16.0.0/16\"")?;
        net(text).map_err(|(message, expected)| self.wrong(message, expected))
    }

    /// A name that people give to one of their things.
    pub(super) fn name(&self) -> Taken<&'a str> {
        let text = self.str("a name in quotes")?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > 64 || !text.chars().all(fits) || text.starts_with(['-', '.']) {
            let expected = "expected 1 to 64 letters, digits, `-`, `_` or `.`, beginning with none of `-` and `.`";
            return Err(self.wrong(format!("{} cannot be a name", quoted(text)), expected));
        }
        Ok(text)
    }

    /// The name of a network interface: what Linux takes (`dev_valid_name`), less `%`, by which the kernel numbers new devices.
    pub(super) fn interface(&self) -> Taken<&'a str> {
        let text = self.str("an interface's name")?;
        let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '%');
        if text.is_empty() || text.len() > 15 || !text.chars().all(fits) || text == "." || text == ".." {
            let expected = "expected 1 to 15 visible characters without `/`, `:` and `%`";
            return Err(self.wrong(format!("`{}` = {} cannot be the name of an interface", self.key, quoted(text)), expected));
        }
        Ok(text)
    }
}

/// Reads `any`, an address or a CIDR without host bits; an error is what is wrong and what was expected.
pub(super) fn net(text: &str) -> Result<IpNet, (String, String)> {
    if text == "any" {
        return Ok(IpNet::V4(ipnet::Ipv4Net::default()));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    match text.parse::<IpNet>() {
        Ok(net) if net.trunc() == net => Ok(net),
        Ok(net) => {
            Err((format!("{net} has bits beyond its prefix"), format!("expected {} (or {} for the one address)", net.trunc(), net.addr())))
        }
        Err(_) => Err((format!("{} is no network", quoted(text)), "expected `any`, an address, or a network such as 172.16.0.0/16".into())),
    }
}

/// What stands there instead of what was expected.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A piece of the file in a message: short, on one line, without control characters.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", clip(text).escape_debug())
}

fn clip(text: &str) -> Cow<'_, str> {
    const LENGTH: usize = 60;
    match text.char_indices().nth(LENGTH) {
        Some((at, _)) => Cow::Owned(format!("{}...", text.get(..at).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

/// The name most like this one, if any is like it at all.
pub(super) fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    if name.len() > 40 {
        return None;
    }
    let name = name.to_lowercase().replace('-', "_");
    let far = |other: &str| strsim::damerau_levenshtein(&name, &other.to_lowercase().replace('-', "_"));
    names.map(|other| (far(other), other)).filter(|(distance, other)| *distance <= 1 + other.len() / 4).min().map(|(_, other)| other)
}

/// `a`, `b` and `c`.
pub(super) fn list(names: &[&str]) -> String {
    let ticked: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match ticked.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => ticked.concat(),
    }
}
