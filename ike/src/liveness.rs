//! Whether the peer lives and what it says outside the exchanges: informational messages, dead peer detection (RFC 3706), NAT keepalives
//! and a peer whose address moves.

use std::time::{Duration, Instant};

use crate::config::Dpd;
use crate::connection::{Connection, Wanted};
use crate::error::{Error, NotNow};
use crate::event::{DeleteReason, Event};
use crate::failure::{self, Stage};
use crate::informational::{self, Statement};
use crate::main_mode::initiator::ExpectMessage6;
use crate::nat::{NAT_TRAVERSAL_PORT, Path};
use crate::phase_one::Received;
use crate::session::{Session, SessionId, State};
use crate::shared::Shared;
use crate::timer::Timer;
use crate::wire::{Delete, NotifyType, PayloadType};

/// RFC 3948 section 4: the default interval.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// RFC 3948 section 2.3.
const KEEPALIVE: u8 = 0xff;
/// R-U-THERE with a sequence number that was answered is answered again once in this time.
const ACK_INTERVAL: Duration = Duration::from_secs(1);

/// What is known of the peer's life.
pub(crate) struct Liveness {
    /// When an authentic IKE message or ESP packet last came.
    last_proof: Instant,
    question: Option<Question>,
    next_sequence: u32,
}

/// R-U-THEREs that nothing has answered yet.
struct Question {
    /// The first one's sequence number; the last one's is `next_sequence - 1`.
    first: u32,
    since: Instant,
}

impl Liveness {
    pub(crate) fn new(now: Instant) -> Self {
        Self { last_proof: now, question: None, next_sequence: 0 }
    }
}

impl Connection {
    /// An informational message, encrypted or not.
    pub(crate) fn informational(&mut self, shared: &mut Shared, now: Instant, received: Received<'_>) -> Result<(), Error> {
        let index = self.sessions.iter().position(|session| session.has_cookies(received.header)).ok_or(NotNow::UnknownCookies)?;
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        if !received.header.is_encrypted() {
            return self.clear_informational(shared, now, index, received);
        }
        let message_id = received.header.message_id;
        let statements = match &session.state {
            State::Established(established) => {
                if message_id == 0 || established.seen.contains(message_id) {
                    return Err(NotNow::Duplicate.into());
                }
                informational::open(&established.sa.protection, &established.sa.iv, received.header, received.body)?
            }
            State::Message6(state) => match refusal_of_message5(state, received) {
                Ok(statements) => return self.message5_refused(shared, now, index, statements),
                Err(error) => {
                    // A peer with another key says so under that key.
                    let (id, told) = (session.id, failure::psk_mismatch(session.role, session.path.remote));
                    self.hint(shared, now, id, told);
                    return Err(error);
                }
            },
            _ => return Err(NotNow::UnexpectedMessage.into()),
        };
        if let Some(established) = session.established_mut() {
            established.seen.insert(message_id);
            established.confirmed = true;
            established.doubtful = false;
        }
        let id = session.id;
        self.proof_of_life(shared, now);
        for statement in statements {
            let Some(index) = self.sessions.iter().position(|session| session.id == id) else { break };
            self.heard(shared, now, index, received.path, statement)?;
        }
        self.reconcile(shared, now);
        Ok(())
    }

    /// What anybody may have sent: in main mode an error is a hint, nothing else counts. A clear DELETE is never obeyed.
    fn clear_informational(&mut self, shared: &mut Shared, now: Instant, index: usize, received: Received<'_>) -> Result<(), Error> {
        let Some(session) = self.sessions.get(index) else { return Ok(()) };
        if !session.is_connecting_initiator() {
            return Err(NotNow::UnencryptedMessage.into());
        }
        let notify_type = informational::clear_hint(received.header, received.body).ok_or(NotNow::UnencryptedMessage)?;
        let (id, told) = (session.id, failure::refused(notify_type, session.stage(), session.path.remote, false));
        self.hint(shared, now, id, told);
        Ok(())
    }

