//! The face of the crate: finds the connection that a datagram or a timer belongs to, and hands out what it produces.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::error::{DropReason, Error, NotNow};
use crate::event::DeleteReason;
use crate::failure;
use crate::nat::{NAT_TRAVERSAL_PORT, Path};
use crate::phase_one::Received;
use crate::shared::{NON_ESP_MARKER, Shared};
use crate::timer::Timer;
use crate::wire::{Cookie, ExchangeType, Header, NotifyType};
use crate::{ChildSaId, ConnectionConfig, ConnectionId, Event, Transmit};

/// Failures of peers that no connection knows are reported once in this time.
const STRANGER_INTERVAL: Duration = Duration::from_secs(10);

/// All connections of one gateway. See the crate's page for the order of calls.
pub struct Endpoint {
    connections: BTreeMap<ConnectionId, Connection>,
    /// By our address and the peer's: two connections may have one peer.
    by_address: BTreeMap<(IpAddr, IpAddr), ConnectionId>,
    shared: Shared,
    last_stranger: Option<Instant>,
}

impl Endpoint {
    /// An endpoint without connections. `seed` feeds a ChaCha generator: the operating system's randomness in a gateway, a number in a test.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { connections: BTreeMap::new(), by_address: BTreeMap::new(), shared: Shared::new(seed), last_stranger: None }
    }

    /// From now on tells the key of every ISAKMP SA as [`Event::IkeKey`], for a key log. Off unless called: whoever has the keys reads the traffic.
    pub fn log_keys(&mut self) {
        self.shared.logs_keys = true;
    }

    /// Adds a connection, or changes one: what is established stays as long as the new configuration would still agree to it
    /// (a new key, lifetime or DPD setting leaves SAs alone; new addresses or proposals close them). Pairs whose proxy identities
    /// stay in the configuration follow them to their new index. If two connections have the same two addresses, the later one is found by them.
    pub fn configure(&mut self, now: Instant, id: ConnectionId, config: ConnectionConfig) {
        self.by_address.retain(|_, owner| *owner != id);
        self.by_address.insert((config.local, config.remote), id);
        match self.connections.get_mut(&id) {
            Some(connection) => connection.reconfigure(&mut self.shared, now, config),
            None => {
                self.connections.insert(id, Connection::new(id, Arc::new(config), now));
            }
        }
    }

    /// Closes a connection as [`close`](Self::close) does and forgets it.
    pub fn remove(&mut self, now: Instant, id: ConnectionId) {
        self.with(id, |connection, shared| {
            connection.close(shared, now);
            connection.drop_unfinished(shared, false);
        });
        self.connections.remove(&id);
        self.by_address.retain(|_, owner| *owner != id);
    }

    /// Brings a connection up, every child of it, and keeps it up until [`close`](Self::close), whatever its [`Start`](crate::Start) says.
    /// If it waits between two attempts, it tries at once.
    pub fn connect(&mut self, now: Instant, id: ConnectionId) {
        self.with(id, |connection, shared| connection.connect(shared, now));
    }

    /// Traffic needs this child. Negotiates it if it has no SA and no negotiation runs; ignored for `passive`.
    pub fn acquire(&mut self, now: Instant, id: ConnectionId, child: usize) {
        self.with(id, |connection, shared| connection.acquire(shared, now, child));
    }

    /// Makes new IPsec SAs for every child under the present ISAKMP SA. With `patience`, an ISAKMP SA that does not answer for so long
    /// is replaced by a new main mode with INITIAL-CONTACT. The old SAs are kept until the new ones stand.
    pub fn renew(&mut self, now: Instant, id: ConnectionId, patience: Option<Duration>) {
        self.with(id, |connection, shared| connection.renew(shared, now, patience));
    }

    /// Replaces the ISAKMP SA and then the IPsec SAs, make before break (`tandem rekey`).
    pub fn rekey(&mut self, now: Instant, id: ConnectionId) {
        self.with(id, |connection, shared| connection.rekey(shared, now));
    }

    /// Replaces one IPsec SA pair before its soft lifetime ends: its sequence numbers are nearly used up.
    pub fn rekey_child(&mut self, now: Instant, id: ConnectionId, pair: ChildSaId) {
        self.with(id, |connection, shared| connection.child_rekey_due(shared, now, pair));
    }

    /// Sends DELETE for both phases, forgets every SA of the connection and stops trying. It still answers the peer unless it is removed.
    pub fn close(&mut self, now: Instant, id: ConnectionId) {
        self.with(id, |connection, shared| connection.close(shared, now));
    }

    /// A UDP payload from port 500 or 4500, with the non-ESP marker still in front on 4500. Anything that is not for us is counted and dropped.
    pub fn handle(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) {
        if let Err(error) = self.receive(now, Path { local, remote }, datagram) {
            self.shared.drop_datagram(error.reason());
        }
    }

    fn receive(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Result<(), Error> {
        let message = match path.local.port() {
            NAT_TRAVERSAL_PORT if datagram == [0xff] => return Err(NotNow::Keepalive.into()),
            NAT_TRAVERSAL_PORT => datagram.strip_prefix(&NON_ESP_MARKER).ok_or(NotNow::NotIke)?,
            _ => datagram,
        };
        let (header, body) = Header::parse(message)?;
        let received = Received { path, header: &header, body, message };
        let by_cookie = [header.initiator_cookie, header.responder_cookie].into_iter().find_map(|cookie| self.shared.owner_of(cookie));
        let by_address = || self.by_address.get(&(path.local.ip(), path.remote.ip())).copied();
        let Some(id) = by_cookie.or_else(by_address) else {
            self.stranger(now, &received);
            return Err(NotNow::UnknownPeer.into());
        };
        let Some(connection) = self.connections.get_mut(&id) else { return Err(NotNow::UnknownPeer.into()) };
        let shared = &mut self.shared;
        if header.major_version() != 1 {
            return foreign(connection, shared, now, received, NotifyType::INVALID_MAJOR_VERSION);
        }
        match header.exchange {
            ExchangeType::MAIN => connection.main_mode(shared, now, received),
            ExchangeType::QUICK => connection.quick_mode(shared, now, received),
            ExchangeType::INFORMATIONAL => connection.informational(shared, now, received),
            _ => foreign(connection, shared, now, received, NotifyType::UNSUPPORTED_EXCHANGE_TYPE),
        }
    }

    /// A first message from nobody we know gets no answer; that it came is worth a line now and then.
    fn stranger(&mut self, now: Instant, received: &Received<'_>) {
        let first = received.header.responder_cookie.is_zero() && received.header.exchange == ExchangeType::MAIN;
        if first && self.last_stranger.is_none_or(|at| now >= at + STRANGER_INTERVAL) {
            self.last_stranger = Some(now);
            let remote = received.path.remote;
            self.shared.emit(Event::Failed { connection: None, remote, failure: failure::unknown_peer(received.path), retry_at: None });
        }
    }

    /// An authentic ESP packet came in on this SA: completes quick mode as responder, and proves that the peer lives (RFC 3706 section 5).
    pub fn esp_authentic(&mut self, now: Instant, spi_in: u32) {
        if let Some((id, pair)) = self.shared.pair_of(spi_in) {
            self.with(id, |connection, shared| {
                connection.proof_of_life(shared, now);
                if connection.pairs.get(pair).is_some_and(|pair| !pair.ready) {
                    connection.complete(shared, now, pair);
                }
            });
        }
    }

    /// Authentic packets came in on this connection since the last call: proof of life without naming an SA.
    pub fn traffic_seen(&mut self, now: Instant, id: ConnectionId) {
        self.with(id, |connection, shared| connection.proof_of_life(shared, now));
    }

    /// An authentic ESP packet with the highest sequence number yet came in UDP from another address or port than before: a NAT between us has
    /// moved the peer. Followed only where NAT detection found one.
    pub fn esp_moved(&mut self, now: Instant, spi_in: u32, local: SocketAddr, remote: SocketAddr) {
        if let Some((id, _)) = self.shared.pair_of(spi_in) {
            self.with(id, |connection, shared| {
                connection.proof_of_life(shared, now);
                connection.moved(shared, Path { local, remote });
            });
        }
    }

    /// An ESP packet with an SPI that we do not know came from a configured peer: it holds SAs that we lost (a restart). Negotiates unless
    /// the connection is `passive`, an attempt runs, the last such trigger is under 10 s old, or we ourselves deleted or rekeyed in the last 2 s.
    pub fn esp_unknown_spi(&mut self, now: Instant, id: ConnectionId) {
        self.with(id, |connection, shared| connection.unknown_spi(shared, now));
    }

    /// Runs what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.shared.timers.pop(now) {
            match timer {
                Timer::MainMode(id, session) => self.with(id, |connection, shared| connection.main_mode_step(shared, now, session)),
                Timer::HalfOpen(id, session) => {
                    self.with(id, |connection, shared| connection.drop_session(shared, session, DeleteReason::Expired));
                }
                Timer::QuickMode(id, session, message_id) => {
                    self.with(id, |connection, shared| connection.quick_mode_step(shared, now, session, message_id));
                }
                Timer::IsakmpRekey(id, session) => self.with(id, |connection, shared| connection.isakmp_rekey_due(shared, now, session)),
                Timer::IsakmpExpire(id, session) => self.with(id, |connection, shared| connection.isakmp_ended(shared, now, session)),
                Timer::ChildRekey(id, pair) => self.with(id, |connection, shared| connection.child_rekey_due(shared, now, pair)),
                Timer::ChildSwitch(id, pair) => self.with(id, |connection, shared| connection.ready(shared, now, pair)),
                Timer::ChildRetire(id, pair) => {
                    self.with(id, |connection, shared| connection.child_ended(shared, now, pair, DeleteReason::Replaced));
                }
                Timer::ChildExpire(id, pair) => {
                    self.with(id, |connection, shared| connection.child_ended(shared, now, pair, DeleteReason::Expired));
                }
                Timer::Attempt(id) => self.with(id, |connection, shared| connection.reconcile(shared, now)),
                Timer::Patience(id) => self.with(id, |connection, shared| connection.patience_ended(shared, now)),
                Timer::Dpd(id) => self.with(id, |connection, shared| connection.dpd_due(shared, now)),
                Timer::Keepalive(id) => self.with(id, |connection, shared| connection.keepalive_due(shared, now)),
            }
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.shared.next_event()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.shared.next_transmit()
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.shared.timers.next()
    }

    /// How many ISAKMP SAs a connection has, unfinished and retiring ones included: a bounded number.
    pub fn isakmp_sas(&self, id: ConnectionId) -> usize {
        self.connections.get(&id).map_or(0, |connection| connection.sessions.len())
    }

    /// How many datagrams were dropped for this reason since the endpoint was made.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.shared.dropped(reason)
    }

    /// Every reason to drop a datagram, with its count.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().map(|&reason| (reason, self.dropped(reason)))
    }

    fn with(&mut self, id: ConnectionId, act: impl FnOnce(&mut Connection, &mut Shared)) {
        if let Some(connection) = self.connections.get_mut(&id) {
            act(connection, &mut self.shared);
        }
    }
}

/// An exchange that we do not speak, from a peer that we know: one clear notification a second, and a line for people.
fn foreign(
    connection: &mut Connection,
    shared: &mut Shared,
    now: Instant,
    received: Received<'_>,
    notify_type: NotifyType,
) -> Result<(), Error> {
    let header = received.header;
    if header.responder_cookie.is_zero() {
        let unused = Cookie::random(&mut shared.rng);
        connection.notify_clear(shared, now, received.path, header.initiator_cookie, unused, notify_type);
        let what = failure::exchange_in_words(header.exchange, header.major_version());
        connection.report(shared, now, received.path.remote, failure::mode_mismatch(&what, received.path.remote));
    }
    Err(NotNow::Unsupported.into())
}

#[cfg(test)]
mod hostile_peer;
