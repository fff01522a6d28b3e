//! Whole ESP packets others have published, sealed to the same bytes and opened again.
#![allow(clippy::unwrap_used)]

use hex_literal::hex;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::kernels::{CbcDecryptor, CbcEncryptor};
use crate::{Cipher, HEADROOM, InboundSa, Integrity, Kernel, OpenError, OutboundSa, Packet, Suite, TAILROOM, header};

/// RFC 3602 section 4, cases 5 to 8: AES-128-CBC without integrity, so only framing and cipher are checked.
struct EncryptionOnly {
    key: [u8; 16],
    spi: u32,
    sequence: u32,
    next_header: u8,
    inner: &'static [u8],
    esp: &'static [u8],
}

const RFC_3602: [EncryptionOnly; 4] = [
    EncryptionOnly {
        key: hex!("90d382b410eeba7ad938c46cec1a82bf"),
        spi: 0x4321,
        sequence: 1,
        next_header: 1,
        inner: &hex!(
            "08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637"
        ),
        esp: &hex!(
            "0000432100000001e96e8c08ab465763fd098d45dd3ff893f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856a4699e523a55db08
            0b59ec3a8e4b7e52775b07d1db34ed9c538ab50c551b874aa269add047ad2d5913ac19b7cfbad4a6"
        ),
    },
    EncryptionOnly {
        key: hex!("90d382b410eeba7ad938c46cec1a82bf"),
        spi: 0x4321,
        sequence: 8,
        next_header: 1,
        inner: &hex!(
            "0800b5e8a80a0500a69c083d0b660e00777777777777777777777777"
        ),
        esp: &hex!(
            "000043210000000869d08df7d203329db093fc4924e5bd80f51995881ec4e0c4488987ce742e8109689bb379d2d750c0d915dca346a89f75"
        ),
    },
    EncryptionOnly {
        key: hex!("0123456789abcdef0123456789abcdef"),
        spi: 0x8765,
        sequence: 2,
        next_header: 4,
        inner: &hex!(
            "45000054090400004001f988c0a87b03c0a87bc808009f76a90a0100b49c083d02a2040008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223
            2425262728292a2b2c2d2e2f3031323334353637"
        ),
        esp: &hex!(
            "0000876500000002f4e765244f6407adf13dc1380f673f37773b5241a4c449225e4f3ce5ed611b0c237ca96cf74a93013c1b0ea1a0cf70f8e4ecaec78ac53aad
            7a0f022b859243c647752e94a859352b8a4d4d2decd136e5c177f132ad3fbfb2201ac9904c74ee0a109e0ca1e4dfe9d5a100b842f1c22f0d"
        ),
    },
    EncryptionOnly {
        key: hex!("0123456789abcdef0123456789abcdef"),
        spi: 0x8765,
        sequence: 5,
        next_header: 4,
        inner: &hex!(
            "45000044090c00004001f990c0a87b03c0a87bc80800d63caa0a0200c69c083da3de0300ffffffffffffffffffffffffffffffffffffffffffffffffffffffff
            ffffffff"
        ),
        esp: &hex!(
            "000087650000000585d47224b5f3dd5d2101d4ea8dffab2215b92683819596a8047232cc00f7048fe45318e11f8a0f62ede3c3fc61203bb50f980a08c9843fd3
            a1b06d5c07ff9639b7eb7dfb3512e5de435e7207ed971ef3d2726d9b5ef6affc6d17a0decbb13892"
        ),
    },
];

