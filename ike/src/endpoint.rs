//! The face of the crate: finds the session that a datagram belongs to, keeps connections up, and hands out what they produce.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::{ConnectionConfig, ConnectionId, Event, Transmit};

/// All connections of one gateway. See the crate's page for the order of calls.
pub struct Endpoint {}

impl Endpoint {
    /// An endpoint without connections. `seed` feeds a ChaCha generator: the operating system's randomness in a gateway, a number in a test.
    pub fn new(seed: [u8; 32]) -> Self {
        let _ = seed;
        todo!()
    }

    /// Adds a connection, or changes one: what is established stays as long as the new configuration would still agree to it
    /// (a new key, lifetime or DPD setting leaves SAs alone; new addresses or proposals close them).
    pub fn configure(&mut self, now: Instant, id: ConnectionId, config: ConnectionConfig) {
        let _ = (now, id, config);
        todo!()
    }

    /// Closes a connection as [`close`](Self::close) does and forgets it.
    pub fn remove(&mut self, now: Instant, id: ConnectionId) {
        let _ = (now, id);
        todo!()
    }

    /// Brings a connection up, every child of it, and keeps it up until [`close`](Self::close), whatever its [`Start`](crate::Start) says.
    /// If it waits between two attempts, it tries at once.
    pub fn connect(&mut self, now: Instant, id: ConnectionId) {
        let _ = (now, id);
        todo!()
    }

    /// Traffic needs this child. Negotiates it if it has no SA and no negotiation runs; ignored for `passive`.
    pub fn acquire(&mut self, now: Instant, id: ConnectionId, child: usize) {
        let _ = (now, id, child);
        todo!()
    }

    /// Makes new IPsec SAs for every child under the present ISAKMP SA. With `patience`, an ISAKMP SA that does not answer for so long
    /// is replaced by a new main mode with INITIAL-CONTACT. The old SAs are kept until the new ones stand.
    pub fn renew(&mut self, now: Instant, id: ConnectionId, patience: Option<Duration>) {
        let _ = (now, id, patience);
        todo!()
    }

    /// Replaces the ISAKMP SA and then the IPsec SAs, make before break (`tandem rekey`).
    pub fn rekey(&mut self, now: Instant, id: ConnectionId) {
        let _ = (now, id);
        todo!()
    }

    /// Sends DELETE for both phases, forgets every SA of the connection and stops trying. It still answers the peer unless it is removed.
    pub fn close(&mut self, now: Instant, id: ConnectionId) {
        let _ = (now, id);
        todo!()
    }

    /// A UDP payload from port 500 or 4500, with the non-ESP marker still in front on 4500. Anything that is not for us is counted and dropped.
    pub fn handle(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) {
        let _ = (now, local, remote, datagram);
        todo!()
    }

    /// An authentic ESP packet came in on this SA: completes quick mode as responder, and proves that the peer lives (RFC 3706 section 5).
    pub fn esp_authentic(&mut self, now: Instant, spi_in: u32) {
        let _ = (now, spi_in);
        todo!()
    }

    /// An ESP packet with an SPI that we do not know came from a configured peer: it holds SAs that we lost (a restart). Negotiates unless
    /// the connection is `passive`, an attempt runs, the last such trigger is under 10 s old, or we ourselves deleted or rekeyed in the last 2 s.
    pub fn esp_unknown_spi(&mut self, now: Instant, id: ConnectionId) {
        let _ = (now, id);
        todo!()
    }

    /// Runs what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        todo!()
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }
}
