//! TUN -> flow -> route -> policy -> SA -> size -> seal -> network.

use std::mem;
use std::sync::Arc;

use tandem_esp::{OutboundSa, Packet, SealError};

use super::flow::{self, Cache};
use super::limit::PerSecond;
use super::scratch::{self, Scratch};
use super::{Control, OutboundBatch, Sealed, mss};
use crate::icmp;
use crate::ip::{Header, v6};
use crate::policy::{Action, Flow};
use crate::sadb::{Notice, OutboundEntry, Tables};
use crate::stats::{Counters, DropReason, Drops, Tally};

/// "No SA" is told this often in a second for each child.
const NO_SA_NOTICES: u32 = 10;
/// ICMP errors in a second. A sender needs one; the rest of its burst tells it nothing new (RFC 1812 section 4.3.2.8 asks for a limit).
const ICMP_ERRORS: u32 = 100;
/// Three quarters of the sequence numbers: time to replace the SA, whatever its lifetime says.
const SEQUENCE_LOW: u64 = 3 << 30;

/// The sending direction.
pub struct Outbound {
    drops: Arc<Drops>,
    control: Box<dyn Control>,
    tables: Arc<Tables>,
    sas: Vec<Sending>,
    /// By connection, by child.
    children: Vec<Vec<Child>>,
    decisions: Cache<Decision>,
    icmp_limit: PerSecond,
    tally: Tally,
    /// The batch's packets that have an SA; kept for its capacity, as are the places.
    admitted: Vec<Admitted>,
    places: Vec<Packet>,
}

/// An SA that this thread owns.
struct Sending {
    sa: OutboundSa,
    entry: Arc<OutboundEntry>,
    /// Of its connection.
    counters: Arc<Counters>,
    low_told: bool,
}

/// What is known of a child: its SA's index, and when it was last missed.
#[derive(Default)]
struct Child {
    sa: Option<usize>,
    missed: PerSecond,
}

/// What becomes of a flow under the present tables.
#[derive(Clone, Copy, Debug)]
enum Decision {
    Seal { sa: usize },
    NoSa { connection: usize, child: usize },
    Drop(DropReason),
}

/// A packet that will be sealed, and its place in the batch's order.
struct Admitted {
    sa: usize,
    order: usize,
    packet: Packet,
    tos: u8,
}

