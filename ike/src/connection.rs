//! One connection: what it ought to have (an ISAKMP SA, a pair for each child), what it has, and the one place where the difference
//! becomes an exchange: [`Connection::reconcile`]. The exchanges themselves are in `phase_one`, `phase_two` and `liveness`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::child_sa::Pairs;
use crate::config::{ConnectionConfig, ConnectionId, Start};
use crate::event::{DeleteReason, Event, Failure, Role};
use crate::isakmp_sa::KeyChoice;
use crate::liveness::Liveness;
use crate::nat::{IKE_PORT, Path};
use crate::session::{Session, SessionId};
use crate::shared::Shared;
use crate::timer::Timer;

/// The pause after a first failure; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest pause.
const LAST_RETRY: Duration = Duration::from_secs(60);
/// An SA that the peer deletes sooner than this was not wanted there: the next attempt waits as after a failure.
const SHORT_LIFE: Duration = Duration::from_secs(10);
/// How long the initiator of an ISAKMP SA has to begin the quick modes that we lack before we do.
const INITIATOR_FIRST: Duration = Duration::from_secs(2);
/// Unknown SPIs that arrive this soon after a DELETE or rekey of ours were in flight.
const IN_FLIGHT: Duration = Duration::from_secs(2);
/// One negotiation for unknown SPIs within this.
const UNKNOWN_SPI_INTERVAL: Duration = Duration::from_secs(10);

/// See the file's first lines.
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) config: Arc<ConnectionConfig>,
    /// Kept up until `close`.
    pub(crate) kept: bool,
    pub(crate) sessions: Vec<Session>,
    pub(crate) pairs: Pairs,
    /// What each child lacks.
    pub(crate) needs: Vec<Need>,
    /// The pause between attempts at main mode.
    pub(crate) backoff: Backoff,
    /// The ISAKMP SA ought to be replaced.
    pub(crate) replacement: Replacement,
    /// Since when the peer seems to have lost what we hold: the next main mode announces INITIAL-CONTACT all the same.
    pub(crate) lost_contact: Option<Instant>,
    /// `psk_next` has worked once.
    pub(crate) next_key_worked: bool,
    /// As initiator, the key of the next attempt.
    pub(crate) next_attempt_key: KeyChoice,
    pub(crate) liveness: Liveness,
    /// When we last removed SAs of our own accord.
    pub(crate) last_removal: Option<Instant>,
    last_unknown_spi: Option<Instant>,
    /// When a refusal was last sent; one a second at most.
    pub(crate) last_refusal: Option<Instant>,
    /// When a failure that anybody can cause was last reported.
    pub(crate) last_report: Option<Instant>,
}

/// Why the ISAKMP SA ought to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// It need not be.
    No,
    /// Its soft lifetime has ended.
    Due,
    /// As asked for by `rekey`: the children follow under the new one, so their quick modes wait for it.
    First,
}

/// What a child lacks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Need {
    pub(crate) wanted: Option<Wanted>,
    pub(crate) backoff: Backoff,
}

/// Why a child needs a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// It has none; any pair that comes up will do.
    Missing,
    /// A new one, whatever it has.
    Renewal,
}

/// The pause between attempts: 1 s, doubled up to 60 s, and up to a quarter more at random.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    pub(crate) fn failed(&mut self, shared: &mut Shared, now: Instant) -> Instant {
        let pause = FIRST_RETRY.saturating_mul(1 << self.failures.min(6)).min(LAST_RETRY);
        self.failures = self.failures.saturating_add(1);
        let at = now + pause + shared.jitter(pause / 4);
        self.not_before = Some(at);
        at
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// The attempt succeeded: the next need not wait. How often it failed is forgotten only once the result has lasted.
    pub(crate) fn succeeded(&mut self) {
        self.not_before = None;
    }

    /// When the next attempt may start, if not yet.
    fn pause(&self, now: Instant) -> Option<Instant> {
        self.not_before.filter(|&at| at > now)
    }

    fn has_failed(&self) -> bool {
        self.failures > 0
    }
}

impl Connection {
    pub(crate) fn new(id: ConnectionId, config: Arc<ConnectionConfig>, now: Instant) -> Self {
        Self {
            id,
            needs: vec![Need::default(); config.children.len()],
            config,
            kept: false,
            sessions: Vec::new(),
            pairs: Pairs::default(),
            backoff: Backoff::default(),
            replacement: Replacement::No,
            lost_contact: None,
            next_key_worked: false,
            next_attempt_key: KeyChoice::Present,
            liveness: Liveness::new(now),
            last_removal: None,
            last_unknown_spi: None,
            last_refusal: None,
            last_report: None,
        }
    }

