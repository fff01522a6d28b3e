//! Tests of the key derivation against NIST's cases, and of what no published case covers: stretching, and one prf block after the other.
#![allow(clippy::unwrap_used)]

use hex_literal::hex;

use super::*;

/// A case of NIST CAVS 17.3, "IKE v1 Pre-shared Key Authentication".
struct Case {
    hash: HashAlgorithm,
    psk: &'static [u8],
    ni: &'static [u8],
    nr: &'static [u8],
    initiator_cookie: [u8; 8],
    responder_cookie: [u8; 8],
    shared: &'static [u8],
    skeyid: &'static [u8],
    skeyid_d: &'static [u8],
    skeyid_a: &'static [u8],
    skeyid_e: &'static [u8],
}

#[test]
fn skeyids_are_those_of_nist() {
    for case in cases() {
        let skeyid = Skeyid::from_psk(case.hash, case.psk, case.ni, case.nr);
        assert!(skeyid.has_key(case.skeyid), "{}", case.hash);
        let keys = skeyid.derive(&SharedSecret::from_bytes(case.shared), Cookie(case.initiator_cookie), Cookie(case.responder_cookie));
        assert!(keys.d.has_key(case.hash, case.skeyid_d), "{}", case.hash);
        assert!(keys.a.has_key(case.hash, case.skeyid_a), "{}", case.hash);
        assert!(keys.e.has_key(case.skeyid_e), "{}", case.hash);
    }
}

fn skeyid_e(hash: HashAlgorithm, key: &[u8]) -> SkeyidE {
    // The HMAC of nothing under a chosen key stands for a derived one: only its length and value matter here.
    SkeyidE { hash, key: Prf::new(hash, key).mac(&[]) }
}

#[test]
fn ka_is_cut_where_skeyid_e_is_long_enough() {
    let e = skeyid_e(HashAlgorithm::Sha256, b"k");
    assert!(e.cipher(EncryptionAlgorithm::Aes128).has_key(&e.key[..16]));
    assert!(e.cipher(EncryptionAlgorithm::Aes256).has_key(&e.key));
    assert!(e.cipher(EncryptionAlgorithm::TripleDes).has_key(&e.key[..24]));
}

#[test]
fn ka_is_stretched_where_skeyid_e_is_too_short() {
    for hash in [HashAlgorithm::Md5, HashAlgorithm::Sha1] {
        let e = skeyid_e(hash, b"k");
        let prf = Prf::new(hash, &e.key);
        let k1 = prf.mac(&[&[0]]);
        let k2 = prf.mac(&[&k1]);
        let stretched = [&*k1, &*k2].concat();
        for encryption in [EncryptionAlgorithm::Aes192, EncryptionAlgorithm::Aes256, EncryptionAlgorithm::TripleDes] {
            assert!(e.cipher(encryption).has_key(&stretched[..encryption.key_len()]), "{hash} {encryption}");
        }
        assert!(e.cipher(EncryptionAlgorithm::Aes128).has_key(&e.key[..16]), "{hash}");
    }
}

#[test]
fn keymat_chains_as_far_as_it_is_needed() {
    let d = SkeyidD(Prf::new(HashAlgorithm::Sha1, b"d"));
    let short = d.keymat(None, ProtocolId::ESP, 0x1234_5678, b"ni", b"nr", 20);
    let long = d.keymat(None, ProtocolId::ESP, 0x1234_5678, b"ni", b"nr", 61);
    let seed: &[u8] = b"\x03\x12\x34\x56\x78ninr";
    let k1 = d.0.mac(&[seed]);
    let k2 = d.0.mac(&[&k1, seed]);
    let k3 = d.0.mac(&[&k2, seed]);
    let k4 = d.0.mac(&[&k3, seed]);
    assert_eq!(*short, *k1);
    assert_eq!(*long, [&*k1, &*k2, &*k3, &k4[..1]].concat());
}

