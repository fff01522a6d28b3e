//! Whatever bytes arrive, reading them gives values or names a field; it never panics and never reads past the end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use hex_literal::hex;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::config::{Identity, ProxyIdentity};
use crate::proposal::{self, IkeProposal};
use crate::recorded;

/// Reads a datagram as far as its clear bytes go, each payload by its type, and uses what comes out.
fn read_everything(datagram: &[u8]) -> Result<usize, Malformed> {
    let (header, body) = Header::parse(datagram)?;
    read_payloads(header.next_payload, body)
}

fn read_payloads(first: PayloadType, body: &[u8]) -> Result<usize, Malformed> {
    let ours: [IkeProposal; 1] = ["aes128-sha1-group2".parse().unwrap()];
    let terms = proposal::esp::Terms {
        transforms: &["aes128-sha1".parse().unwrap()],
        pfs: None,
        mode: proposal::esp::Mode::Tunnel,
        lifetime: std::time::Duration::from_secs(3600),
    };
    let payloads = Payloads::parse(first, body)?;
    let covered: usize = payloads.iter().map(|payload| payload.body.len() + chain::GENERIC_HEADER_LEN).sum();
    assert_eq!(covered + payloads.padding().len(), body.len());
    for payload in payloads.iter() {
        let words = payload.kind.to_string();
        assert!(!words.is_empty());
        match payload.kind {
            PayloadType::SA => {
                let sa = SecurityAssociation::parse(payload.body)?;
                if let Err(disagreement) = proposal::ike::choose(&ours, &sa) {
                    assert!(!disagreement.differences.is_empty());
                    assert!(!disagreement.to_string().is_empty());
                }
                let _answer = proposal::ike::accept(&ours, &sa);
                let _choice = proposal::esp::choose(&terms, &sa, 0x1234_5678);
                let _answer = proposal::esp::accept(&terms, &sa);
            }
            PayloadType::KE => drop(ke::parse(payload.body)?),
            PayloadType::NONCE => drop(nonce::parse(payload.body)?),
            PayloadType::HASH => drop(hash::parse(payload.body)?),
            PayloadType::ID => {
                let id = Identification::parse(payload.body)?;
                assert_eq!(id.encode(), payload.body);
                let _uses = (id.identity(), id.proxy_identity(), id.to_string());
            }
            PayloadType::NOTIFY => {
                let notification = Notification::parse(payload.body)?;
                assert_eq!(notification.encode()[4..], payload.body[4..], "all but the DOI comes out as it went in");
                let _lifetime = proposal::esp::LIFETIME.decode(notification.data);
            }
            PayloadType::DELETE => {
                let delete = Delete::parse(payload.body)?;
                let _uses = (delete.esp_spis().count(), delete.names_isakmp(Cookie::ZERO, Cookie::ZERO));
            }
            PayloadType::VENDOR_ID => drop(VendorId::recognise(payload.body)),
            _ => {}
        }
    }
    Ok(payloads.iter().count())
}

#[test]
fn recorded_messages_read() {
    for message in recorded::messages() {
        let (header, body) = Header::parse(message).unwrap();
        assert_eq!(header.encode(), message[..Header::LEN]);
        if !header.is_encrypted() {
            assert!(read_payloads(header.next_payload, body).unwrap() >= 4);
        }
    }
}

