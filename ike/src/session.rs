//! One ISAKMP SA from its first message to its end: which message it waits for, and what it remembers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use rand::{CryptoRng, RngExt as _};

use crate::event::{ChildSaId, Failure, IkeSaInfo, Role};
use crate::failure::Stage;
use crate::informational;
use crate::isakmp_sa::IsakmpSa;
use crate::main_mode::{initiator, responder};
use crate::nat::Path;
use crate::quick_mode;
use crate::retransmit::{Answered, Ladder};
use crate::wire::{Cookie, Header, PayloadType};

/// Names a session for as long as the endpoint lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionId(pub(crate) u64);

/// How many message ids a session remembers, the peer's and ours, so that a recorded message means nothing when it is sent again.
const REMEMBERED_MESSAGE_IDS: usize = 4096;

/// One ISAKMP SA, finished or not.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) role: Role,
    /// The cookie we made.
    pub(crate) ours: Cookie,
    /// The peer's; zero until it has answered.
    pub(crate) theirs: Cookie,
    pub(crate) path: Path,
    /// When message 1 left or came: SAs older than this are those that INITIAL-CONTACT is about.
    pub(crate) started: Instant,
    pub(crate) state: State,
    /// As initiator in main mode: our last message, until it is answered.
    pub(crate) pending: Option<Pending>,
    /// As responder in main mode: the last message and our answer.
    pub(crate) answered: Option<Answered>,
    /// Why this attempt will probably fail, by what nobody has proved. Said once, acted upon only when time is up.
    pub(crate) hint: Option<Failure>,
    /// Since when the peer seems to have lost what we hold: message 5 carries INITIAL-CONTACT unless we got something newer.
    pub(crate) lost_contact: Option<Instant>,
}

/// A message that waits for its answer.
pub(crate) struct Pending {
    pub(crate) message: Vec<u8>,
    pub(crate) ladder: Ladder,
}

/// What a session waits for.
pub(crate) enum State {
    /// As initiator.
    Message2(initiator::ExpectMessage2),
    /// As responder.
    Message3(responder::ExpectMessage3),
    /// As initiator.
    Message4(Box<initiator::ExpectMessage4>),
    /// As responder.
    Message5(Box<responder::ExpectMessage5>),
    /// As initiator.
    Message6(Box<initiator::ExpectMessage6>),
    /// Main mode is done.
    Established(Box<Established>),
}

/// What there is after main mode.
pub(crate) struct Established {
    pub(crate) sa: IsakmpSa,
    pub(crate) since: Instant,
    pub(crate) rekey_at: Option<Instant>,
    /// Quick modes by message id.
    pub(crate) quick: BTreeMap<u32, QuickMode>,
    pub(crate) seen: Seen,
    /// The last R-U-THERE's sequence number, and when it was answered.
    pub(crate) dpd_received: Option<(u32, Instant)>,
    /// A newer one has taken its place: nothing new begins here.
    pub(crate) retiring: bool,
    /// The peer has it too: it sent message 6, or something under it. Message 6 of ours may have been lost.
    pub(crate) confirmed: bool,
    /// A quick mode of ours has been unanswered for long: the peer may have lost it.
    pub(crate) doubtful: bool,
}

/// One quick mode.
pub(crate) enum QuickMode {
    /// Message 1 has left.
    Initiator {
        /// What it waits for.
        state: Box<quick_mode::initiator::ExpectMessage2>,
        /// Message 1.
        pending: Pending,
        /// When it left first.
        started: Instant,
    },
    /// Message 3 has left; it is repeated when message 2 comes again.
    InitiatorDone(Answered),
    /// Message 1 was refused; the notification is repeated when it comes again.
    Refused(Answered),
    /// Message 2 has left.
    Responder {
        /// What it waits for.
        state: Box<quick_mode::responder::ExpectMessage3>,
        /// Message 1 and message 2.
        answered: Answered,
        /// Message 2, repeated until message 3.
        pending: Pending,
        /// The pair whose inbound SA stands.
        pair: ChildSaId,
    },
    /// Message 3 or ESP has come.
    ResponderDone,
}

