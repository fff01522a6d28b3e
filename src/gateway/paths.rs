//! Whether a connection's packets can leave, and what has to be proven when they can again.
//!
//! Links and addresses count at once, without waiting for a probe. While a path is down nothing is known of what the peer holds; when it is back
//! a new quick mode proves it, and so does an authentic packet on an old pair.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Gateway, Probed, id};
use crate::config::Via;
use crate::events::{Event, Kind};
use crate::handoff;
use crate::sadb::OuterPath;
use crate::status::ErrorStatus;
use crate::tracker::TrackState;

/// How long an old ISAKMP SA may take to answer the quick mode that proves a path again; then a new main mode begins.
const PROOF_PATIENCE: Duration = Duration::from_secs(1);

impl Gateway {
    /// Compares a connection's path with what it was, and reacts to a change at once, without waiting for a probe.
    pub(super) fn look_at_path(&mut self, now: Instant, index: usize) {
        let connection = &self.connections[index];
        let can_leave = self.machine.is_ready(&connection.end);
        let probe_says_no = self.config.routes.iter().filter(|r| r.connection == index).filter_map(|r| r.track).any(|t| {
            self.tracks.get(t).is_some_and(|p| matches!(p.track.config().via, Via::Outside(_)) && p.track.state() == TrackState::Negative)
        });
        if can_leave && !connection.can_leave {
            if connection.wanted && connection.pairs.is_empty() {
                self.ike.connect(now, id(index));
            }
            // A track that judges this path need not wait for its next turn.
            let negative = |p: &&mut Probed| p.track.config().via == Via::Outside(index) && p.track.state() == TrackState::Negative;
            for probed in self.tracks.iter_mut().filter(negative) {
                probed.track.start(now);
            }
        }
        self.connections[index].can_leave = can_leave;
        let connection = &self.connections[index];
        let path_up = can_leave && !probe_says_no;
        let was_up = connection.path_up;
        if path_up == was_up {
            return;
        }
        self.connections[index].path_up = path_up;
        let (name, end) = (self.connections[index].name().to_owned(), self.connections[index].end.clone());
        let (local, by) = (end.address, end.interface.map_or_else(String::new, |interface| format!(" on {interface}")));
        if !path_up {
            let why = self.note_obstacle(index).unwrap_or_else(|| "its track is negative".to_owned());
            self.emit(Event::new(Kind::PathDown, format!("path from {local}{by} is down: {why}")).of(&name));
            self.connections[index].doubt();
            return;
        }
        self.connections[index].path_mtu = None;
        self.emit(Event::new(Kind::PathUp, format!("path from {local}{by} is up")).of(&name));
        self.prove_again(now, index);
    }

    /// If packets cannot leave at all, that is the connection's error: no negotiation will find a better one.
    pub(super) fn note_obstacle(&mut self, index: usize) -> Option<String> {
        let connection = &mut self.connections[index];
        let message = self.machine.obstacle(&connection.end)?;
        let advice = "bring the interface up or give it the address; the connection follows by itself, or correct `interface` and `local`"
            .to_owned();
        connection.last_error = Some(ErrorStatus { code: "PathDown".to_owned(), message: message.clone(), advice });
        Some(message)
    }

    /// New quick modes at once, if there is something in doubt to prove.
    pub(super) fn prove_again(&mut self, now: Instant, index: usize) {
        let connection = &mut self.connections[index];
        if !connection.path_up || connection.is_proven() {
            return;
        }
        if !connection.pairs.is_empty() {
            connection.doubt();
            self.ike.renew(now, id(index), Some(PROOF_PATIENCE));
        } else if connection.wanted {
            self.ike.connect(now, id(index));
        }
    }

    /// An authentic packet came from another address or port than we send to: a NAT has changed its mind.
    pub(super) fn follow(&mut self, now: Instant, spi_in: u32, from: SocketAddr) {
        let path = self.connections.iter().flat_map(|c| &c.pairs).find(|p| p.facts().spi_in == spi_in).map(|p| p.outbound.path);
        if let Some(OuterPath::Udp { local, remote }) = path
            && remote != from
        {
            self.ike.esp_moved(now, spi_in, local, from);
        }
    }

    /// An authentic packet on a pair in doubt: the peer holds it.
    pub(super) fn prove(&mut self, spi_in: u32) {
        for connection in self.connections.iter_mut().filter(|c| c.path_up) {
            if let Some(pair) = connection.pairs.iter_mut().find(|p| p.facts().spi_in == spi_in) {
                pair.proven = true;
            }
        }
    }

    /// A path has another MTU than its SAs were made for.
    pub(super) fn resize(&mut self, path: OuterPath, mtu: u32) {
        for connection in &mut self.connections {
            for pair in connection.pairs.iter_mut().filter(|p| p.outbound.path == path) {
                let Ok(suite) = handoff::suite(pair.transform) else { continue };
                let max_inner = handoff::max_inner(suite, path, mtu as usize);
                if max_inner != pair.outbound.max_inner {
                    pair.outbound = Arc::new(pair.outbound.resized(max_inner));
                    connection.path_mtu = Some(mtu);
                    self.stale = true;
                }
            }
        }
    }
}
