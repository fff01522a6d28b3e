//! Phase 2 proposals on the wire (RFC 2407 sections 4.4.4 and 4.5): our offer, our choice among a peer's, and the check of a peer's answer.

use std::time::Duration;

use super::disagreement::{closest, refuse_foreign, single};
use super::lifetime::LifetimeAttributes;
use super::{Difference, Disagreement, EncryptionAlgorithm, EspTransform, Group, IntegrityAlgorithm, Lifetime, Parameter};
use crate::wire::attribute::push_attribute;
use crate::wire::sa::encode_sa;
use crate::wire::{Proposal, ProtocolId, SecurityAssociation, Transform};

const GROUP: u16 = 3;
const ENCAPSULATION: u16 = 4;
const AUTHENTICATION: u16 = 5;
const KEY_LENGTH: u16 = 6;

/// Extended sequence numbers (RFC 4304): the last attribute that changes what ESP packets look like.
const LAST_DEFINED: u16 = 11;

/// AES-CBC (RFC 3602 section 5.3).
const ESP_AES: u8 = 12;

/// AES-GCM with an ICV of 16 bytes (RFC 4106 section 8.2).
const ESP_GCM_16: u8 = 20;

/// Lifetime of an SA whose proposal does not say it (RFC 2407 section 4.5).
const DEFAULT_SECONDS: u64 = 28_800;

/// SPIs up to 255 are reserved (RFC 4303 section 2.1).
const LAST_RESERVED_SPI: u32 = 255;

/// Where lifetimes stand in phase 2.
pub(crate) const LIFETIME: LifetimeAttributes = LifetimeAttributes { life_type: 1, life_duration: 2 };

/// How packets are to be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Tunnel mode, IP protocol 50.
    Tunnel,
    /// Tunnel mode in UDP (RFC 3947 section 5.1).
    UdpTunnel,
    /// Tunnel mode in UDP, by the number of the drafts.
    UdpTunnelDraft,
}

/// What we want of an IPsec SA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    /// The most wanted one first.
    pub(crate) transforms: &'a [EspTransform],
    /// The group of quick mode's own exchange.
    pub(crate) pfs: Option<Group>,
    /// The mode. As responder either number of the UDP tunnel will do.
    pub(crate) mode: Mode,
    /// The lifetime that we offer.
    pub(crate) lifetime: Duration,
}

/// What phase 2 runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EspChoice {
    /// What protects the packets.
    pub(crate) transform: EspTransform,
    /// The group of PFS: the messages must carry key exchange payloads exactly if there is one.
    pub(crate) pfs: Option<Group>,
    /// The peer's SPI: it stands in the packets to the peer.
    pub(crate) spi: u32,
    /// What the peer's transform says, or the default of 28,800 seconds.
    pub(crate) lifetime: Lifetime,
    /// The body of the SA payload that answers it: one proposal with our SPI, one transform, unchanged (RFC 2408 section 4.2).
    pub(crate) answer: Vec<u8>,
}

/// The body of the SA payload that offers our transforms in their order, under the SPI by which we shall receive.
pub(crate) fn offer(terms: &Terms<'_>, spi: u32) -> Vec<u8> {
    let transforms: Vec<_> = (1..=u8::MAX).zip(terms.transforms).map(|(number, transform)| encode(number, *transform, terms)).collect();
    encode_sa(1, ProtocolId::ESP, &spi.to_be_bytes(), transforms.iter().map(Vec::as_slice))
}

/// Chooses among a peer's proposals: the first of ours that it offers, in the first of its transforms that says so. `spi` is the one by which
/// we shall receive.
///
/// # Errors
/// It offers none of ours.
pub(crate) fn choose(terms: &Terms<'_>, sa: &SecurityAssociation<'_>, spi: u32) -> Result<EspChoice, Disagreement> {
    let offered: Vec<_> = sa
        .proposals
        .iter()
        .flat_map(|proposal| {
            let is_bundle = sa.proposals.iter().filter(|other| other.number == proposal.number).count() > 1;
            proposal.transforms.iter().map(move |transform| Offered::read(proposal, transform, is_bundle))
        })
        .collect();
    let chosen = terms.transforms.iter().find_map(|our| {
        let offered = offered.iter().find(|offered| offered.differences(*our, terms).is_empty())?;
        Some((*our, offered, offered.spi?))
    });
    match chosen {
        Some((transform, offered, peer_spi)) => Ok(EspChoice {
            transform,
            pfs: terms.pfs,
            spi: peer_spi,
            lifetime: offered.lifetime,
            answer: encode_sa(offered.proposal.number, ProtocolId::ESP, &spi.to_be_bytes(), [offered.transform.body]),
        }),
        None => Err(disagreement(terms, &offered)),
    }
}

