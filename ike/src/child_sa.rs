//! The IPsec SA pairs of one connection: installed, ready, replaced, retired, expired, always a bounded number.
//!
//! A pair that has been replaced keeps receiving. Only the end whose quick mode replaced it sends its DELETE, and only for pairs that
//! stood before that quick mode began: so when both ends rekey at once neither deletes what the other has just made.

use std::time::{Duration, Instant};

use crate::config::Start;
use crate::connection::{Connection, Wanted};
use crate::event::{ChildKeys, ChildSaId, DeleteReason, Event, Role};
use crate::nat::Path;
use crate::proposal::{EspTransform, Group};
use crate::quick_mode::NewPair;
use crate::shared::Shared;
use crate::timer::Timer;

/// How long a replaced pair goes on receiving before its DELETE.
const RETIREMENT: Duration = Duration::from_secs(30);
/// How long we go on sending on the pair that a new one of ours replaces. Some peers, strongSwan among them, install theirs only with message 3,
/// so that what overtakes it or arrives with it would be lost. A peer that sends on the new pair has it.
const SWITCH_AFTER: Duration = Duration::from_millis(200);
/// Pairs of one child, replaced ones included. The oldest go when a peer makes more of them.
const MAX_PAIRS: usize = 16;

/// One IPsec SA pair.
pub(crate) struct Pair {
    pub(crate) id: ChildSaId,
    pub(crate) child: usize,
    pub(crate) transform: EspTransform,
    pub(crate) pfs: Option<Group>,
    pub(crate) role: Role,
    pub(crate) spi_in: u32,
    pub(crate) spi_out: u32,
    /// When its quick mode began.
    pub(crate) started: Instant,
    pub(crate) installed: Instant,
    pub(crate) rekey_at: Option<Instant>,
    /// Its quick mode is complete.
    pub(crate) ready: bool,
}

/// The pairs in the order in which they were installed.
#[derive(Default)]
pub(crate) struct Pairs {
    pairs: Vec<Pair>,
}

impl Pairs {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.iter()
    }

    pub(crate) fn get(&self, id: ChildSaId) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: ChildSaId) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|pair| pair.id == id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    pub(crate) fn has_ready(&self, child: usize) -> bool {
        self.pairs.iter().any(|pair| pair.child == child && pair.ready)
    }

    fn remove(&mut self, id: ChildSaId) -> Option<Pair> {
        let index = self.pairs.iter().position(|pair| pair.id == id)?;
        Some(self.pairs.remove(index))
    }
}

/// When an SA of this lifetime is replaced, counted from its beginning: a margin before the end, more of it for the end that began the
/// SA, so that the other one acts only if the first does not. The jitter keeps many SAs from being replaced at one moment.
pub(crate) fn soft_lifetime(lifetime: Duration, role: Role, shared: &mut Shared) -> Duration {
    /// The most that is worth keeping in hand.
    const MAX_MARGIN: Duration = Duration::from_secs(9 * 60);
    /// What a lost message or two take.
    const MIN_MARGIN: Duration = Duration::from_secs(4);
    let margin = (lifetime / 10).clamp(MIN_MARGIN, MAX_MARGIN).min(lifetime / 4);
    let spread = shared.jitter(margin / 2);
    match role {
        Role::Initiator => lifetime.saturating_sub(margin * 2).saturating_add(spread),
        Role::Responder => lifetime.saturating_sub(margin).saturating_add(spread / 2),
    }
}

impl Connection {
    /// Installs what quick mode has agreed on: from now on we receive on it.
    pub(crate) fn install(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        new: NewPair,
        role: Role,
        started: Instant,
        path: Path,
    ) -> ChildSaId {
        let id = shared.new_child_sa_id();
        shared.bind_spi(new.spi_in, self.id, id);
        let initiates = self.config.start != Start::Passive || self.kept;
        let rekey_at = initiates.then(|| now + soft_lifetime(new.lifetime, role, shared));
        if let Some(at) = rekey_at {
            shared.timers.set(Timer::ChildRekey(self.id, id), at);
        }
        shared.timers.set(Timer::ChildExpire(self.id, id), now + new.lifetime);
        let encapsulation = match new.encapsulated {
            true => crate::event::Encapsulation::Udp { local: path.local, remote: path.remote },
            false => crate::event::Encapsulation::Esp,
        };
        self.pairs.pairs.push(Pair {
            id,
            child: new.child,
            transform: new.transform,
            pfs: new.pfs,
            role,
            spi_in: new.spi_in,
            spi_out: new.spi_out,
            started,
            installed: now,
            rekey_at,
            ready: false,
        });
        let keys =
            ChildKeys { spi_in: new.spi_in, spi_out: new.spi_out, keymat_in: new.keymat_in.to_vec(), keymat_out: new.keymat_out.to_vec() };
        shared.emit(Event::ChildInstalled {
            connection: self.id,
            child: new.child,
            id,
            role,
            selectors: new.selectors,
            transform: new.transform,
            pfs: new.pfs,
            encapsulation,
            keys: Box::new(keys),
            lifetime: new.lifetime,
            rekey_at,
        });
        if let Some(message) = new.lifetime_remark {
            shared.emit(Event::Warning { connection: self.id, message });
        }
        self.bound_pairs(shared, now, new.child);
        id
    }

