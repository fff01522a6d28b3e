//! What the connections of one endpoint have in common: randomness, timers, names that must be unique, and the outputs.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::config::ConnectionId;
use crate::error::DropReason;
use crate::event::{ChildSaId, Event, Transmit};
use crate::nat::{NAT_TRAVERSAL_PORT, Path};
use crate::session::SessionId;
use crate::timer::Timers;
use crate::wire::Cookie;

/// In front of every IKE message on port 4500 (RFC 3948 section 2.2).
pub(crate) const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// SPIs 0 to 255 are reserved (RFC 4303 section 2.1).
const FIRST_SPI: u32 = 0x100;

/// See the file's first line.
pub(crate) struct Shared {
    pub(crate) rng: StdRng,
    pub(crate) timers: Timers,
    events: VecDeque<Event>,
    transmits: VecDeque<Transmit>,
    drops: BTreeMap<&'static str, u64>,
    /// Whose session knows this cookie as ours.
    cookies: BTreeMap<Cookie, ConnectionId>,
    /// Every inbound SPI in use; `None` while quick mode has not finished.
    spis: BTreeMap<u32, Option<(ConnectionId, ChildSaId)>>,
    next_session: u64,
    next_child: u64,
    /// Main modes as responder that are not finished, over all connections.
    pub(crate) half_open: usize,
    /// Whether the owner wants the keys of ISAKMP SAs.
    pub(crate) logs_keys: bool,
}

impl Shared {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            rng: StdRng::from_seed(seed),
            timers: Timers::default(),
            events: VecDeque::new(),
            transmits: VecDeque::new(),
            drops: BTreeMap::new(),
            cookies: BTreeMap::new(),
            logs_keys: false,
            spis: BTreeMap::new(),
            next_session: 0,
            next_child: 0,
            half_open: 0,
        }
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Sends an IKE message, with the non-ESP marker where the path has one.
    pub(crate) fn send(&mut self, path: Path, message: &[u8]) {
        let payload = if path.local.port() == NAT_TRAVERSAL_PORT { [&NON_ESP_MARKER, message].concat() } else { message.to_vec() };
        self.send_raw(path, payload);
    }

    /// Sends a UDP payload as it stands.
    pub(crate) fn send_raw(&mut self, path: Path, payload: Vec<u8>) {
        self.transmits.push_back(Transmit { local: path.local, remote: path.remote, payload });
    }

    pub(crate) fn drop_datagram(&mut self, reason: DropReason) {
        *self.drops.entry(reason.name()).or_default() += 1;
    }

    pub(crate) fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(reason.name()).copied().unwrap_or_default()
    }

    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn next_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(crate) fn new_session_id(&mut self) -> SessionId {
        self.next_session += 1;
        SessionId(self.next_session)
    }

    pub(crate) fn new_child_sa_id(&mut self) -> ChildSaId {
        self.next_child += 1;
        ChildSaId(self.next_child)
    }

    /// A cookie of our own that no session has.
    pub(crate) fn new_cookie(&mut self, owner: ConnectionId) -> Cookie {
        loop {
            let cookie = Cookie::random(&mut self.rng);
            if let std::collections::btree_map::Entry::Vacant(entry) = self.cookies.entry(cookie) {
                entry.insert(owner);
                return cookie;
            }
        }
    }

    pub(crate) fn free_cookie(&mut self, cookie: Cookie) {
        self.cookies.remove(&cookie);
    }

    pub(crate) fn owner_of(&self, cookie: Cookie) -> Option<ConnectionId> {
        self.cookies.get(&cookie).copied()
    }

    /// An inbound SPI that nothing of ours uses.
    pub(crate) fn new_spi(&mut self) -> u32 {
        loop {
            let spi = self.rng.random_range(FIRST_SPI..=u32::MAX);
            if let std::collections::btree_map::Entry::Vacant(entry) = self.spis.entry(spi) {
                entry.insert(None);
                return spi;
            }
        }
    }

    pub(crate) fn bind_spi(&mut self, spi: u32, connection: ConnectionId, pair: ChildSaId) {
        self.spis.insert(spi, Some((connection, pair)));
    }

    pub(crate) fn free_spi(&mut self, spi: u32) {
        self.spis.remove(&spi);
    }

    pub(crate) fn pair_of(&self, spi: u32) -> Option<(ConnectionId, ChildSaId)> {
        self.spis.get(&spi).copied().flatten()
    }

    /// A message id for an exchange that no established SA keeps count of.
    pub(crate) fn new_message_id(&mut self) -> u32 {
        self.rng.random_range(1..=u32::MAX)
    }

    /// A random part of `span`.
    pub(crate) fn jitter(&mut self, span: Duration) -> Duration {
        span.mul_f64(self.rng.random_range(0.0..1.0))
    }
}
