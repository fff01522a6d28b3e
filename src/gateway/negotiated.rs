//! What IKE has to tell, and what follows from it: SA pairs come, become ready and go.

use std::sync::Arc;
use std::time::Instant;

use tandem_ike::{ChildSaId, ConnectionId, DeleteReason, Encapsulation, Event as IkeEvent, Role};

use super::{Gateway, Output, index};
use crate::connection::SaPair;
use crate::events::{Event, Kind};
use crate::handoff;
use crate::keylog::Keys;
use crate::status::ErrorStatus;

impl Gateway {
    pub(super) fn handle_ike_event(&mut self, now: Instant, event: IkeEvent) {
        match event {
            IkeEvent::Negotiating { connection, role } => {
                let who = if role == Role::Initiator { "we" } else { "the peer" };
                self.tell(connection, Kind::Negotiating, format!("{who} began to negotiate"));
            }
            IkeEvent::IkeEstablished { connection, info } => {
                let Some(c) = self.connections.get_mut(index(connection)) else { return };
                let message = format!("ISAKMP SA established: {}, {:?}", info.proposal, info.role);
                c.ike_sa = Some((info, true));
                c.quick_mode_failed = false;
                self.tell(connection, Kind::IkeEstablished, message);
            }
            IkeEvent::IkeKey { key, .. } => self.outputs.push_back(Output::Keys(Keys::ike(key.initiator_cookie, &key.key))),
            IkeEvent::IkeClosed { connection, reason } => {
                if let Some((_, stands)) = self.connections.get_mut(index(connection)).and_then(|c| c.ike_sa.as_mut()) {
                    *stands = false;
                }
                self.tell(connection, Kind::IkeClosed, format!("ISAKMP SA is gone: {}", reason_text(reason)));
            }
            IkeEvent::ChildInstalled { .. } => self.install(event),
            IkeEvent::ChildReady { connection, id, .. } => self.make_ready(connection, id),
            IkeEvent::ChildDeleted { connection, id, reason, .. } => {
                let Some(c) = self.connections.get_mut(index(connection)) else { return };
                let Some(at) = c.pairs.iter().position(|p| p.facts().id == id) else { return };
                let pair = c.pairs.remove(at);
                self.stale = true;
                if reason != DeleteReason::Replaced {
                    let message = format!(
                        "IPsec SA pair in {:08x} out {:08x} is gone: {}",
                        pair.facts().spi_in,
                        pair.facts().spi_out,
                        reason_text(reason)
                    );
                    self.tell(connection, Kind::IpsecClosed, message);
                }
            }
            IkeEvent::PeerMoved { connection, encapsulation } => {
                let Some(c) = self.connections.get_mut(index(connection)) else { return };
                let path = handoff::outer_path(encapsulation, c.config.ike.local, c.config.ike.remote);
                for pair in c.pairs.iter_mut().filter(|p| p.inbound.in_udp) {
                    pair.outbound = Arc::new(pair.outbound.moved(path));
                }
                self.stale = true;
                if let Encapsulation::Udp { remote, .. } = encapsulation {
                    self.tell(connection, Kind::PeerMoved, format!("the peer sends from {remote} now"));
                }
            }
            IkeEvent::PeerDead { connection } => {
                if let Some(c) = self.connections.get_mut(index(connection)) {
                    c.doubt();
                }
                self.tell(connection, Kind::PeerDead, "the peer does not answer (DPD)".to_owned());
            }
            IkeEvent::Failed { connection, remote, failure, retry_at } => {
                let mut message = format!("negotiation with {remote} failed: {}", failure.message);
                if let Some(at) = retry_at {
                    message += &format!("; next attempt in {:.1} s", at.saturating_duration_since(now).as_secs_f64());
                }
                let mut event = Event::new(Kind::NegotiationFailed, message).because(failure.code, &failure.advice);
                if let Some(c) = connection.and_then(|c| self.connections.get_mut(index(c))) {
                    event = event.of(c.name());
                    c.quick_mode_failed |= c.ike_sa.as_ref().is_some_and(|(_, stands)| *stands);
                    c.last_error =
                        Some(ErrorStatus { code: format!("{:?}", failure.code), message: failure.message, advice: failure.advice });
                }
                self.emit(event);
            }
            IkeEvent::Warning { connection, message } => self.tell(connection, Kind::Warning, message),
        }
    }

    /// A new pair: its inbound half works from the next tables on.
    fn install(&mut self, event: IkeEvent) {
        let IkeEvent::ChildInstalled { connection, child, id, selectors, transform, pfs, encapsulation, keys, rekey_at, .. } = event else {
            return;
        };
        let Some(c) = self.connections.get(index(connection)) else { return };
        let path = handoff::outer_path(encapsulation, c.config.ike.local, c.config.ike.remote);
        let (outer_mtu, replay_window) = (self.path_mtu(c) as usize, c.config.replay_window);
        let (local, remote) = path.addresses();
        let made = handoff::suite(transform).and_then(|suite| {
            if self.logs_keys {
                self.outputs.push_back(Output::Keys(Keys::esp(local, remote, suite, &keys)));
            }
            let new = handoff::Negotiated { id, connection: index(connection), child, selectors, suite, path, outer_mtu, replay_window };
            handoff::entries(new, &keys, &mut self.rng)
        });
        match made {
            Ok((outbound, inbound)) => {
                let pair = SaPair { inbound, outbound, transform, pfs, rekey_at, ready: None, proven: false };
                self.connections[index(connection)].pairs.push(pair);
                self.stale = true;
            }
            Err(error) => self.tell(connection, Kind::Warning, format!("the new SA pair cannot be used: {error}")),
        }
    }

    fn make_ready(&mut self, connection: ConnectionId, id: ChildSaId) {
        let Some(c) = self.connections.get_mut(index(connection)) else { return };
        let is_rekey = c.newest_of_all().is_some();
        c.ready_count += 1;
        let ready = c.ready_count;
        c.last_error = None;
        c.quick_mode_failed = false;
        let Some(pair) = c.pair_mut(id) else { return };
        pair.ready = Some(ready);
        pair.proven = true;
        let facts = pair.facts();
        let (local, remote) = (facts.selectors.local.net, facts.selectors.remote.net);
        let way = if pair.inbound.in_udp { "in UDP" } else { "as IP protocol 50" };
        let message =
            format!("IPsec SA pair: {local} <-> {remote}, {}, in {:08x} out {:08x}, {way}", pair.transform, facts.spi_in, facts.spi_out);
        self.stale = true;
        self.tell(connection, if is_rekey { Kind::Rekeyed } else { Kind::IpsecEstablished }, message);
    }
}

fn reason_text(reason: DeleteReason) -> &'static str {
    match reason {
        DeleteReason::Replaced => "a newer one took its place",
        DeleteReason::Expired => "its lifetime ended",
        DeleteReason::PeerDeleted => "the peer deleted it",
        DeleteReason::InitialContact => "the peer began anew (INITIAL-CONTACT)",
        DeleteReason::PeerDead => "the peer is dead",
        DeleteReason::Closed => "closed here",
    }
}