#[test]
fn rfc_3602_cases_5_to_8_are_framed_and_encrypted_to_the_byte() {
    let suite = Suite::new(Cipher::Aes128, Some(Integrity::HmacMd5_96)).unwrap();
    for (case, kernel) in RFC_3602.iter().flat_map(with_each_kernel) {
        let (mut arena, place) = arena_with(case.inner);
        let iv = &case.esp[8..24];
        let sealed = header::enclose(&mut arena, place, suite, case.spi, case.sequence, iv, case.next_header);
        let span = header::iv_and_ciphertext(sealed, suite);
        CbcEncryptor::new(kernel, Cipher::Aes128, &case.key).unwrap().encrypt(&mut arena, &[span]);
        assert_eq!(arena[header::authenticated(sealed, suite).range()], *case.esp);

        CbcDecryptor::new(kernel, Cipher::Aes128, &case.key).unwrap().decrypt(&mut arena, &[span]);
        let opened = header::inner_of(&arena, sealed, suite);
        if case.next_header == 4 {
            assert_eq!(opened, Ok(place));
        } else {
            assert_eq!(opened, Err(OpenError::BadNextHeader), "transport mode is refused");
        }
        assert_eq!(arena[place.range()], *case.inner);
    }
}

/// A packet of a whole SA, tunnel mode, sequence number 1.
struct Published {
    name: &'static str,
    cipher: Cipher,
    integrity: Option<Integrity>,
    /// Encryption key, then integrity key or salt.
    keymat: &'static [u8],
    spi: u32,
    inner: &'static [u8],
    esp: &'static [u8],
}

