//! Network -> SPI -> open -> inner header -> selectors -> ECN -> TUN.

use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tandem_esp::{InboundSa, OpenError, Packet};

use super::flow::{self, Cache};
use super::limit::PerSource;
use super::outbound::notify;
use super::{Control, InboundBatch, Received, mss};
use crate::icmp::EchoReply;
use crate::ip::{self, Header, ecn, protocol};
use crate::policy::{Action, Flow};
use crate::sadb::{InboundEntry, Notice, OuterPath, SaFacts, Tables};
use crate::stats::{Counters, DropReason, Drops, Tally};

/// The receiving direction.
pub struct Inbound {
    drops: Arc<Drops>,
    control: Box<dyn Control>,
    tables: Arc<Tables>,
    sas: Vec<Receiving>,
    spis: Spis,
    verdicts: Cache<Option<DropReason>>,
    unknown_limit: PerSource,
    tally: Tally,
    /// The batch's packets that have an SA; kept for its capacity, as are the places and results.
    admitted: Vec<Admitted>,
    places: Vec<Packet>,
    results: Vec<Result<(), OpenError>>,
}

/// An SA that this thread owns.
struct Receiving {
    sa: InboundSa,
    entry: Arc<InboundEntry>,
    /// Of its connection.
    counters: Arc<Counters>,
    /// What fits the way back.
    max_inner: Option<usize>,
    /// Where the newest authentic packet came from, in UDP; at first where we send.
    remote: Option<SocketAddr>,
}

/// A packet that will be opened, and then, if all is well, what came out of it.
#[derive(Clone, Copy)]
struct Admitted {
    sa: usize,
    /// Its place in the batch's order.
    order: usize,
    sequence: u32,
    inner: Option<Packet>,
}

impl Inbound {
    /// A path without SAs.
    pub fn new(drops: Arc<Drops>, control: Box<dyn Control>) -> Self {
        Self {
            drops,
            control,
            tables: Arc::default(),
            sas: Vec::new(),
            spis: Spis::default(),
            verdicts: Cache::new(),
            unknown_limit: PerSource::new(),
            tally: Tally::default(),
            admitted: Vec::new(),
            places: Vec::new(),
            results: Vec::new(),
        }
    }

    /// As [`Outbound::update`](super::Outbound::update).
    pub fn update(&mut self, tables: &Arc<Tables>) {
        if Arc::ptr_eq(&self.tables, tables) {
            return;
        }
        self.tables = Arc::clone(tables);
        self.verdicts.clear();
        let mut old = mem::take(&mut self.sas);
        for entry in &tables.inbound {
            let facts = &entry.facts;
            let connection = tables.connections.get(facts.connection);
            let counters = connection.map(|c| Arc::clone(&c.counters)).unwrap_or_default();
            let way_back = connection.and_then(|c| c.outbound.get(entry.child)?.as_ref());
            let (sa, remote) = match old.iter().position(|r| r.entry.facts.id == facts.id) {
                Some(i) => {
                    let Receiving { sa, remote, .. } = old.swap_remove(i);
                    (sa, remote)
                }
                None => match entry.sa.take() {
                    Some(sa) => (sa, None),
                    None => continue,
                },
            };
            let remote = remote.or_else(|| match way_back?.path {
                OuterPath::Udp { remote, .. } => Some(remote),
                OuterPath::Esp { .. } => None,
            });
            let max_inner = way_back.map(|out| out.max_inner);
            self.sas.push(Receiving { sa, entry: Arc::clone(entry), counters, max_inner, remote });
        }
        self.spis = Spis::new(&self.sas);
        for Receiving { sa, entry, .. } in old {
            entry.sa.put_back(sa);
        }
    }

    /// Handles one batch: fills `delivered` anew from `received`, which it empties. `now_ms` is a coarse clock for limiting notices.
    ///
    /// # Panics
    /// If a packet lies outside the arena.
    pub fn process(&mut self, now_ms: u64, batch: &mut InboundBatch) {
        let InboundBatch { arena, received, delivered } = batch;
        delivered.clear();
        for (order, packet) in received.iter().enumerate() {
            if let Err(reason) = self.admit(now_ms, order, packet, arena) {
                self.tally.count(reason);
            }
        }
        self.open(arena, received);
        delivered.extend(self.admitted.iter().filter_map(|a| a.inner));
        self.admitted.clear();
        received.clear();
        self.tally.flush(&self.drops);
    }

