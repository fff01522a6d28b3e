//! Phase 1 proposals on the wire (RFC 2409 appendix A): our offer, our choice among a peer's, and the check of a peer's answer.

use std::time::Duration;

use super::disagreement::{closest, refuse_foreign, single};
use super::lifetime::LifetimeAttributes;
use super::{Difference, Disagreement, EncryptionAlgorithm, Group, HashAlgorithm, IkeProposal, Lifetime, Parameter};
use crate::wire::attribute::push_attribute;
use crate::wire::sa::encode_sa;
use crate::wire::{Proposal, ProtocolId, SecurityAssociation, Transform};

/// The only transform of phase 1 (RFC 2407 section 4.4.2).
const KEY_IKE: u8 = 1;

/// Authentication with a pre-shared key.
const PRE_SHARED_KEY: u32 = 1;

/// The group is over a prime, which is what its number says anyway.
const GROUP_TYPE_MODP: u64 = 1;

const ENCRYPTION: u16 = 1;
const HASH: u16 = 2;
const AUTHENTICATION: u16 = 3;
const GROUP: u16 = 4;
const GROUP_TYPE: u16 = 5;
const KEY_LENGTH: u16 = 14;

/// The last attribute type that RFC 2409 defines. What a peer means by a later one we cannot know, and it binds us to nothing
/// (RFC 2407 section 4.5 for the same case in phase 2).
const LAST_DEFINED: u16 = 16;

/// Where lifetimes stand in phase 1.
pub(crate) const LIFETIME: LifetimeAttributes = LifetimeAttributes { life_type: 11, life_duration: 12 };

/// What phase 1 runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IkeChoice {
    /// The proposal.
    pub(crate) proposal: IkeProposal,
    /// What the peer's transform says.
    pub(crate) lifetime: Lifetime,
    /// The body of the SA payload that answers it: one proposal, one transform, unchanged (RFC 2408 section 4.2).
    pub(crate) answer: Vec<u8>,
}

/// The body of the SA payload that offers our proposals in their order.
pub(crate) fn offer(ours: &[IkeProposal], lifetime: Duration) -> Vec<u8> {
    let transforms: Vec<_> = (1..=u8::MAX).zip(ours).map(|(number, proposal)| encode(number, proposal, lifetime)).collect();
    encode_sa(1, ProtocolId::ISAKMP, &[], transforms.iter().map(Vec::as_slice))
}

/// Chooses among a peer's proposals: the first of ours that it offers, in the first of its transforms that says so.
///
/// # Errors
/// It offers none of ours.
pub(crate) fn choose(ours: &[IkeProposal], sa: &SecurityAssociation<'_>) -> Result<IkeChoice, Disagreement> {
    let offered: Vec<_> = sa
        .proposals
        .iter()
        .flat_map(|proposal| proposal.transforms.iter().map(move |transform| Offered::read(proposal, transform)))
        .collect();
    let chosen =
        ours.iter().find_map(|our| offered.iter().find(|offered| offered.differences(our).is_empty()).map(|offered| (our, offered)));
    match chosen {
        Some((our, offered)) => Ok(IkeChoice {
            proposal: *our,
            lifetime: offered.lifetime,
            answer: encode_sa(offered.proposal.number, offered.proposal.protocol, offered.proposal.spi, [offered.transform.body]),
        }),
        None => Err(disagreement(ours, &offered)),
    }
}

/// Checks a peer's answer to our offer. Its lifetime may differ, and the shorter counts; peers that put their own there are common.
///
/// # Errors
/// The answer is not one transform, or none that we offered.
pub(crate) fn accept(ours: &[IkeProposal], sa: &SecurityAssociation<'_>) -> Result<IkeChoice, Disagreement> {
    let (_, transform) = single(sa)?;
    refuse_foreign(transform, LAST_DEFINED)?;
    choose(ours, sa).map_err(Disagreement::in_answer)
}

/// One offered transform, read as far as it means something in phase 1.
struct Offered<'a> {
    proposal: &'a Proposal<'a>,
    transform: &'a Transform<'a>,
    lifetime: Lifetime,
    /// An attribute that is defined, but that we do not support, or that contradicts an earlier one.
    unsupported: Option<u16>,
}

impl<'a> Offered<'a> {
    fn read(proposal: &'a Proposal<'a>, transform: &'a Transform<'a>) -> Self {
        let unsupported = transform.attributes.iter().find(|attribute| match attribute.kind {
            ENCRYPTION | HASH | AUTHENTICATION | GROUP | KEY_LENGTH => transform.attribute(attribute.kind) != Some(attribute.number()),
            GROUP_TYPE => attribute.number() != GROUP_TYPE_MODP,
            kind if LIFETIME.contains(kind) => false,
            kind => kind <= LAST_DEFINED,
        });
        let lifetime = LIFETIME.read(&transform.attributes);
        Self { proposal, transform, lifetime, unsupported: unsupported.map(|attribute| attribute.kind) }
    }