    /// The peer authentically refuses our message 5, or has already deleted the SA that message 6 would complete.
    fn message5_refused(&mut self, shared: &mut Shared, now: Instant, index: usize, statements: Vec<Statement>) -> Result<(), Error> {
        let Some(session) = self.sessions.get(index) else { return Ok(()) };
        let (id, remote) = (session.id, session.path.remote);
        let refusal = statements.into_iter().find_map(|statement| match statement {
            // The keys agree, or we could not read it: what fails is who we say we are.
            Statement::Notification { notify_type: NotifyType::AUTHENTICATION_FAILED, .. } => {
                Some(failure::refused(NotifyType::INVALID_ID_INFORMATION, Stage::Authentication, remote, true))
            }
            Statement::Notification { notify_type, .. } if notify_type.is_error() => {
                Some(failure::refused(notify_type, Stage::Authentication, remote, true))
            }
            Statement::DeletedIsakmp(_) => Some(failure::deleted_early(remote)),
            _ => None,
        });
        self.give_up(shared, now, id, refusal.ok_or(NotNow::UnexpectedMessage)?);
        Ok(())
    }

    fn heard(&mut self, shared: &mut Shared, now: Instant, index: usize, path: Path, statement: Statement) -> Result<(), Error> {
        match statement {
            Statement::AreYouThere(sequence) => self.answer_dpd(shared, now, index, path, sequence)?,
            Statement::IAmHere(sequence) => {
                let asked = self.liveness.question.as_ref().map_or(0..0, |question| question.first..self.liveness.next_sequence);
                if asked.contains(&sequence) {
                    self.moved(shared, path);
                }
            }
            Statement::DeletedEsp(spis) => {
                let gone: Vec<_> = self.pairs.iter().filter(|pair| spis.contains(&pair.spi_out)).map(|pair| pair.id).collect();
                for id in gone {
                    if let Some(pair) = self.remove_pair(shared, id, DeleteReason::PeerDeleted) {
                        self.lived(shared, now, pair.child, pair.installed);
                        self.fell_back(&pair);
                    }
                }
            }
            Statement::DeletedIsakmp(cookies) => {
                let named = |session: &&Session| {
                    session.established().is_some_and(|established| cookies.contains(&established.sa.protection.spi()))
                };
                let gone: Vec<_> = self.sessions.iter().filter(named).map(|session| session.id).collect();
                for id in gone {
                    let since = self.sessions.iter().find(|session| session.id == id).and_then(Session::established).map(|gone| gone.since);
                    self.drop_session(shared, id, DeleteReason::PeerDeleted);
                    if let Some(since) = since {
                        self.session_lived(shared, now, since);
                        self.doubt_older_sessions(shared, now, id);
                    }
                }
            }
            Statement::Notification { notify_type, spi } => self.notified(shared, now, index, notify_type, spi),
        }
        Ok(())
    }

    fn notified(&mut self, shared: &mut Shared, now: Instant, index: usize, notify_type: NotifyType, spi: Option<u32>) {
        if notify_type == NotifyType::INVALID_SPI {
            // The peer does not know an SPI that we send on: that child needs a new pair.
            let child = self.pairs.iter().find(|pair| Some(pair.spi_out) == spi).map(|pair| pair.child);
            if let Some(need) = child.and_then(|child| self.needs.get_mut(child)) {
                need.wanted = Some(Wanted::Renewal);
            }
        } else if notify_type.is_error() {
            self.quick_mode_refused(shared, now, index, notify_type, spi);
        } else if notify_type == NotifyType::INITIAL_CONTACT {
            let message = "INITIAL-CONTACT outside main mode is ignored".to_owned();
            shared.emit(Event::Warning { connection: self.id, message });
        }
    }

