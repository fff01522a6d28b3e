//! One line of an access list: `permit|deny PROTOCOL SOURCE [eq PORT] DESTINATION [eq PORT]`, as routers write it.
//!
//! It is written for outbound traffic, so the source is our side. A router's wildcard mask is taken where it says what a prefix says.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use ipnet::{IpNet, Ipv4Net};
use tandem_ike::{ProxyIdentity, TrafficSelectors};

use super::read::{net, quoted};

/// A line as read; the caller numbers the permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) permit: bool,
    pub(super) selectors: TrafficSelectors,
}

/// What is wrong with a line, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LineError {
    pub(super) part: Range<usize>,
    pub(super) message: String,
    pub(super) expected: String,
}

const FORM: &str = "expected permit|deny PROTOCOL SOURCE [eq PORT] DESTINATION [eq PORT]";

/// Reads one line.
pub(super) fn line(text: &str) -> Result<Line, LineError> {
    let mut words = Words { text, at: 0, last: 0..text.len() };
    let permit = match words.next("permit or deny")? {
        ("permit", _) => true,
        ("deny", _) => false,
        (word, part) => return Err(fault(part, format!("{} is neither permit nor deny", quoted(word)), FORM)),
    };
    let protocol = protocol(words.next("a protocol")?)?;
    let local = side(&mut words, "source", protocol)?;
    let between = words.last.clone();
    let remote = side(&mut words, "destination", protocol)?;
    if let Some((word, part)) = words.peek() {
        return Err(fault(part, format!("{} after the end of the rule", quoted(word)), leftover(word)));
    }
    if local.net.network().is_ipv4() != remote.net.network().is_ipv4() {
        let message = format!("IPv4 and IPv6 in one rule: {} and {}", local.net, remote.net);
        return Err(fault(
            between.start..words.last.end,
            message,
            "expected both sides of one family; `any` is 0.0.0.0/0, write ::/0 for IPv6",
        ));
    }
    Ok(Line { permit, selectors: TrafficSelectors { local, remote } })
}

/// IP protocol numbers by name (IANA); 0 is "any" in a proxy identity (RFC 2407 section 4.6.2).
fn protocol((word, part): (&str, Range<usize>)) -> Result<u8, LineError> {
    match word {
        "ip" => Ok(0),
        "icmp" => Ok(1),
        "tcp" => Ok(6),
        "udp" => Ok(17),
        number => number.parse().ok().filter(|n| *n != 0).ok_or_else(|| {
            fault(part, format!("unknown protocol {}", quoted(word)), "expected ip, tcp, udp, icmp or a number from 1 to 255")
        }),
    }
}

/// One side of the rule.
fn side(words: &mut Words<'_>, which: &str, protocol: u8) -> Result<ProxyIdentity, LineError> {
    let (word, part) = words.next(&format!("a {which}"))?;
    let net = match word {
        "host" => {
            let (word, part) = words.next("an address after host")?;
            let address: IpAddr =
                word.parse().map_err(|_| fault(part, format!("{} is no address", quoted(word)), "expected host ADDRESS"))?;
            address.into()
        }
        word => match (word.parse::<Ipv4Addr>(), words.peek_mask()) {
            (Ok(address), Some((mask, mask_part))) => {
                words.skip();
                wildcard(address, mask).map_err(|(message, expected)| fault(part.start..mask_part.end, message, &expected))?
            }
            _ => net(word).map_err(|(message, expected)| fault(part, message, &expected))?,
        },
    };
    Ok(ProxyIdentity { net, protocol, port: port(words, protocol)? })
}

/// Address and wildcard mask, whose ones are the bits that do not count.
fn wildcard(address: Ipv4Addr, mask: Ipv4Addr) -> Result<IpNet, (String, String)> {
    let (bits, ones) = (mask.to_bits(), mask.to_bits().count_ones() as u8);
    if bits.leading_ones() == bits.count_ones() && bits != 0 && bits != u32::MAX {
        let right = Ipv4Net::new(address, ones).map(|net| net.trunc().to_string()).unwrap_or_default();
        return Err((
            format!("{mask} is a netmask, not a wildcard mask"),
            format!("expected {} (or write {right})", Ipv4Addr::from_bits(!bits)),
        ));
    }
    if bits.trailing_ones() != bits.count_ones() {
        return Err((
            format!("the wildcard mask {mask} has a gap"),
            "expected zeros, then ones, as in 0.0.0.255: IKE knows prefixes only".into(),
        ));
    }
    let net = Ipv4Net::new(address, 32 - ones).unwrap_or_default();
    if net.trunc() != net {
        let expected = if bits == u32::MAX { format!("expected any, or host {address}") } else { format!("expected {}", net.trunc()) };
        return Err((format!("{address} has bits that the wildcard mask {mask} ignores"), expected));
    }
    if address.is_unspecified() && bits == 0 {
        return Err(("0.0.0.0 0.0.0.0 is the one address 0.0.0.0".into(), "expected any".into()));
    }
    Ok(net.into())
}

