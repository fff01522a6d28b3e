//! Tests of names and of the negotiation: who decides, what is returned, and what a person is told when nothing fits.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use hex_literal::hex;
use proptest::prelude::*;

use super::esp::{Mode, Terms};
use super::*;
use crate::event::Code;
use crate::wire::sa::encode_sa;
use crate::wire::{ProtocolId, SecurityAssociation};

const DAY: Duration = Duration::from_secs(86_400);

fn ike_list(names: &[&str]) -> Vec<IkeProposal> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn esp_list(names: &[&str]) -> Vec<EspTransform> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn terms(transforms: &[EspTransform], pfs: Option<Group>) -> Terms<'_> {
    Terms { transforms, pfs, mode: Mode::Tunnel, lifetime: DAY }
}

fn parsed(body: &[u8]) -> SecurityAssociation<'_> {
    SecurityAssociation::parse(body).unwrap()
}

// Names.

#[test]
fn every_name_comes_back() {
    for encryption in EncryptionAlgorithm::ALL {
        assert_eq!(encryption.name().parse(), Ok(encryption));
        for hash in HashAlgorithm::ALL {
            assert_eq!(hash.name().parse(), Ok(hash));
            for group in Group::ALL {
                let proposal = IkeProposal { encryption, hash, group };
                assert_eq!(proposal.to_string().parse(), Ok(proposal));
            }
        }
        for integrity in IntegrityAlgorithm::ALL {
            let transform = EspTransform::Cbc(encryption, integrity);
            assert_eq!(transform.to_string().parse(), Ok(transform));
        }
    }
    for name in ["aes128gcm16", "aes256gcm16"] {
        assert_eq!(name.parse::<EspTransform>().unwrap().to_string(), name);
    }
}

#[test]
fn wrong_names_say_what_was_expected() {
    let ike = |name: &str| name.parse::<IkeProposal>().unwrap_err().to_string();
    let esp = |name: &str| name.parse::<EspTransform>().unwrap_err().to_string();
    assert_eq!(ike("aes128-sha1"), "`aes128-sha1`: expected encryption, hash and group, like `aes128-sha1-group2`");
    assert_eq!(
        ike("aes-sha1-group2"),
        "`aes`: expected an encryption algorithm: des, 3des, aes128, aes192, aes256; did you mean `aes128`?"
    );
    assert_eq!(ike("aes128-sha-group2"), "`sha`: expected a hash: md5, sha1, sha256, sha384, sha512; did you mean `sha1`?");
    assert!(ike("aes128-sha1-modp1024").ends_with("group14, group15, group16; did you mean `group2`?"));
    assert_eq!(ike("aes128-sha1-group19"), "`group19`: expected a group: group1, group2, group5, group14, group15, group16");
    assert!(ike("aes128gcm16-sha1-group2").contains("for ESP only"));
    assert!(ike("AES128-sha1-group2").contains("`AES128`"), "names are lower case");
    assert!(ike("").contains("expected encryption, hash and group"));
    assert!(esp("aes128gcm16-sha1").contains("write `aes128gcm16` alone"));
    assert!(esp("aes128-sha1-group2").contains("pfs = \"group2\""));
    assert!(esp("aes192gcm16").contains("`aes128gcm16` or `aes256gcm16`"));
    assert!(esp("aes128-sha1-").contains("like `aes128-sha1`"));
}

#[test]
fn weak_algorithms_are_accepted_with_a_warning() {
    let warnings = "des-md5-group1".parse::<IkeProposal>().unwrap().warnings();
    assert_eq!(warnings.iter().map(|warning| warning.split(':').next().unwrap()).collect::<Vec<_>>(), ["des", "md5", "group1"]);
    assert!("aes128-sha1-group2".parse::<IkeProposal>().unwrap().warnings().is_empty());
    assert_eq!("des-md5".parse::<EspTransform>().unwrap().warnings().len(), 2);
    assert!("aes256gcm16".parse::<EspTransform>().unwrap().warnings().is_empty());
    assert!(Group::Modp768.is_weak() && !Group::Modp1024.is_weak());
}

#[test]
fn keymat_is_as_long_as_both_keys_or_key_and_salt() {
    for (name, len) in
        [("aes128-sha1", 36), ("aes256-sha512", 96), ("3des-md5", 40), ("des-sha256", 40), ("aes128gcm16", 20), ("aes256gcm16", 36)]
    {
        assert_eq!(name.parse::<EspTransform>().unwrap().keymat_len(), len, "{name}");
    }
}