    /// Our quick mode is complete. Where an older pair carries the traffic it goes on until the peer has had time to install this one.
    pub(crate) fn agreed(&mut self, shared: &mut Shared, now: Instant, id: ChildSaId) {
        let Some(child) = self.pairs.get(id).map(|pair| pair.child) else { return };
        if self.pairs.has_ready(child) {
            shared.timers.set(Timer::ChildSwitch(self.id, id), now + SWITCH_AFTER);
            self.need_met(shared, child);
        } else {
            self.ready(shared, now, id);
        }
    }

    /// Quick mode is complete: from now on we send on it, and what we replaced retires.
    pub(crate) fn ready(&mut self, shared: &mut Shared, now: Instant, id: ChildSaId) {
        let Some(pair) = self.pairs.get_mut(id).filter(|pair| !pair.ready) else { return };
        pair.ready = true;
        shared.timers.stop(Timer::ChildSwitch(self.id, id));
        let (child, role, started) = (pair.child, pair.role, pair.started);
        shared.emit(Event::ChildReady { connection: self.id, child, id });
        if role == Role::Initiator {
            let replaced = |pair: &&Pair| pair.child == child && pair.id != id && pair.installed < started;
            for old in self.pairs.pairs.iter().filter(replaced) {
                let timer = Timer::ChildRetire(self.id, old.id);
                if shared.timers.due(timer).is_none() {
                    shared.timers.set(timer, now + RETIREMENT);
                }
            }
        }
        self.need_met(shared, child);
    }

    /// The soft lifetime has ended, or the sequence numbers are about to. A younger pair with a soft lifetime still ahead replaces this one already.
    pub(crate) fn child_rekey_due(&mut self, shared: &mut Shared, now: Instant, id: ChildSaId) {
        let Some(pair) = self.pairs.get(id).filter(|pair| pair.ready) else { return };
        let child = pair.child;
        let younger = |other: &Pair| other.child == child && other.id > id && other.ready && other.rekey_at.is_some_and(|at| at > now);
        if self.pairs.iter().any(younger) {
            return;
        }
        if let Some(need) = self.needs.get_mut(child) {
            need.wanted = Some(Wanted::Renewal);
        }
        self.reconcile(shared, now);
    }

    /// The hard lifetime, or the retirement of a replaced pair, has ended.
    pub(crate) fn child_ended(&mut self, shared: &mut Shared, now: Instant, id: ChildSaId, reason: DeleteReason) {
        self.delete_pairs(shared, now, &[id], reason);
        self.reconcile(shared, now);
    }

    /// Removes pairs and tells the peer.
    pub(crate) fn delete_pairs(&mut self, shared: &mut Shared, now: Instant, ids: &[ChildSaId], reason: DeleteReason) {
        let mut spis = Vec::new();
        for &id in ids {
            spis.extend(self.remove_pair(shared, id, reason).map(|pair| pair.spi_in));
        }
        if !spis.is_empty() {
            self.last_removal = Some(now);
            self.send_delete_esp(shared, &spis);
        }
    }

    /// The peer deleted this pair. If it was the one we sent on and older ones are left, the peer may long have lost them (a restart that it did not
    /// tell): a new pair replaces them.
    pub(crate) fn fell_back(&mut self, gone: &Pair) {
        let mut left = self.pairs.iter().filter(|other| other.child == gone.child && other.ready).peekable();
        let newest = gone.ready && left.peek().is_some() && left.all(|other| other.id < gone.id);
        if newest
            && (self.kept || self.config.start != Start::Passive)
            && let Some(need) = self.needs.get_mut(gone.child)
        {
            need.wanted = Some(Wanted::Renewal);
        }
    }

    /// Removes a pair without a word to the peer.
    pub(crate) fn remove_pair(&mut self, shared: &mut Shared, id: ChildSaId, reason: DeleteReason) -> Option<Pair> {
        let pair = self.pairs.remove(id)?;
        shared.free_spi(pair.spi_in);
        for timer in [Timer::ChildRekey, Timer::ChildSwitch, Timer::ChildRetire, Timer::ChildExpire] {
            shared.timers.stop(timer(self.id, id));
        }
        if !self.pairs.has_ready(pair.child) {
            // Nothing older is left to send on.
            for other in self.pairs.iter().filter(|other| other.child == pair.child) {
                let switch = Timer::ChildSwitch(self.id, other.id);
                if shared.timers.due(switch).is_some() {
                    shared.timers.set(switch, other.installed);
                }
            }
        }
        self.forget_quick_mode_of(id);
        shared.emit(Event::ChildDeleted { connection: self.id, child: pair.child, id, reason });
        Some(pair)
    }

    /// Keeps the number of a child's pairs within bounds: the oldest that is not the newest ready one goes.
    fn bound_pairs(&mut self, shared: &mut Shared, now: Instant, child: usize) {
        let of_child: Vec<_> = self.pairs.iter().filter(|pair| pair.child == child).collect();
        if of_child.len() <= MAX_PAIRS {
            return;
        }
        let newest_ready = of_child.iter().rev().find(|pair| pair.ready).map(|pair| pair.id);
        let oldest = of_child.iter().map(|pair| pair.id).find(|&id| Some(id) != newest_ready);
        if let Some(oldest) = oldest {
            self.delete_pairs(shared, now, &[oldest], DeleteReason::Replaced);
        }
    }
}