    fn answer_dpd(&mut self, shared: &mut Shared, now: Instant, index: usize, path: Path, sequence: u32) -> Result<(), Error> {
        let Some(established) = self.sessions.get_mut(index).and_then(Session::established_mut) else { return Ok(()) };
        let last = established.dpd_received;
        if last.is_some_and(|(last, at)| sequence < last || (sequence == last && now < at + ACK_INTERVAL)) {
            return Err(NotNow::Duplicate.into());
        }
        established.dpd_received = Some((sequence, now));
        if last.is_none_or(|(last, _)| sequence > last) {
            self.moved(shared, path);
        }
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        let path = session.path;
        let Some(established) = session.established_mut() else { return Ok(()) };
        let body = informational::dpd(&established.sa.protection, NotifyType::R_U_THERE_ACK, sequence);
        let message = established.say(&mut shared.rng, PayloadType::NOTIFY, body);
        shared.send(path, &message);
        Ok(())
    }

    /// A message whose HASH binds it to this moment: the peer lives, and it lives there.
    pub(crate) fn authenticated(&mut self, shared: &mut Shared, now: Instant, index: usize, received: Received<'_>) {
        self.proof_of_life(shared, now);
        if let Some(established) = self.sessions.get_mut(index).and_then(Session::established_mut) {
            established.confirmed = true;
            established.doubtful = false;
        }
        self.moved(shared, received.path);
    }

    /// An authentic IKE message or ESP packet has come.
    pub(crate) fn proof_of_life(&mut self, shared: &mut Shared, now: Instant) {
        self.liveness.last_proof = now;
        if self.liveness.question.take().is_some() {
            self.arm_dpd(shared, now);
        }
    }

    /// Behind a NAT the peer's address may change at any time. Followed only on port 4500 and only where a NAT was found.
    pub(crate) fn moved(&mut self, shared: &mut Shared, path: Path) {
        let mut moved = false;
        for session in &mut self.sessions {
            let behind_nat = session.established().is_some_and(|established| established.sa.nat.encapsulates());
            if behind_nat && path.local.port() == NAT_TRAVERSAL_PORT && session.path != path {
                session.path = path;
                moved = true;
            }
        }
        if moved {
            let encapsulation = crate::event::Encapsulation::Udp { local: path.local, remote: path.remote };
            shared.emit(Event::PeerMoved { connection: self.id, encapsulation });
        }
    }

    /// Sets the timer of dead peer detection, if there is somebody to ask.
    pub(crate) fn arm_dpd(&mut self, shared: &mut Shared, now: Instant) {
        let timer = Timer::Dpd(self.id);
        match self.config.dpd.filter(|_| self.questionable().is_some()) {
            Some(dpd) => shared.timers.set(timer, (self.liveness.last_proof + dpd.delay).max(now)),
            None => {
                self.liveness.question = None;
                shared.timers.stop(timer);
            }
        }
    }

    /// The peer may have been silent for too long.
    pub(crate) fn dpd_due(&mut self, shared: &mut Shared, now: Instant) {
        let Some(dpd) = self.config.dpd else { return };
        let quiet_until = self.liveness.last_proof + dpd.delay;
        if let Some(question) = &self.liveness.question {
            if now >= question.since + dpd.timeout {
                self.peer_is_dead(shared, now);
                return;
            }
        } else if now < quiet_until {
            shared.timers.set(Timer::Dpd(self.id), quiet_until);
            return;
        }
        self.ask(shared, now, dpd);
    }

