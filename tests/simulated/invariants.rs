//! What must be true after every step, whatever the network and the ends have gone through.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::world::End;

/// An end's pair and its peer's know each other: within this after the last fault, whatever state it left behind. The longest pause between two
/// attempts is 75 s, an attempt and its first repetitions take a few seconds, and DPD notices after 40 s what nothing else shows.
pub(crate) const RECOVERY: Duration = Duration::from_secs(130);
/// IPsec SA pairs of one child at any time, even if somebody says `tandem rekey` again and again: `ike` keeps no more.
const MOST_PAIRS: usize = 16;
/// The same half a minute after the last rekey, if no DELETE was lost: the one in use, and one of each end's if both were made at once.
pub(crate) const CALM: usize = 3;
/// The same if DELETEs were lost: nobody acknowledges one, so what it was about stays until its lifetime ends, or this end replaces it.
pub(crate) const AFTER_LOSSES: usize = 6;
/// ISAKMP SAs of one connection at any time, unfinished ones included.
const MOST_ISAKMP_SAS: usize = 17;

/// Watches. A broken invariant panics with its name.
pub(crate) struct Witness {
    /// When the last fault ended; `None` while one lasts.
    pub(crate) calm_since: Option<Instant>,
    /// Pairs that an end ever held: end, its inbound SPI, its outbound SPI.
    held: BTreeSet<(usize, u32, u32)>,
    /// Since when an end's SA to send on (end, connection, child) is one that no peer holds, or there is none while the peer has one.
    astray: BTreeMap<(usize, usize, usize), Instant>,
    /// Packets on their way or lost.
    pub(crate) under_way: BTreeMap<u64, Sent>,
    counts_since: Instant,
    /// When each flow last got through.
    pub(crate) last_received: Vec<Instant>,
    /// Packets that arrived.
    pub(crate) received: u64,
    /// The most pairs that one child has had.
    pub(crate) most_pairs: usize,
}

pub(crate) struct Sent {
    at: Instant,
    flow: usize,
    packet: Vec<u8>,
}

impl Witness {
    pub(crate) fn new(now: Instant, flows: usize) -> Self {
        Self {
            calm_since: Some(now),
            held: BTreeSet::new(),
            astray: BTreeMap::new(),
            under_way: BTreeMap::new(),
            counts_since: now,
            last_received: vec![now; flows],
            received: 0,
            most_pairs: 0,
        }
    }

    /// After every step; `changed` says that some end's tables are others than before.
    pub(crate) fn look(&mut self, now: Instant, ends: &[End], changed: bool) {
        if changed {
            self.look_at_pairs(now, ends);
        }
        if let Some(calm) = self.calm_since {
            for (&(end, connection, child), &since) in &self.astray {
                assert!(
                    now <= since.max(calm) + RECOVERY,
                    "the outbound SPI is one the peer holds: end {end} connection {connection} child {child} has none such for {:?}",
                    now - since
                );
            }
        }
    }

    fn look_at_pairs(&mut self, now: Instant, ends: &[End]) {
        for (end, at) in ends.iter().enumerate() {
            let Some(process) = &at.process else { continue };
            self.held.extend(process.tables.inbound.iter().map(|entry| (end, entry.facts.spi_in, entry.facts.spi_out)));
        }
        for (end, at) in ends.iter().enumerate() {
            let Some(process) = &at.process else {
                self.astray.retain(|&(e, ..), _| e != end);
                continue;
            };
            for (connection, entry) in process.tables.connections.iter().enumerate() {
                let sas = process.gateway.isakmp_sas(connection);
                assert!(sas <= MOST_ISAKMP_SAS, "a bounded number of SAs: end {end} has {sas} ISAKMP SAs of connection {connection}");
                for (child, outbound) in entry.outbound.iter().enumerate() {
                    let pairs = process.tables.inbound.iter().filter(|e| (e.facts.connection, e.child) == (connection, child)).count();
                    self.most_pairs = self.most_pairs.max(pairs);
                    assert!(
                        pairs <= MOST_PAIRS,
                        "a bounded number of SAs: end {end} has {pairs} pairs of connection {connection} child {child}"
                    );

                    let Some(outbound) = outbound else { continue };
                    let (spi_in, spi_out) = (outbound.facts.spi_in, outbound.facts.spi_out);
                    let peer_held = (0..ends.len()).any(|peer| peer != end && self.held.contains(&(peer, spi_out, spi_in)));
                    assert!(peer_held, "no SA without a verified hash: end {end} sends on {spi_out:08x}, which the peer never made");
                }
            }
            self.note_astray(now, ends, end);
        }
    }