// Phase 1.

/// Byte for byte what a gateway of the scenario sends: one proposal, one transform, 86,400 seconds in four bytes.
#[test]
fn phase_1_offer_of_the_scenario() {
    let offer = ike::offer(&ike_list(&["aes128-sha1-group2"]), DAY);
    let expected = hex!(
        "00000001 00000001"
        "00000030 01010001"
        "00000028 01010000"
        "80010007 800e0080 80020002 80040002 80030001 800b0001 000c0004 00015180"
    );
    assert_eq!(offer, expected);
}

#[test]
fn our_order_decides_among_what_the_peer_offers() {
    let offer = ike::offer(&ike_list(&["3des-md5-group1", "aes128-sha1-group2", "aes256-sha256-group14"]), DAY);
    let ours = ike_list(&["aes192-sha1-group5", "aes256-sha256-group14", "aes128-sha1-group2"]);
    let choice = ike::choose(&ours, &parsed(&offer)).unwrap();
    assert_eq!(choice.proposal, ours[1]);
    let answer = parsed(&choice.answer);
    assert_eq!(answer.proposals.len(), 1);
    assert_eq!(answer.proposals[0].transforms.len(), 1);
    assert_eq!(answer.proposals[0].transforms[0].number, 3, "the peer's number of the transform");
}

/// An SPI, odd numbers, long forms, an order of our own and an attribute that nobody defines: all come back as they were.
#[test]
fn chosen_transform_is_returned_unchanged() {
    let transform = hex!(
        "07 01 0000"
        "800b0001 000c0004 00015180 0003 0002 0001 8004 0002 0002 0004 00000002 f000 0000 8001 0007 800e 0080"
    );
    let offer = encode_sa(9, ProtocolId::ISAKMP, &[5; 8], [hex!("06 01 0000 80010001").as_slice(), &transform]);
    let choice = ike::choose(&ike_list(&["aes128-sha1-group2"]), &parsed(&offer)).unwrap();
    assert_eq!(choice.answer, encode_sa(9, ProtocolId::ISAKMP, &[5; 8], [transform.as_slice()]));
    assert_eq!(choice.lifetime, Lifetime { seconds: Some(86_400), kilobytes: None });
}

#[test]
fn lifetimes_are_read_by_their_units() {
    let with = |lifetime: &[u8]| {
        let transform = [hex!("01 01 0000 80010007 800e0080 80020002 80040002 80030001").as_slice(), lifetime].concat();
        let offer = encode_sa(1, ProtocolId::ISAKMP, &[], [transform.as_slice()]);
        ike::choose(&ike_list(&["aes128-sha1-group2"]), &parsed(&offer)).unwrap().lifetime
    };
    let lifetime = |seconds, kilobytes| Lifetime { seconds, kilobytes };
    assert_eq!(with(&[]), lifetime(None, None));
    assert_eq!(with(&hex!("800b0001 800c7080")), lifetime(Some(28_800), None));
    assert_eq!(with(&hex!("800b0002 800c7080")), lifetime(None, Some(28_800)));
    assert_eq!(with(&hex!("800b0002 000c0004 00465000 800b0001 800c0e10")), lifetime(Some(3_600), Some(4_608_000)));
    assert_eq!(with(&hex!("800c0e10")), lifetime(Some(3_600), None), "without a type");
    assert_eq!(with(&hex!("800b0001 000c0004 00015180 800cffff")), lifetime(Some(86_400), None), "a second one behind one type");
    assert_eq!(with(&hex!("800b0001 800c0000")), lifetime(None, None), "zero says nothing");
    assert_eq!(with(&hex!("800b0001 000c0009 010000000000000000")), lifetime(Some(u64::MAX), None));
    assert_eq!(with(&hex!("800b0001 000c0009 010000000000000000")).agreed(DAY), DAY);
    assert_eq!(with(&hex!("800b0001 800c0e10")).agreed(DAY), Duration::from_secs(3_600));
    assert_eq!(with(&[]).agreed(DAY), DAY);
}

#[test]
fn disagreement_of_phase_1_names_the_parameter_and_both_values() {
    for (theirs, code, words) in [
        ("aes256-sha1-group2", Code::EncryptionAlgorithmMismatch, "phase 1 encryption: ours aes128, the peer's aes256"),
        ("aes128-sha256-group2", Code::AuthAlgorithmMismatch, "phase 1 hash: ours sha1, the peer's sha256"),
        ("aes128-sha1-group14", Code::DhGroupMismatch, "phase 1 group: ours group2, the peer's group14"),
    ] {
        let offer = ike::offer(&ike_list(&[theirs]), DAY);
        let disagreement = ike::choose(&ike_list(&["aes128-sha1-group2"]), &parsed(&offer)).unwrap_err();
        assert_eq!(disagreement.code(), code);
        assert_eq!(disagreement.to_string(), format!("no proposal in common: {words}"));
    }
}