/// Packets that crashed or confused other implementations (from the test suites of libreswan and tcpdump, and ike-scan's), each with the
/// field at fault; the three that are well-formed after all have so many payloads. Again with the header's length put right, so that
/// what is behind it is read too.
#[test]
fn packets_that_crashed_others_are_read_or_refused_by_name() {
    let cases: [(&str, Result<usize, &str>, &[u8]); 15] = [
        (
            "cve-2009-0790 DPD/notify null state",
            Err("message"),
            &hex!(
                "e9d518f4f1fd71b066b0e45bae8542e3100b00050000000000003c0000002000000000001001288de9d518f4f1fd71b066b0e45bae8542e3"
                "0000a662"
            ),
        ),
        (
            "cve-2015-3204 #1 situation/DOI bits",
            Err("SA situation"),
            &hex!(
                "b9ce3eefc8b661dd00000000000000000110020000000000000000580000003c00000001ffffffff00000000010100010000002801010000"
                "800b0001000c00040001518080010007800e0100800300038002000280040005"
            ),
        ),
        (
            "cve-2015-3204 #2 first payload type 15",
            Ok(1),
            &hex!(
                "b9ce3eefc8b661dd00000000000000000f10020000000000000000580000003c000000010000000100000030010100010000002801010000"
                "800b0001000c00040001518080010007800e0100800300038002000280040005"
            ),
        ),
        (
            "ipsec-ikev1-payload-bad-length.pcap",
            Err("payload"),
            &hex!(
                "e47a591fd057587f00000000000000000110020000000000000000a80d00003c000000010000000100000030010100010000002801010000"
                "80010007800e0080800200028004000280030001800b0001000c0004000151800d0000034a131c81070358455c5728f20e95452f0d000014"
                "439b59f8ba676c4c7737ae22eab8f5820d0000147d9419a65310ca6f2c179d9215529d560000001490cb80913ebb696e086381b5ec427b1f"
            ),
        ),
        (
            "ipsec-ikev1-zero-length.pcap",
            Err("length"),
            &hex!(
                "e47a591fd057587f00000000000000000110020000000000000000000d00003c000000010000000100000030010100010000002801010000"
                "80010007800e0080800200028004000280030001800b0001000c0004000151800d0000144a131c81070358455c5728f20e95452f0d000014"
                "439b59f8ba676c4c7737ae22eab8f5820d0000147d9419a65310ca6f2c179d9215529d560000001490cb80913ebb696e086381b5ec427b1f"
            ),
        ),
        (
            "duplicate LifeDuration attributes",
            Ok(5),
            &hex!(
                "e47a591fd057587f00000000000000000110020000000000000000b00d000044000000010000000100000038010100010000003001010000"
                "80010007800e008080020002000c0004000151808004000280030001800b0001000c00040000ffff0d0000144a131c81070358455c5728f2"
                "0e95452f0d000014439b59f8ba676c4c7737ae22eab8f5820d0000147d9419a65310ca6f2c179d9215529d560000001490cb80913ebb696e"
                "086381b5ec427b1f"
            ),
        ),
        (
            "isakmp-delete-segfault.pcap#1",
            Err("message"),
            &hex!(
                "1b9310c2fc3d7afe4f39819b21e859fd0cbebe2e1b9a1d574321979a05ca02205d12e35950ffffff00000000000000000000000000000000"
                "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
                "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
                "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
                "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
                "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
                "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
                "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
            ),
        ),
        (
            "isakmp-identification-segfault.pcap#1",
            Ok(1),
            &hex!(
                "2599708c847a8b02000000000000000005100200000000000000011c00000100020000000000000000000000000000000000000000000000"
                "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
                "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
                "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
                "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
                "00000000"
            ),
        ),
        (
            "ikev1_id_ipv6_addr_subnet-oobr.pcap#1",
            Err("message"),
            &hex!(
                "49001d0036000017000cfb007f011010051010100d101010ff00000091000020061010100d1080ff0a00000000150001000a0000000d0110"
                "10051010100d101010"
            ),
        ),
        ("isakmp-3948-oobr-2.pcap#1", Err("initiator cookie"), &[]),
        (
            "isakmp-ikev1_n_print-oobr.pcap#1",
            Err("message"),
            &hex!("3c003d809b0000fdf2f3ff7f7f0110ee0b2c231010101010ff0000007efb00050000000080006001041b"),
        ),
        (
            "isakmp-ikev1_n_print-oobr.pcap#2",
            Err("message"),
            &hex!("3c0037809b0000fdf2f3ff7f7f0110f90b2c23101010100b250000007efb00050000000110016001041b"),
        ),
        ("isakmp-various-oobr.pcap#1", Err("message"), &hex!("ffff7f0036000017000cfb007f01101022101010101010107f0000000100000500")),
        ("isakmp-various-oobr.pcap#2", Err("length"), &hex!("3a8492a0a00400a4a0a0a0000000f127643c13000000050000000000001071007f")),
        (
            "ike-scan pkt-malformed.dat",
            Err("message"),
            &hex!(
                "deadbeefdeadbeefdeadbeefdeadbeef3932067f000004d200000205070001d80000000200000003000001cc010404082f6b073103000038"
                "0105000080010005800200028003000380040002800b0001000c000400000020800b0002000c00040000004040000004deadbeef03000038"
                "0205000080010005800200018003000380040002800b0001000c000400000020800b0002000c00040000004040000004deadbeef03000038"
                "0305000080010001800200028003000380040002800b0001000c000400000020800b0002000c00040000004040000004deadbeef03000038"
                "0405000080010001800200018003000380040002800b0001000c000400000020800b0002000c00040000004040000004deadbeef03000038"
                "0505000080010005800200028003000380040001800b0001000c000400000020800b0002000c00040000004040000004deadbeef03000038"
                "0605000080010005800200018003000380040001800b0001000c000400000020800b0002000c00040000004040000004deadbeef03000038"
                "0705000080010001800200028003000380040001800b0001000c000400000020800b0002000c00040000004040000004deadbeef00000038"
                "0805000080010001800200018003000380040001800b0001000c000400000020800b0002000c00040000004040000004deadbeef00000007"
                "203040"
            ),
        ),
    ];
    for (what, expected, packet) in cases {
        assert_eq!(read_everything(packet).map_err(|malformed| malformed.field), expected, "{what}");
        if let Some((header, body)) = packet.split_at_checked(Header::LEN) {
            let _result = read_payloads(PayloadType(header[16]), body);
        }
    }
}