    fn ask(&mut self, shared: &mut Shared, now: Instant, dpd: Dpd) {
        let Some(id) = self.questionable() else { return };
        let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) else { return };
        let path = session.path;
        let Some(established) = session.established_mut() else { return };
        let sequence = self.liveness.next_sequence;
        let body = informational::dpd(&established.sa.protection, NotifyType::R_U_THERE, sequence);
        let message = established.say(&mut shared.rng, PayloadType::NOTIFY, body);
        shared.send(path, &message);
        self.liveness.next_sequence = sequence.wrapping_add(1);
        let question = self.liveness.question.get_or_insert(Question { first: sequence, since: now });
        // Ten questions within the timeout: on a path that loses 30 % both ways a living peer answers one of them.
        let interval = (dpd.timeout / 10).clamp(Duration::from_millis(500), Duration::from_secs(5));
        shared.timers.set(Timer::Dpd(self.id), (now + interval).min(question.since + dpd.timeout));
    }

    /// The ISAKMP SA to ask under, if its peer has announced that it answers R-U-THERE.
    fn questionable(&self) -> Option<SessionId> {
        let (id, ..) = self.usable_session()?;
        let answers = |session: &&Session| session.established().is_some_and(|established| established.sa.dpd);
        self.sessions.iter().find(|session| session.id == id).filter(answers).map(|session| session.id)
    }

    /// R-U-THERE stayed unanswered: both phases are gone at the peer, or nobody is there.
    fn peer_is_dead(&mut self, shared: &mut Shared, now: Instant) {
        self.liveness.question = None;
        shared.emit(Event::PeerDead { connection: self.id });
        let pairs: Vec<_> = self.pairs.iter().map(|pair| pair.id).collect();
        for id in pairs {
            self.remove_pair(shared, id, DeleteReason::PeerDead);
        }
        let sessions: Vec<_> = self.sessions.iter().filter(|session| session.established().is_some()).map(|session| session.id).collect();
        for id in sessions {
            self.drop_session(shared, id, DeleteReason::PeerDead);
        }
        self.reconcile(shared, now);
    }

    /// Without an ISAKMP SA nobody can be asked: pairs whose peer neither sends ESP nor answers main mode for as long as DPD would take are dead too.
    pub(crate) fn presume_dead(&mut self, shared: &mut Shared, now: Instant) {
        let Some(dpd) = self.config.dpd else { return };
        let silent = now >= self.liveness.last_proof + dpd.delay + dpd.timeout;
        if silent && !self.pairs.is_empty() && self.sessions.iter().all(|session| session.established().is_none()) {
            self.peer_is_dead(shared, now);
        }
    }

    /// Sets the keepalive's timer, if a NAT on our side has to be kept open. A pretended one needs nothing.
    pub(crate) fn arm_keepalive(&mut self, shared: &mut Shared, now: Instant) {
        let timer = Timer::Keepalive(self.id);
        match self.behind_nat() {
            Some(_) if shared.timers.due(timer).is_none() => shared.timers.set(timer, now + KEEPALIVE_INTERVAL),
            Some(_) => {}
            None => shared.timers.stop(timer),
        }
    }

    pub(crate) fn keepalive_due(&mut self, shared: &mut Shared, now: Instant) {
        if let Some(path) = self.behind_nat() {
            shared.send_raw(path, vec![KEEPALIVE]);
        }
        self.arm_keepalive(shared, now);
    }

    fn behind_nat(&self) -> Option<Path> {
        let behind = |session: &&Session| session.established().is_some_and(|established| established.sa.nat.local);
        self.sessions.iter().filter(behind).max_by_key(|session| session.id).map(|session| session.path)
    }

    /// DELETE for IPsec SAs by the SPIs of packets to us, under the newest ISAKMP SA there is.
    pub(crate) fn send_delete_esp(&mut self, shared: &mut Shared, spis: &[u32]) {
        let newest = self.sessions.iter_mut().filter(|session| session.established().is_some()).max_by_key(|session| session.id);
        let Some(session) = newest else { return };
        let path = session.path;
        if let Some(established) = session.established_mut() {
            let message = established.say(&mut shared.rng, PayloadType::DELETE, Delete::encode_esp(spis));
            shared.send(path, &message);
        }
    }
}

/// Reads an encrypted informational message that comes instead of message 6.
fn refusal_of_message5(state: &ExpectMessage6, received: Received<'_>) -> Result<Vec<Statement>, Error> {
    let (protection, iv) = state.protection();
    informational::open(protection, &iv, received.header, received.body)
}
