//! A connection's main modes: beginning one, taking each message to the state that waits for it, repeating, giving up, and what follows
//! when one is established.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::child_sa::soft_lifetime;
use crate::config::Start;
use crate::connection::{Connection, Replacement};
use crate::error::{DropReason, Error, Fatal, NotNow};
use crate::event::{Code, DeleteReason, Event, Failure, Role};
use crate::failure::{self, Stage};
use crate::informational;
use crate::isakmp_sa::{IsakmpSa, KeyChoice};
use crate::main_mode::initiator::{Attempt, ExpectMessage2};
use crate::main_mode::responder::ExpectMessage3;
use crate::nat::Path;
use crate::retransmit::{Answered, Ladder};
use crate::session::{Established, Pending, Seen, Session, SessionId, State};
use crate::shared::Shared;
use crate::timer::Timer;
use crate::wire::{Cookie, Delete, Header, Malformed, NotifyType, PayloadType};

/// How long a peer has to finish a main mode that it began.
const HALF_OPEN_LIFETIME: Duration = Duration::from_secs(30);
/// Unfinished main modes of one connection's peer. Beyond them the oldest whose cookie has not come back goes: it may be forged. The true
/// peer gets through as long as no more forgeries than this arrive within one round trip: 6,000 a second at 20 ms.
const MAX_HALF_OPEN: usize = 128;
/// A longer first message, in bytes, is no offer; the longest seen has 2,186. It is remembered while its main mode is half-open.
const MAX_MESSAGE_1: usize = 4096;
/// The same over all connections; beyond them new ones are not taken.
const MAX_HALF_OPEN_TOTAL: usize = 1024;
/// ISAKMP SAs of one connection. Two are usual while one is replaced.
const MAX_ESTABLISHED: usize = 8;
/// How long a replaced ISAKMP SA may finish what runs under it.
const RETIREMENT: Duration = Duration::from_secs(5);
/// Refusals and reports that anybody can cause, at most one in this time.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(1);

/// A datagram's message as the exchanges see it.
#[derive(Clone, Copy)]
pub(crate) struct Received<'a> {
    pub(crate) path: Path,
    pub(crate) header: &'a Header,
    pub(crate) body: &'a [u8],
    /// Header and body as they came, without a marker: what a repetition is recognised by.
    pub(crate) message: &'a [u8],
}

impl Connection {
    /// Sends message 1.
    pub(crate) fn start_main_mode(&mut self, shared: &mut Shared, now: Instant) {
        let path = self.first_path();
        let key = match (&self.config.psk_next, self.next_key_worked) {
            (Some(_), true) => KeyChoice::Next,
            (Some(_), false) => self.next_attempt_key,
            (None, _) => KeyChoice::Present,
        };
        let cookie = shared.new_cookie(self.id);
        let (state, message1) = ExpectMessage2::begin(Attempt { config: Arc::clone(&self.config), key }, cookie);
        let id = shared.new_session_id();
        let lost_contact = self.lost_contact.take();
        self.sessions.push(Session {
            id,
            role: Role::Initiator,
            ours: cookie,
            theirs: Cookie::ZERO,
            path,
            started: now,
            state: State::Message2(state),
            pending: None,
            answered: None,
            hint: None,
            lost_contact,
        });
        shared.emit(Event::Negotiating { connection: self.id, role: Role::Initiator });
        self.say(shared, now, id, message1);
    }

    /// A message of main mode.
    pub(crate) fn main_mode(&mut self, shared: &mut Shared, now: Instant, received: Received<'_>) -> Result<(), Error> {
        if received.header.message_id != 0 {
            return Err(NotNow::UnexpectedMessage.into());
        }
        if received.header.responder_cookie.is_zero() {
            return self.message1(shared, now, received);
        }
        let index = self.sessions.iter().position(|session| session.has_cookies(received.header)).ok_or(NotNow::UnknownCookies)?;
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        if session.answered.as_ref().is_some_and(|answered| answered.is(received.message)) {
            return repeat(shared, now, session, received.path);
        }
        if session.said(received.message) {
            return Err(NotNow::Reflected.into());
        }
        let encrypted = matches!(session.state, State::Message5(_) | State::Message6(_));
        if encrypted != received.header.is_encrypted() {
            return Err(if encrypted { NotNow::UnencryptedMessage } else { NotNow::UnexpectedMessage }.into());
        }
        if !encrypted && received.path.remote.ip() != session.path.remote.ip() {
            return Err(NotNow::UnexpectedMessage.into());
        }
        let id = session.id;
        let result = match session.state {
            State::Message2(_) => self.message2(shared, now, index, received),
            State::Message3(_) => self.message3(shared, now, index, received),
            State::Message4(_) => self.message4(shared, now, index, received),
            State::Message5(_) => self.message5(shared, now, index, received),
            State::Message6(_) => self.message6(shared, now, index, received),
            State::Established(_) => return Err(NotNow::UnexpectedMessage.into()),
        };
        if let Err(error) = &result {
            self.suspect(shared, now, id, error, received);
        }
        result
    }