impl Session {
    /// Whether a message with these cookies is for this session. Before message 2 the responder's cookie is not known; a refusal may lack it.
    pub(crate) fn has_cookies(&self, header: &Header) -> bool {
        match self.role {
            Role::Initiator => {
                let theirs = header.responder_cookie == self.theirs || matches!(self.state, State::Message2(_));
                header.initiator_cookie == self.ours && theirs
            }
            Role::Responder => header.initiator_cookie == self.theirs && header.responder_cookie == self.ours,
        }
    }

    /// Whether this is our own last message, sent back by somebody: message 3 could pass for message 4.
    pub(crate) fn said(&self, message: &[u8]) -> bool {
        let pending = self.pending.as_ref().is_some_and(|pending| pending.message == message);
        pending || self.answered.as_ref().is_some_and(|answered| answered.answer_is(message))
    }

    pub(crate) fn established(&self) -> Option<&Established> {
        match &self.state {
            State::Established(established) => Some(established),
            _ => None,
        }
    }

    pub(crate) fn established_mut(&mut self) -> Option<&mut Established> {
        match &mut self.state {
            State::Established(established) => Some(established),
            _ => None,
        }
    }

    /// Whether the peer has shown that our messages reach it.
    pub(crate) fn cookie_returned(&self) -> bool {
        !matches!(self.state, State::Message2(_) | State::Message3(_))
    }

    pub(crate) fn is_half_open_responder(&self) -> bool {
        matches!(self.state, State::Message3(_) | State::Message5(_))
    }

    pub(crate) fn is_connecting_initiator(&self) -> bool {
        matches!(self.state, State::Message2(_) | State::Message4(_) | State::Message6(_))
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.state {
            State::Message2(_) => Stage::Offer,
            State::Message3(_) | State::Message4(_) => Stage::Keys,
            State::Message5(_) | State::Message6(_) => Stage::Authentication,
            State::Established(_) => Stage::Quick,
        }
    }
}

impl Established {
    /// An informational message of ours. Its message id counts as seen, so that it means nothing if somebody sends it back.
    pub(crate) fn say(&mut self, rng: &mut (impl CryptoRng + ?Sized), kind: PayloadType, body: Vec<u8>) -> Vec<u8> {
        let message_id = self.new_message_id(rng);
        informational::message(&self.sa.protection, &self.sa.iv, message_id, kind, body)
    }

    /// A message id for an exchange of ours: not zero, and unlike any other under this SA.
    pub(crate) fn new_message_id(&mut self, rng: &mut (impl CryptoRng + ?Sized)) -> u32 {
        loop {
            let message_id = rng.random_range(1..=u32::MAX);
            if !self.seen.contains(message_id) {
                self.seen.insert(message_id);
                return message_id;
            }
        }
    }

    pub(crate) fn info(&self, path: Path) -> IkeSaInfo {
        IkeSaInfo {
            role: self.sa.role,
            proposal: self.sa.proposal,
            nat: self.sa.nat.status(),
            encapsulation: self.sa.nat.encapsulation(path),
            established: self.since,
            rekey_at: self.rekey_at,
        }
    }

    /// When the oldest quick mode of ours that still waits for its message 2 began.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        let waits = |quick: &QuickMode| if let QuickMode::Initiator { started, .. } = quick { Some(*started) } else { None };
        self.quick.values().filter_map(waits).min()
    }

    /// Quick modes that are not finished.
    pub(crate) fn open_quick_modes(&self) -> usize {
        self.quick.values().filter(|quick| matches!(quick, QuickMode::Initiator { .. } | QuickMode::Responder { .. })).count()
    }
}

/// Message ids that have been used, the oldest forgotten first.
#[derive(Default)]
pub(crate) struct Seen {
    ids: BTreeSet<u32>,
    order: VecDeque<u32>,
}

impl Seen {
    pub(crate) fn contains(&self, message_id: u32) -> bool {
        self.ids.contains(&message_id)
    }

    pub(crate) fn insert(&mut self, message_id: u32) {
        if !self.ids.insert(message_id) {
            return;
        }
        self.order.push_back(message_id);
        if self.order.len() > REMEMBERED_MESSAGE_IDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}
