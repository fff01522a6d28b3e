//! What may be wrong with a message, in four kinds; only the last ends a session. Every reason to drop a message is a counter.

use crate::proposal::Disagreement;
use crate::wire::Malformed;

/// Why a message was not acted upon.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It cannot be read. Dropped.
    #[error("malformed message: {0}")]
    Malformed(#[from] Malformed),
    /// It can be read but does not belong here and now, or does not prove who sent it. Dropped; exchange, IV chain and timers stay.
    #[error("{0}")]
    NotNow(#[from] NotNow),
    /// The two ends want different things. The negotiation ends, the peer is told.
    #[error("{0}")]
    CannotAgree(#[from] Disagreement),
    /// The peer authentically did what ends the session.
    #[error("{0}")]
    Fatal(#[from] Fatal),
}

impl From<crate::dh::DhError> for Error {
    fn from(error: crate::dh::DhError) -> Self {
        Fatal::from(error).into()
    }
}

impl Error {
    /// The counter that this error moves.
    pub(crate) fn reason(&self) -> DropReason {
        match self {
            Self::Malformed(_) => DropReason::Malformed,
            Self::NotNow(not_now) => not_now.reason(),
            Self::CannotAgree(_) => DropReason::NoAgreement,
            Self::Fatal(_) => DropReason::Fatal,
        }
    }
}

macro_rules! not_now {
    ($($variant:ident $words:literal $doc:literal),* $(,)?) => {
        /// A message that does not belong here and now.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        pub(crate) enum NotNow { $(#[doc = $doc] #[error($words)] $variant),* }

        impl NotNow {
            /// The counter of the same name.
            pub(crate) fn reason(self) -> DropReason {
                match self { $(Self::$variant => DropReason::$variant),* }
            }
        }
    };
}

not_now! {
    UnknownPeer         "no connection has this peer"                            "No connection has this pair of addresses.",
    UnknownCookies      "no ISAKMP SA has these cookies"                         "No ISAKMP SA has these cookies.",
    UnexpectedMessage   "the exchange does not wait for such a message"          "The exchange does not wait for such a message.",
    UnencryptedMessage  "a clear message where only an encrypted one counts"     "A clear message where only an encrypted one counts.",
    Undecipherable      "the message does not decrypt to payloads"               "The message does not decrypt to payloads: another key, or damage.",
    BadHash             "the HASH does not verify"                               "The HASH does not verify.",
    Duplicate           "the message was seen before"                            "The same message again; answered from memory where that is due.",
    TooMany             "too many half-open exchanges"                           "A bound on half-open exchanges is reached.",
    Unsupported         "an exchange or version that is not supported"           "An exchange or version that is not supported.",
    Reflected           "our own message came back"                              "Our own message came back.",
    NotIke              "no non-ESP marker in front"                             "A datagram on port 4500 without the non-ESP marker (RFC 3948 section 2.2).",
    Keepalive           "a NAT keepalive"                                        "A NAT keepalive (RFC 3948 section 2.3).",
}

/// What ends a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fatal {
    /// The peer's public value would give everybody the key.
    #[error("{0}")]
    WeakPublicValue(#[from] crate::dh::DhError),
    /// The peer proved the key but is somebody else.
    #[error("the peer says it is {found}, expected {expected}")]
    WrongIdentity {
        /// Ours of it.
        expected: String,
        /// Its own.
        found: String,
    },
    /// The proxy identities fit none of ours, or are not those we asked for. Both as this end sees them.
    #[error("the peer wants {found}, expected {expected}")]
    WrongSelectors {
        /// Ours.
        expected: String,
        /// The peer's.
        found: String,
    },
}

macro_rules! drop_reasons {
    ($($variant:ident $name:literal $doc:literal),* $(,)?) => {
        /// Every reason for which an IKE message is dropped. Each is a counter of the same name in `status` and `/metrics`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DropReason { $(#[doc = $doc] $variant),* }

        impl DropReason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The counter's name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

drop_reasons! {
    Malformed           "ike_malformed"             "Lengths or values that cannot be.",
    UnknownPeer         "ike_unknown_peer"          "No connection has this pair of addresses.",
    UnknownCookies      "ike_unknown_cookies"       "No ISAKMP SA has these cookies.",
    UnexpectedMessage   "ike_unexpected_message"    "The exchange does not wait for such a message.",
    UnencryptedMessage  "ike_unencrypted_message"   "A clear message where only an encrypted one counts.",
    Undecipherable      "ike_undecipherable"        "It does not decrypt to payloads: another key, or damage.",
    BadHash             "ike_bad_hash"              "The HASH does not verify.",
    Duplicate           "ike_duplicate"             "The same message again.",
    TooMany             "ike_too_many"              "A bound on half-open exchanges is reached.",
    Unsupported         "ike_unsupported"           "An exchange or version that is not supported.",
    Reflected           "ike_reflected"             "Our own message came back.",
    NotIke              "ike_not_ike"               "A datagram on port 4500 without the non-ESP marker.",
    Keepalive           "ike_keepalive"             "A NAT keepalive; nothing is wrong with it.",
    NoAgreement         "ike_no_agreement"          "The two ends want different things.",
    Fatal               "ike_fatal"                 "The peer did what ends the session.",
}