    /// What keeps this transform from being `ours`.
    fn differences(&self, ours: &IkeProposal) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut compare = |same: bool, parameter, ours: &dyn Fn() -> String, theirs: &dyn Fn() -> String| {
            if !same {
                differences.push(Difference { parameter, ours: ours(), theirs: theirs() });
            }
        };
        let is_key_ike = self.proposal.protocol == ProtocolId::ISAKMP && self.transform.id == KEY_IKE;
        compare(is_key_ike, Parameter::Protocol, &|| "ISAKMP".into(), &|| {
            format!("{} transform {}", self.proposal.protocol, self.transform.id)
        });
        compare(self.encryption() == Some(ours.encryption), Parameter::Encryption, &|| ours.encryption.to_string(), &|| {
            self.encryption_words()
        });
        compare(self.hash() == Some(ours.hash), Parameter::Hash, &|| ours.hash.to_string(), &|| self.hash_words());
        compare(self.group() == Some(ours.group), Parameter::Group, &|| ours.group.to_string(), &|| self.group_words());
        let method = self.transform.attribute(AUTHENTICATION);
        compare(method == Some(PRE_SHARED_KEY.into()), Parameter::Authentication, &|| "pre-shared key".into(), &|| {
            authentication_words(method)
        });
        compare(self.unsupported.is_none(), Parameter::Attribute, &|| "none".into(), &|| self.unsupported.unwrap_or_default().to_string());
        differences
    }

    fn encryption(&self) -> Option<EncryptionAlgorithm> {
        encryption_from_wire(self.transform.attribute(ENCRYPTION)?, self.transform.attribute(KEY_LENGTH))
    }

    fn hash(&self) -> Option<HashAlgorithm> {
        let number = self.transform.attribute(HASH)?;
        HashAlgorithm::ALL.into_iter().find(|hash| u64::from(hash_to_wire(*hash)) == number)
    }

    fn group(&self) -> Option<Group> {
        Group::from_number(self.transform.attribute(GROUP)?)
    }

    fn words(&self) -> String {
        format!("{}-{}-{}", self.encryption_words(), self.hash_words(), self.group_words())
    }

    fn encryption_words(&self) -> String {
        let key_length = self.transform.attribute(KEY_LENGTH);
        match (self.encryption(), self.transform.attribute(ENCRYPTION)) {
            (Some(encryption), _) => encryption.to_string(),
            (None, None) => "no encryption".into(),
            (None, Some(number)) => {
                let name = match number {
                    1 => "des".into(),
                    2 => "idea".into(),
                    3 => "blowfish".into(),
                    4 => "rc5".into(),
                    5 => "3des".into(),
                    6 => "cast".into(),
                    7 => "aes".into(),
                    8 => "camellia".into(),
                    other => format!("encryption {other}"),
                };
                key_length.map_or(name.clone(), |bits| format!("{name} of {bits} bits"))
            }
        }
    }

    fn hash_words(&self) -> String {
        match (self.hash(), self.transform.attribute(HASH)) {
            (Some(hash), _) => hash.to_string(),
            (None, Some(3)) => "tiger".into(),
            (None, Some(number)) => format!("hash {number}"),
            (None, None) => "no hash".into(),
        }
    }

    fn group_words(&self) -> String {
        self.transform.attribute(GROUP).map_or("no group".into(), |number| format!("group{number}"))
    }
}

fn authentication_words(method: Option<u64>) -> String {
    match method {
        None => "none".into(),
        Some(1) => "pre-shared key".into(),
        Some(2) => "DSS signatures".into(),
        Some(3) => "RSA signatures".into(),
        Some(4 | 5) => "RSA encryption".into(),
        Some(9..=11) => "ECDSA signatures".into(),
        Some(64221) => "hybrid RSA".into(),
        Some(65001 | 65002) => "XAUTH with a pre-shared key".into(),
        Some(65005 | 65006) => "XAUTH with RSA signatures".into(),
        Some(other) => format!("method {other}"),
    }
}

/// The differences of the pair that comes closest, and both lists in words.
fn disagreement(ours: &[IkeProposal], offered: &[Offered<'_>]) -> Disagreement {
    let pairs = ours.iter().flat_map(|our| offered.iter().map(|offered| offered.differences(our)));
    Disagreement {
        differences: closest(pairs),
        ours: ours.iter().map(ToString::to_string).collect(),
        theirs: offered.iter().map(Offered::words).collect(),
        is_answer: false,
    }
}

fn encode(number: u8, proposal: &IkeProposal, lifetime: Duration) -> Vec<u8> {
    let (encryption, key_length) = encryption_to_wire(proposal.encryption);
    let mut body = vec![number, KEY_IKE, 0, 0];
    push_attribute(&mut body, ENCRYPTION, encryption);
    if let Some(bits) = key_length {
        push_attribute(&mut body, KEY_LENGTH, bits);
    }
    push_attribute(&mut body, HASH, hash_to_wire(proposal.hash));
    push_attribute(&mut body, GROUP, proposal.group.number().into());
    push_attribute(&mut body, AUTHENTICATION, PRE_SHARED_KEY);
    LIFETIME.push(&mut body, lifetime);
    body
}

/// The algorithm's number and, for AES, the key length in bits; the others have one length and must not say it (RFC 2409 appendix A).
fn encryption_to_wire(encryption: EncryptionAlgorithm) -> (u32, Option<u32>) {
    match encryption {
        EncryptionAlgorithm::Des => (1, None),
        EncryptionAlgorithm::TripleDes => (5, None),
        EncryptionAlgorithm::Aes128 => (7, Some(128)),
        EncryptionAlgorithm::Aes192 => (7, Some(192)),
        EncryptionAlgorithm::Aes256 => (7, Some(256)),
    }
}

fn encryption_from_wire(number: u64, key_length: Option<u64>) -> Option<EncryptionAlgorithm> {
    EncryptionAlgorithm::ALL.into_iter().find(|encryption| {
        let (ours, bits) = encryption_to_wire(*encryption);
        u64::from(ours) == number && bits.map(u64::from) == key_length
    })
}

fn hash_to_wire(hash: HashAlgorithm) -> u32 {
    match hash {
        HashAlgorithm::Md5 => 1,
        HashAlgorithm::Sha1 => 2,
        HashAlgorithm::Sha256 => 4,
        HashAlgorithm::Sha384 => 5,
        HashAlgorithm::Sha512 => 6,
    }
}