    /// Takes another configuration; what it would not agree to is closed.
    pub(crate) fn reconfigure(&mut self, shared: &mut Shared, now: Instant, config: ConnectionConfig) {
        let old = std::mem::replace(&mut self.config, Arc::new(config));
        let new = Arc::clone(&self.config);
        let same_peer = old.local == new.local
            && old.remote == new.remote
            && old.local_id == new.local_id
            && old.remote_id == new.remote_id
            && old.nat_traversal == new.nat_traversal;
        if old.psk != new.psk || old.psk_next != new.psk_next {
            self.next_key_worked = false;
            self.next_attempt_key = KeyChoice::Present;
        }
        // Unfinished main modes go on with what they began with only if nothing but timing changed; they are cheap to begin again.
        self.drop_unfinished(shared, false);
        let keeps_session = |session: &Session| {
            session.established().is_some_and(|established| same_peer && new.ike_proposals.contains(&established.sa.proposal))
        };
        let new_index = |child: usize| {
            let selectors = old.children.get(child)?;
            new.children.iter().position(|other| other == selectors)
        };
        let moved: Vec<_> = self.pairs.iter().map(|pair| (pair.id, new_index(pair.child))).collect();
        let mut doomed = Vec::new();
        for (id, child) in moved {
            let Some(pair) = self.pairs.get_mut(id) else { continue };
            let agrees = same_peer && new.esp_proposals.contains(&pair.transform) && new.pfs == pair.pfs;
            match child.filter(|_| agrees) {
                Some(child) => pair.child = child,
                None => doomed.push(id),
            }
        }
        self.needs = vec![Need::default(); new.children.len()];
        self.delete_pairs(shared, now, &doomed, DeleteReason::Closed);
        let doomed: Vec<_> = self.sessions.iter().filter(|session| !keeps_session(session)).map(|session| session.id).collect();
        for id in doomed {
            self.delete_session(shared, now, id, DeleteReason::Closed);
        }
        self.backoff.reset();
        self.arm_dpd(shared, now);
        self.reconcile(shared, now);
    }

    pub(crate) fn connect(&mut self, shared: &mut Shared, now: Instant) {
        self.kept = true;
        self.backoff.reset();
        self.needs.iter_mut().for_each(|need| need.backoff.reset());
        self.reconcile(shared, now);
    }

    pub(crate) fn acquire(&mut self, shared: &mut Shared, now: Instant, child: usize) {
        if self.config.start == Start::Passive && !self.kept {
            return;
        }
        if let Some(need) = self.needs.get_mut(child).filter(|need| need.wanted.is_none()) {
            need.wanted = Some(Wanted::Missing);
            self.reconcile(shared, now);
        }
    }

    /// New pairs for every child at once; see [`Endpoint::renew`](crate::Endpoint::renew).
    pub(crate) fn renew(&mut self, shared: &mut Shared, now: Instant, patience: Option<Duration>) {
        self.want_all();
        self.backoff.reset();
        if let Some(patience) = patience {
            shared.timers.set(Timer::Patience(self.id), now + patience);
        }
        self.reconcile(shared, now);
    }

    /// `renew` has waited long enough: an ISAKMP SA under which a quick mode is still unanswered is dead.
    pub(crate) fn patience_ended(&mut self, shared: &mut Shared, now: Instant) {
        let established = || self.sessions.iter().filter_map(|session| Some((session.id, session.established()?)));
        let Some(asked) = established().filter_map(|(_, established)| established.waits_since()).min() else { return };
        // Whatever stood when the question was asked goes: another old ISAKMP SA would only be silent again, for a whole ladder.
        let silent: Vec<_> = established().filter(|(_, established)| established.since < asked).map(|(id, _)| id).collect();
        if silent.is_empty() {
            return;
        }
        for id in silent {
            self.drop_session(shared, id, DeleteReason::PeerDead);
        }
        // The peer will drop every pair it has with us, so every child needs a new one, also those that have just been renewed.
        self.lost_contact = Some(now);
        self.want_all();
        self.backoff.reset();
        self.reconcile(shared, now);
    }

    pub(crate) fn rekey(&mut self, shared: &mut Shared, now: Instant) {
        self.want_all();
        self.backoff.reset();
        self.replacement = Replacement::First;
        self.reconcile(shared, now);
    }