#[test]
fn message_ends_where_its_header_says() {
    let message =
        Chain::new().with(PayloadType::NONCE, &[7; 16]).message(&Header::new(Cookie([1; 8]), Cookie::ZERO, ExchangeType::MAIN, 0));
    let longer = [message.as_slice(), b"junk"].concat();
    let (_, body) = Header::parse(&longer).unwrap();
    assert_eq!(body, &message[Header::LEN..]);
    for end in 0..message.len() {
        assert!(Header::parse(&message[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn counts_are_limited() {
    let many = |count| (0..count).fold(Chain::new(), |chain, _| chain.with(PayloadType::VENDOR_ID, b"v"));
    assert!(Payloads::parse(PayloadType::VENDOR_ID, many(chain::MAX_PAYLOADS).bytes()).is_ok());
    let malformed = Payloads::parse(PayloadType::VENDOR_ID, many(chain::MAX_PAYLOADS + 1).bytes()).unwrap_err();
    assert_eq!(malformed.problem, Problem::TooMany { limit: chain::MAX_PAYLOADS });

    let attributes = |count| [0x80, 99, 0, 1].repeat(count);
    assert!(Attribute::parse_all(&attributes(attribute::MAX_ATTRIBUTES)).is_ok());
    assert!(Attribute::parse_all(&attributes(attribute::MAX_ATTRIBUTES + 1)).is_err());

    let spis = vec![7; delete::MAX_SPIS + 1];
    assert!(Delete::parse(&Delete::encode_esp(&spis[1..])).is_ok());
    assert!(Delete::parse(&Delete::encode_esp(&spis)).is_err());

    let proposals = |count: usize, transforms: usize| {
        let one = sa::encode_sa(1, ProtocolId::ESP, &[0; 4], vec![[1, 12, 0, 0].as_slice(); transforms]);
        let proposal = &one[8 + chain::GENERIC_HEADER_LEN..];
        let chain = (0..count).fold(Chain::new(), |chain, _| chain.with(PayloadType::PROPOSAL, proposal));
        [&one[..8], chain.bytes()].concat()
    };
    assert!(SecurityAssociation::parse(&proposals(sa::MAX_PROPOSALS, 1)).is_ok());
    assert!(SecurityAssociation::parse(&proposals(sa::MAX_PROPOSALS + 1, 1)).is_err());
    assert!(SecurityAssociation::parse(&proposals(1, sa::MAX_TRANSFORMS)).is_ok());
    assert!(SecurityAssociation::parse(&proposals(2, 128)).is_err());
}

#[test]
fn number_of_transforms_must_be_true() {
    let mut body = sa::encode_sa(1, ProtocolId::ESP, &[1, 2, 3, 4], [[1, 12, 0, 0].as_slice()]);
    assert!(SecurityAssociation::parse(&body).is_ok());
    body[15] = 2;
    assert_eq!(SecurityAssociation::parse(&body).unwrap_err().field, "number of transforms");
}

#[test]
fn attributes_read_the_same_in_either_form() {
    let mut short = Vec::new();
    attribute::push_attribute(&mut short, 12, 28_800);
    assert_eq!(short, hex!("800c7080"));
    let mut long = Vec::new();
    attribute::push_attribute(&mut long, 12, 86_400);
    assert_eq!(long, hex!("000c000400015180"));

    for (bytes, expected) in [
        (short.as_slice(), 28_800),
        (long.as_slice(), 86_400),
        (&hex!("000c0002 7080"), 28_800),
        (&hex!("000c0008 0000000000015180"), 86_400),
        (&hex!("000c000a 00000000000000015180"), 86_400),
        (&hex!("000c0009 010000000000000000"), u64::MAX),
        (&hex!("000c0000"), 0),
    ] {
        let attributes = Attribute::parse_all(bytes).unwrap();
        assert_eq!(attributes.iter().map(|attribute| (attribute.kind, attribute.number())).collect::<Vec<_>>(), [(12, expected)]);
    }
}

#[test]
fn vendor_ids_are_recognised_with_their_variable_parts() {
    for id in VendorId::ALL {
        assert_eq!(VendorId::recognise(id.bytes()), Some(id));
    }
    assert_eq!(VendorId::recognise(&hex!("4048b7d56ebce88525e7de7f00d6c2d380000000")), Some(VendorId::Fragmentation));
    assert_eq!(VendorId::recognise(&hex!("afcad71368a1f1c96b8696fc77570101")), Some(VendorId::DeadPeerDetection));
    assert_eq!(VendorId::recognise(b"somebody else's"), None);
    assert_eq!(VendorId::recognise(b""), None);
}

#[test]
fn proxy_identities_take_the_shortest_form_and_come_back() {
    let cases: [(&str, u8, u16, &[u8]); 5] = [
        ("192.168.0.0/24", 0, 0, &hex!("04000000 c0a80000 ffffff00")),
        ("172.16.10.1/32", 6, 443, &hex!("010601bb ac100a01")),
        ("0.0.0.0/0", 0, 0, &hex!("04000000 00000000 00000000")),
        ("2001:db8::/32", 0, 0, &hex!("06000000 20010db8000000000000000000000000 ffffffff000000000000000000000000")),
        ("2001:db8::1/128", 17, 0, &hex!("05110000 20010db8000000000000000000000001")),
    ];
    for (net, protocol, port, expected) in cases {
        let proxy = ProxyIdentity { net: net.parse().unwrap(), protocol, port };
        let encoded = Identification::of_proxy(&proxy).encode();
        assert_eq!(encoded, expected, "{net}");
        assert_eq!(Identification::parse(&encoded).unwrap().proxy_identity(), Some(proxy), "{net}");
    }
}

#[test]
fn proxy_identities_of_peers_are_normalised_or_refused() {
    let proxy = |body: &[u8]| Identification::parse(body).unwrap().proxy_identity().map(|proxy| proxy.net.to_string());
    assert_eq!(proxy(&hex!("04000000 c0a80005 ffffff00")).as_deref(), Some("192.168.0.0/24"), "host bits are cleared");
    assert_eq!(proxy(&hex!("07000000 c0a80000 c0a800ff")).as_deref(), Some("192.168.0.0/24"), "a range that is a prefix");
    assert_eq!(proxy(&hex!("07000000 c0a80001 c0a80001")).as_deref(), Some("192.168.0.1/32"));
    assert_eq!(proxy(&hex!("07000000 00000000 ffffffff")).as_deref(), Some("0.0.0.0/0"));
    assert_eq!(proxy(&hex!("07000000 c0a80000 c0a800fe")), None, "a range that is no prefix");
    assert_eq!(proxy(&hex!("07000000 c0a800ff c0a80000")), None, "a range backwards");
    assert_eq!(proxy(&hex!("04000000 c0a80000 ff00ff00")), None, "a mask with holes");
    assert_eq!(proxy(b"\x02\0\0\0gw.example"), None, "a name");
}

#[test]
fn identities_come_back_and_foreign_ones_are_shown_in_words() {
    for identity in [
        Identity::Address("198.51.100.20".parse().unwrap()),
        Identity::Address("2001:db8::1".parse().unwrap()),
        Identity::Fqdn("gw.example".into()),
    ] {
        let encoded = Identification::of_identity(&identity).encode();
        assert_eq!(&encoded[1..4], [0; 3], "protocol and port are zero in phase 1");
        assert_eq!(Identification::parse(&encoded).unwrap().identity(), Some(identity));
    }
    let shown = |body: &[u8]| Identification::parse(body).unwrap().to_string();
    assert_eq!(shown(b"\x02\x11\x01\xf4gw.example"), "gw.example protocol 17 port 500");
    assert_eq!(shown(b"\x03\0\0\0me@example"), "me@example");
    assert_eq!(shown(b"\x02\0\0\0\x1b[2Jx"), "id type 2 0x1b5b324a78", "no escape sequences in logs");
    assert_eq!(shown(b"\x0b\0\0\0abc"), "key id 0x616263");
    let long = [b"\x02\0\0\0".as_slice(), &[b'a'; 1000]].concat();
    assert_eq!(shown(&long), format!("id type 2 0x{}... (1000 bytes)", "61".repeat(32)), "no flood of logs");
    assert_eq!(shown(&hex!("04000000 c0a80000 ff00ff00")), "192.168.0.0 mask 255.0.255.0");
    assert_eq!(Identification::parse(b"\x03\0\0\0me@example").unwrap().identity(), None);
    assert_eq!(Identification::parse(b"\x02\0\0\0gw.example.").unwrap().identity(), Some(Identity::Fqdn("gw.example".into())));
}

#[test]
fn identification_of_a_wrong_length_is_refused() {
    for body in [&hex!("01000000 c0a800")[..], &hex!("01000000 c0a8000101"), &hex!("04000000 c0a80000"), &hex!("02000000"), &hex!("0100")] {
        assert!(Identification::parse(body).is_err(), "{body:?}");
    }
}

#[test]
fn deletes_and_notifications_come_back() {
    let (initiator, responder) = (Cookie([1; 8]), Cookie([2; 8]));
    let body = Delete::encode_esp(&[0xc985_c83f, 0xd990_3f8e]);
    let delete = Delete::parse(&body).unwrap();
    assert_eq!(delete.esp_spis().collect::<Vec<_>>(), [0xc985_c83f, 0xd990_3f8e]);
    assert!(!delete.names_isakmp(initiator, responder));

    let body = Delete::encode_isakmp(initiator, responder);
    let delete = Delete::parse(&body).unwrap();
    assert!(delete.names_isakmp(initiator, responder));
    assert!(!delete.names_isakmp(responder, initiator));
    assert_eq!(delete.esp_spis().count(), 0);

    let spi = notify::isakmp_spi(initiator, responder);
    let notification =
        Notification { protocol: ProtocolId::ISAKMP, spi: &spi, notify_type: NotifyType::R_U_THERE, data: &7_u32.to_be_bytes() };
    let body = notification.encode();
    assert_eq!(body, hex!("00000001 01 10 8d28 0101010101010101 0202020202020202 00000007"));
    assert_eq!(Notification::parse(&body).unwrap(), notification);
    assert!(NotifyType::NO_PROPOSAL_CHOSEN.is_error() && !NotifyType::INITIAL_CONTACT.is_error());
}

#[test]
fn cookies_are_never_zero() {
    let mut rng = StdRng::seed_from_u64(0);
    assert!((0..100).all(|_| !Cookie::random(&mut rng).is_zero()));
}

proptest! {
    #[test]
    fn arbitrary_datagrams_never_panic(datagram in prop::collection::vec(any::<u8>(), 0..600)) {
        let _result = read_everything(&datagram);
    }

    /// With a header that fits, so that the bytes behind it are looked at.
    #[test]
    fn arbitrary_payloads_never_panic(first in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..600)) {
        let _result = read_payloads(PayloadType(first), &body);
    }

    #[test]
    fn arbitrary_bodies_never_panic(kind in 0..14_u8, body in prop::collection::vec(any::<u8>(), 0..300)) {
        let chain = Chain::new().with(PayloadType(kind), &body);
        let _result = read_payloads(PayloadType(kind), chain.bytes());
    }

    #[test]
    fn damaged_messages_never_panic(
        index in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let messages = recorded::messages();
        let mut message = index.get(&messages).to_vec();
        for (at, value) in damage {
            let at = at.index(message.len());
            message[at] = value;
        }
        if let Some(cut) = cut {
            message.truncate(cut.index(message.len()));
        }
        let _result = read_everything(&message);
    }

    #[test]
    fn chains_come_back(payloads in prop::collection::vec((1..=255_u8, prop::collection::vec(any::<u8>(), 0..40)), 0..20), padding in 0..16_usize) {
        let chain = payloads.iter().fold(Chain::new(), |chain, (kind, body)| chain.with(PayloadType(*kind), body));
        let padded = [chain.bytes(), &vec![0; padding]].concat();
        let read = Payloads::parse(chain.first(), &padded).unwrap();
        prop_assert_eq!(read.iter().map(|payload| (payload.kind.0, payload.body.to_vec())).collect::<Vec<_>>(), payloads);
        prop_assert_eq!(read.padding().len(), padding);
        if let Some(first) = read.iter().next() {
            prop_assert_eq!(first.rest, &chain.bytes()[chain::GENERIC_HEADER_LEN + first.body.len()..]);
        }
    }
}
