//! A connection's quick modes: beginning one, taking each message to the state that waits for it, repeating, giving up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::connection::{Connection, Replacement};
use crate::error::{Error, NotNow};
use crate::event::{ChildSaId, DeleteReason, Event, Failure, Role};
use crate::failure::{self, Stage};
use crate::informational;
use crate::phase_one::Received;
use crate::quick_mode::initiator::ExpectMessage2;
use crate::quick_mode::responder::{ExpectMessage3, Refusal};
use crate::retransmit::{Answered, Ladder};
use crate::session::{Pending, QuickMode, Session, SessionId};
use crate::shared::Shared;
use crate::timer::Timer;
use crate::wire::{NotifyType, PayloadType};

/// How long a finished exchange answers repetitions.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Message 1 has been sent so often, over 7 s, without an answer: the ISAKMP SA is in doubt.
const DOUBT_AFTER: usize = 4;
/// Quick modes of one ISAKMP SA that are remembered, finished ones included.
const MAX_QUICK_MODES: usize = 128;

impl Connection {
    /// Sends message 1 for a child.
    pub(crate) fn start_quick_mode(&mut self, shared: &mut Shared, now: Instant, session: SessionId, child: usize) {
        let Some(&selectors) = self.config.children.get(child) else { return };
        let config = Arc::clone(&self.config);
        let Some(session) = self.sessions.iter_mut().find(|other| other.id == session) else { return };
        let (id, path) = (session.id, session.path);
        let Some(established) = session.established_mut() else { return };
        if established.quick.len() >= MAX_QUICK_MODES {
            return;
        }
        let message_id = established.new_message_id(&mut shared.rng);
        let spi_in = shared.new_spi();
        let (state, message1) = ExpectMessage2::begin(&established.sa, &mut shared.rng, config, (child, selectors), message_id, spi_in);
        shared.send(path, &message1);
        let pending = self.first_step(shared, now, id, message_id, message1);
        let quick = QuickMode::Initiator { state: Box::new(state), pending, started: now };
        self.put_quick_mode(id, message_id, quick);
    }

    /// A message of quick mode.
    pub(crate) fn quick_mode(&mut self, shared: &mut Shared, now: Instant, received: Received<'_>) -> Result<(), Error> {
        let message_id = received.header.message_id;
        let index = self.sessions.iter().position(|session| session.has_cookies(received.header)).ok_or(NotNow::UnknownCookies)?;
        if !received.header.is_encrypted() {
            return Err(NotNow::UnencryptedMessage.into());
        }
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        let path = session.path;
        let established = session.established_mut().filter(|_| message_id != 0).ok_or(NotNow::UnexpectedMessage)?;
        match established.quick.get_mut(&message_id) {
            None => self.quick_message1(shared, now, index, received),
            Some(QuickMode::Initiator { .. }) => self.quick_message2(shared, now, index, received),
            Some(QuickMode::InitiatorDone(answered) | QuickMode::Refused(answered) | QuickMode::Responder { answered, .. })
                if answered.is(received.message) =>
            {
                if let Some(answer) = answered.repeat(now, true) {
                    shared.send(path, &answer);
                }
                Err(NotNow::Duplicate.into())
            }
            Some(QuickMode::Responder { .. }) => self.quick_message3(shared, now, index, received),
            Some(QuickMode::ResponderDone) => Err(NotNow::Duplicate.into()),
            Some(QuickMode::InitiatorDone(_) | QuickMode::Refused(_)) => Err(NotNow::UnexpectedMessage.into()),
        }
    }