/// Checks a peer's answer to our offer. Its lifetime may differ, and the shorter counts.
///
/// # Errors
/// The answer is not one transform, or none that we offered.
pub(crate) fn accept(terms: &Terms<'_>, sa: &SecurityAssociation<'_>) -> Result<EspChoice, Disagreement> {
    let (_, transform) = single(sa)?;
    refuse_foreign(transform, LAST_DEFINED)?;
    choose(terms, sa, 0).map_err(Disagreement::in_answer)
}

/// One offered transform, read as far as it means something in phase 2.
struct Offered<'a> {
    proposal: &'a Proposal<'a>,
    transform: &'a Transform<'a>,
    /// Whether proposals of other protocols share its number, so that it comes only together with them.
    is_bundle: bool,
    /// If it has four bytes and is not reserved.
    spi: Option<u32>,
    lifetime: Lifetime,
    /// An attribute that is defined, but that we do not support, or that contradicts an earlier one.
    unsupported: Option<u16>,
}

impl<'a> Offered<'a> {
    fn read(proposal: &'a Proposal<'a>, transform: &'a Transform<'a>, is_bundle: bool) -> Self {
        let unsupported = transform.attributes.iter().find(|attribute| match attribute.kind {
            GROUP | ENCAPSULATION | AUTHENTICATION | KEY_LENGTH => transform.attribute(attribute.kind) != Some(attribute.number()),
            kind if LIFETIME.contains(kind) => false,
            kind => kind <= LAST_DEFINED,
        });
        let spi = proposal.spi.try_into().ok().map(u32::from_be_bytes).filter(|spi| *spi > LAST_RESERVED_SPI);
        let read = LIFETIME.read(&transform.attributes);
        let lifetime = Lifetime { seconds: read.seconds.or(Some(DEFAULT_SECONDS)), ..read };
        Self { proposal, transform, is_bundle, spi, lifetime, unsupported: unsupported.map(|attribute| attribute.kind) }
    }

    /// What keeps this transform from being `ours` under our terms.
    fn differences(&self, ours: EspTransform, terms: &Terms<'_>) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut compare = |same: bool, parameter, ours: &dyn Fn() -> String, theirs: &dyn Fn() -> String| {
            if !same {
                differences.push(Difference { parameter, ours: ours(), theirs: theirs() });
            }
        };
        let is_esp = self.proposal.protocol == ProtocolId::ESP && !self.is_bundle;
        compare(is_esp, Parameter::Protocol, &|| "ESP alone".into(), &|| self.protocol_words());
        let (id, key_length, integrity) = to_wire(ours);
        let same = self.transform.id == id && self.transform.attribute(KEY_LENGTH) == key_length.map(u64::from);
        compare(same, Parameter::EspEncryption, &|| encryption_words(id, key_length.map(u64::from)), &|| self.encryption_words());
        let same = self.transform.attribute(AUTHENTICATION) == integrity.map(u64::from);
        compare(same, Parameter::EspIntegrity, &|| integrity_words(integrity.map(u64::from)), &|| self.integrity_words());
        let group = terms.pfs.map(|group| u64::from(group.number()));
        let offered_group = self.transform.attribute(GROUP);
        compare(offered_group == group, Parameter::Pfs, &|| pfs_words(group), &|| pfs_words(offered_group));
        let mode = self.transform.attribute(ENCAPSULATION);
        compare(terms.mode.suits(mode), Parameter::Mode, &|| mode_words(Some(terms.mode.number().into())), &|| mode_words(mode));
        compare(self.unsupported.is_none(), Parameter::Attribute, &|| "none".into(), &|| self.unsupported.unwrap_or_default().to_string());
        compare(self.spi.is_some(), Parameter::Spi, &|| "four bytes, above 255".into(), &|| format!("{} bytes", self.proposal.spi.len()));
        differences
    }

    fn words(&self) -> String {
        let integrity =
            self.transform.attribute(AUTHENTICATION).map_or(String::new(), |number| format!("-{}", integrity_words(Some(number))));
        let group = self.transform.attribute(GROUP).map_or(String::new(), |number| format!(" PFS group{number}"));
        match self.proposal.protocol {
            ProtocolId::ESP => format!("{}{integrity}{group}", self.encryption_words()),
            other => format!("{other} transform {}", self.transform.id),
        }
    }

    fn protocol_words(&self) -> String {
        match (self.proposal.protocol, self.is_bundle) {
            (ProtocolId::ESP, true) => "ESP together with another protocol".into(),
            (other, _) => other.to_string(),
        }
    }

    fn encryption_words(&self) -> String {
        encryption_words(self.transform.id, self.transform.attribute(KEY_LENGTH))
    }

    fn integrity_words(&self) -> String {
        integrity_words(self.transform.attribute(AUTHENTICATION))
    }
}

