//! Tests of Diffie-Hellman: published values, num-bigint as an oracle, and every value that must be refused.
#![allow(clippy::unwrap_used)]

use hex_literal::hex;
use num_bigint::BigUint;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

/// Private exponents, public values and the secret of one exchange, as published with strongSwan's test vectors.
struct Case {
    group: Group,
    private: [&'static [u8]; 2],
    public: [&'static [u8]; 2],
    shared: &'static [u8],
}

fn key_pair(group: Group, private: &[u8]) -> KeyPair {
    let mut padded = [0; U512::BYTES];
    padded[U512::BYTES - private.len()..].copy_from_slice(private);
    KeyPair::with_exponent(group, Zeroizing::new(U512::from_be_slice(&padded)))
}

fn modulus(group: Group) -> BigUint {
    fn with<const LIMBS: usize>(params: &FixedMontyParams<LIMBS>) -> BigUint {
        BigUint::from_bytes_be(params.modulus().as_ref().to_be_bytes().as_ref())
    }
    in_group!(group, with())
}

/// `value` as long as the group's modulus.
fn padded(group: Group, value: &BigUint) -> Vec<u8> {
    let bytes = value.to_bytes_be();
    let mut padded = vec![0; public_len(group) - bytes.len()];
    padded.extend_from_slice(&bytes);
    padded
}

#[test]
fn published_values_come_out_in_every_group() {
    for case in cases() {
        let [initiator, responder] = case.private.map(|private| key_pair(case.group, private));
        assert_eq!(initiator.public(), case.public[0], "{}", case.group);
        assert_eq!(responder.public(), case.public[1], "{}", case.group);
        assert_eq!(initiator.shared_secret(responder.public()).unwrap().as_bytes(), case.shared, "{}", case.group);
        assert_eq!(responder.shared_secret(initiator.public()).unwrap().as_bytes(), case.shared, "{}", case.group);
    }
}

/// The formula of RFC 2409 section 6 and RFC 3526: `2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) pi) + c)`. Top and bottom 64 bits are ones,
/// and `2^((p-1)/2)` is 1 modulo a safe prime with p = 7 (mod 8), which a mistyped digit would hardly keep.
#[test]
fn moduli_have_the_form_of_the_rfcs() {
    for group in Group::ALL {
        let p = modulus(group);
        let bytes = p.to_bytes_be();
        assert_eq!(bytes.len() * 8, usize::from(group.bits()), "{group}");
        assert!(bytes.starts_with(&[0xFF; 8]) && bytes.ends_with(&[0xFF; 8]), "{group}");
        let half = (&p - 1_u8) / 2_u8;
        assert_eq!(BigUint::from(2_u8).modpow(&half, &p), BigUint::from(1_u8), "{group}");
    }
}

#[test]
fn values_that_give_the_secret_away_are_refused() {
    for group in Group::ALL {
        let ours = KeyPair::generate(group, &mut StdRng::seed_from_u64(1));
        let p = modulus(group);
        let one = BigUint::from(1_u8);
        for bad in [BigUint::ZERO, one.clone(), &p - &one, p.clone(), &p + &one] {
            assert_eq!(ours.shared_secret(&padded(group, &bad)).err(), Some(DhError::Range), "{group}: {bad}");
        }
        for good in [BigUint::from(2_u8), &p - 2_u8] {
            assert!(ours.shared_secret(&padded(group, &good)).is_ok(), "{group}: {good}");
        }
    }
}

#[test]
fn values_of_another_length_are_refused() {
    let ours = KeyPair::generate(Group::Modp1024, &mut StdRng::seed_from_u64(1));
    let good = ours.public().to_vec();
    for bad in [&good[1..], &[&[0], good.as_slice()].concat(), &[]] {
        assert_eq!(ours.shared_secret(bad).err(), Some(DhError::Length { found: bad.len(), expected: 128 }));
    }
}

#[test]
fn exponents_differ_and_have_the_full_length() {
    let mut rng = StdRng::seed_from_u64(7);
    for group in Group::ALL {
        let [first, second] = [(); 2].map(|()| KeyPair::generate(group, &mut rng));
        assert_ne!(first.public(), second.public());
        assert_eq!(first.exponent.bit_width(), exponent_bits(group));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn secrets_equal_those_of_num_bigint(seed: u64, index in 0..Group::ALL.len(), peer in prop::collection::vec(any::<u8>(), 512)) {
        let group = Group::ALL[index];
        let p = modulus(group);
        let ours = KeyPair::generate(group, &mut StdRng::seed_from_u64(seed));
        let exponent = BigUint::from_bytes_be(ours.exponent.to_be_bytes().as_ref());
        prop_assert_eq!(ours.public(), padded(group, &BigUint::from(2_u8).modpow(&exponent, &p)));

        let peer = BigUint::from_bytes_be(&peer) % (&p - 3_u8) + 2_u8;
        let shared = ours.shared_secret(&padded(group, &peer)).unwrap();
        prop_assert_eq!(shared.as_bytes(), padded(group, &peer.modpow(&exponent, &p)));
    }
}

fn cases() -> [Case; 6] {
    [
        Case {
            group: Group::Modp768,
            private: [
                &hex!("6091ffc6de28c1ccc7c65da611abfae86a1074b22243e3706cb6de2fe29d1142"),
                &hex!("76e02fc3eabe6a0fced6c31e5945d167fad00200b4af12cd6fc6d7e381486278"),
            ],
            public: [
                &hex!(
                    "d7a254629901c889532c3e44da3d0b7e92273770c626c39190522dab6707caff3659109f2f4324a417eb7dc4563a09ba04cd"
                    "3c9b27d3c1227eb19dcb69fef3b6e2aa1381232406642dd150785707f47c3d748a3d6b96d000c52c99d10b65f2d1"
                ),
                &hex!(
                    "f0e9dc78104c9799b67074b07d8f097aa882bde464c8eb9a0acdef1386194f49c063c67d68f14c5e3b041957678ea7cb397d"
                    "870720819ea1085a28d813e3739a64006f2466e86c09e0c69c2ca4f10a04c49bb30186bdfab54df4208314d93c52"
                ),
            ],
            shared: &hex!(
                "29cb147d2a2b0d02594db07bf044705cb14489d0f0a932cc87f604051d1cb6e2be903916e25c653993c8055ed4376ca4dba8"
                "4012391a92a3f34264af641fd818e1ba4e9934300997d732d70d0d7373cd3daaad22e868b7e250029d307ee54148"
            ),
        },
        Case {
            group: Group::Modp1024,
            private: [
                &hex!("e53c205da0d8e4bfb4174944320fc6e4ea66fe44e3c931ac5da1450aea47ebcf"),
                &hex!("7f9af721eb7cd2a900a36e399ebc5c65eecce6629c8e1c5a7ff33293645fd3e3"),
            ],
            public: [
                &hex!(
                    "66617c9bbe91ee9900d806415b7384ecb0b6b80a39bd5b070396ee32375a8f68376b352b97baf32f95c4d18c06ab96bfe3f3"
                    "752df1e3c55741b6f4244117eebda1015983c6ba008fe89fe51cf4c9692592ebf742436c393df61a60ccc64fd7907a6d2626"
                    "7c0f1556230c3e332b2e11d118a6982589793a2f6d66b86676bae47a"
                ),
                &hex!(
                    "7b9010609ebf2c497017458afaab4202885d25de7b5e5ce9b05bd442a3e97b52cea760d7dbcb21dd71d80cd4347caa9edfbc"
                    "2df4c1cdc1669b8ad244eb345b331d875492883df04a3d0b1a8b8927d50991fe03e7357eb6bdfce3d8c684c9861bc5ce0396"
                    "2ffb87bf05dabd5a3727994ddee5d3c6ecc589859991b93255761fd5"
                ),
            ],
            shared: &hex!(
                "95790f5c46ae7ca1a471dd786aa8e444073ecec9695d004620cd7c9d3609a6973c89a230750935638b86d1e65b27b7848881"
                "f9013abd036280d1862bb03ca60ba90b70f9ae7edf71ff80f5a7eefbe26729b5bbb1bb1feb0d240e53c9d74b4fe9d262b53b"
                "d5d8a7383f90f01e359647d04802d74a4f753b294a96503f2605d3f1"
            ),
        },
        Case {
            group: Group::Modp1536,
            private: [
                &hex!("22d9dcc73079936a858c07aa85ed07b3d1e8b670e7caafa192837696070fef29"),
                &hex!("323474de7788e0036b309549560b000d81f82fdb6978f3c03b701680de6e2810"),
            ],
            public: [
                &hex!(
                    "3d7d1dd1bca7137a642373d5d9b86ef995849ea51cb6cd51a6b93e83b34f967dbf7d66bc7ce5d958bf01902b60f1c3076cfe"
                    "147beb45f08397cff4c3a8027caae184788ef3eb0dd56e14c6dd2ce954e3d5cc80db84deb534ce382445e7a441db97123002"
                    "0a1a45ca0070d694f093c716d80768336e61b56ff78b350939fe4e9e032c85bb5881c4c8d7dbd530a6fc501300f7e9e65bff"
                    "b983348ad05cc56e2c19f597a99fb968914be9b57acf9111e75b576a613767157657900dcf22f4200c3d"
                ),
                &hex!(
                    "d63258d554353d6b2bcc0b5353fa8000b3a354a2411d7f17abca691de8227cd7d43e7fef8b3ee7a0a91a663d30c54f3c5f4b"
                    "95c9fe38c6cf1939b4802bb6f0a951128fdc391d90fa8b40484f45b6da02c76cf91b4331c4cf7851e550a2d1c025531403e0"
                    "403af472b38341dc562be98d1aa280494d6264316a6f774ce0eed40157b637c54e69503becb8f0d757b286e4d843c224219a"
                    "923f73ab578315af445afad9569df25acfca3a9f7c93d303f4ef2432bf62ce525c8a56babd2ffb543832"
                ),
            ],
            shared: &hex!(
                "6e3df6e252ba1153ca45e9a8bbe548337b69572aff4e61b46ec986b870a863d3853ab9a54d9c632a0948ce8c65f1a29b067a"
                "1451198dab9f24776e86425a06bdaa9f26dce9e89e368d0e16702774015a1430aaa1e833227f9dea7a5818ce474320b39ce8"
                "67ca79a49b31e6abcea6c8daff00b8064e2a757372d40d58a592e7a2deb1f9a0d9abab1fc0812ee1ffa62a20ff68ce4d02ac"
                "b84a1a033d03e4f05e97a4fad89ec23aee349e264efa61ae59e9381b1e5b7aa5d09ab66b74997cbaed20"
            ),
        },
        Case {
            group: Group::Modp2048,
            private: [
                &hex!("af3bfd3862caa11774ce2b74840807c1de5cd6a7619bb3a0c7af39eedaa6eb89e2e9c144b3625b2731879cb58fa3766d"),
                &hex!("77a48e4772e23e284ce4af81399dcd589beb7cefbcc9d196f06dcfdfc3a88e3b4c1c82befec0e64ba495ccde329936ce"),
            ],
            public: [
                &hex!(
                    "1a27c5a7237ae8fe0a71c0af6494faeccdd4a5031d47a1a6b7162dfcdf03bb17b7bb089bd652a5f31b3661bb114d7c48d83d"
                    "244f46db64870c9c8327f1a830abf531e518dd521a2e94e7061e944209ba5331012b3dff00849eaab58c7c7af15265210fbc"
                    "f0f87b9dd932f8ba4e9a9f91b63294530a1200b88b3a03e1a0c7fd34deec6fad501ede06ce7ec9e291d47b69b3a4b61bb087"
                    "63b6d46bfbdab97bdecea0ff09a872221fb4b6ccca6b5c6faad8eb873b9a2f39b63e62cfadd47607e68e2c290583f7268fb4"
                    "3fc00a7dc8810ecdac1a59bd1b477aaf41cb4b24ada3e5f7b8cb986f1ae476afc7677aa62570a1b1838dda26be7863ee2f40"
                    "b5e538a4e181"
                ),
                &hex!(
                    "667282318d65cb05cd323c25091e664cc75a3a20c014b2f6389d3b27f5c1e908e0d40ff8552bd587752550302285b49f75f8"
                    "ffaec937fb2e69c8150f88d6508bf0fb1f16e9676f5ecf718f874f3d8de3c8688749dbcf1affd4d62ff9ea5d9e3035b2ce4a"
                    "6eae281c408fc8084ae235d998a037610a8cb48c878cd0635fa1369fc90b864c532367384597fdeefdb6742b006adedae201"
                    "5bc4ce2f9c5451c9636a16ed7d10b4e40d825b50aa7633a0e8fb813bebc049f7ff6a71ecfb14e880f509d38b571a809808a4"
                    "96b451b5b5567a3608b01a22e4998355f181b879de262304f29de142ff5e52cc564f3a2d1e84a0c33d8f3da7bf6412b3f018"
                    "e00d90fa5b94"
                ),
            ],
            shared: &hex!(
                "26f9e8457cf2d7d56dd819c2a867d7c3a90aa2b944e20b8bded3a5bf91aa1ff81a7ea89d524c365f3823510835cd8644c4d5"
                "dacf893e610d2c1a140616d1c8c1d35f46de2c5faad9aecec6b677acd984098142a8aa0c8542e9ac98b3bc7b577c59b8ec53"
                "346e1567a90039ac92b224635ab216731b06353925642c330a201ba4b31284a9515860f35e9308f5515a779984fbd9f5ce41"
                "77db78d1cb0384b63c739c6d744ad7a700b95a531b29f3b744ed38e69aee67072c45a91cee6b14215e04f27c31358c86dce4"
                "48d60a223bdc554edaa3e4072ef603a0f4619f8db39cec291c860174155d8abf9e1082931df58ed9ee9c1215dd2393de02f5"
                "c1767f070e28"
            ),
        },
        Case {
            group: Group::Modp3072,
            private: [
                &hex!("51f8aab663201eb286bad29932b2e58a9296bf2aa77879cc8c6429d5a668adf76057adc377cc75fd864796b8fa7b428c"),
                &hex!("af7f44290baac8815e70759b6b274227122250ea8d5a12ef4b0a82cfe91d52989d96c1a840892a9ffa9f3a65c77c8cd9"),
            ],
            public: [
                &hex!(
                    "ae9827a07a372e160167206372c55b615cd49e8c43f71a6e6b22838c0f9b9d903ae59797f395c9ca7c780fa88d7927a3ac48"
                    "f1b505e67a0db1ebad578eb1572b86525e840c4ce2435ed4cde17568a2cb270885c9d3a724f87346e519a94784ee88afec27"
                    "86689f0bc123e0e4657957b4f75f24b52dd48039093ae8eb5da40d1e31fc53fd98a058b0389bd5c7af5b0df449d613901ca2"
                    "71b58e470f88d345931f3f64e81f031de95adaef78f60e645eca7dd5618aa6edd39fa891224639a9ae42a8a9374d683fd3f4"
                    "826b974c8d00392f311245a71c86db4eb5efc47834ce6bafb208aabac68c35e34f791578401c7b750115b16e5c3ac36242f4"
                    "a90a99734c08368d48ab5d50ec92f3f1267e54b93334a50b00d7571d1ceb1e662158d5663620d1f0228a64f492ea8e1fe181"
                    "7e3583577f1e48a58491c10d98ffa0eaa86405d02c94b49f99fddc6a3b7bd6e3bce2261ea3cbbd821f495a2aa71ae909b3cd"
                    "0d2c9bec0b068ba72620ff06324cdb800bf8565e4b782184610ef077bc4e8fc517f7"
                ),
                &hex!(
                    "2b270c8e6674093145ef84ab0c34560f5c4f9482a50f2f4472fde987b46eb840340203d631102f2c7f9eb48d207444fb2171"
                    "7daf76f66004a79ea8eee77cc98019ba1234f16fbff7dda945a446811d285d31afd331dfa80c870efb199668bb387618e116"
                    "21f53292908fd329aadb91635e475f33004d9effca65e73fdfe558f34ba9eef3cf961dab565c5a722afb228c26bf38d39c84"
                    "f7ca70f851bf218a7e2c2db5d356937a015a65503113f6c0d52d3b2a2121a0ca42c6ccdebb0b2cfc68aa662f3e08dd698242"
                    "7a0a11b2e144e0f1a347d1d27ff896ee56f5d9fb25f740b5c70988fcdc9112dfcea2de117c1287d32da8427049ceef097bf4"
                    "5781846a021d383e731aa6e5c3dc0a46226e54c5a6367ad8900b8eadba54093ec6f71c29744adc7302e81185ed80db14b3e4"
                    "3f29361af4e61c331e5d774d7617bf3155713b0d4f9038976f2ff85199c1d70dcb3efa2b63e0c77cee789fa0058fdf5267c6"
                    "b1bdedc1d1ef47ca08222a9a27e65f892eefde0612f46b51be1a14774d4514d7e7ca"
                ),
            ],
            shared: &hex!(
                "453caf89d6bff39bdae185461761d6def589a582669c1ac86b0b7ee46956c9f94d7477ddd81cde127576daebd3529515f06a"
                "a7df5eb13127675ce1b4dca2acb647e35576b94050bcc385b3b48944dd1ecabe6c767045cdcddd3a1d65838cccb082f544f0"
                "fd9be6c3d4ffe755e4d56dfbb42093523f45d2415eadf36a185c87a6e01427bbcc989568a29366b1c691724d810e99fb0583"
                "002672a53e499ff2304a4bcc10a3b80bf48a9e315be998bf170ce90ec4eb8705570e5ec480c21c4dd0a53a1cb206a342452e"
                "a8a684d569d810f8e98fead7039c64efef593524f5075cb87e7563a42ad1b57819c7b019963d070b4cefe22c596b3a96a8ba"
                "41bdabe054a9a9b4d1c4278a8364ead996a039e8bddc00601ecf102d20d6abced2ff192949f5f81c36fb47964439cd44036a"
                "23ac30868ca52325847b3100d3d4281676bf9484a00566f13b6ae89c57b7732f8e60434e8e4885cb1bf947ced14d3153e1b6"
                "c81b33120ffbd8459491d2c578aab0a97e83dc87875be588c0cdeeeefd19cc4f1d40"
            ),
        },
        Case {
            group: Group::Modp4096,
            private: [
                &hex!(
                    "ab69bce961f98aa9d591e3fd9abc46c80dde390284f19142e8815ab08054722bbd2e141e279ec7fd30aafaca664093731ecc"
                    "75a2bd07e4a5883f560893c83350"
                ),
                &hex!(
                    "ef3ecb88f4f988f72acd5aa22ebebf190fde7e8e4d0d50ccde80f941b3bbd6a2f9a12aee9bb3e5c5803f67affe27c80d0546"
                    "9b5254eb1f326c18731fd34ac2cd"
                ),
            ],
            public: [
                &hex!(
                    "3ec63c0c683205c39d4b977239fe7f9617560b1a56c47fd907026ad8090aa44bcc29d3c2b38d34e15c9e14c80581a5c4832f"
                    "5cd88e4373bf590ead636f68c89959dfebc4330348974ec4807ca44fb7d44f02b797709e160e3c0ec4061f759aec63d996d2"
                    "377a18dcc594c208fa837aebc1689d5c0ab4305c1bbe86b1d4a16f4cb525fcccf1006e2123c776b1ffd1fea2977b1eac82d1"
                    "eeec4c4673a517dbc42e0f8930db28d8c8e8b40f8a498da583055c9c123534cc2c5334d0bebea3762678d1f534ba646f7522"
                    "f26857a0ff288f7efc38c1dfa0a64c3eb53164c18f6c2a4e515c13c1b73935d9bdb458273355342967a854c78b168b5890f7"
                    "fe08d08c2e4a6f1663322e7b52ef0217c81513722f34c0954802e42cfb6c9ee9d2c39868711f1afc4e4778522d9c45090b26"
                    "23f4afa388426b8975640593be792bb8a715bef2c46c2c50a68aa630138ab26df9dae2b0e2c4ebc10a8636dad9be2ffb7919"
                    "cd527885843cb76c71f28e71f6f823d99c2fe31ad7fbcc9abb24ef2666a121ccf21f881fa66ab718baf92bef5cecaacf4c92"
                    "9c9cb54424d17ab7738ca6807b4efa49360a3db6527c724c4531629e9db1845c6a1eb4632e0c07ab6c31377c808370494644"
                    "a35bd4785f495f60638b988171dece5d5c4490357d0289b3944bc9f7854db80697d5f63bf3e31db44efb9a43e1dc9d17ee47"
                    "012dfbacfdaf4debfef08b5c"
                ),
                &hex!(
                    "20b7b45f69e2c30bccf841cae8042c36353725420599335fa2e87bbe59cebbc7a7d3f61eb66982503a7576c34763dfef6a6b"
                    "180a93af66e4f72f12d58c93846d160558b0d316039f6ba99ea64f005ba11e59f3a9cb993d28271a4fb830c3f6c4ceb9b016"
                    "2ccca197ff6515789d436c947eb5d8010974ebcd366bc4768341090a6fb55ca84e31d2489e3527a260776f9b8a58577bdcd6"
                    "89d8e4b72514cf15eea5a49629a2f2c486c51b5d14d49b119309bfe9c932b604c6f1c0e92c448dc19f54f421112f2887238c"
                    "9137c559b69a93acf36cc1f0bdfe4cca0b604771ee2af17c34045d4229b2b80acdfb7f56e4eaee81ed6c885a2e45afc98de1"
                    "212e5f714f5f008812d71706896d2d5ed8590cee66410879dc3195a921efe085db41d687ec2de906a810336fa7570d43112d"
                    "ecf9ffa4ae50f54fad3eec2bb3ed86dda3662bc0fc1c2894d4de7da9260f7473be676dbf609033320dbaa491720ce2d35d07"
                    "8dbdde845b4a495ad2ecc2e6da5f1c0c8920e4ea0ecca0e077dac59b97f0e94b6ccad3f42a34b6634ede83b29d9c7615f741"
                    "90df33b20e7d6908d663698adb8a2dacd979f1ca13f2cc8402f8f6cbf91192f111ddf5ad2939059554ac47b478747b78a271"
                    "9297aeda20e3d85338269b3080fc3fd78de4acf34e09477a61cac7c1b7dc7694ed141a51480e6b2b43c02556e8a8497c4fca"
                    "56f7fd56c8eb36a1f8c3d124"
                ),
            ],
            shared: &hex!(
                "23b06f4939609b0f6708852d4f87b356988fb45b1e4c951b0b1d59bba8ca8b60c255a18f3755a6db05e4285fe8f1f9d26add"
                "241419f0fca98237fd7a5e526d57ab5ad069c3f189f3c291501144a65514a566b74d0dc6419c1306cfbff35dbeb43abd5ed3"
                "9ce13753b28ae5e105f7191bc6d70ac3552c82373c6bd9db8ed5ee1546fdb5499ae70a6bcbd1859a31ec43dccf05525ee40c"
                "949887dd8168ae29cc537a6f57a526f425dd075f39d6ee71cb497a571fe57958c7de321d64f4e4892243e78fef47b331a676"
                "844989191f97adf79132607a148f193c7dd5e6d599257e1bf121932468dbbe2160c97af03f9d1b19b16b4f8fec5dcbc79834"
                "4a87dbd402a6266e10c0e8a722fe9f67e8636cb0a73e224d5323de9b7fa7c66c62a1f40042041cbadef24b4faafda91479ec"
                "919764b0f48b959e6799f094966d246127c00e9cc7d8f5a843d1a4d61c5c0a64b6b16ca732449375d9cf5d32d399f656fd51"
                "4fbfe66eea82e479fc73180b721dd4c5bb20d450c5a1959e1f8fed9dd28c97051272f66400cdd413457ddde69ac7435ee4a4"
                "f72a37024982b4a7f6f55e03070382b83b2cedb7752517f048b7c691d1f1d7b852a5b7cd3b2bde97620e9b2cd9c77fd8ccb6"
                "925adef706a6770a2efb621c93f1ca24f09a686e8b8605814947399215339a1f29fb57acf9ce9eba2cbd4969c89e4fb93902"
                "12b9b2a35d4afa17b3eec08a"
            ),
        },
    ]
}