    fn quick_message1(&mut self, shared: &mut Shared, now: Instant, index: usize, received: Received<'_>) -> Result<(), Error> {
        let message_id = received.header.message_id;
        let config = Arc::clone(&self.config);
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        let id = session.id;
        let Some(established) = session.established_mut() else { return Ok(()) };
        if established.seen.contains(message_id) {
            return Err(NotNow::Duplicate.into());
        }
        if established.quick.len() >= MAX_QUICK_MODES {
            return Err(NotNow::TooMany.into());
        }
        let spi_in = shared.new_spi();
        let answer = ExpectMessage3::message1(&established.sa, &mut shared.rng, &config, received.header, received.body, spi_in);
        if !matches!(answer, Ok(Ok(_))) {
            shared.free_spi(spi_in);
        }
        let answer = answer?;
        established.seen.insert(message_id);
        self.authenticated(shared, now, index, received);
        let Some(path) = self.sessions.get(index).map(|session| session.path) else { return Ok(()) };
        let (state, new, message2) = match answer {
            Ok(answer) => answer,
            Err(Refusal { error, spi }) => {
                if let Some(notification) = self.refuse_quick_mode(shared, index, &error, spi) {
                    self.put_quick_mode(id, message_id, QuickMode::Refused(Answered::new(now, received.message, notification)));
                    shared.timers.set(Timer::QuickMode(self.id, id, message_id), now + REMEMBERED);
                }
                let told = failure::from_error(&error, Role::Responder, Stage::Quick, path.remote);
                shared.emit(Event::Failed { connection: Some(self.id), remote: path.remote, failure: told, retry_at: None });
                return Err(error);
            }
        };
        // The event stands before the message: we receive before the peer can send.
        let pair = self.install(shared, now, new, Role::Responder, now, path);
        shared.send(path, &message2);
        let pending = self.first_step(shared, now, id, message_id, message2.clone());
        let answered = Answered::new(now, received.message, message2);
        self.put_quick_mode(id, message_id, QuickMode::Responder { state: Box::new(state), answered, pending, pair });
        Ok(())
    }

    fn quick_message2(&mut self, shared: &mut Shared, now: Instant, index: usize, received: Received<'_>) -> Result<(), Error> {
        let message_id = received.header.message_id;
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        let id = session.id;
        let Some(established) = session.established_mut() else { return Ok(()) };
        let Some(QuickMode::Initiator { state, started, .. }) = established.quick.get(&message_id) else { return Ok(()) };
        let started = *started;
        let answer = state.message2(&established.sa, received.header, received.body)?;
        self.authenticated(shared, now, index, received);
        let Some(path) = self.sessions.get(index).map(|session| session.path) else { return Ok(()) };
        match answer {
            Ok((new, message3)) => {
                let pair = self.install(shared, now, new, Role::Initiator, started, path);
                self.agreed(shared, now, pair);
                shared.send(path, &message3);
                self.put_quick_mode(id, message_id, QuickMode::InitiatorDone(Answered::new(now, received.message, message3)));
                shared.timers.set(Timer::QuickMode(self.id, id, message_id), now + REMEMBERED);
                self.reconcile(shared, now);
                Ok(())
            }
            Err(error) => {
                self.refuse_quick_mode(shared, index, &error, None);
                let told = failure::from_error(&error, Role::Initiator, Stage::Quick, path.remote);
                self.end_quick_mode(shared, now, id, message_id, told);
                self.reconcile(shared, now);
                Err(error)
            }
        }
    }

    fn quick_message3(&mut self, shared: &mut Shared, now: Instant, index: usize, received: Received<'_>) -> Result<(), Error> {
        let message_id = received.header.message_id;
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        let Some(established) = session.established_mut() else { return Ok(()) };
        let Some(QuickMode::Responder { state, pair, .. }) = established.quick.get(&message_id) else { return Ok(()) };
        state.message3(&established.sa, received.header, received.body)?;
        let pair = *pair;
        self.authenticated(shared, now, index, received);
        self.complete(shared, now, pair);
        Ok(())
    }

    /// The peer has our message 2: message 3 came, or ESP that only its keys can have made.
    pub(crate) fn complete(&mut self, shared: &mut Shared, now: Instant, pair: ChildSaId) {
        if let Some((id, message_id)) = self.quick_mode_of(pair) {
            self.put_quick_mode(id, message_id, QuickMode::ResponderDone);
            shared.timers.set(Timer::QuickMode(self.id, id, message_id), now + REMEMBERED);
        }
        self.ready(shared, now, pair);
        self.reconcile(shared, now);
    }

