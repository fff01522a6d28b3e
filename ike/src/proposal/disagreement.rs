//! What two ends cannot agree on, parameter by parameter, so that a person can be told what to change.

use std::fmt;

use crate::event::Code;
use crate::wire::{Proposal, SecurityAssociation, Transform};

/// Proposals that a message shows of either end.
const MAX_LISTED: usize = 8;

/// A parameter of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Parameter {
    /// Phase 1 encryption with its key length.
    Encryption,
    /// Phase 1 hash.
    Hash,
    /// Phase 1 group.
    Group,
    /// Phase 1 authentication method.
    Authentication,
    /// The protocol: ISAKMP in phase 1, ESP alone in phase 2.
    Protocol,
    /// ESP encryption with its key length.
    EspEncryption,
    /// ESP integrity.
    EspIntegrity,
    /// Perfect forward secrecy: whether, and in which group.
    Pfs,
    /// Tunnel or transport mode, in UDP or not.
    Mode,
    /// An attribute that changes the meaning in a way that we do not support.
    Attribute,
    /// The SPI.
    Spi,
    /// How many proposals and transforms there are.
    Form,
}

/// One parameter with both values, in the words of the configuration where it has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Which one.
    pub(crate) parameter: Parameter,
    /// Ours.
    pub(crate) ours: String,
    /// The peer's.
    pub(crate) theirs: String,
}

/// No proposal suits both ends, or the peer's answer is none of what we offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disagreement {
    /// What differs in the pair of proposals that comes closest, the most telling first; never empty.
    pub(crate) differences: Vec<Difference>,
    /// All of ours, in words.
    pub(crate) ours: Vec<String>,
    /// All of the peer's, in words.
    pub(crate) theirs: Vec<String>,
    /// Whether the peer answered with something that we did not offer.
    pub(crate) is_answer: bool,
}

impl Parameter {
    fn code(self) -> Code {
        match self {
            Self::Encryption => Code::EncryptionAlgorithmMismatch,
            Self::Hash => Code::AuthAlgorithmMismatch,
            Self::Group => Code::DhGroupMismatch,
            Self::Authentication => Code::AuthMethodMismatch,
            Self::EspEncryption => Code::IpsecEncryptionAlgorithmMismatch,
            Self::EspIntegrity => Code::IpsecAuthAlgorithmMismatch,
            Self::Pfs => Code::PfsMismatch,
            Self::Protocol | Self::Mode | Self::Attribute => Code::NoProposalChosen,
            Self::Spi | Self::Form => Code::ProtocolError,
        }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encryption => "phase 1 encryption",
            Self::Hash => "phase 1 hash",
            Self::Group => "phase 1 group",
            Self::Authentication => "authentication method",
            Self::Protocol => "protocol",
            Self::EspEncryption => "ESP encryption",
            Self::EspIntegrity => "ESP integrity",
            Self::Pfs => "PFS",
            Self::Mode => "encapsulation mode",
            Self::Attribute => "attribute",
            Self::Spi => "SPI",
            Self::Form => "number of proposals",
        })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ours {}, the peer's {}", self.parameter, self.ours, self.theirs)
    }
}

impl Disagreement {
    /// A difference that stands alone.
    pub(crate) fn single(parameter: Parameter, ours: impl Into<String>, theirs: impl Into<String>) -> Self {
        let (ours, theirs) = (ours.into(), theirs.into());
        Self {
            differences: vec![Difference { parameter, ours: ours.clone(), theirs: theirs.clone() }],
            ours: vec![ours],
            theirs: vec![theirs],
            is_answer: false,
        }
    }

    /// The same, as found in the answer to our own offer.
    pub(super) fn in_answer(mut self) -> Self {
        self.is_answer = true;
        self
    }

    /// The cloud's code for the most telling difference.
    pub(crate) fn code(&self) -> Code {
        match self.differences.first() {
            Some(first) if !self.is_answer => first.parameter.code(),
            _ => Code::ProtocolError,
        }
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_answer { "the peer answered with what we did not offer" } else { "no proposal in common" })?;
        for (index, difference) in self.differences.iter().enumerate() {
            write!(f, "{}{difference}", if index == 0 { ": " } else { "; " })?;
        }
        if self.ours.len() > 1 || self.theirs.len() > 1 {
            write!(f, " (ours: {}; the peer's: {})", list(&self.ours), list(&self.theirs))?;
        }
        Ok(())
    }
}

/// A peer may offer hundreds; a message shows the first few.
fn list(words: &[String]) -> String {
    match words.split_at_checked(MAX_LISTED) {
        Some((first, rest)) if !rest.is_empty() => format!("{} and {} more", first.join(", "), rest.len()),
        _ => words.join(", "),
    }
}

impl std::error::Error for Disagreement {}

/// Of the differences of every pair, those of the pair that comes closest: the fewest; among equals the first, that is the one we want most.
pub(super) fn closest(pairs: impl Iterator<Item = Vec<Difference>>) -> Vec<Difference> {
    pairs.min_by_key(Vec::len).unwrap_or_default()
}

/// The only transform of an answer.
///
/// # Errors
/// There is more or less than one (RFC 2408 section 4.2).
pub(super) fn single<'a>(sa: &'a SecurityAssociation<'a>) -> Result<(&'a Proposal<'a>, &'a Transform<'a>), Disagreement> {
    match sa.proposals.as_slice() {
        [proposal] => match proposal.transforms.as_slice() {
            [transform] => Ok((proposal, transform)),
            transforms => Err(Disagreement::single(Parameter::Form, "one transform", transforms.len().to_string()).in_answer()),
        },
        proposals => Err(Disagreement::single(Parameter::Form, "one proposal", proposals.len().to_string()).in_answer()),
    }
}

/// Refuses an answer with an attribute that no transform of ours has.
///
/// # Errors
/// An attribute's type is beyond the last one that we know to mean nothing new.
pub(super) fn refuse_foreign(transform: &Transform<'_>, last_defined: u16) -> Result<(), Disagreement> {
    match transform.attributes.iter().find(|attribute| attribute.kind > last_defined) {
        Some(foreign) => Err(Disagreement::single(Parameter::Attribute, "none", foreign.kind.to_string()).in_answer()),
        None => Ok(()),
    }
}
