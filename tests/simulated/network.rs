//! The network between the ends: what it does to a packet on its way.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

/// A packet on its way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Flight {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Content {
    /// A UDP payload from an IKE socket.
    Ike(Vec<u8>),
    /// An ESP packet; in UDP if the ports are not 0.
    Esp(Vec<u8>),
    /// A track's echo outside the tunnel.
    Echo { track: usize, sequence: u16 },
    /// Its answer.
    EchoReply { track: usize, sequence: u16 },
}

impl Flight {
    /// Both ends' address: direction of a path.
    pub(crate) fn way(&self) -> (IpAddr, IpAddr) {
        (self.from.ip(), self.to.ip())
    }

    pub(crate) fn is_ike(&self) -> bool {
        matches!(self.content, Content::Ike(_))
    }
}

/// See the file's first line. Rates are in thousandths.
pub(crate) struct Network {
    pub(crate) loss: u32,
    pub(crate) duplicates: u32,
    pub(crate) damage: u32,
    /// The least delay and what is added at random: with more of it than between two packets they overtake each other.
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    /// Ways on which nothing arrives.
    pub(crate) black_holes: BTreeSet<(IpAddr, IpAddr)>,
    /// ESP is lost, IKE is not.
    pub(crate) esp_is_lost: bool,
    /// IKE messages still to pass before the one that vanishes.
    pub(crate) vanishing: Option<u32>,
    /// IKE messages are held until they are chosen, instead of delivered in time.
    pub(crate) holds: bool,
    pub(crate) held: Vec<(u64, Flight)>,
    flights: BinaryHeap<Reverse<(Instant, u64, Flight)>>,
    count: u64,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self {
            loss: 0,
            duplicates: 0,
            damage: 0,
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            black_holes: BTreeSet::new(),
            esp_is_lost: false,
            vanishing: None,
            holds: false,
            held: Vec::new(),
            flights: BinaryHeap::new(),
            count: 0,
        }
    }

    /// Nothing is wrong with it any more.
    pub(crate) fn heal(&mut self) {
        (self.loss, self.duplicates, self.damage, self.jitter) = (0, 0, 0, Duration::ZERO);
        self.black_holes.clear();
        self.vanishing = None;
    }

    pub(crate) fn send(&mut self, now: Instant, rng: &mut StdRng, flight: Flight) {
        if self.holds && flight.is_ike() {
            self.count += 1;
            self.held.push((self.count, flight));
            return;
        }
        let blocked = self.black_holes.contains(&flight.way()) || (self.esp_is_lost && matches!(flight.content, Content::Esp(_)));
        if blocked || self.vanishes(&flight) || rng.random_range(0..1000) < self.loss {
            return;
        }
        if rng.random_range(0..1000) < self.duplicates {
            self.carry(now, rng, flight.clone());
        }
        self.carry(now, rng, flight);
    }

    fn vanishes(&mut self, flight: &Flight) -> bool {
        let Some(left) = self.vanishing.filter(|_| flight.is_ike()) else { return false };
        self.vanishing = left.checked_sub(1);
        left == 0
    }

    fn carry(&mut self, now: Instant, rng: &mut StdRng, mut flight: Flight) {
        if rng.random_range(0..1000) < self.damage
            && let Content::Ike(bytes) | Content::Esp(bytes) = &mut flight.content
        {
            let at = rng.random_range(0..bytes.len());
            bytes[at] ^= 1 << rng.random_range(0..8);
        }
        let jitter = self.jitter.mul_f64(rng.random_range(0.0..1.0));
        self.count += 1;
        self.flights.push(Reverse((now + self.delay + jitter, self.count, flight)));
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.flights.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next packet that arrives by `now`.
    pub(crate) fn arrival(&mut self, now: Instant) -> Option<Flight> {
        self.next().filter(|&at| at <= now)?;
        self.flights.pop().map(|Reverse((_, _, flight))| flight)
    }
}