/// The test vectors of DPDK's IPsec library, outer IP headers taken off, and a packet sent by strongSwan.
const PUBLISHED: [Published; 10] = [
    Published {
        name: "aes_128_gcm",
        cipher: Cipher::Aes128Gcm16,
        integrity: None,
        keymat: &hex!("feffe9928665731c6d6a8f9467308308 cafebabe"),
        spi: 0xa5f8,
        inner: &hex!(
            "4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d001000001000000000000037369700963796265726369747902646b0000010001"
        ),
        esp: &hex!(
            "0000a5f800000001facedbaddecaf888deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba76d5d114d2a5c3de81827c10e9a4f51330d0eec416642
            cfbb85a5b47e48a4ec3b9ba95d918bd429c737579ff19e58cffc607a3bce8994"
        ),
    },
    Published {
        name: "aes_256_gcm",
        cipher: Cipher::Aes256Gcm16,
        integrity: None,
        keymat: &hex!("abbccddef00112233445566778899aababbccddef00112233445566778899aab 11223344"),
        spi: 0x4a2cbfe3,
        inner: &hex!(
            "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b401010402"
        ),
        esp: &hex!(
            "4a2cbfe3000000010102030405060708ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d347f0545659f14e99d
            ef842d8b00144a1fec6adf0c9a927feea6c51160"
        ),
    },
    Published {
        name: "aes_256_gcm_v6",
        cipher: Cipher::Aes256Gcm16,
        integrity: None,
        keymat: &hex!("de12be56deadbeefdeadbeefdeadbeef1278be3401020307aabbccf108070605 11223344"),
        spi: 0x34,
        inner: &hex!(
            "60000000002006382607f8b0400c0c03000000000000001a20010470e5bfdead49572174e82c48870019f9c79563979c03a088318012a7d6258300000204056a
            0101040201030307"
        ),
        esp: &hex!(
            "000000340000000145adfe2378561200e7dfc47e21bdec1b745ae47e2e94210a9b0e59be062adab86b487f0b883aa9fd3cfe9fb18c67d2f8afb5ad16dbff8d50
            d348f56c3c0c27342b65c8ffeb5fb8ff12001c9fb785dd7d4019cb18eb15c488e1c291c7b165c32716068ff2"
        ),
    },
    Published {
        name: "aes_128_cbc_md5",
        cipher: Cipher::Aes128,
        integrity: Some(Integrity::HmacMd5_96),
        keymat: &hex!("000405012300000000000a0b0c0f0000 00100000000000021030400001020304"),
        spi: 0x3c,
        inner: &hex!(
            "45000032000100001f11178bc0a8016fc0a8017000090009001e0000be9be955000000210000000000000000000000000000"
        ),
        esp: &hex!(
            "0000003c0000000134126745ffff000020bfe8390000000067b5466e7817d35aac626262b0579b09194f0659c8b030651f455741721728e9ad50be441d2d9ad0
            48750d1c8d24a86f6b24b65d431e55f0f7141ff261d4e030ffd73fb47c30dbebf395bfcd"
        ),
    },
    Published {
        name: "aes_128_cbc_hmac_sha256",
        cipher: Cipher::Aes128,
        integrity: Some(Integrity::HmacSha256_128),
        keymat: &hex!("000405012300000000000a0b0c0f0000 de34560000007800001000000000000210304000010203040a0b0c0d05060708"),
        spi: 0x34,
        inner: &hex!(
            "45000032000100001f11178bc0a8016fc0a8017000090009001e0000be9be955000000210000000000000000000000000000"
        ),
        esp: &hex!(
            "000000340000000134126745ffff000020bfe8390000000067b5466e7817d35aac626262b0579b09194f0659c8b030651f455741721728e9ad50be441d2d9ad0
            48750d1c8d24a86f6b24b65d431e55f0f7141ff261d4e03016be1b5cccb7661c47ad076cd5cbce6c"
        ),
    },
    Published {
        name: "aes_128_cbc_hmac_sha384",
        cipher: Cipher::Aes128,
        integrity: Some(Integrity::HmacSha384_192),
        keymat: &hex!("000405012300000000000a0b0c0f0000 10304000010203040a0b0c0d05060708de34560000007800001000000010000210304000010203341a0b0c0d05060708"),
        spi: 0x34,
        inner: &hex!(
            "45000032000100001f11178bc0a8016fc0a8017000090009001e0000be9be955000000210000000000000000000000000000"
        ),
        esp: &hex!(
            "0000003400000001000000000000000000000000000000004424b9d80fbea33fc9c0a2cbaada3fc60e8875962550074d52f475ecd8cde4cf859abc9e840fbb83
            720c7f580246eb866ed1cf056ad1d2c6b594090a3edf09fb0ab7b49717f220affa90924de40eef5ae84346a85e3f5246"
        ),
    },
    Published {
        name: "aes_128_cbc_hmac_sha512",
        cipher: Cipher::Aes128,
        integrity: Some(Integrity::HmacSha512_256),
        keymat: &hex!("000405012300000000000a0b0c0f0000 de34560000007800001000000000000210304000010203040a0b0c0d05060708de34560000007800001000000010000210304000010203341a0b0c0d05060708"),
        spi: 0x34,
        inner: &hex!(
            "45000032000100001f11178bc0a8016fc0a8017000090009001e0000be9be955000000210000000000000000000000000000"
        ),
        esp: &hex!(
            "00000034000000014232766545352441f0c1b44000000000d03223f7cd3ddbd570191bf58feb983d415c28ddfdccdda2eb434c132da19887923a1f67208d9e8e
            51214ca9ffadfb5d57a31691aa75c728424e8f8e8437940974fa700dd137e27c54dd2eb4f4544b12e0af4a0a0b52579d36dcac02fb553405"
        ),
    },
    Published {
        name: "aes_128_cbc_hmac_sha256_v6",
        cipher: Cipher::Aes128,
        integrity: Some(Integrity::HmacSha256_128),
        keymat: &hex!("000405012300000000000a0b0c0f0000 de34560000007800001000000000000210304000010203040a0b0c0d05060708"),
        spi: 0x34,
        inner: &hex!(
            "60000000002006382607f8b0400c0c03000000000000001a20010470e5bfdead49572174e82c48870019f9c79563979c03a088318012a7d6258300000204056a
            0101040201030307"
        ),
        esp: &hex!(
            "000000340000000145adfe2378561200f0c1053c000000001b1c986e2ace61efc1dd25965cb1b0154725b78b00b6bbe62e29cb4a9400f073db1432d9a2df222f
            523e7977f317aa401c572712824435b864e0aa5c10c797359c6b1cf7e7bd83337748447da413743b6a91d0d87d4145235dc92d087ad8258e"
        ),
    },
    Published {
        name: "aes_128_gcm_frag",
        cipher: Cipher::Aes128Gcm16,
        integrity: None,
        keymat: &hex!("deadbeefdeadbeefdeadbeefdeadbeef deadbeef"),
        spi: 0x34,
        inner: &hex!(
            "4500006e000100174006ed48c6120000c6120105001400500000000000000000500000005505000000010203f2f6e921f9f2f6e921f9f2f6e921000000000000
            00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        ),
        esp: &hex!(
            "000000340000000145adfe23785612004926ac4e8df37426183f6594732ee4cf846d038a4cdd2defcd9f847693e1ee21928bf77ab16a7fd61066dda18b175699
            9a40d06b2de055402fb838e30846e269c9a1859d7bec332a2d1d1f1a9ef01ec333643582bbb57a912e8dd55b3abe9594ba40734ea415e44af9142c4f632e236e
            eb06e752e1c7917f19c04ad2d53e84a8"
        ),
    },
    Published {
        name: "live tunnel packet AES-128-CBC + HMAC-SHA1-96",
        cipher: Cipher::Aes128,
        integrity: Some(Integrity::HmacSha1_96),
        keymat: &hex!("bd30891c6cb5f9a353be9184897260c9 d42291170f2c984835553a1b83373735723fe256"),
        spi: 0xc6494f61,
        inner: &hex!(
            "45000028966700004006cd670a0001010a000201cbc00016c978662800000000500272102b590000"
        ),
        esp: &hex!(
            "c6494f6100000001173250acefbfe2e43b769697701347ba745dc8a99379ac042280924deb4a6e63da66513996098e0cd046d7c8c839cfd779eafcb6ac8cf25c
            3bf84a4dcbf7dcf9bb53725c2b2785c76c4c3fab"
        ),
    },
];