    /// Finds the SA. By the SPI alone, as RFC 4301 section 4.1 allows for unicast: where an authentic packet comes from says nothing, and a
    /// NAT may change it at any time. But the encapsulation must be the one that was agreed.
    fn admit(&mut self, now_ms: u64, order: usize, received: &Received, arena: &[u8]) -> Result<(), DropReason> {
        let &[s0, s1, s2, s3, n0, n1, n2, n3] = arena[received.packet.range()].first_chunk().ok_or(DropReason::Malformed)?;
        let Some(sa) = self.spis.find(u32::from_be_bytes([s0, s1, s2, s3])) else {
            let remote = received.remote.ip();
            if self.unknown_limit.admits(now_ms, remote) {
                notify(&mut *self.control, &mut self.tally, Notice::UnknownSpi { local: received.local, remote });
            }
            return Err(DropReason::UnknownSpi);
        };
        if self.sas[sa].entry.in_udp != received.in_udp {
            return Err(DropReason::WrongPeer);
        }
        self.admitted.push(Admitted { sa, order, sequence: u32::from_be_bytes([n0, n1, n2, n3]), inner: None });
        Ok(())
    }

    /// Opens what was admitted, SA by SA, checks what came out, and leaves it in the order of arrival.
    fn open(&mut self, arena: &mut [u8], received: &[Received]) {
        let mut admitted = mem::take(&mut self.admitted);
        admitted.sort_unstable_by_key(|a| (a.sa, a.order));
        for group in admitted.chunk_by_mut(|a, b| a.sa == b.sa) {
            let Some(&Admitted { sa, .. }) = group.first() else { continue };
            self.places.clear();
            self.places.extend(group.iter().map(|a| received[a.order].packet));
            self.results.clear();
            self.results.resize(group.len(), Err(OpenError::Malformed));
            self.sas[sa].sa.open_batch(arena, &mut self.places, &mut self.results);
            self.tell_authentic(sa, group, received);

            let (mut packets, mut bytes) = (0, 0);
            for (i, packet) in group.iter_mut().enumerate() {
                let result =
                    self.results[i].map_err(drop_reason).and_then(|()| self.accept(sa, self.places[i], received[packet.order].tos, arena));
                match result {
                    Ok(Accepted { len, deliver }) => {
                        packets += 1;
                        bytes += len as u64;
                        packet.inner = deliver.then_some(Packet { len, ..self.places[i] });
                    }
                    Err(reason) => self.tally.count(reason),
                }
            }
            let receiving = &self.sas[sa];
            receiving.entry.facts.counters.inbound.add(packets, bytes);
            receiving.counters.inbound.add(packets, bytes);
        }
        admitted.sort_unstable_by_key(|a| a.order);
        self.admitted = admitted;
    }

