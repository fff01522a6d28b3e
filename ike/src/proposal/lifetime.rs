//! Lifetimes as attributes: pairs of type and duration (RFC 2409 appendix A, RFC 2407 section 4.5).

use std::time::Duration;

use crate::wire::Malformed;
use crate::wire::attribute::{Attribute, push_attribute};

/// The duration counts seconds.
const SECONDS: u32 = 1;

/// The duration counts kilobytes.
const KILOBYTES: u32 = 2;

/// What a peer says about the life of an SA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// In seconds; zero counts as not said.
    pub(crate) seconds: Option<u64>,
    /// In kilobytes. We never offer it, and an SA that we hold does not end by it.
    pub(crate) kilobytes: Option<u64>,
}

/// Which attribute types carry a lifetime.
#[derive(Clone, Copy)]
pub(crate) struct LifetimeAttributes {
    /// The life type.
    pub(super) life_type: u16,
    /// The life duration that follows it.
    pub(super) life_duration: u16,
}

impl Lifetime {
    /// The one in seconds.
    pub(crate) fn duration(self) -> Option<Duration> {
        self.seconds.map(Duration::from_secs)
    }

    /// The shorter of the peer's and ours, which counts.
    pub(crate) fn agreed(self, ours: Duration) -> Duration {
        self.duration().map_or(ours, |theirs| theirs.min(ours))
    }
}

impl LifetimeAttributes {
    /// Whether an attribute of this type speaks of the lifetime.
    pub(super) fn contains(self, kind: u16) -> bool {
        kind == self.life_type || kind == self.life_duration
    }

    /// Collects the lifetimes among a transform's attributes. The type comes before its duration; a duration without one counts seconds.
    pub(super) fn read(self, attributes: &[Attribute<'_>]) -> Lifetime {
        let mut lifetime = Lifetime::default();
        let mut unit = u64::from(SECONDS);
        for attribute in attributes {
            let value = attribute.number();
            if attribute.kind == self.life_type {
                unit = value;
            } else if attribute.kind == self.life_duration && value != 0 {
                if unit == u64::from(SECONDS) {
                    lifetime.seconds = Some(value);
                } else if unit == u64::from(KILOBYTES) {
                    lifetime.kilobytes = Some(value);
                }
            }
        }
        lifetime
    }

    /// Appends a lifetime in seconds.
    pub(super) fn push(self, bytes: &mut Vec<u8>, duration: Duration) {
        push_attribute(bytes, self.life_type, SECONDS);
        push_attribute(bytes, self.life_duration, u32::try_from(duration.as_secs()).unwrap_or(u32::MAX));
    }

    /// The data of a RESPONDER-LIFETIME notification (RFC 2407 section 4.6.3.1).
    pub(crate) fn encode(self, duration: Duration) -> Vec<u8> {
        let mut data = Vec::new();
        self.push(&mut data, duration);
        data
    }

    /// Reads the data of a RESPONDER-LIFETIME notification.
    ///
    /// # Errors
    /// They are no attributes.
    pub(crate) fn decode(self, data: &[u8]) -> Result<Lifetime, Malformed> {
        Ok(self.read(&Attribute::parse_all(data)?))
    }
}
