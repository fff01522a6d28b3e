//! A failed negotiation in words: what happened, and what to do about it on which side.

use std::net::SocketAddr;

use crate::error::{Error, Fatal, NotNow};
use crate::event::{Code, Failure, Role};
use crate::nat::Path;
use crate::proposal::Disagreement;
use crate::wire::{ExchangeType, NotifyType};

/// How far a negotiation had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Main mode, before the keys.
    Offer,
    /// Main mode, messages 3 and 4.
    Keys,
    /// Main mode, messages 5 and 6.
    Authentication,
    /// Quick mode.
    Quick,
}

fn failure(code: Code, message: impl Into<String>, advice: impl Into<String>) -> Failure {
    Failure { code, message: message.into(), advice: advice.into() }
}

/// Nobody answered our message.
pub(crate) fn no_response(stage: Stage, remote: SocketAddr) -> Failure {
    let (message, advice) = match stage {
        Stage::Offer => (
            format!("{remote} does not answer main mode message 1"),
            "check that the peer runs, knows our address, and that UDP port 500 passes both ways; some peers stay silent when they refuse an offer",
        ),
        Stage::Keys => (
            format!("{remote} answered message 1 but not message 3"),
            "large datagrams may be lost on the way, or the peer takes no such key exchange: look at its log",
        ),
        Stage::Authentication if remote.port() == 500 => (
            format!("{remote} does not answer main mode message 5"),
            "most peers stay silent when the pre-shared key differs: compare it on both ends, then the identities",
        ),
        Stage::Authentication => (
            format!("{remote} does not answer main mode message 5, the first one on port {}", remote.port()),
            "check that UDP port 4500 passes both ways; then compare the pre-shared key on both ends",
        ),
        Stage::Quick => (
            format!("{remote} does not answer quick mode"),
            "the peer may have lost the ISAKMP SA, or stays silent about an offer that it refuses: a new main mode is tried",
        ),
    };
    failure(Code::NoResponse, message, advice)
}

/// Message 5 or 6, or what came in its place, cannot be read with our key.
pub(crate) fn psk_mismatch(role: Role, remote: SocketAddr) -> Failure {
    let message = match role {
        Role::Initiator => format!("{remote} answers message 5 unreadably: its pre-shared key is another one"),
        Role::Responder => format!("message 5 of {remote} does not decrypt: its pre-shared key is another one"),
    };
    failure(Code::PskMismatch, message, "compare the pre-shared key of both ends byte for byte: blanks, quotes and line ends count")
}

/// The peer sent an error notification.
pub(crate) fn refused(notify_type: NotifyType, stage: Stage, remote: SocketAddr, authentic: bool) -> Failure {
    let unproven = if authentic { "" } else { " (in clear, so not proven to be from it)" };
    let said = format!("{remote} refuses with {notify_type}{unproven}");
    match (notify_type, stage) {
        (
            NotifyType::PAYLOAD_MALFORMED | NotifyType::AUTHENTICATION_FAILED | NotifyType::INVALID_HASH_INFORMATION,
            Stage::Authentication,
        ) => failure(
            Code::PskMismatch,
            format!("{said}: it cannot read message 5"),
            "compare the pre-shared key of both ends byte for byte: blanks, quotes and line ends count",
        ),
        (NotifyType::INVALID_ID_INFORMATION, Stage::Quick) => failure(
            Code::SelectorMismatch,
            format!("{said}: it has no such pair of proxy identities"),
            "IKEv1 wants the same pair on both ends, ours mirrored there",
        ),
        (NotifyType::INVALID_ID_INFORMATION, _) => {
            failure(Code::IdMismatch, said, "set the identity that the peer expects of us: see local_id here and the peer's remote id")
        }
        (NotifyType::NO_PROPOSAL_CHOSEN, Stage::Quick) => {
            failure(Code::NoProposalChosen, said, "compare the ESP proposals, PFS and its group, and the encapsulation on both ends")
        }
        (NotifyType::NO_PROPOSAL_CHOSEN, _) => failure(
            Code::NoProposalChosen,
            said,
            "compare encryption, key length, hash, group and authentication method of phase 1 on both ends",
        ),
        _ => failure(Code::PeerRefused, said, "the peer's log says why"),
    }
}

