//! What happened, for people: each event is one line in the log and one object in `tandem events`.

use serde::Serialize;
use tandem_ike::Code;

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The gateway runs.
    Started,
    /// The gateway ends.
    Stopping,
    /// The configuration was read again.
    Reloaded,
    /// A negotiation began.
    Negotiating,
    /// An ISAKMP SA stands.
    IkeEstablished,
    /// The last ISAKMP SA of a connection is gone.
    IkeClosed,
    /// An IPsec SA pair stands.
    IpsecEstablished,
    /// An IPsec SA pair took the place of an older one.
    Rekeyed,
    /// An IPsec SA pair is gone.
    IpsecClosed,
    /// A negotiation failed.
    NegotiationFailed,
    /// DPD was not answered.
    PeerDead,
    /// The peer's address or port changed.
    PeerMoved,
    /// A connection's link or address is there again.
    PathUp,
    /// A connection's link or address is gone.
    PathDown,
    /// A track changed its state.
    Track,
    /// A health check changed its state, or asked for a reset.
    Health,
    /// Packets to a destination take another connection.
    RouteSwitched,
    /// Something to look at that changes nothing.
    Warning,
}

impl Kind {
    /// Whether the log shows it as a warning.
    pub fn is_warning(self) -> bool {
        matches!(self, Self::NegotiationFailed | Self::PeerDead | Self::PathDown | Self::Warning)
    }
}

/// One event. It never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its kind.
    pub kind: Kind,
    /// The connection's name.
    pub connection: Option<String>,
    /// In words.
    pub message: String,
    /// The cloud's code of a failed negotiation.
    pub code: Option<String>,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Event {
    /// An event of the whole gateway.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, connection: None, message: message.into(), code: None, advice: None }
    }

    /// Says which connection it is about.
    #[must_use]
    pub fn of(mut self, connection: &str) -> Self {
        self.connection = Some(connection.to_owned());
        self
    }

    /// Adds why a negotiation failed.
    #[must_use]
    pub fn because(mut self, code: Code, advice: &str) -> Self {
        self.code = Some(format!("{code:?}"));
        self.advice = Some(advice.to_owned());
        self
    }
}