#[test]
fn keymat_depends_on_everything_that_makes_an_sa() {
    let d = SkeyidD(Prf::new(HashAlgorithm::Sha1, b"d"));
    let shared = SharedSecret::from_bytes(b"g(qm)^xy");
    let all = [
        d.keymat(None, ProtocolId::ESP, 1, b"ni", b"nr", 36),
        d.keymat(Some(&shared), ProtocolId::ESP, 1, b"ni", b"nr", 36),
        d.keymat(None, ProtocolId::AH, 1, b"ni", b"nr", 36),
        d.keymat(None, ProtocolId::ESP, 2, b"ni", b"nr", 36),
        d.keymat(None, ProtocolId::ESP, 1, b"no", b"nr", 36),
        d.keymat(None, ProtocolId::ESP, 1, b"ni", b"no", 36),
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(all[index + 1..].iter().all(|other| one != other));
    }
}

#[test]
fn hashes_of_the_two_ends_differ() {
    let skeyid = Skeyid::from_psk(HashAlgorithm::Sha1, b"key", b"ni", b"nr");
    let (initiator_cookie, responder_cookie) = (Cookie([1; 8]), Cookie([2; 8]));
    let exchanged = Exchanged { gxi: b"gxi", gxr: b"gxr", initiator_cookie, responder_cookie, sai_b: b"sa" };
    let hash_i = skeyid.hash_i(&exchanged, b"id");
    let hash_r = skeyid.hash_r(&exchanged, b"id");
    assert_ne!(*hash_i, *hash_r);
    let mirrored =
        Exchanged { gxi: b"gxr", gxr: b"gxi", initiator_cookie: responder_cookie, responder_cookie: initiator_cookie, sai_b: b"sa" };
    assert_eq!(*skeyid.hash_i(&mirrored, b"id"), *hash_r);
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            hash: HashAlgorithm::Sha1,
            psk: &hex!("75"),
            ni: &hex!("b9a2d0e922dc66dd"),
            nr: &hex!("2130166863b5ddef"),
            initiator_cookie: hex!("83d374c30b3b5082"),
            responder_cookie: hex!("5afc0da06c728029"),
            shared: &hex!("739003ba2c11c982946c65e26acf661fbf8ebb78011a9fead79efa12fe3e71cc"),
            skeyid: &hex!("62b04d112877e442fc3282fc37c076997718a0b9"),
            skeyid_d: &hex!("369e5aad1bdb5faf6a3d929d500cdc236710a9ab"),
            skeyid_a: &hex!("588e957d8d790d093b3a39f121473473af78e9bb"),
            skeyid_e: &hex!("cd74b0c048219db81384d3fda8f6cda51e398a2b"),
        },
        Case {
            hash: HashAlgorithm::Sha1,
            psk: &hex!("c0"),
            ni: &hex!("03a6f25a83c8c2a3"),
            nr: &hex!("9d958a6618f77e7f"),
            initiator_cookie: hex!("d1cbcedddd3c7b09"),
            responder_cookie: hex!("4d61a7826f1044af"),
            shared: &hex!("04e2d98b6ce1ae11e954482b308034ad4b9ebf9332512b01f5269eadad43d503"),
            skeyid: &hex!("ab3be41bc62f2ef0c41a3076d58768be77fadd2e"),
            skeyid_d: &hex!("e6e275b990aa3e075987aa28bd5c7bf9e9389b3e"),
            skeyid_a: &hex!("f0405e6da81e8640c84d913a53f01483b7e3d34f"),
            skeyid_e: &hex!("8e697c4bdce92234114b59aa0e634a381ad797fa"),
        },
        Case {
            hash: HashAlgorithm::Sha1,
            psk: &hex!("af"),
            ni: &hex!("8ab715a3d645c432"),
            nr: &hex!("4f28a80cbf88491a"),
            initiator_cookie: hex!("00850dcd01dfbb65"),
            responder_cookie: hex!("9d1b436d5225ceee"),
            shared: &hex!("a66ac68310eede0f1881ef40573cd5d57d6efc0e1863643813701c01efe68584"),
            skeyid: &hex!("9780a9162549b7cc992630c1c10d26eaa3b2a2df"),
            skeyid_d: &hex!("4bf7be14152f52c8d30dea920527b5d5b18ea5e1"),
            skeyid_a: &hex!("3acf3336180d9df5cb2aa2cccccfa170536aeb93"),
            skeyid_e: &hex!("68e4d56abe94777c755f8c05452bbf5a7a63c096"),
        },
        Case {
            hash: HashAlgorithm::Sha1,
            psk: &hex!("56"),
            ni: &hex!("dbc43f3299139f1f"),
            nr: &hex!("985d0e52d102b745"),
            initiator_cookie: hex!("f3ed3ad9aaec86ba"),
            responder_cookie: hex!("77fbf063e5098486"),
            shared: &hex!("a2d7865e64a1cd223a15b44a402ae7a76a033f9669a576975b7005b5554eab82"),
            skeyid: &hex!("8a7811ec4b6f96268cfbbc76862411f416fd080c"),
            skeyid_d: &hex!("a8608faa809d982aa9e84ffdd2cc24b03a80a8fa"),
            skeyid_a: &hex!("d13c44c4a0b5a6083efb3581d8ab2c14ad3d262b"),
            skeyid_e: &hex!("ef3397705d6a2c9019ca2044217c8116debfa0bf"),
        },
        Case {
            hash: HashAlgorithm::Sha1,
            psk: &hex!("cf"),
            ni: &hex!("fd46aeed770bdc9d"),
            nr: &hex!("90d1bc5678b445fc"),
            initiator_cookie: hex!("0cc662cfa86fb28d"),
            responder_cookie: hex!("15c2aa16a04b3136"),
            shared: &hex!("dc7b59899660a0f39393e7eb6de133f8b8b62ef546f173339b0e46689e52de70"),
            skeyid: &hex!("cc02df6bda3a16db9c4ddc6a7e4b446f7ba1fef6"),
            skeyid_d: &hex!("67592248faa71e52fdf3c4f093005b8fdf710d2f"),
            skeyid_a: &hex!("c2d48f2e92d74c2305c32bf1d5a68907ebd0372c"),
            skeyid_e: &hex!("428a6cdb700b92c62b855f4481f141d3ebcc7f24"),
        },
        Case {
            hash: HashAlgorithm::Sha256,
            psk: &hex!("a0"),
            ni: &hex!("ead9ced494868f41"),
            nr: &hex!("f1aff4f425a94f18"),
            initiator_cookie: hex!("4e30e8d4da0fecbf"),
            responder_cookie: hex!("cf8ce1348665f112"),
            shared: &hex!("ea6c7c00e276d86adace3368f0c8245c3e486b8c6c1474a533b7da3b9c9b3f1f"),
            skeyid: &hex!("558a99b299773d267cf7c8ef073bf3b7af362c206c75a538403c5ef884d4cace"),
            skeyid_d: &hex!("3b4bb2bf33fc3f002c84f59370f39ac705ea8efd299f64aaf723b7995a2b1560"),
            skeyid_a: &hex!("c78ad634ec47feee88cda902731e731eb594114db6a1882bc2c948ee9765958c"),
            skeyid_e: &hex!("33b10be0f43bc5984a86a1470c48ece12290915589b8c73fa5c7b8faf2bb6503"),
        },
        Case {
            hash: HashAlgorithm::Sha256,
            psk: &hex!("25"),
            ni: &hex!("ae16a60271bfd741"),
            nr: &hex!("0f5c42253656505b"),
            initiator_cookie: hex!("9a5b9e2fa37f1bf8"),
            responder_cookie: hex!("f59e0989df941537"),
            shared: &hex!("0c4dff4c2fb8e0ca1db9f94485fb6031036868cb1f9864002276b8f36459e543"),
            skeyid: &hex!("5bed2fdeefbb90af626a5972e06977338e992968d62b2c3a9cd4ad0a186ce691"),
            skeyid_d: &hex!("75d7e2c8efa4022293ea429b0492fee965553592a3625fa6dcd8ada3b5757071"),
            skeyid_a: &hex!("13c31f548d5f7054adad7cfa401d41536c878d3f303d3302d6e2bfd5bb6cffd5"),
            skeyid_e: &hex!("c10bfef989f2077bcd690d49e25149af2f9279648e9ebb9f0b737d3b9986c68d"),
        },
        Case {
            hash: HashAlgorithm::Sha256,
            psk: &hex!("d6"),
            ni: &hex!("507a1a4bfefac93b"),
            nr: &hex!("a55cc141485d2cce"),
            initiator_cookie: hex!("ee6f6035fd41597b"),
            responder_cookie: hex!("b4e44079cacbe574"),
            shared: &hex!("3a25ef6edca39936773cb1981d151699be97aff19fc774f9aeb9238ee227fc05"),
            skeyid: &hex!("fac0372193c0e1bd3c72f6e2989326c68b3faa7e8a41e0b2eeea64387c8f4a48"),
            skeyid_d: &hex!("568c92c4115eed3a2e4e93e3c46f452f46fb8e2b61fd256b8b79a91053117f7e"),
            skeyid_a: &hex!("cc58861268448cdef18f51442b910c4521da470b5e84ad6c181769c0bf1b13a4"),
            skeyid_e: &hex!("9ebbf3736fc89ba37c6ea887ca6c5abe1b31c1db6aa228136a91c29865fe5dbc"),
        },
        Case {
            hash: HashAlgorithm::Sha256,
            psk: &hex!("1d"),
            ni: &hex!("7869a0eba266c420"),
            nr: &hex!("0c07bec114e46d21"),
            initiator_cookie: hex!("ae970a25f2e74a13"),
            responder_cookie: hex!("4abde8b198b9f197"),
            shared: &hex!("da4545bd591c66a1d0bcbebbb19f76408020457e488507fb27162bb2cf46f2ad"),
            skeyid: &hex!("6b5a0029bd2ed674ecdff380a959397ed263d409dadab069ed8a7dc296899414"),
            skeyid_d: &hex!("3c301a7b0fcc059c339faa9e7369f1d8493a510aa05db60dfb8693544ee2c65c"),
            skeyid_a: &hex!("dc24571d0b7d80101bda1f6b01a38127c9e3366a18927f61538104e15cef739f"),
            skeyid_e: &hex!("6e871bb257da5c30a8803621dedd59e880b75d8868740254069a0cfb81a54906"),
        },
        Case {
            hash: HashAlgorithm::Sha256,
            psk: &hex!("fb"),
            ni: &hex!("d96c820b10c6cfc7"),
            nr: &hex!("296bde4737beac6d"),
            initiator_cookie: hex!("b63040ef89aa1084"),
            responder_cookie: hex!("aac25d137f4a5dc0"),
            shared: &hex!("2acd15341365962ce956537b3bbe7065f2198a09cd5ceeb6606eb834e7ca0e45"),
            skeyid: &hex!("4602996169c1a5944268cda7e7cbd0bc96ea26bd752bf26df8700d6199d67eb6"),
            skeyid_d: &hex!("96becbbd6725039b6b82b1d4d3cca30276b3d13856d8dd1af3c75870a5f4d1c5"),
            skeyid_a: &hex!("5b26acc879b72135a508a225cc8ed3335ad9f5d67460361cef85468e3c4541c6"),
            skeyid_e: &hex!("eece972f80f8cf9d7d6c64bc9b8cc534b96fe1ccaddf73c36e45ad06df981d12"),
        },
        Case {
            hash: HashAlgorithm::Sha384,
            psk: &hex!("9e"),
            ni: &hex!("d6596b7e5b398534"),
            nr: &hex!("136fbdfa8d0ceb8e"),
            initiator_cookie: hex!("9ccc539d30d4f929"),
            responder_cookie: hex!("a88216c6e1824511"),
            shared: &hex!("b2d1434e169be2b6463f65c958ebc51a3f2da220bbe66b7d7a7d14ca4a7724c7"),
            skeyid: &hex!("b54fa27cb4251051e44a659d73591845691d11f1874bf4e4088e5df6462d28e57a3a2af3ab4f9b746a8f5766f8785f2b"),
            skeyid_d: &hex!("5d168e1223d7e375b159ce3ead6aa46a194b59e96168db061ea571b87edf843f26ea41e5b54b23a6f5a037318830640d"),
            skeyid_a: &hex!("04cdf9df4afa53d3884624f7612768a0e4a01c1c5471315c5c99867831be20b4a55efbce9091c9eb69741d704dfe5e74"),
            skeyid_e: &hex!("3849065ad3f9ab2ec0f61c5c61b0ccc04f77d9ee5092a132f679972dc9c75c9334aff957b4cbbaf54cb65dfae1b55417"),
        },
        Case {
            hash: HashAlgorithm::Sha384,
            psk: &hex!("65"),
            ni: &hex!("b94abba7d44e19fb"),
            nr: &hex!("e38ba2d34b1a11ee"),
            initiator_cookie: hex!("3ebf60895a460b99"),
            responder_cookie: hex!("7864d4e7cd455474"),
            shared: &hex!("383f9fb22fdc223fc33a74ce362f3e0229f3f80a0b1f20a4b91cef45cf8c7565"),
            skeyid: &hex!("c4075e7cf6b46c5100d254a5fb42e940a57f947dc99ce7ec26bbc658b8297e211226c9700779ce042f29383467e81e91"),
            skeyid_d: &hex!("4b19dc72acdce665571d0d7b3e36958156b98f067fc24f44e5b92962464771b2d3d19aeb57fd9dbe8c2a17646f15a402"),
            skeyid_a: &hex!("33bbd10b3597ca323838e00280b8d7168685920032cba2f43614d5335f054b36d961bf25251a4a054f726fc85408794e"),
            skeyid_e: &hex!("5eb2dfff5840dc08bfae4f3535cb6f6e97a943a03ca3d428e38f1a73890b95ef16c4804c17688c25855ebf3eda72838f"),
        },
        Case {
            hash: HashAlgorithm::Sha384,
            psk: &hex!("b5"),
            ni: &hex!("c94f263942b6ceaa"),
            nr: &hex!("585b244d663f0e60"),
            initiator_cookie: hex!("06075984ee772a80"),
            responder_cookie: hex!("20c25c19377f5218"),
            shared: &hex!("2f950108c9caa976a329f7bc27e939ce8b76e00e32183b2b34eae07e70a4dee0"),
            skeyid: &hex!("f73dc3eef914a265e4aca4044b2d4755ab6dc2891b792911272bbd9cdf153bbc9d8df5c7c5a6414b3678ac9314efae16"),
            skeyid_d: &hex!("b8c1085b5091147d108895f22708217b03cae9524bf749c16752124deb5adcba495b673e211041f5554a41ef7a596454"),
            skeyid_a: &hex!("0d099763f55a0d509337f4492d547c34d6dac0fd5e770b151e9c2581a951eef25d2a14ae9ae214a6af01e675b05dcc2b"),
            skeyid_e: &hex!("f991433d97ae9a5dbd49575b290c85d66311e38d60d7a9bbd5946e52872755cab98849b73ce3148bffafe89b40c2bcf1"),
        },
        Case {
            hash: HashAlgorithm::Sha384,
            psk: &hex!("2a"),
            ni: &hex!("e65dfad05abbceb2"),
            nr: &hex!("245c29eb9ab4563c"),
            initiator_cookie: hex!("d44cb004890352c0"),
            responder_cookie: hex!("1ae6e331412ef664"),
            shared: &hex!("687505c5d0f30eefa0fb8bf4cfc43fab3467df307b1c95632b7b8c708affc4a5"),
            skeyid: &hex!("6940513dc466ab8e6705612bbd3cc2ffab583a469100a88eb0857fe3009a1a9f766d23450e9ba58e0c6cf3add6c80825"),
            skeyid_d: &hex!("65f4e518dcf217afe4dc8248964a8f862081b31584a5487cee69122cf3c118c7e41fb8bc674c8b4bcbbfd1b396e4a8b6"),
            skeyid_a: &hex!("3f8fe7da885fbce1101774c81d14438b1b8d21e78b99e913cc2b5f69a254331a766c823b00bcabd628bcc61d46060858"),
            skeyid_e: &hex!("4eea2e659ed74bf2fcb5da25e80cce04a4f58d6fa6f3b3513c1239a25f946ef8db2b16836203a1889ed9895cf1e6a0c7"),
        },
        Case {
            hash: HashAlgorithm::Sha384,
            psk: &hex!("f5"),
            ni: &hex!("0df7e58d4b3fd18b"),
            nr: &hex!("3bed49d320d988ba"),
            initiator_cookie: hex!("db6ac3ca7e68ad99"),
            responder_cookie: hex!("4c792c679ff65b98"),
            shared: &hex!("c04524d57ea455b269fd0abb9871c752a0c134105a552b8dd9c4318df5ddb1b1"),
            skeyid: &hex!("3a5973140f5af936e481c6665a323258bf15c7539c613bce7a0a5c847f2775556e98367d2fe15481f4ebd5e1d4be442e"),
            skeyid_d: &hex!("72c4f2d09b724bee8a481404a1eabdfc031657ada7ca9ca4b1206aa85df38c8cd34dd9454aa71ea5e2a041ce44a119fc"),
            skeyid_a: &hex!("b49932c640bc486e450f9790a35eb6334e106eb6d8f01ee94c7bff461b0429b0d706bc6a9d2fe5c8e5b16a09c6e5f1fd"),
            skeyid_e: &hex!("dafcdd41834e6c1a67f760e6b262cf658f6430e6d63b0de5f0f2a0eadd9cfcc276026437fbbdc885616da23164d93f79"),
        },
        Case {
            hash: HashAlgorithm::Sha512,
            psk: &hex!("4c"),
            ni: &hex!("482a05eca86fba51"),
            nr: &hex!("84ee19d02272de2e"),
            initiator_cookie: hex!("2ce3422d3dcba7f5"),
            responder_cookie: hex!("82ca94cbe7b77049"),
            shared: &hex!("aea3ae089168001f2e4bd693bc8303ad094b71ec57921bb0f9d1252c09c46ed1"),
            skeyid: &hex!(
                "5bcb5499ae4c1437ce6c195392bf26bf7980a59bcb787a0b58671771a3d4b06d"
                "c1eb7809241b7e5931740b05bf8a9873bb493c5f067e28e4f58ab65c3dbe44cd"
            ),
            skeyid_d: &hex!(
                "7be2bdc8c03d05b5932b95387cad909718dace7bf9e4eeacbaae431d6521828b"
                "70f8a6011640927eae4ebbf72f3dd154040b7ee7ed2fc15683190d3da50ac7e6"
            ),
            skeyid_a: &hex!(
                "75149f3f671435eafafb3868eff58a6367ebbb50006c8723ccead82fe4996765"
                "1decf63a079b0ffaa241eb341a90d612876e76866450739e49f88ba306861b73"
            ),
            skeyid_e: &hex!(
                "39dd0670384325de75cc2dbd681d15423b630e93e5fefb0224f1defca1a9b0fd"
                "da61f8c922428b00cde4c386c4ca8898a48969e4c19f1fe30899a6260c5d8d46"
            ),
        },
        Case {
            hash: HashAlgorithm::Sha512,
            psk: &hex!("99"),
            ni: &hex!("2f22ff3b764884fe"),
            nr: &hex!("a44a2da2fd7153df"),
            initiator_cookie: hex!("87a5ef82edffa24a"),
            responder_cookie: hex!("19c1bb2c63020359"),
            shared: &hex!("33a5510c07fb8f19f7eb1aa71dc0358581f606e061ace6660f6d55ffed6c8d91"),
            skeyid: &hex!(
                "63c07fcf1b4ac4ff1fdd30c2eab72962393d35c197335bd6a6abc8350e25452a"
                "c360d11818c2083da8f7f7053fb228ea8158fe4348b6c83cf77ef14c92bed3c7"
            ),
            skeyid_d: &hex!(
                "92c0d4d9c3fea94f3323eff04e14d4f14960bb14e6628bb873ff783772a86fd2"
                "fb561ff6af71e36706da66d84388fa56040e6c69671f78bf6bbc34ec9da5b667"
            ),
            skeyid_a: &hex!(
                "bcb0e255273e6e5dec0c2dc9ca639d883115d78ff2b8aa47ac7288256b6fc87c"
                "6f32678c1736bcca7f659a23abeb6cc95daea06e5a55907930d37565f5df0557"
            ),
            skeyid_e: &hex!(
                "4b9592e68a9f3bd13836425ae11978c07d649987969a92f4887809f879949ea8"
                "63084c7911574026b438290dc2941705b4f2ea039c222cf02fd5b25e88fbf87a"
            ),
        },
        Case {
            hash: HashAlgorithm::Sha512,
            psk: &hex!("7f"),
            ni: &hex!("dafade5e6f3feddd"),
            nr: &hex!("176bf5f19b54447a"),
            initiator_cookie: hex!("21e18d4263361409"),
            responder_cookie: hex!("8a84715d2677b3f5"),
            shared: &hex!("f6c607655621dca7012d9ebcef6fb0ac23ca5d59f558c9fa04b037cc7af9b62c"),
            skeyid: &hex!(
                "bb83854cd0e184210409b55ab256395a6e3ebd5bb3e15702303117b77df8ec60"
                "cee09906aae3df90d3143cf2a473a2ded4e4dccb8bde7351d78690ad5d8d4c34"
            ),
            skeyid_d: &hex!(
                "edb74c292cf7c54a4d142f48198d41baaccd033ccf05582d3153dc0313fecef1"
                "d74ed2e94dcf82891526785f409ad8269b81f5f43fdc5852a9efe07135a272e1"
            ),
            skeyid_a: &hex!(
                "8472dca4133f8b4f6eb322da02ea65ba574a2d2fa35c722d6026daa7c4830ab4"
                "1a79f809d4522a28b25d1b337ba9131e12d2b196664094748666870ac4a4ae90"
            ),
            skeyid_e: &hex!(
                "04720ccd1ca6ec7f2d893e271b583366f79728ba3098a281666923fcab268a1b"
                "dd2ed613217c0c47c8f4b5752b97487a3e5948125c13f2f2d834adcd77f00313"
            ),
        },
        Case {
            hash: HashAlgorithm::Sha512,
            psk: &hex!("01"),
            ni: &hex!("70845c2b48bedb79"),
            nr: &hex!("2d69393d079b40dc"),
            initiator_cookie: hex!("a8ad43b43a950812"),
            responder_cookie: hex!("45bcb8a870b13899"),
            shared: &hex!("ddd0d5202eca88a670b2262629fa78e95e8a6d38ca0e6655b10f44c93cc8b3c8"),
            skeyid: &hex!(
                "f1c4469e6e713e19388f7a8b1acc129d07c710c3401e66bf37aab79cb3613572"
                "ab8ba5c510ffc9b15933cce6a4f5b1a13b5b10362ae3a7121285c449612f7f53"
            ),
            skeyid_d: &hex!(
                "b19e5a6700438ed24fa30494b768dede455448c3262d714d69fbf84f21decd0d"
                "42e9a7a289c12f9df884f740c226cd423bc8df7e6b48afabbe2c2cdc092f541b"
            ),
            skeyid_a: &hex!(
                "293a7e0801d2059beb9aea0078003b44b83d5d09f956e850bd6dc3cc5d97dac9"
                "511101ee0ebf4e8aa41f7f0aeab07f6f48c842a2517cf6b3107eddec65590f3a"
            ),
            skeyid_e: &hex!(
                "1df96232377f6bbdcb0b7d5e55cc5a2954bcf489986271b6e770075d5c9204e1"
                "69d70b7d8945a5771763fac2db25ecf5f6de03203525db86e8b516eff729771d"
            ),
        },
        Case {
            hash: HashAlgorithm::Sha512,
            psk: &hex!("ec"),
            ni: &hex!("b0410d15d76cc9b7"),
            nr: &hex!("0ecabe548c9f2de4"),
            initiator_cookie: hex!("d5e64f073ff216de"),
            responder_cookie: hex!("7bc7fca858deff05"),
            shared: &hex!("6595f3542695279707343db3c44f41e271bd89b85a980478855adc91f8517ab1"),
            skeyid: &hex!(
                "11e5974eedf35a30b93d74ed158b6587e2d87b488de7bbb43d08298063878acb"
                "6cd2547ccfcacf85c8a9480a14b0c3e5730f1c6c4d1f22173352f01691449cea"
            ),
            skeyid_d: &hex!(
                "c22c1a5af3dadc7a77ee577e3810ebf46e884a62e815941236b166813bffef23"
                "b1a191b11dcd45fbc3bb296477113e07cc112c5bd85b3fb0e2c2de5feb6d6935"
            ),
            skeyid_a: &hex!(
                "6f9d58c537e24a80111c3213d0e83efc0d821f4badca865704b7b2c2f95197dd"
                "5bcc1108deea1bc8f326f37b65ffc1bd19c89ebf4dfa5aea55c965ad9581ae8f"
            ),
            skeyid_e: &hex!(
                "51f4f8531a88491ab1943e4ba708547cd43ef5672d3e5e7b81427e66f3d67fdf"
                "475dbe8369f70ebca2dc256eb9cfbbf725c5c86792fb7831e69d06ad3f5c8240"
            ),
        },
    ]
}