    /// Tells the peer why its quick mode goes no further, under the ISAKMP SA.
    fn refuse_quick_mode(&mut self, shared: &mut Shared, index: usize, error: &Error, spi: Option<u32>) -> Option<Vec<u8>> {
        let notify_type = failure::notification(error)?;
        let session = self.sessions.get_mut(index)?;
        let path = session.path;
        let body = informational::esp_notification(notify_type, spi);
        let message = session.established_mut()?.say(&mut shared.rng, PayloadType::NOTIFY, body);
        shared.send(path, &message);
        Some(message)
    }

    /// The peer refuses a quick mode of ours: the one whose SPI it names, else the only one under way. With several under way and none
    /// named it is not known which, so all go on until their ladders end.
    pub(crate) fn quick_mode_refused(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        index: usize,
        notify_type: NotifyType,
        spi: Option<u32>,
    ) {
        let Some(session) = self.sessions.get(index) else { return };
        let (id, remote) = (session.id, session.path.remote);
        let Some(established) = session.established() else { return };
        let open: Vec<_> = established
            .quick
            .iter()
            .filter_map(|(&message_id, quick)| match quick {
                QuickMode::Initiator { state, .. } => Some((message_id, state.spi_in())),
                _ => None,
            })
            .collect();
        let named = open.iter().find(|&&(_, ours)| spi == Some(ours)).or(if let [only] = open.as_slice() { Some(only) } else { None });
        let told = failure::refused(notify_type, Stage::Quick, remote, true);
        match named {
            Some(&(message_id, _)) => self.end_quick_mode(shared, now, id, message_id, told),
            None if !open.is_empty() => shared.emit(Event::Warning { connection: self.id, message: told.message }),
            None => {}
        }
    }