impl Mode {
    /// The value of the encapsulation attribute.
    fn number(self) -> u32 {
        match self {
            Self::Tunnel => 1,
            Self::UdpTunnel => 3,
            Self::UdpTunnelDraft => 61_443,
        }
    }

    /// Whether a peer's value means the same. A missing one leaves it to us (RFC 2407 section 4.5).
    fn suits(self, value: Option<u64>) -> bool {
        let udp = [Self::UdpTunnel.number().into(), Self::UdpTunnelDraft.number().into()];
        match (self, value) {
            (_, None) => true,
            (Self::Tunnel, Some(value)) => value == Self::Tunnel.number().into(),
            (Self::UdpTunnel | Self::UdpTunnelDraft, Some(value)) => udp.contains(&value),
        }
    }
}

fn disagreement(terms: &Terms<'_>, offered: &[Offered<'_>]) -> Disagreement {
    let pairs = terms.transforms.iter().flat_map(|our| offered.iter().map(|offered| offered.differences(*our, terms)));
    Disagreement {
        differences: closest(pairs),
        ours: terms.transforms.iter().map(ToString::to_string).collect(),
        theirs: offered.iter().map(Offered::words).collect(),
        is_answer: false,
    }
}

fn encode(number: u8, transform: EspTransform, terms: &Terms<'_>) -> Vec<u8> {
    let (id, key_length, integrity) = to_wire(transform);
    let mut body = vec![number, id, 0, 0];
    if let Some(bits) = key_length {
        push_attribute(&mut body, KEY_LENGTH, bits);
    }
    if let Some(integrity) = integrity {
        push_attribute(&mut body, AUTHENTICATION, integrity);
    }
    push_attribute(&mut body, ENCAPSULATION, terms.mode.number());
    if let Some(group) = terms.pfs {
        push_attribute(&mut body, GROUP, group.number().into());
    }
    LIFETIME.push(&mut body, terms.lifetime);
    body
}

/// Transform id, key length in bits where the cipher has several, and number of the integrity algorithm unless the cipher is its own.
fn to_wire(transform: EspTransform) -> (u8, Option<u32>, Option<u32>) {
    let (encryption, integrity) = match transform {
        EspTransform::Gcm16(bits) => return (ESP_GCM_16, Some(bits.into()), None),
        EspTransform::Cbc(encryption, integrity) => (encryption, integrity),
    };
    let (id, key_length) = match encryption {
        EncryptionAlgorithm::Des => (2, None),
        EncryptionAlgorithm::TripleDes => (3, None),
        EncryptionAlgorithm::Aes128 => (ESP_AES, Some(128)),
        EncryptionAlgorithm::Aes192 => (ESP_AES, Some(192)),
        EncryptionAlgorithm::Aes256 => (ESP_AES, Some(256)),
    };
    (id, key_length, Some(integrity_to_wire(integrity)))
}

fn integrity_to_wire(integrity: IntegrityAlgorithm) -> u32 {
    match integrity {
        IntegrityAlgorithm::Md5 => 1,
        IntegrityAlgorithm::Sha1 => 2,
        IntegrityAlgorithm::Sha256 => 5,
        IntegrityAlgorithm::Sha384 => 6,
        IntegrityAlgorithm::Sha512 => 7,
    }
}

fn encryption_words(id: u8, key_length: Option<u64>) -> String {
    let bits = key_length.map_or(String::new(), |bits| bits.to_string());
    match id {
        2 => "des".into(),
        3 => "3des".into(),
        7 => "blowfish".into(),
        11 => "null encryption".into(),
        ESP_AES => format!("aes{bits}"),
        13 => format!("aes{bits}ctr"),
        18 => format!("aes{bits}gcm8"),
        19 => format!("aes{bits}gcm12"),
        ESP_GCM_16 => format!("aes{bits}gcm16"),
        22 => format!("camellia{bits}"),
        other => format!("ESP transform {other}"),
    }
}

fn integrity_words(number: Option<u64>) -> String {
    let Some(number) = number else { return "none".into() };
    match IntegrityAlgorithm::ALL.into_iter().find(|integrity| u64::from(integrity_to_wire(*integrity)) == number) {
        Some(integrity) => integrity.to_string(),
        None => format!("integrity algorithm {number}"),
    }
}

fn pfs_words(group: Option<u64>) -> String {
    group.map_or("none".into(), |number| format!("group{number}"))
}

fn mode_words(number: Option<u64>) -> String {
    match number {
        None => "none".into(),
        Some(1) => "tunnel".into(),
        Some(2) => "transport".into(),
        Some(3 | 61_443) => "tunnel in UDP".into(),
        Some(4 | 61_444) => "transport in UDP".into(),
        Some(other) => format!("mode {other}"),
    }
}