    fn message1(&mut self, shared: &mut Shared, now: Instant, received: Received<'_>) -> Result<(), Error> {
        let theirs = received.header.initiator_cookie;
        if received.message.len() > MAX_MESSAGE_1 {
            return Err(Malformed::length("length of message 1", received.message.len(), "at most 4096").into());
        }
        if received.header.is_encrypted() || shared.owner_of(theirs).is_some() {
            return Err(NotNow::UnexpectedMessage.into());
        }
        let known = self.sessions.iter_mut().find(|session| session.role == Role::Responder && session.theirs == theirs);
        if let Some(session) = known {
            let again = session.answered.as_ref().is_some_and(|answered| answered.is(received.message));
            return if again { repeat(shared, now, session, received.path) } else { Err(NotNow::UnexpectedMessage.into()) };
        }
        self.make_room(shared)?;
        let cookie = shared.new_cookie(self.id);
        let (state, message2) = match ExpectMessage3::message1(Arc::clone(&self.config), cookie, received.header, received.body) {
            Ok(answer) => answer,
            Err(error) => {
                shared.free_cookie(cookie);
                let unused = Cookie::random(&mut shared.rng);
                self.refuse_clear(shared, now, received.path, theirs, unused, &error);
                self.report(
                    shared,
                    now,
                    received.path.remote,
                    failure::from_error(&error, Role::Responder, Stage::Offer, received.path.remote),
                );
                return Err(error);
            }
        };
        let id = shared.new_session_id();
        shared.half_open += 1;
        shared.timers.set(Timer::HalfOpen(self.id, id), now + HALF_OPEN_LIFETIME);
        shared.send(received.path, &message2);
        self.sessions.push(Session {
            id,
            role: Role::Responder,
            ours: cookie,
            theirs,
            path: received.path,
            started: now,
            state: State::Message3(state),
            pending: None,
            answered: Some(Answered::new(now, received.message, message2)),
            hint: None,
            lost_contact: None,
        });
        shared.emit(Event::Negotiating { connection: self.id, role: Role::Responder });
        Ok(())
    }

    fn message2(&mut self, shared: &mut Shared, now: Instant, index: usize, received: Received<'_>) -> Result<(), Error> {
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        let State::Message2(state) = &session.state else { return Ok(()) };
        let (next, message3) = state.message2(&mut shared.rng, received.header, received.body, session.path)?;
        session.state = State::Message4(Box::new(next));
        session.theirs = received.header.responder_cookie;
        let id = session.id;
        self.say(shared, now, id, message3);
        Ok(())
    }

    fn message3(&mut self, shared: &mut Shared, now: Instant, index: usize, received: Received<'_>) -> Result<(), Error> {
        let keys: &[KeyChoice] = match (&self.config.psk_next, self.next_key_worked) {
            (None, _) => &[KeyChoice::Present],
            (Some(_), false) => &[KeyChoice::Present, KeyChoice::Next],
            (Some(_), true) => &[KeyChoice::Next],
        };
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        let State::Message3(state) = &session.state else { return Ok(()) };
        let (next, message4) = state.message3(&mut shared.rng, received.header, received.body, received.path, keys)?;
        session.state = State::Message5(Box::new(next));
        session.path = received.path;
        shared.send(session.path, &message4);
        session.answered = Some(Answered::new(now, received.message, message4));
        shared.timers.set(Timer::HalfOpen(self.id, session.id), now + HALF_OPEN_LIFETIME);
        Ok(())
    }