    /// Quick mode's ladder: the next repetition, the end, or the time to forget.
    pub(crate) fn quick_mode_step(&mut self, shared: &mut Shared, now: Instant, id: SessionId, message_id: u32) {
        let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) else { return };
        let path = session.path;
        let Some(established) = session.established_mut() else { return };
        let (pending, pair) = match established.quick.get_mut(&message_id) {
            Some(QuickMode::Initiator { pending, .. }) => (pending, None),
            Some(QuickMode::Responder { pending, pair, .. }) => (pending, Some(*pair)),
            _ => {
                established.quick.remove(&message_id);
                return;
            }
        };
        if let Some(wait) = pending.ladder.next_wait(&mut shared.rng) {
            shared.send(path, &pending.message);
            shared.timers.set(Timer::QuickMode(self.id, id, message_id), now + wait);
            if pair.is_none() && pending.ladder.sent() == DOUBT_AFTER {
                established.doubtful = true;
                self.look_for_another_session(shared, now);
            }
            return;
        }
        match pair {
            None => {
                self.end_quick_mode(shared, now, id, message_id, failure::no_response(Stage::Quick, path.remote));
                // The peer may have lost this ISAKMP SA; another one will show.
                self.delete_session(shared, now, id, DeleteReason::PeerDead);
            }
            Some(pair) => {
                let message = format!("{} never sent quick mode message 3: the pair is withdrawn", path.remote);
                shared.emit(Event::Warning { connection: self.id, message });
                self.delete_pairs(shared, now, &[pair], DeleteReason::Expired);
            }
        }
        self.reconcile(shared, now);
    }

    /// The peer deleted an ISAKMP SA. It may long have lost the older ones (a restart that it did not tell), so what is needed does not wait for them.
    pub(crate) fn doubt_older_sessions(&mut self, shared: &mut Shared, now: Instant, gone: SessionId) {
        let mut doubted = false;
        for established in self.sessions.iter_mut().filter(|session| session.id < gone).filter_map(Session::established_mut) {
            established.doubtful = true;
            doubted = true;
        }
        if doubted && (self.kept || self.needs.iter().any(|need| need.wanted.is_some())) {
            self.look_for_another_session(shared, now);
        }
    }

    /// An ISAKMP SA that does not answer may be one that the peer has lost: quick modes move to another one, which is made if there is none.
    /// The unanswered ones go on until then.
    fn look_for_another_session(&mut self, shared: &mut Shared, now: Instant) {
        let trusted = |session: &Session| session.established().is_some_and(|established| !established.retiring && !established.doubtful);
        if self.sessions.iter().any(trusted) {
            self.leave_doubtful_sessions(shared);
        } else if self.replacement == Replacement::No {
            self.replacement = Replacement::Due;
        }
        self.reconcile(shared, now);
    }

    /// Drops the unanswered quick modes of doubtful ISAKMP SAs; what they were for is still needed.
    pub(crate) fn leave_doubtful_sessions(&mut self, shared: &mut Shared) {
        for session in &mut self.sessions {
            let id = session.id;
            let Some(established) = session.established_mut().filter(|established| established.doubtful) else { continue };
            established.quick.retain(|&message_id, quick| {
                let QuickMode::Initiator { state, .. } = quick else { return true };
                shared.free_spi(state.spi_in());
                shared.timers.stop(Timer::QuickMode(self.id, id, message_id));
                false
            });
        }
    }

    /// Ends a quick mode of ours without success.
    fn end_quick_mode(&mut self, shared: &mut Shared, now: Instant, id: SessionId, message_id: u32, told: Failure) {
        let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) else { return };
        let remote = session.path.remote;
        let Some(established) = session.established_mut() else { return };
        shared.timers.stop(Timer::QuickMode(self.id, id, message_id));
        if let Some(QuickMode::Initiator { state, .. }) = established.quick.remove(&message_id) {
            shared.free_spi(state.spi_in());
            self.quick_mode_failed(shared, now, state.child(), remote, told);
        }
    }

    /// Whether a quick mode for this child is under way, ours or the peer's.
    pub(crate) fn negotiates(&self, child: usize) -> bool {
        let is_for = |quick: &QuickMode| match quick {
            QuickMode::Initiator { state, .. } => state.child() == child,
            QuickMode::Responder { pair, .. } => self.pairs.get(*pair).is_some_and(|pair| pair.child == child),
            _ => false,
        };
        self.sessions.iter().filter_map(Session::established).any(|established| established.quick.values().any(is_for))
    }

    /// A pair is gone: its quick mode, if it still runs, waits for nothing.
    pub(crate) fn forget_quick_mode_of(&mut self, pair: ChildSaId) {
        if let Some((id, message_id)) = self.quick_mode_of(pair) {
            // The ladder's timer runs on and forgets it.
            self.put_quick_mode(id, message_id, QuickMode::ResponderDone);
        }
    }

    /// An ISAKMP SA is gone, and its quick modes with it. A pair whose message 3 has not come may still be proved by ESP.
    pub(crate) fn drop_quick_modes(&mut self, shared: &mut Shared, index: usize) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        let id = session.id;
        let Some(established) = session.established_mut() else { return };
        for (message_id, quick) in std::mem::take(&mut established.quick) {
            shared.timers.stop(Timer::QuickMode(self.id, id, message_id));
            if let QuickMode::Initiator { state, .. } = quick {
                shared.free_spi(state.spi_in());
            }
        }
    }

    fn quick_mode_of(&self, pair: ChildSaId) -> Option<(SessionId, u32)> {
        self.sessions.iter().find_map(|session| {
            let mut quick = session.established()?.quick.iter();
            let waits = |quick: &QuickMode| matches!(quick, QuickMode::Responder { pair: other, .. } if *other == pair);
            quick.find(|(_, quick)| waits(quick)).map(|(&message_id, _)| (session.id, message_id))
        })
    }

    fn put_quick_mode(&mut self, id: SessionId, message_id: u32, quick: QuickMode) {
        if let Some(established) = self.sessions.iter_mut().find(|session| session.id == id).and_then(Session::established_mut) {
            established.quick.insert(message_id, quick);
        }
    }

    fn first_step(&mut self, shared: &mut Shared, now: Instant, id: SessionId, message_id: u32, message: Vec<u8>) -> Pending {
        let mut ladder = Ladder::default();
        if let Some(wait) = ladder.next_wait(&mut shared.rng) {
            shared.timers.set(Timer::QuickMode(self.id, id, message_id), now + wait);
        }
        Pending { message, ladder }
    }
}