    /// Which of an end's children send nowhere, though the peer runs.
    fn note_astray(&mut self, now: Instant, ends: &[End], end: usize) {
        let Some(process) = &ends[end].process else { return };
        for (connection, entry) in process.tables.connections.iter().enumerate() {
            let config = &ends[end].config.connections[connection].ike;
            let of_peer =
                |other: &&End| other.config.connections.iter().any(|c| c.ike.local == config.remote && c.ike.remote == config.local);
            let peer = ends.iter().find(of_peer).and_then(|peer| peer.process.as_ref());
            for (child, outbound) in entry.outbound.iter().enumerate() {
                let astray = peer.is_some_and(|peer| {
                    let holds = |spi: u32| peer.tables.inbound.iter().any(|e| e.facts.spi_in == spi);
                    !outbound.as_ref().is_some_and(|outbound| holds(outbound.facts.spi_out))
                });
                let key = (end, connection, child);
                if astray {
                    self.astray.entry(key).or_insert(now);
                } else {
                    self.astray.remove(&key);
                }
            }
        }
    }

    /// Whether every end can reach its peer by what the peer holds now.
    pub(crate) fn agrees(&self) -> bool {
        self.astray.is_empty()
    }

    pub(crate) fn sent(&mut self, now: Instant, serial: u64, flow: usize, packet: Vec<u8>) {
        self.under_way.insert(serial, Sent { at: now, flow, packet });
    }

    /// No ESP before it is authenticated, and none twice: what comes out of a tunnel went into it, byte for byte, once.
    pub(crate) fn received(&mut self, now: Instant, packet: &[u8]) {
        let serial = packet.last_chunk().copied().map(u64::from_be_bytes).unwrap_or_default();
        let sent = self.under_way.remove(&serial);
        let sent = sent.unwrap_or_else(|| panic!("no packet twice and none that nobody sent: {serial} came out of a tunnel"));
        assert_eq!(sent.packet, packet, "what comes out of a tunnel went into it");
        self.last_received[sent.flow] = now;
        self.received += 1;
    }

    /// A bounded number of SAs: half a minute after the last rekey each child has at most so many pairs, and each connection ISAKMP SAs.
    pub(crate) fn few_are_left(&self, ends: &[End], most: usize) {
        for (end, at) in ends.iter().enumerate() {
            let Some(process) = &at.process else { continue };
            for connection in 0..process.tables.connections.len() {
                let pairs = process.tables.inbound.iter().filter(|e| e.facts.connection == connection).count();
                let children = process.tables.connections[connection].outbound.len();
                assert!(pairs <= most * children, "a bounded number of SAs: end {end} still has {pairs} pairs of connection {connection}");
                let sas = process.gateway.isakmp_sas(connection);
                assert!(sas <= most, "a bounded number of SAs: end {end} still has {sas} ISAKMP SAs of connection {connection}");
            }
        }
    }

    /// Forgets what was lost so far, to count anew.
    pub(crate) fn forgive(&mut self, now: Instant) {
        self.counts_since = now;
        self.under_way.retain(|_, sent| sent.at + Duration::from_secs(10) > now);
    }

    /// No stopped traffic: of all that was sent since [`forgive`](Self::forgive) nothing is missing.
    pub(crate) fn nothing_is_lost(&self, now: Instant, story: Option<&[String]>) {
        let lost = self.under_way.values().filter(|sent| sent.at >= self.counts_since);
        let lost: Vec<_> = lost.map(|sent| (sent.flow, now - sent.at)).collect();
        assert!(lost.is_empty(), "no stopped traffic: packets are missing (flow, age): {lost:?}\n{}", story.unwrap_or_default().join("\n"));
    }
}