#[test]
fn disagreement_is_about_the_closest_pair() {
    let offer = ike::offer(&ike_list(&["3des-md5-group1", "aes256-sha256-group5", "des-md5-group1"]), DAY);
    let ours = ike_list(&["aes128-sha1-group2", "aes256-sha256-group14"]);
    let disagreement = ike::choose(&ours, &parsed(&offer)).unwrap_err();
    assert_eq!(disagreement.code(), Code::DhGroupMismatch);
    assert_eq!(disagreement.differences.len(), 1);
    assert_eq!(disagreement.theirs, ["3des-md5-group1", "aes256-sha256-group5", "des-md5-group1"]);
    assert_eq!(disagreement.ours, ["aes128-sha1-group2", "aes256-sha256-group14"]);
}

#[test]
fn long_offers_do_not_flood_the_log() {
    let offer = ike::offer(&[ike_list(&["3des-md5-group1"])[0]; 200], DAY);
    let disagreement = ike::choose(&ike_list(&["aes128-sha1-group2"]), &parsed(&offer)).unwrap_err();
    assert_eq!(disagreement.theirs.len(), 200);
    assert!(disagreement.to_string().ends_with(", 3des-md5-group1 and 192 more)"), "{disagreement}");
}

#[test]
fn other_authentication_methods_are_named() {
    let transform = hex!("01 01 0000 80010007 800e0080 80020002 80040002 8003fde9");
    let offer = encode_sa(1, ProtocolId::ISAKMP, &[], [transform.as_slice()]);
    let disagreement = ike::choose(&ike_list(&["aes128-sha1-group2"]), &parsed(&offer)).unwrap_err();
    assert_eq!(disagreement.code(), Code::AuthMethodMismatch);
    assert!(disagreement.to_string().ends_with("ours pre-shared key, the peer's XAUTH with a pre-shared key"), "{disagreement}");
}

/// A second, different value for what was said already, an own prf, a key length for a cipher that has one: none is what we would run.
#[test]
fn transforms_that_mean_something_else_are_not_chosen() {
    let refused = |ours: &str, attributes: &[u8]| {
        let transform = [hex!("01 01 0000").as_slice(), attributes].concat();
        let offer = encode_sa(1, ProtocolId::ISAKMP, &[], [transform.as_slice()]);
        ike::choose(&ike_list(&[ours]), &parsed(&offer)).unwrap_err()
    };
    let plain = hex!("80010007 800e0080 80020002 80040002 80030001");
    let group_twice = refused("aes128-sha1-group2", &[plain.as_slice(), &hex!("80040001")].concat());
    assert_eq!(group_twice.differences[0].parameter, Parameter::Attribute);
    let own_prf = refused("aes128-sha1-group2", &[plain.as_slice(), &hex!("800d0001")].concat());
    assert_eq!(own_prf.differences[0].theirs, "13");
    let no_key_length = refused("aes128-sha1-group2", &hex!("80010007 80020002 80040002 80030001"));
    assert_eq!((no_key_length.code(), &*no_key_length.differences[0].theirs), (Code::EncryptionAlgorithmMismatch, "aes"));
    let sized_3des = refused("3des-sha1-group2", &hex!("80010005 800e00c0 80020002 80040002 80030001"));
    assert_eq!((sized_3des.code(), &*sized_3des.differences[0].theirs), (Code::EncryptionAlgorithmMismatch, "3des of 192 bits"));
    let esp = ike::choose(&ike_list(&["aes128-sha1-group2"]), &parsed(&esp::offer(&terms(&esp_list(&["aes128-sha1"]), None), 0x1000)));
    assert_eq!(esp.unwrap_err().differences[0].parameter, Parameter::Protocol);
}