#[test]
fn published_packets_are_sealed_to_the_byte() {
    for (case, kernel) in PUBLISHED.iter().flat_map(with_each_kernel) {
        let suite = Suite::new(case.cipher, case.integrity).unwrap();
        let (mut arena, place) = arena_with(case.inner);
        let mut iv = [0; 16];
        iv[..suite.iv_len()].copy_from_slice(&case.esp[8..][..suite.iv_len()]);
        let mut sa = OutboundSa::with_any_spi(kernel, case.spi, suite, case.keymat, &mut StdRng::seed_from_u64(1)).unwrap();
        let mut packets = [place];
        sa.seal_chunk(&mut arena, &mut packets, &[iv]);
        assert_eq!(arena[packets[0].range()], *case.esp, "{kernel}: {}", case.name);
    }
}

#[test]
fn published_packets_are_opened() {
    for (case, kernel) in PUBLISHED.iter().flat_map(with_each_kernel) {
        let suite = Suite::new(case.cipher, case.integrity).unwrap();
        let mut sa = InboundSa::with_any_spi(kernel, case.spi, suite, case.keymat, 64).unwrap();
        let mut arena = case.esp.to_vec();
        let mut packets = [Packet { start: 0, len: arena.len() }];
        let mut results = [Ok(())];
        sa.open_batch(&mut arena, &mut packets, &mut results);
        assert_eq!(results, [Ok(())], "{kernel}: {}", case.name);
        assert_eq!(arena[packets[0].range()], *case.inner, "{kernel}: {}", case.name);
    }
}

fn arena_with(inner: &[u8]) -> (Vec<u8>, Packet) {
    let arena = [&[0; HEADROOM], inner, &[0; TAILROOM]].concat();
    (arena, Packet { start: HEADROOM, len: inner.len() })
}

fn with_each_kernel<T>(case: &T) -> impl Iterator<Item = (&T, Kernel)> {
    Kernel::available().map(move |kernel| (case, kernel))
}