    fn message4(&mut self, shared: &mut Shared, now: Instant, index: usize, received: Received<'_>) -> Result<(), Error> {
        let since = self.sessions.get(index).and_then(|session| session.lost_contact);
        let initial_contact = self.holds_nothing() || since.is_some_and(|since| self.holds_nothing_newer_than(since));
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        let State::Message4(state) = &session.state else { return Ok(()) };
        let (next, message5) = state.message4(received.header, received.body, session.path, initial_contact)?;
        if next.nat().encapsulates() {
            session.path = session.path.floated();
        }
        session.state = State::Message6(Box::new(next));
        let id = session.id;
        self.say(shared, now, id, message5);
        Ok(())
    }

    fn message5(&mut self, shared: &mut Shared, now: Instant, index: usize, received: Received<'_>) -> Result<(), Error> {
        let initial_contact = self.holds_nothing();
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        let State::Message5(state) = &session.state else { return Ok(()) };
        let (sa, message6) = state.message5(received.header, received.body, received.path, initial_contact)?;
        session.path = received.path;
        shared.send(session.path, &message6);
        session.answered = Some(Answered::new(now, received.message, message6));
        shared.half_open -= 1;
        self.establish(shared, now, index, sa);
        Ok(())
    }

    fn message6(&mut self, shared: &mut Shared, now: Instant, index: usize, received: Received<'_>) -> Result<(), Error> {
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        let State::Message6(state) = &session.state else { return Ok(()) };
        let sa = match state.message6(received.header, received.body) {
            Err(error @ Error::Fatal(Fatal::WrongIdentity { .. })) => {
                // The peer holds the key, so this is its own word and no repetition will change it.
                let (protection, iv) = state.protection();
                let refusal = informational::isakmp_notification(protection, NotifyType::INVALID_ID_INFORMATION);
                let refusal = informational::message(protection, &iv, shared.new_message_id(), PayloadType::NOTIFY, refusal);
                shared.send(session.path, &refusal);
                let (id, remote) = (session.id, session.path.remote);
                self.give_up(shared, now, id, failure::from_error(&error, Role::Initiator, Stage::Authentication, remote));
                return Err(error);
            }
            result => result?,
        };
        self.establish(shared, now, index, sa);
        Ok(())
    }

    /// A message that did not move a main mode: where it says something about the peer, the peer and people are told, at most once a second.
    fn suspect(&mut self, shared: &mut Shared, now: Instant, id: SessionId, error: &Error, received: Received<'_>) {
        let Some(session) = self.sessions.iter().find(|session| session.id == id) else { return };
        let remote = received.path.remote;
        let told = failure::from_error(error, session.role, session.stage(), remote);
        match session.role {
            Role::Initiator => self.hint(shared, now, id, told),
            Role::Responder => {
                let authentic = match &session.state {
                    State::Message5(state) if matches!(error, Error::Fatal(Fatal::WrongIdentity { .. })) => state.protection(received.body),
                    _ => None,
                };
                if let Some((protection, iv)) = authentic {
                    let refusal = informational::isakmp_notification(protection, NotifyType::INVALID_ID_INFORMATION);
                    let refusal = informational::message(protection, &iv, shared.new_message_id(), PayloadType::NOTIFY, refusal);
                    shared.send(received.path, &refusal);
                } else {
                    let (theirs, ours) = (session.theirs, session.ours);
                    self.refuse_clear(shared, now, received.path, theirs, ours, error);
                }
                self.report_once(shared, id, told);
            }
        }
    }