/// `eq PORT`, if it follows.
fn port(words: &mut Words<'_>, protocol: u8) -> Result<u16, LineError> {
    let Some(("eq", eq)) = words.peek() else { return Ok(0) };
    words.skip();
    let (word, part) = words.next("a port after eq")?;
    if protocol != 6 && protocol != 17 {
        return Err(fault(eq.start..part.end, "a port without tcp or udp", "expected the protocol tcp or udp"));
    }
    let port = word.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| fault(part, format!("{} is no port", quoted(word)), "expected a number from 1 to 65535"))
}

/// Why a word cannot stand where the rule should have ended.
fn leftover(word: &str) -> &'static str {
    match word {
        "range" | "gt" | "lt" | "neq" => {
            "a proxy identity has one port or all of them (RFC 2407 section 4.6.2): expected `eq PORT` or nothing"
        }
        "log" | "established" | "fragments" | "time-range" => "this option of routers has no meaning for IPsec: leave it out",
        _ => FORM,
    }
}

fn fault(part: Range<usize>, message: impl Into<String>, expected: &str) -> LineError {
    LineError { part, message: message.into(), expected: expected.to_owned() }
}

/// The words of a line with their places.
struct Words<'a> {
    text: &'a str,
    at: usize,
    last: Range<usize>,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<(&'a str, Range<usize>)> {
        let rest = self.text.get(self.at..)?;
        let trimmed = rest.trim_start();
        let start = self.at + rest.len() - trimmed.len();
        let word = trimmed.split(char::is_whitespace).next().filter(|word| !word.is_empty())?;
        Some((word, start..start + word.len()))
    }

    /// The next word if it can only be a mask: no host or network that a rule names begins with 0 or 255.
    fn peek_mask(&self) -> Option<(Ipv4Addr, Range<usize>)> {
        let (word, part) = self.peek()?;
        let mask: Ipv4Addr = word.parse().ok()?;
        matches!(mask.octets()[0], 0 | 255).then_some((mask, part))
    }

    fn skip(&mut self) {
        if let Some((_, part)) = self.peek() {
            self.at = part.end;
            self.last = part;
        }
    }

    fn next(&mut self, what: &str) -> Result<(&'a str, Range<usize>), LineError> {
        let Some(word) = self.peek() else {
            let end = self.text.len();
            return Err(fault(end..end, format!("the rule ends where {what} should follow"), FORM));
        };
        self.skip();
        Ok(word)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn nets(text: &str) -> (String, String) {
        let TrafficSelectors { local, remote } = line(text).unwrap().selectors;
        (local.net.to_string(), remote.net.to_string())
    }

    fn pair(local: &str, remote: &str) -> (String, String) {
        (local.to_owned(), remote.to_owned())
    }

    #[test]
    fn every_way_to_write_an_address_means_the_same() {
        let expected = pair("192.168.0.0/24", "172.16.10.1/32");
        for text in [
            "permit ip 192.168.0.0/24 172.16.10.1",
            "permit ip 192.168.0.0/24 172.16.10.1/32",
            "permit  ip 192.168.0.0 0.0.0.255   host 172.16.10.1 ",
            "permit ip 192.168.0.0 0.0.0.255 172.16.10.1 0.0.0.0",
        ] {
            assert_eq!(nets(text), expected, "{text}");
        }
        assert_eq!(nets("deny ip 10.0.0.1 10.0.0.2"), pair("10.0.0.1/32", "10.0.0.2/32"));
        assert_eq!(nets("deny ip 10.0.0.1 10.0.0.0 0.0.0.3"), pair("10.0.0.1/32", "10.0.0.0/30"));
        assert_eq!(nets("deny ip any 0.0.0.0 255.255.255.255"), pair("0.0.0.0/0", "0.0.0.0/0"));
        assert_eq!(nets("permit ip 2001:db8::/32 2001:db8:1::1"), pair("2001:db8::/32", "2001:db8:1::1/128"));
    }

    #[test]
    fn protocols_and_ports_go_to_both_sides() {
        let Line { permit, selectors } = line("permit tcp 10.0.0.0/8 eq 5000 172.16.0.0/16 eq 443").unwrap();
        assert!(permit);
        assert_eq!((selectors.local.protocol, selectors.local.port), (6, 5000));
        assert_eq!((selectors.remote.protocol, selectors.remote.port), (6, 443));
        let Line { permit, selectors } = line("deny 47 any 172.16.0.0/16").unwrap();
        assert!(!permit);
        assert_eq!((selectors.local.protocol, selectors.remote.protocol, selectors.remote.port), (47, 47, 0));
    }
}