/// The peer deleted an ISAKMP SA that was not complete here.
pub(crate) fn deleted_early(remote: SocketAddr) -> Failure {
    failure(Code::PeerRefused, format!("{remote} deleted the ISAKMP SA before it was complete"), "the peer's log says why")
}

/// The offers do not meet. `role` is ours: as initiator the peer's answer was not in our offer.
pub(crate) fn disagreement(disagreement: &Disagreement, role: Role, stage: Stage, remote: SocketAddr) -> Failure {
    let phase = if stage == Stage::Quick { "phase 2" } else { "phase 1" };
    let message = match role {
        Role::Initiator => format!("{remote} answers our {phase} offer with something else: {disagreement}"),
        Role::Responder => format!("nothing that {remote} offers for {phase} fits: {disagreement}"),
    };
    failure(disagreement.code(), message, "set the same value on both ends")
}

/// No connection has these two addresses.
pub(crate) fn unknown_peer(path: Path) -> Failure {
    let message = format!("{} wants to negotiate with {}; no connection has these two addresses", path.remote, path.local.ip());
    failure(Code::PeerRefused, message, "if it is a peer of yours, add a connection with this local and remote address")
}

/// The peer wants an exchange that we do not speak.
pub(crate) fn mode_mismatch(what: &str, remote: SocketAddr) -> Failure {
    failure(Code::ModeMismatch, format!("{remote} wants {what}"), "set the peer to IKEv1 main mode with a pre-shared key")
}

/// Names an exchange for [`mode_mismatch`].
pub(crate) fn exchange_in_words(exchange: ExchangeType, major_version: u8) -> String {
    if major_version == 1 { exchange.to_string() } else { format!("IKE version {major_version}") }
}

/// Any error of one message that is worth telling people.
pub(crate) fn from_error(error: &Error, role: Role, stage: Stage, remote: SocketAddr) -> Failure {
    match error {
        Error::CannotAgree(difference) => disagreement(difference, role, stage, remote),
        Error::Fatal(Fatal::WrongIdentity { expected, found }) => failure(
            Code::IdMismatch,
            format!("{remote} holds the key but says it is {found}; we expect {expected}"),
            "set remote_id here or the local id there",
        ),
        Error::Fatal(Fatal::WrongSelectors { expected, found }) => failure(
            Code::SelectorMismatch,
            format!("{remote} wants {found}; we have {expected} (our side first)"),
            "IKEv1 wants the same pair on both ends, ours mirrored there: change the access list on one of them",
        ),
        Error::NotNow(NotNow::Undecipherable | NotNow::BadHash) if stage == Stage::Authentication => psk_mismatch(role, remote),
        Error::Fatal(Fatal::WeakPublicValue(_)) | Error::Malformed(_) | Error::NotNow(_) => {
            failure(Code::ProtocolError, format!("{remote}: {error}"), "the peer's message breaks the protocol; its log may say more")
        }
    }
}

/// The notification that tells the peer about an error, where RFC 2408 section 3.14.1 has one.
pub(crate) fn notification(error: &Error) -> Option<NotifyType> {
    match error {
        Error::CannotAgree(_) => Some(NotifyType::NO_PROPOSAL_CHOSEN),
        Error::Fatal(Fatal::WrongIdentity { .. } | Fatal::WrongSelectors { .. }) => Some(NotifyType::INVALID_ID_INFORMATION),
        Error::Fatal(Fatal::WeakPublicValue(_)) => Some(NotifyType::INVALID_KEY_INFORMATION),
        Error::Malformed(_) | Error::NotNow(NotNow::Undecipherable | NotNow::BadHash) => Some(NotifyType::PAYLOAD_MALFORMED),
        Error::NotNow(_) => None,
    }
}