#[test]
fn answer_must_be_one_transform_that_we_offered() {
    let ours = ike_list(&["aes128-sha1-group2", "aes256-sha256-group14"]);
    let answer = ike::offer(&ours[1..], Duration::from_secs(3_600));
    let choice = ike::accept(&ours, &parsed(&answer)).unwrap();
    assert_eq!((choice.proposal, choice.lifetime.seconds), (ours[1], Some(3_600)));

    let both = ike::accept(&ours, &parsed(&ike::offer(&ours, DAY))).unwrap_err();
    assert_eq!((both.code(), both.differences[0].parameter), (Code::ProtocolError, Parameter::Form));

    let foreign = ike::accept(&ours, &parsed(&ike::offer(&ike_list(&["aes128-md5-group2"]), DAY))).unwrap_err();
    assert_eq!(foreign.code(), Code::ProtocolError);
    assert!(foreign.to_string().starts_with("the peer answered with what we did not offer: phase 1 hash: ours sha1, the peer's md5"));

    let extended = hex!("01 01 0000 80010007 800e0080 80020002 80040002 80030001 f0000001");
    let extended = encode_sa(1, ProtocolId::ISAKMP, &[], [extended.as_slice()]);
    assert_eq!(ike::accept(&ours, &parsed(&extended)).unwrap_err().differences[0].parameter, Parameter::Attribute);
}

// Phase 2.

#[test]
fn phase_2_offer_of_the_scenario() {
    let transforms = esp_list(&["aes128-sha1"]);
    let offer = esp::offer(&terms(&transforms, Some(Group::Modp1024)), 0xc985_c83f);
    let expected = hex!(
        "00000001 00000001"
        "00000030 01030401 c985c83f"
        "00000024 010c0000"
        "80060080 80050002 80040001 80030002 80010001 00020004 00015180"
    );
    assert_eq!(offer, expected);
}

#[test]
fn phase_2_choice_is_ours_and_returned_unchanged_under_our_spi() {
    let theirs = esp_list(&["3des-md5", "aes128-sha1", "aes128gcm16"]);
    let ours = esp_list(&["aes128gcm16", "aes128-sha1"]);
    let offer = esp::offer(&terms(&theirs, None), 0x0102_0304);
    let choice = esp::choose(&terms(&ours, None), &parsed(&offer), 0x0506_0708).unwrap();
    assert_eq!((choice.transform, choice.pfs, choice.spi), (ours[0], None, 0x0102_0304));
    assert_eq!(choice.lifetime.duration(), Some(DAY));
    let answer = parsed(&choice.answer);
    assert_eq!(answer.proposals[0].spi, 0x0506_0708_u32.to_be_bytes());
    assert_eq!(answer.proposals[0].transforms[0].body, parsed(&offer).proposals[0].transforms[2].body);

    let accepted = esp::accept(&terms(&theirs, None), &answer).unwrap();
    assert_eq!((accepted.transform, accepted.spi), (ours[0], 0x0506_0708));
}

#[test]
fn missing_lifetime_of_phase_2_is_eight_hours() {
    let transform = hex!("01 0c 0000 80060080 80050002 80040001");
    let offer = encode_sa(1, ProtocolId::ESP, &[1, 2, 3, 4], [transform.as_slice()]);
    let choice = esp::choose(&terms(&esp_list(&["aes128-sha1"]), None), &parsed(&offer), 0x1000).unwrap();
    assert_eq!(choice.lifetime.duration(), Some(Duration::from_secs(28_800)));
}

#[test]
fn either_number_of_the_udp_tunnel_will_do() {
    let transforms = esp_list(&["aes128-sha1"]);
    let with = |mode| Terms { mode, ..terms(&transforms, None) };
    for offered in [Mode::UdpTunnel, Mode::UdpTunnelDraft] {
        let offer = esp::offer(&with(offered), 0x1000);
        assert!(esp::choose(&with(Mode::UdpTunnel), &parsed(&offer), 0x2000).is_ok(), "{offered:?}");
        let disagreement = esp::choose(&with(Mode::Tunnel), &parsed(&offer), 0x2000).unwrap_err();
        assert_eq!(disagreement.to_string(), "no proposal in common: encapsulation mode: ours tunnel, the peer's tunnel in UDP");
    }
    let offer = esp::offer(&with(Mode::Tunnel), 0x1000);
    assert!(esp::choose(&with(Mode::UdpTunnel), &parsed(&offer), 0x2000).is_err());
}

