//! Tests of the primitives against published values.
#![allow(clippy::unwrap_used)]

use hex_literal::hex;

use super::*;

#[test]
fn hashes_of_abc_are_the_published_ones() {
    let cases: [(HashAlgorithm, &[u8]); 5] = [
        (HashAlgorithm::Md5, &hex!("900150983cd24fb0d6963f7d28e17f72")),
        (HashAlgorithm::Sha1, &hex!("a9993e364706816aba3e25717850c26c9cd0d89d")),
        (HashAlgorithm::Sha256, &hex!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")),
        (HashAlgorithm::Sha384, &hex!("cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7")),
        (
            HashAlgorithm::Sha512,
            &hex!("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"),
        ),
    ];
    for (algorithm, expected) in cases {
        assert_eq!(*hash(algorithm, &[b"a", b"", b"bc"]), *expected, "{algorithm}");
        assert_eq!(expected.len(), algorithm.output_len());
    }
}

/// RFC 2202 and RFC 4231: a key shorter than the output, and one longer than the block.
#[test]
fn prf_is_the_hmac_of_the_rfcs() {
    /// Key, message and output.
    type Case = (HashAlgorithm, &'static [u8], &'static [u8], &'static [u8]);
    let cases: [Case; 10] = [
        (HashAlgorithm::Md5, b"Jefe", b"what do ya want for nothing?", &hex!("750c783e6ab0b503eaa86e310a5db738")),
        (
            HashAlgorithm::Md5,
            &[0xAA; 80],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            &hex!("6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd"),
        ),
        (HashAlgorithm::Sha1, b"Jefe", b"what do ya want for nothing?", &hex!("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79")),
        (
            HashAlgorithm::Sha1,
            &[0xAA; 80],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            &hex!("aa4ae5e15272d00e95705637ce8a3b55ed402112"),
        ),
        (
            HashAlgorithm::Sha256,
            b"Jefe",
            b"what do ya want for nothing?",
            &hex!("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        ),
        (
            HashAlgorithm::Sha256,
            &[0xAA; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            &hex!("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
        ),
        (
            HashAlgorithm::Sha384,
            b"Jefe",
            b"what do ya want for nothing?",
            &hex!("af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"),
        ),
        (
            HashAlgorithm::Sha384,
            &[0xAA; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            &hex!("4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952"),
        ),
        (
            HashAlgorithm::Sha512,
            b"Jefe",
            b"what do ya want for nothing?",
            &hex!("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554" "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"),
        ),
        (
            HashAlgorithm::Sha512,
            &[0xAA; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            &hex!("80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352" "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598"),
        ),
    ];
    for (algorithm, key, message, expected) in cases {
        let prf = Prf::new(algorithm, key);
        let (head, tail) = message.split_at(5);
        assert_eq!(*prf.mac(&[head, tail]), *expected, "{algorithm}");
        assert!(prf.mac(&[message]).ct_eq(expected), "a prf can be used again");
    }
}

#[test]
fn digest_equals_itself_and_nothing_else() {
    let digest = hash(HashAlgorithm::Sha1, &[b"x"]);
    let mut other = digest.to_vec();
    assert!(digest.ct_eq(&other));
    assert!(!digest.ct_eq(&other[..19]));
    assert!(!digest.ct_eq(&[]));
    other[19] ^= 1;
    assert!(!digest.ct_eq(&other));
}

#[test]
fn ciphers_encrypt_and_decrypt_the_published_messages() {
    struct Case {
        source: &'static str,
        algorithm: EncryptionAlgorithm,
        key: &'static [u8],
        iv: &'static [u8],
        plaintext: &'static [u8],
        ciphertext: &'static [u8],
    }
    let cases = [
        Case {
            source: "RFC 3602 case 1",
            algorithm: EncryptionAlgorithm::Aes128,
            key: &hex!("06a9214036b8a15b512e03d534120006"),
            iv: &hex!("3dafba429d9eb430b422da802c9fac41"),
            plaintext: &hex!("53696e676c6520626c6f636b206d7367"),
            ciphertext: &hex!("e353779c1079aeb82708942dbe77181a"),
        },
        Case {
            source: "RFC 3602 case 4",
            algorithm: EncryptionAlgorithm::Aes128,
            key: &hex!("56e47a38c5598974bc46903dba290349"),
            iv: &hex!("8ce82eefbea0da3c44699ed7db51b7d9"),
            plaintext: &hex!(
                "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
                "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf"
            ),
            ciphertext: &hex!(
                "c30e32ffedc0774e6aff6af0869f71aa0f3af07a9a31a9c684db207eb0ef8e4e"
                "35907aa632c3ffdf868bb7b29d3d46ad83ce9f9a102ee99d49a53e87f4c3da55"
            ),
        },
        Case {
            source: "NIST SP 800-38A F.2.3",
            algorithm: EncryptionAlgorithm::Aes192,
            key: &hex!("8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b"),
            iv: &hex!("000102030405060708090a0b0c0d0e0f"),
            plaintext: &hex!(
                "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
                "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
            ),
            ciphertext: &hex!(
                "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a"
                "571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd"
            ),
        },
        Case {
            source: "NIST SP 800-38A F.2.5",
            algorithm: EncryptionAlgorithm::Aes256,
            key: &hex!("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"),
            iv: &hex!("000102030405060708090a0b0c0d0e0f"),
            plaintext: &hex!(
                "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
                "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
            ),
            ciphertext: &hex!(
                "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d"
                "39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b"
            ),
        },
        Case {
            source: "FIPS 81 table C2",
            algorithm: EncryptionAlgorithm::Des,
            key: &hex!("0123456789abcdef"),
            iv: &hex!("1234567890abcdef"),
            plaintext: &hex!("4e6f77206973207468652074696d6520666f7220616c6c20"),
            ciphertext: &hex!("e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6"),
        },
        Case {
            source: "the keys of NIST SP 800-67 appendix B, as OpenSSL encrypts",
            algorithm: EncryptionAlgorithm::TripleDes,
            key: &hex!("0123456789abcdef23456789abcdef01456789abcdef0123"),
            iv: &hex!("1234567890abcdef"),
            plaintext: &hex!("4e6f77206973207468652074696d6520666f7220616c6c20"),
            ciphertext: &hex!("f3c0ff026c023089656fbb169def7edb30ba36075d6f0176"),
        },
    ];
    for case in cases {
        let cipher = Cipher::new(case.algorithm, case.key);
        let mut data = case.plaintext.to_vec();
        cipher.encrypt(case.iv, &mut data);
        assert_eq!(data, case.ciphertext, "{}", case.source);
        cipher.decrypt(case.iv, &mut data);
        assert_eq!(data, case.plaintext, "{}", case.source);
        assert_eq!((case.key.len(), case.iv.len()), (case.algorithm.key_len(), cipher.block_len()), "{}", case.source);
    }
}