    /// As initiator: why the attempt will probably fail. Anybody may have sent what says so; the exchange goes on until its time is up.
    pub(crate) fn hint(&mut self, shared: &mut Shared, now: Instant, id: SessionId, told: Failure) {
        let retry_at = shared.timers.due(Timer::MainMode(self.id, id));
        let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) else { return };
        if session.hint.as_ref().is_some_and(|hint| hint.code == told.code) {
            return;
        }
        session.hint = Some(told.clone());
        let wrong_key = told.code == Code::PskMismatch;
        shared.emit(Event::Failed { connection: Some(self.id), remote: session.path.remote, failure: told, retry_at });
        let alone = self.sessions.iter().filter(|session| session.is_connecting_initiator()).count() == 1;
        if wrong_key && alone && self.turn_to_other_key() {
            // Beside this attempt, not instead of it: the sign of a wrong key may be forged.
            self.start_main_mode(shared, now);
        }
    }

    /// As initiator with two keys, before the new one has worked: the other one's turn.
    pub(crate) fn turn_to_other_key(&mut self) -> bool {
        let turns = self.config.psk_next.is_some() && !self.next_key_worked;
        if turns {
            self.next_attempt_key = match self.next_attempt_key {
                KeyChoice::Present => KeyChoice::Next,
                KeyChoice::Next => KeyChoice::Present,
            };
        }
        turns
    }

    /// As responder: once per main mode.
    fn report_once(&mut self, shared: &mut Shared, id: SessionId, told: Failure) {
        let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) else { return };
        if session.hint.as_ref().is_none_or(|hint| hint.code != told.code) {
            session.hint = Some(told.clone());
            shared.emit(Event::Failed { connection: Some(self.id), remote: session.path.remote, failure: told, retry_at: None });
        }
    }

    /// For what no session stands for: at most once a second.
    pub(crate) fn report(&mut self, shared: &mut Shared, now: Instant, remote: SocketAddr, told: Failure) {
        if self.last_report.is_none_or(|at| now >= at + REFUSAL_INTERVAL) {
            self.last_report = Some(now);
            shared.emit(Event::Failed { connection: Some(self.id), remote, failure: told, retry_at: None });
        }
    }

    fn refuse_clear(&mut self, shared: &mut Shared, now: Instant, path: Path, initiator: Cookie, responder: Cookie, error: &Error) {
        if let Some(notify_type) = failure::notification(error) {
            self.notify_clear(shared, now, path, initiator, responder, notify_type);
        }
    }

    /// A clear notification, at most one a second.
    pub(crate) fn notify_clear(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        path: Path,
        initiator: Cookie,
        responder: Cookie,
        notify_type: NotifyType,
    ) {
        if self.last_refusal.is_none_or(|at| now >= at + REFUSAL_INTERVAL) {
            self.last_refusal = Some(now);
            let message = informational::clear_notification(initiator, responder, &mut shared.rng, notify_type);
            shared.send(path, &message);
        }
    }

    /// Sends a message of ours as initiator and climbs the first step of its ladder.
    fn say(&mut self, shared: &mut Shared, now: Instant, id: SessionId, message: Vec<u8>) {
        let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) else { return };
        shared.send(session.path, &message);
        let mut ladder = Ladder::default();
        if let Some(wait) = ladder.next_wait(&mut shared.rng) {
            shared.timers.set(Timer::MainMode(self.id, id), now + wait);
        }
        session.pending = Some(Pending { message, ladder });
    }

    /// Main mode's ladder: the next repetition, or the end.
    pub(crate) fn main_mode_step(&mut self, shared: &mut Shared, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) else { return };
        let Some(pending) = &mut session.pending else { return };
        match pending.ladder.next_wait(&mut shared.rng) {
            Some(wait) => {
                shared.send(session.path, &pending.message);
                shared.timers.set(Timer::MainMode(self.id, id), now + wait);
            }
            None => {
                let told = session.hint.take().unwrap_or_else(|| failure::no_response(session.stage(), session.path.remote));
                self.give_up(shared, now, id, told);
            }
        }
    }

    /// Ends a main mode of ours without success.
    pub(crate) fn give_up(&mut self, shared: &mut Shared, now: Instant, id: SessionId, told: Failure) {
        let Some(session) = self.sessions.iter().find(|session| session.id == id) else { return };
        let (remote, started) = (session.path.remote, session.started);
        self.lost_contact = self.lost_contact.or(session.lost_contact);
        self.drop_session(shared, id, DeleteReason::Expired);
        if self.sessions.iter().filter_map(Session::established).any(|established| established.since >= started) {
            // Another main mode, the peer's or with the other key, came up meanwhile.
            self.reconcile(shared, now);
            return;
        }
        self.main_mode_failed(shared, now, remote, told);
    }

    /// Whether INITIAL-CONTACT is true: no SA of this connection is held.
    fn holds_nothing(&self) -> bool {
        self.pairs.is_empty() && self.sessions.iter().all(|session| session.established().is_none())
    }

    /// Whether everything that this connection has is older than that.
    fn holds_nothing_newer_than(&self, since: Instant) -> bool {
        let mut established = self.sessions.iter().filter_map(Session::established);
        self.pairs.iter().all(|pair| pair.installed < since) && established.all(|established| established.since < since)
    }

    /// Main mode is done.
    fn establish(&mut self, shared: &mut Shared, now: Instant, index: usize, sa: IsakmpSa) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        let (id, role, started) = (session.id, session.role, session.started);
        shared.timers.stop(Timer::MainMode(self.id, id));
        shared.timers.stop(Timer::HalfOpen(self.id, id));
        session.pending = None;
        session.hint = None;
        let initiates = self.config.start != Start::Passive || self.kept;
        let rekey_at = initiates.then(|| now + soft_lifetime(sa.lifetime, role, shared));
        if let Some(at) = rekey_at {
            shared.timers.set(Timer::IsakmpRekey(self.id, id), at);
        }
        shared.timers.set(Timer::IsakmpExpire(self.id, id), now + sa.lifetime);
        let (initial_contact, key, path, remark) = (sa.initial_contact, sa.key, session.path, sa.lifetime_remark.clone());
        let established = Established {
            sa,
            since: now,
            rekey_at,
            quick: Default::default(),
            seen: Seen::default(),
            dpd_received: None,
            retiring: false,
            confirmed: role == Role::Initiator,
            doubtful: false,
        };
        let info = established.info(path);
        let logged = shared.logs_keys.then(|| established.sa.protection.logged_key());
        session.state = State::Established(Box::new(established));

        match key {
            KeyChoice::Next => self.next_key_worked = true,
            KeyChoice::Present => self.next_attempt_key = KeyChoice::Present,
        }
        self.replacement = Replacement::No;
        self.backoff.succeeded();
        self.lost_contact = None;
        if initial_contact {
            self.initial_contact(shared, started, id);
        }
        shared.emit(Event::IkeEstablished { connection: self.id, info });
        if let Some(key) = logged {
            shared.emit(Event::IkeKey { connection: self.id, key });
        }
        if let Some(message) = remark {
            shared.emit(Event::Warning { connection: self.id, message });
        }
        if role == Role::Initiator {
            self.drop_unfinished(shared, true);
            self.retire_sessions(shared, now, started, id);
        }
        self.bound_sessions(shared, now);
        self.proof_of_life(shared, now);
        self.arm_dpd(shared, now);
        self.arm_keepalive(shared, now);
        self.reconcile(shared, now);
    }

    /// The peer remembers nothing: what it made before this main mode began is gone there. What came up since then is younger than the statement.
    fn initial_contact(&mut self, shared: &mut Shared, started: Instant, id: SessionId) {
        let pairs: Vec<_> = self.pairs.iter().filter(|pair| pair.installed < started).map(|pair| pair.id).collect();
        for pair in pairs {
            self.remove_pair(shared, pair, DeleteReason::InitialContact);
        }
        let older = |session: &&Session| session.id != id && session.established().is_some_and(|established| established.since < started);
        let sessions: Vec<_> = self.sessions.iter().filter(older).map(|session| session.id).collect();
        for session in sessions {
            self.drop_session(shared, session, DeleteReason::InitialContact);
        }
    }

    /// A main mode of ours replaces the ISAKMP SAs that stood before it began; they may finish what runs under them.
    fn retire_sessions(&mut self, shared: &mut Shared, now: Instant, started: Instant, id: SessionId) {
        for session in &mut self.sessions {
            let old = session.id;
            let Some(established) = session.established_mut().filter(|established| old != id && established.since < started) else {
                continue;
            };
            established.retiring = true;
            shared.timers.stop(Timer::IsakmpRekey(self.id, old));
            shared.timers.set(Timer::IsakmpExpire(self.id, old), now + RETIREMENT);
        }
        self.leave_doubtful_sessions(shared);
    }

    fn bound_sessions(&mut self, shared: &mut Shared, now: Instant) {
        let established: Vec<_> =
            self.sessions.iter().filter(|session| session.established().is_some()).map(|session| session.id).collect();
        if established.len() > MAX_ESTABLISHED
            && let Some(&oldest) = established.first()
        {
            self.delete_session(shared, now, oldest, DeleteReason::Replaced);
        }
    }

    /// Keeps half-open main modes within bounds.
    fn make_room(&mut self, shared: &mut Shared) -> Result<(), Error> {
        let half_open: Vec<_> = self.sessions.iter().filter(|session| session.is_half_open_responder()).collect();
        if half_open.len() < MAX_HALF_OPEN {
            return if shared.half_open < MAX_HALF_OPEN_TOTAL { Ok(()) } else { Err(NotNow::TooMany.into()) };
        }
        let unproven = half_open.iter().find(|session| !session.cookie_returned()).map(|session| session.id);
        let oldest = unproven.ok_or(NotNow::TooMany)?;
        shared.drop_datagram(DropReason::TooMany);
        self.drop_session(shared, oldest, DeleteReason::Expired);
        Ok(())
    }

    /// The soft lifetime has ended. A younger ISAKMP SA whose soft lifetime is still ahead replaces this one already.
    pub(crate) fn isakmp_rekey_due(&mut self, shared: &mut Shared, now: Instant, id: SessionId) {
        let younger = |session: &Session| {
            session.id != id && session.established().is_some_and(|other| !other.retiring && other.rekey_at.is_some_and(|at| at > now))
        };
        if self.sessions.iter().any(younger) {
            return;
        }
        if self.replacement == Replacement::No {
            self.replacement = Replacement::Due;
        }
        self.reconcile(shared, now);
    }

    /// The hard lifetime, or retirement, has ended. A retired SA waits for what still runs under it.
    pub(crate) fn isakmp_ended(&mut self, shared: &mut Shared, now: Instant, id: SessionId) {
        let Some(established) = self.sessions.iter().find(|session| session.id == id).and_then(Session::established) else { return };
        if established.retiring && established.open_quick_modes() > 0 {
            shared.timers.set(Timer::IsakmpExpire(self.id, id), now + RETIREMENT);
            return;
        }
        let reason = if established.retiring { DeleteReason::Replaced } else { DeleteReason::Expired };
        self.delete_session(shared, now, id, reason);
        self.reconcile(shared, now);
    }

    /// Removes a session and, if it is established, tells the peer.
    pub(crate) fn delete_session(&mut self, shared: &mut Shared, now: Instant, id: SessionId, reason: DeleteReason) {
        if let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) {
            let path = session.path;
            if let Some(established) = session.established_mut() {
                let protection = &established.sa.protection;
                let body = Delete::encode_isakmp(protection.initiator_cookie, protection.responder_cookie);
                let message = established.say(&mut shared.rng, PayloadType::DELETE, body);
                shared.send(path, &message);
                self.last_removal = Some(now);
            }
        }
        self.drop_session(shared, id, reason);
    }

    /// Removes a session without a word to the peer. Its IPsec SAs stay.
    pub(crate) fn drop_session(&mut self, shared: &mut Shared, id: SessionId, reason: DeleteReason) {
        let Some(index) = self.sessions.iter().position(|session| session.id == id) else { return };
        self.drop_quick_modes(shared, index);
        let session = self.sessions.remove(index);
        shared.free_cookie(session.ours);
        if session.is_half_open_responder() {
            shared.half_open -= 1;
        }
        for timer in
            [Timer::MainMode(self.id, id), Timer::HalfOpen(self.id, id), Timer::IsakmpRekey(self.id, id), Timer::IsakmpExpire(self.id, id)]
        {
            shared.timers.stop(timer);
        }
        let last = self.sessions.iter().all(|session| session.established().is_none());
        if session.established().is_some() && last {
            shared.emit(Event::IkeClosed { connection: self.id, reason });
        }
    }
}

/// Answers a repeated message from memory.
fn repeat(shared: &mut Shared, now: Instant, session: &mut Session, path: Path) -> Result<(), Error> {
    let cookie_returned = session.cookie_returned();
    if let Some(answer) = session.answered.as_mut().and_then(|answered| answered.repeat(now, cookie_returned)) {
        // A repetition proves nothing, so it moves nothing: an established SA's answer goes where the authentic message came from.
        let path = if session.established().is_some() || path.remote.ip() != session.path.remote.ip() { session.path } else { path };
        shared.send(path, &answer);
    }
    Err(NotNow::Duplicate.into())
}