    pub(crate) fn close(&mut self, shared: &mut Shared, now: Instant) {
        self.kept = false;
        self.replacement = Replacement::No;
        self.lost_contact = None;
        self.needs = vec![Need::default(); self.config.children.len()];
        // What the peer has begun goes on: it is still answered.
        self.drop_unfinished(shared, true);
        let pairs: Vec<_> = self.pairs.iter().map(|pair| pair.id).collect();
        self.delete_pairs(shared, now, &pairs, DeleteReason::Closed);
        let sessions: Vec<_> = self.sessions.iter().filter(|session| session.established().is_some()).map(|session| session.id).collect();
        for id in sessions {
            self.delete_session(shared, now, id, DeleteReason::Closed);
        }
        for timer in [Timer::Attempt(self.id), Timer::Patience(self.id), Timer::Dpd(self.id), Timer::Keepalive(self.id)] {
            shared.timers.stop(timer);
        }
    }

    /// The peer holds SAs that we do not know. Changes nothing until new ones stand.
    pub(crate) fn unknown_spi(&mut self, shared: &mut Shared, now: Instant) {
        let recent = |at: Option<Instant>, span: Duration| at.is_some_and(|at| now < at + span);
        let passive = self.config.start == Start::Passive && !self.kept;
        let busy = self.sessions.iter().any(|session| session.established().is_none_or(|established| established.open_quick_modes() > 0));
        if passive || busy || recent(self.last_unknown_spi, UNKNOWN_SPI_INTERVAL) || recent(self.last_removal, IN_FLIGHT) {
            return;
        }
        self.last_unknown_spi = Some(now);
        self.want_all();
        self.reconcile(shared, now);
    }

    fn want_all(&mut self) {
        for need in &mut self.needs {
            need.wanted = Some(Wanted::Renewal);
            need.backoff.reset();
        }
    }

    /// Starts what is lacking and may start now, and sets the timer for what may start later.
    pub(crate) fn reconcile(&mut self, shared: &mut Shared, now: Instant) {
        self.settle_needs();
        let mut wake: Option<Instant> = None;
        let mut later = |at: Instant| wake = Some(wake.map_or(at, |wake| wake.min(at)));

        let connecting = self.sessions.iter().any(Session::is_connecting_initiator);
        let mut begin_main_mode = false;
        if self.replacement != Replacement::No && !connecting {
            match self.backoff.pause(now) {
                Some(at) => later(at),
                None => begin_main_mode = true,
            }
        }
        let usable = self.usable_session();
        let lacking = self.lacking_children();
        if let Some((session, since, role)) = usable {
            if self.replacement != Replacement::First {
                for child in lacking {
                    let Some(need) = self.needs.get(child) else { continue };
                    let peer_first = (role == Role::Responder && need.wanted == Some(Wanted::Missing)).then(|| since + INITIATOR_FIRST);
                    let pause = need.backoff.pause(now).max(peer_first.filter(|&at| at > now));
                    match pause {
                        Some(at) => later(at),
                        None => self.start_quick_mode(shared, now, session, child),
                    }
                }
            }
        } else if !connecting && (self.kept || !lacking.is_empty()) {
            // Without any pair wanted a kept connection still needs an ISAKMP SA: for DPD, and for the peer's quick modes.
            match self.backoff.pause(now) {
                Some(at) => later(at),
                None => begin_main_mode = true,
            }
        }
        if begin_main_mode {
            self.start_main_mode(shared, now);
        }
        match wake {
            Some(at) => shared.timers.set(Timer::Attempt(self.id), at),
            None => shared.timers.stop(Timer::Attempt(self.id)),
        }
    }

    /// Forgets needs that are met and notes those of a connection that is kept.
    fn settle_needs(&mut self) {
        for (child, need) in self.needs.iter_mut().enumerate() {
            let has_pair = self.pairs.has_ready(child);
            match need.wanted {
                Some(Wanted::Missing) if has_pair => need.wanted = None,
                None if self.kept && !has_pair => need.wanted = Some(Wanted::Missing),
                _ => {}
            }
        }
    }

    /// The children that need a pair and have no quick mode under way, ours or the peer's.
    fn lacking_children(&self) -> Vec<usize> {
        let lacks = |&(child, need): &(usize, &Need)| need.wanted.is_some() && !self.negotiates(child);
        self.needs.iter().enumerate().filter(lacks).map(|(child, _)| child).collect()
    }