impl Outbound {
    /// A path without SAs.
    pub fn new(drops: Arc<Drops>, control: Box<dyn Control>) -> Self {
        Self {
            drops,
            control,
            tables: Arc::default(),
            sas: Vec::new(),
            children: Vec::new(),
            decisions: Cache::new(),
            icmp_limit: PerSecond::default(),
            tally: Tally::default(),
            admitted: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Looks at the tables once per batch; when they are new ones, takes over the SAs that are new and gives back those that are gone
    /// (see [`Handover`](crate::sadb::Handover)). Costs one comparison while they stay the same.
    pub fn update(&mut self, tables: &Arc<Tables>) {
        if Arc::ptr_eq(&self.tables, tables) {
            return;
        }
        self.tables = Arc::clone(tables);
        self.decisions.clear();
        let mut old = mem::take(&mut self.sas);
        self.children.resize_with(tables.connections.len(), Vec::new);
        for (children, connection) in self.children.iter_mut().zip(&tables.connections) {
            children.resize_with(connection.outbound.len(), Child::default);
            for (child, entry) in children.iter_mut().zip(&connection.outbound) {
                let sending = entry.as_ref().and_then(|entry| {
                    let counters = Arc::clone(&connection.counters);
                    match old.iter().position(|s| s.entry.facts.id == entry.facts.id) {
                        Some(i) => Some(Sending { entry: Arc::clone(entry), counters, ..old.swap_remove(i) }),
                        None => entry.sa.take().map(|sa| Sending { sa, entry: Arc::clone(entry), counters, low_told: false }),
                    }
                });
                child.sa = sending.is_some().then_some(self.sas.len());
                self.sas.extend(sending);
            }
        }
        for Sending { sa, entry, .. } in old {
            entry.sa.put_back(sa);
        }
    }

    /// Handles one batch: fills `sealed` and `returned` anew from `packets`, which it empties. `now_ms` is a coarse clock for limiting notices.
    ///
    /// # Panics
    /// If a packet lies outside the arena or without its head and tail room.
    pub fn process(&mut self, now_ms: u64, batch: &mut OutboundBatch) {
        let OutboundBatch { arena, packets, sealed, returned } = batch;
        sealed.clear();
        returned.clear();
        let mut scratch = Scratch::behind(packets);
        for packet in packets.drain(..) {
            if let Err(reason) = self.admit(now_ms, packet, arena, &mut scratch, returned) {
                self.tally.count(reason);
            }
        }
        self.seal(arena, sealed);
        self.tally.flush(&self.drops);
    }

    /// The gateway's own packet (an echo): through this connection's newest SA whose selectors contain it, whatever the routes say.
    /// `batch.packets` holds exactly that packet. Without an SA it is dropped and the control path, whose packet it is, is not told.
    pub fn inject(&mut self, connection: usize, batch: &mut OutboundBatch) {
        let OutboundBatch { arena, packets, sealed, returned } = batch;
        sealed.clear();
        returned.clear();
        for packet in packets.drain(..) {
            if let Err(reason) = self.admit_own(connection, packet, arena) {
                self.tally.count(reason);
            }
        }
        self.seal(arena, sealed);
        self.tally.flush(&self.drops);
    }

    fn admit(
        &mut self,
        now_ms: u64,
        packet: Packet,
        arena: &mut Vec<u8>,
        scratch: &mut Scratch,
        returned: &mut Vec<Packet>,
    ) -> Result<(), DropReason> {
        let bytes = &arena[packet.range()];
        let header = Header::parse(bytes).map_err(|_| DropReason::NotIp)?;
        if header.overwrites_tcp_flags() {
            return Err(DropReason::NotIp);
        }
        let flow = flow::outbound(bytes, &header);
        let decision = self.decisions.get_or_decide(0, &flow, || decide(&self.tables, &self.children, &self.sas, &flow));
        let sa = match decision {
            Decision::Seal { sa } => sa,
            Decision::Drop(reason) => return Err(reason),
            Decision::NoSa { connection, child } => {
                self.tell_no_sa(now_ms, connection, child);
                return Err(DropReason::NoSa);
            }
        };

        let packet = Packet { len: header.total_len, ..packet };
        let max_inner = self.sas[sa].entry.max_inner;
        mss::clamp(&mut arena[packet.range()], &header, max_inner);
        // IPv6 knows no smaller packets than its minimum MTU; a tunnel that is smaller still fragments outside (RFC 2473 section 7.1).
        let limit = if header.is_v6() { max_inner.max(v6::MIN_MTU) } else { max_inner };
        if packet.len <= limit {
            self.push(sa, packet, header.tos);
            Ok(())
        } else if header.dont_fragment {
            returned.extend(self.answer_too_big(now_ms, packet, &header, limit, arena, scratch));
            Err(DropReason::TooBig)
        } else {
            let cut = scratch::fragment(arena, packet, &header, limit, scratch, |part| self.push(sa, part, header.tos));
            if cut { Ok(()) } else { Err(DropReason::TooBig) }
        }
    }

    fn admit_own(&mut self, connection: usize, packet: Packet, arena: &[u8]) -> Result<(), DropReason> {
        let bytes = &arena[packet.range()];
        let header = Header::parse(bytes).map_err(|_| DropReason::NotIp)?;
        let flow = flow::outbound(bytes, &header);
        let children = self.children.get(connection).map(Vec::as_slice).unwrap_or_default();
        let candidates = children.iter().filter_map(|child| child.sa).filter(|&sa| self.sas[sa].covers(&flow));
        let sa = candidates.max_by_key(|&sa| self.sas[sa].entry.facts.id).ok_or(DropReason::NoSa)?;
        if header.total_len > self.sas[sa].entry.max_inner {
            return Err(DropReason::TooBig);
        }
        self.push(sa, Packet { len: header.total_len, ..packet }, header.tos);
        Ok(())
    }

    fn push(&mut self, sa: usize, packet: Packet, tos: u8) {
        self.admitted.push(Admitted { sa, order: self.admitted.len(), packet, tos });
    }

    fn tell_no_sa(&mut self, now_ms: u64, connection: usize, child: usize) {
        let known = self.children.get_mut(connection).and_then(|children| children.get_mut(child));
        if known.is_some_and(|child| child.missed.admits(now_ms, NO_SA_NOTICES)) {
            notify(&mut *self.control, &mut self.tally, Notice::NoSa { connection, child });
        }
    }

    fn answer_too_big(
        &mut self,
        now_ms: u64,
        packet: Packet,
        header: &Header,
        mtu: usize,
        arena: &mut Vec<u8>,
        scratch: &mut Scratch,
    ) -> Option<Packet> {
        if !icmp::may_answer(&arena[packet.range()], header) || !self.icmp_limit.admits(now_ms, ICMP_ERRORS) {
            return None;
        }
        let place = scratch.place(arena, icmp::ERROR_MAX);
        let (before, room) = arena.split_at_mut(place.start);
        let len = icmp::too_big(&before[packet.range()], header, mtu, room)?;
        Some(Packet { len, ..place })
    }

    /// Seals what was admitted, SA by SA; within one in the order of arrival.
    fn seal(&mut self, arena: &mut [u8], sealed: &mut Vec<Sealed>) {
        let Self { admitted, places, sas, control, tally, .. } = self;
        admitted.sort_unstable_by_key(|a| (a.sa, a.order));
        for group in admitted.chunk_by(|a, b| a.sa == b.sa) {
            let Some(sending) = group.first().and_then(|a| sas.get_mut(a.sa)) else { continue };
            places.clear();
            places.extend(group.iter().map(|a| a.packet));
            let done = match sending.sa.seal_batch(arena, places) {
                Ok(()) => group.len(),
                Err(SealError::SequenceExhausted { sealed }) => sealed,
            };
            tally.add(DropReason::SequenceExhausted, group.len() - done);
            let path = sending.entry.path;
            sealed.extend(group.iter().zip(&*places).take(done).map(|(a, &packet)| Sealed { packet, path, tos: a.tos }));
            sending.count(&group[..done]);
            if !sending.low_told && sending.sa.sequence() >= SEQUENCE_LOW {
                sending.low_told = notify(&mut **control, tally, Notice::SequenceLow { id: sending.entry.facts.id });
            }
        }
        admitted.clear();
    }
}

impl Sending {
    fn covers(&self, flow: &Flow) -> bool {
        flow::covers(&self.entry.facts.selectors, flow)
    }

    fn count(&self, sent: &[Admitted]) {
        let (packets, bytes) = (sent.len() as u64, sent.iter().map(|a| a.packet.len as u64).sum());
        self.entry.facts.counters.outbound.add(packets, bytes);
        self.counters.outbound.add(packets, bytes);
    }
}

/// The whole way from flow to SA. An SA carries only what was negotiated for it, even if the policy has changed since.
fn decide(tables: &Tables, children: &[Vec<Child>], sas: &[Sending], flow: &Flow) -> Decision {
    let Some(route) = tables.routes.iter().find(|route| route.destination.contains(&flow.remote)) else {
        return Decision::Drop(DropReason::NoRoute);
    };
    let connection = route.connection;
    let Some(entry) = tables.connections.get(connection) else { return Decision::Drop(DropReason::NoRoute) };
    let Action::Protect(child) = entry.policy.decide(flow) else { return Decision::Drop(DropReason::NoPolicy) };
    let sa = children.get(connection).and_then(|c| c.get(child)?.sa).filter(|&sa| sas[sa].covers(flow));
    sa.map_or(Decision::NoSa { connection, child }, |sa| Decision::Seal { sa })
}

/// Tells the control path, or counts that it could not.
pub(super) fn notify(control: &mut dyn Control, tally: &mut Tally, notice: Notice) -> bool {
    let told = control.notify(notice);
    if !told {
        tally.count(DropReason::ControlFull);
    }
    told
}