    /// Tells the control path that the peer lives, if it asked; and, in UDP, where the peer is now, if that changed. Only a packet newer than
    /// all before it says where the peer is: one that was long on its way must not move it back.
    fn tell_authentic(&mut self, sa: usize, group: &[Admitted], received: &[Received]) {
        let receiving = &mut self.sas[sa];
        let authentic = |result: &Result<(), OpenError>| {
            matches!(result, Ok(()) | Err(OpenError::BadPadding | OpenError::BadNextHeader | OpenError::Dummy))
        };
        let mut heard = group.iter().zip(&self.results).filter(|(_, result)| authentic(result)).map(|(a, _)| a);
        let Some(first) = heard.clone().next() else { return };
        let facts = &receiving.entry.facts;
        let asked = facts.tell_authentic.load(Ordering::Relaxed) && facts.tell_authentic.swap(false, Ordering::Relaxed);
        let mut remote = None;
        let mut moved = false;
        if receiving.entry.in_udp {
            let highest = receiving.sa.highest_sequence();
            let newest = heard.find(|a| u64::from(a.sequence) == highest).map(|a| received[a.order].remote);
            moved = newest.is_some() && newest != receiving.remote;
            remote = newest.or(receiving.remote).or(Some(received[first.order].remote));
        }
        if asked || moved {
            let notice = Notice::Authentic { spi_in: facts.spi_in, remote };
            if notify(&mut *self.control, &mut self.tally, notice) {
                receiving.remote = if moved { remote } else { receiving.remote };
            } else if asked {
                // The next packet tries again.
                facts.tell_authentic.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Checks a decrypted packet against what was negotiated (RFC 4301 section 5.2) and finishes it.
    fn accept(&mut self, sa: usize, place: Packet, outer_tos: u8, arena: &mut [u8]) -> Result<Accepted, DropReason> {
        let bytes = &mut arena[place.range()];
        let header = Header::parse(bytes).map_err(|_| DropReason::InnerMalformed)?;
        if header.overwrites_tcp_flags() {
            return Err(DropReason::InnerMalformed);
        }
        let flow = flow::inbound(bytes, &header);
        let receiving = &self.sas[sa];
        let tables = &self.tables;
        let verdict = self.verdicts.get_or_decide(sa as u32, &flow, || judge(tables, &receiving.entry.facts, &flow));
        if let Some(reason) = verdict {
            return Err(reason);
        }
        let tos = ecn::decapsulate(header.tos, outer_tos).ok_or(DropReason::EcnInvalid)?;
        let len = header.total_len;
        if matches!(header.protocol, protocol::ICMP | protocol::ICMPV6)
            && let Some(reply) = EchoReply::parse(bytes, &header).filter(|reply| tables.echoes.iter().any(|echo| reply.answers(echo)))
        {
            let connection = receiving.entry.facts.connection;
            let notice = Notice::EchoReply { connection, id: reply.id, sequence: reply.sequence };
            notify(&mut *self.control, &mut self.tally, notice);
            return Ok(Accepted { len, deliver: false });
        }
        if tos != header.tos {
            ip::set_tos(bytes, tos);
        }
        if let Some(max_inner) = receiving.max_inner {
            mss::clamp(bytes, &header, max_inner);
        }
        Ok(Accepted { len, deliver: true })
    }
}

/// A packet that passed all checks: its length, and whether it goes to the TUN device.
struct Accepted {
    len: usize,
    deliver: bool,
}

/// Why an inner packet must not come through this SA, if so: it is outside the selectors, or the access list, mirrored, denies it.
fn judge(tables: &Tables, facts: &SaFacts, flow: &Flow) -> Option<DropReason> {
    let permitted = || tables.connections.get(facts.connection).is_some_and(|c| c.policy.decide(flow) != Action::Discard);
    if !flow::covers(&facts.selectors, flow) {
        Some(DropReason::SelectorMismatch)
    } else if !permitted() {
        Some(DropReason::NoPolicy)
    } else {
        None
    }
}

fn drop_reason(error: OpenError) -> DropReason {
    match error {
        OpenError::Malformed => DropReason::Malformed,
        OpenError::Replayed => DropReason::Replayed,
        OpenError::BadIcv => DropReason::BadIcv,
        OpenError::BadPadding => DropReason::BadPadding,
        OpenError::Dummy => DropReason::Dummy,
        OpenError::BadNextHeader => DropReason::BadNextHeader,
    }
}

/// Index of the SA by SPI. The last one found answers most questions; the others take a binary search, whose time no sender can choose.
#[derive(Default)]
struct Spis {
    sorted: Vec<(u32, usize)>,
    last: Option<(u32, usize)>,
}

impl Spis {
    fn new(sas: &[Receiving]) -> Self {
        let mut sorted: Vec<_> = sas.iter().enumerate().map(|(i, r)| (r.entry.facts.spi_in, i)).collect();
        sorted.sort_unstable();
        Self { sorted, last: None }
    }

    fn find(&mut self, spi: u32) -> Option<usize> {
        if let Some((last, sa)) = self.last
            && last == spi
        {
            return Some(sa);
        }
        let i = self.sorted.binary_search_by_key(&spi, |&(spi, _)| spi).ok()?;
        self.last = self.sorted.get(i).copied();
        self.last.map(|(_, sa)| sa)
    }
}