    /// The newest ISAKMP SA that is not on its way out; one that the peer surely has comes before one that it may have lost.
    pub(crate) fn usable_session(&self) -> Option<(SessionId, Instant, Role)> {
        let usable = |session: &Session| {
            let established = session.established().filter(|established| !established.retiring)?;
            Some(((!established.doubtful, established.confirmed), session.id, established.since, session.role))
        };
        let (_, id, since, role) = self.sessions.iter().filter_map(usable).max_by_key(|&(trust, id, ..)| (trust, id))?;
        Some((id, since, role))
    }

    /// Whether the connection will try again by itself.
    pub(crate) fn persists(&self) -> bool {
        self.kept || self.pairs.iter().any(|pair| pair.ready)
    }

    /// Where a first message goes.
    pub(crate) fn first_path(&self) -> Path {
        // Once the ports have moved, a new main mode begins on 4500: through a NAT port 500 may lead nowhere (RFC 3947 section 4).
        let moved = |session: &Session| {
            session
                .established()
                .filter(|established| established.sa.nat.encapsulates())
                .map(|established| (established.since, session.path))
        };
        let current = self.sessions.iter().filter_map(moved).max_by_key(|&(since, _)| since);
        current.map_or_else(
            || Path { local: SocketAddr::new(self.config.local, IKE_PORT), remote: SocketAddr::new(self.config.remote, IKE_PORT) },
            |(_, path)| path,
        )
    }

    /// A main mode of ours has failed.
    pub(crate) fn main_mode_failed(&mut self, shared: &mut Shared, now: Instant, remote: SocketAddr, failure: Failure) {
        let at = self.backoff.failed(shared, now);
        if self.replacement == Replacement::First {
            self.replacement = Replacement::Due;
        }
        let retry_at = self.persists().then_some(at);
        if retry_at.is_none() {
            self.needs.iter_mut().for_each(|need| need.wanted = None);
            self.replacement = Replacement::No;
        }
        self.turn_to_other_key();
        shared.emit(Event::Failed { connection: Some(self.id), remote, failure, retry_at });
        self.presume_dead(shared, now);
        self.reconcile(shared, now);
    }

    /// A quick mode of ours has failed.
    pub(crate) fn quick_mode_failed(&mut self, shared: &mut Shared, now: Instant, child: usize, remote: SocketAddr, failure: Failure) {
        let persists = self.kept || self.pairs.has_ready(child);
        let Some(need) = self.needs.get_mut(child) else { return };
        let at = need.backoff.failed(shared, now);
        let retry_at = persists.then_some(at);
        need.wanted = need.wanted.filter(|_| persists);
        shared.emit(Event::Failed { connection: Some(self.id), remote, failure, retry_at });
    }

    /// A child has a new pair: what it needed is met. A success resets the pause, unless such pairs were short-lived lately.
    pub(crate) fn need_met(&mut self, shared: &mut Shared, child: usize) {
        if let Some(need) = self.needs.get_mut(child) {
            need.wanted = None;
            need.backoff.succeeded();
        }
        if self.needs.iter().all(|need| need.wanted != Some(Wanted::Renewal)) {
            shared.timers.stop(Timer::Patience(self.id));
        }
    }

    /// The peer deleted a pair that had lived for this long: a short life counts as a failure of the next attempt.
    pub(crate) fn lived(&mut self, shared: &mut Shared, now: Instant, child: usize, installed: Instant) {
        let Some(need) = self.needs.get_mut(child) else { return };
        if now < installed + SHORT_LIFE {
            need.backoff.failed(shared, now);
        } else if need.backoff.has_failed() {
            need.backoff.reset();
        }
    }

    /// The peer deleted an ISAKMP SA that had lived for this long.
    pub(crate) fn session_lived(&mut self, shared: &mut Shared, now: Instant, since: Instant) {
        if now < since + SHORT_LIFE {
            self.backoff.failed(shared, now);
        } else {
            self.backoff.reset();
        }
    }

    /// Forgets every main mode that is not finished, or of those only ours.
    pub(crate) fn drop_unfinished(&mut self, shared: &mut Shared, ours_only: bool) {
        let unfinished = |session: &&Session| session.is_connecting_initiator() || (!ours_only && session.is_half_open_responder());
        let unfinished: Vec<_> = self.sessions.iter().filter(unfinished).map(|session| session.id).collect();
        for id in unfinished {
            self.drop_session(shared, id, DeleteReason::Closed);
        }
    }
}
