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
    /// A lifetime in seconds alone.
    pub(crate) fn of(duration: Duration) -> Self {
        Self { seconds: Some(duration.as_secs()), kilobytes: None }
    }

    /// The one in seconds.
    pub(crate) fn duration(self) -> Option<Duration> {
        self.seconds.map(Duration::from_secs)
    }

    /// The shorter of the peer's and ours, which counts.
    pub(crate) fn agreed(self, ours: Duration) -> Duration {
        self.duration().map_or(ours, |theirs| theirs.min(ours))
    }
}

impl Lifetime {
    /// In words what differs from ours although both ends can live with it; `what` names the SA.
    pub(crate) fn remark(self, ours: Duration, what: &str) -> Option<String> {
        let seconds = self.duration().filter(|theirs| *theirs != ours).map(|theirs| {
            format!("lifetime of the {what}: ours {} s, the peer's {} s; the shorter counts", ours.as_secs(), theirs.as_secs())
        });
        let kilobytes =
            self.kilobytes.map(|kilobytes| format!("the peer wants the {what} to end after {kilobytes} kB; we count only time"));
        match (seconds, kilobytes) {
            (Some(seconds), Some(kilobytes)) => Some(format!("{seconds}; {kilobytes}")),
            (seconds, kilobytes) => seconds.or(kilobytes),
        }
    }
}

impl LifetimeAttributes {
    /// Whether an attribute of this type speaks of the lifetime.
    pub(super) fn contains(self, kind: u16) -> bool {
        kind == self.life_type || kind == self.life_duration
    }

    /// Collects the lifetimes among a transform's attributes. A duration counts in the unit of the type before it, seconds if none came
    /// yet; of a second duration behind one type nobody can say what it counts.
    pub(super) fn read(self, attributes: &[Attribute<'_>]) -> Lifetime {
        let mut lifetime = Lifetime::default();
        let mut unit = Some(u64::from(SECONDS));
        for attribute in attributes {
            let value = attribute.number();
            if attribute.kind == self.life_type {
                unit = Some(value);
            } else if attribute.kind == self.life_duration {
                let unit = unit.take();
                if unit == Some(SECONDS.into()) {
                    lifetime.seconds = Some(value).filter(|seconds| *seconds != 0);
                } else if unit == Some(KILOBYTES.into()) {
                    lifetime.kilobytes = Some(value).filter(|kilobytes| *kilobytes != 0);
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