#[test]
fn disagreement_of_phase_2_names_the_parameter_and_both_values() {
    let ours = esp_list(&["aes128-sha1"]);
    let pfs = Some(Group::Modp1024);
    for (theirs, their_pfs, code, words) in [
        ("aes256-sha1", pfs, Code::IpsecEncryptionAlgorithmMismatch, "ESP encryption: ours aes128, the peer's aes256"),
        ("aes128-sha256", pfs, Code::IpsecAuthAlgorithmMismatch, "ESP integrity: ours sha1, the peer's sha256"),
        ("aes128-sha1", None, Code::PfsMismatch, "PFS: ours group2, the peer's none"),
        ("aes128-sha1", Some(Group::Modp2048), Code::PfsMismatch, "PFS: ours group2, the peer's group14"),
    ] {
        let theirs = esp_list(&[theirs]);
        let offer = esp::offer(&terms(&theirs, their_pfs), 0x1000);
        let disagreement = esp::choose(&terms(&ours, pfs), &parsed(&offer), 0x2000).unwrap_err();
        assert_eq!((disagreement.code(), disagreement.to_string()), (code, format!("no proposal in common: {words}")));
    }
}

/// A bundle of ESP with AH or IPCOMP would need both; so would a transform in transport mode, an extended sequence number or a reserved SPI.
#[test]
fn what_we_cannot_carry_is_not_chosen() {
    let ours = esp_list(&["aes128-sha1"]);
    let plain = esp::offer(&terms(&ours, None), 0x1000);
    let proposal = &plain[12..];
    let refused = |body: &[u8]| esp::choose(&terms(&ours, None), &parsed(body), 0x2000).unwrap_err().differences[0].parameter;

    let ipcomp = hex!("00 04 0201 abcd 00000008 01030000");
    let bundle = crate::wire::Chain::new()
        .with(crate::wire::PayloadType::PROPOSAL, &[&[1], &ipcomp[1..]].concat())
        .with(crate::wire::PayloadType::PROPOSAL, proposal);
    assert_eq!(refused(&[&plain[..8], bundle.bytes()].concat()), Parameter::Protocol);

    let one = |spi: &[u8], attributes: &[u8]| {
        let transform = [hex!("01 0c 0000 80060080 80050002").as_slice(), attributes].concat();
        encode_sa(1, ProtocolId::ESP, spi, [transform.as_slice()])
    };
    assert_eq!(refused(&one(&[0, 0, 1, 0], &hex!("80040002"))), Parameter::Mode);
    assert_eq!(refused(&one(&[0, 0, 1, 0], &hex!("80040001 800b0001"))), Parameter::Attribute);
    assert_eq!(refused(&one(&[0, 0, 0, 255], &hex!("80040001"))), Parameter::Spi);
    assert_eq!(refused(&one(&[0, 1, 0], &hex!("80040001"))), Parameter::Spi);
    assert_eq!(refused(&encode_sa(1, ProtocolId::AH, &[0, 0, 1, 0], [hex!("01 03 0000 80050002").as_slice()])), Parameter::Protocol);
    assert!(esp::choose(&terms(&ours, None), &parsed(&one(&[0, 0, 1, 0], &hex!("80040001"))), 0x2000).is_ok());
}

#[test]
fn responder_lifetime_comes_back_in_both_phases() {
    for attributes in [ike::LIFETIME, esp::LIFETIME] {
        for duration in [Duration::from_secs(3_600), DAY] {
            assert_eq!(attributes.decode(&attributes.encode(duration)).unwrap().duration(), Some(duration));
        }
    }
    assert!(esp::LIFETIME.decode(&[0]).is_err());
}

proptest! {
    /// Whatever two lists are, the choice is the first of ours that is among theirs; there is none exactly if nothing is shared.
    #[test]
    fn choice_is_the_first_of_ours_among_theirs(
        ours in prop::collection::vec(any_proposal(), 1..8),
        theirs in prop::collection::vec(any_proposal(), 1..8),
    ) {
        let offer = ike::offer(&theirs, DAY);
        let expected = ours.iter().find(|our| theirs.contains(our)).copied();
        match ike::choose(&ours, &parsed(&offer)) {
            Ok(choice) => {
                prop_assert_eq!(Some(choice.proposal), expected);
                prop_assert_eq!(ike::accept(&theirs, &parsed(&choice.answer)).unwrap().proposal, choice.proposal);
            }
            Err(disagreement) => {
                prop_assert_eq!(expected, None);
                prop_assert!(!disagreement.differences.is_empty());
            }
        }
    }
}

fn any_proposal() -> impl Strategy<Value = IkeProposal> {
    (0..EncryptionAlgorithm::ALL.len(), 0..2_usize, 0..2_usize).prop_map(|(encryption, hash, group)| IkeProposal {
        encryption: EncryptionAlgorithm::ALL[encryption],
        hash: HashAlgorithm::ALL[hash],
        group: Group::ALL[group],
    })
}
