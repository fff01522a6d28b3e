//! The one place where `ike` meets `esp`: from what quick mode agreed to the two halves of an SA pair.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rand::Rng;
use tandem_esp::{Cipher, InboundSa, Integrity, OutboundSa, Outer, SaError, Suite, SuiteError};
use tandem_ike::{ChildKeys, ChildSaId, Encapsulation, EncryptionAlgorithm, EspTransform, IntegrityAlgorithm, TrafficSelectors};
use thiserror::Error;

use crate::sadb::{Handover, InboundEntry, OutboundEntry, OuterPath, SaFacts};
use crate::stats::Counters;

/// Why an SA pair could not be made. Only a fault of this program can cause one: `ike` offers nothing that `esp` cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HandoffError {
    /// AES-GCM with a key length that nobody offers.
    #[error("AES-GCM has no key of {0} bits")]
    GcmKeyLength(u16),
    /// Cipher and integrity algorithm do not go together.
    #[error(transparent)]
    Suite(#[from] SuiteError),
    /// The keys do not fit the algorithms.
    #[error(transparent)]
    Sa(#[from] SaError),
}

/// The algorithms of a transform.
pub fn suite(transform: EspTransform) -> Result<Suite, HandoffError> {
    let (cipher, integrity) = match transform {
        EspTransform::Cbc(encryption, integrity) => (cbc(encryption), Some(hmac(integrity))),
        EspTransform::Gcm16(128) => (Cipher::Aes128Gcm16, None),
        EspTransform::Gcm16(256) => (Cipher::Aes256Gcm16, None),
        EspTransform::Gcm16(bits) => return Err(HandoffError::GcmKeyLength(bits)),
    };
    Ok(Suite::new(cipher, integrity)?)
}

fn cbc(encryption: EncryptionAlgorithm) -> Cipher {
    match encryption {
        EncryptionAlgorithm::Des => Cipher::Des,
        EncryptionAlgorithm::TripleDes => Cipher::TripleDes,
        EncryptionAlgorithm::Aes128 => Cipher::Aes128,
        EncryptionAlgorithm::Aes192 => Cipher::Aes192,
        EncryptionAlgorithm::Aes256 => Cipher::Aes256,
    }
}

fn hmac(integrity: IntegrityAlgorithm) -> Integrity {
    match integrity {
        IntegrityAlgorithm::Md5 => Integrity::HmacMd5_96,
        IntegrityAlgorithm::Sha1 => Integrity::HmacSha1_96,
        IntegrityAlgorithm::Sha256 => Integrity::HmacSha256_128,
        IntegrityAlgorithm::Sha384 => Integrity::HmacSha384_192,
        IntegrityAlgorithm::Sha512 => Integrity::HmacSha512_256,
    }
}

/// Makes both halves of an SA pair. `replay_window` is in packets, 64 to 4096; `rng` must be the operating
/// system's or seeded by it, for IVs come from it.
pub fn sa_pair(suite: Suite, keys: &ChildKeys, replay_window: u32, rng: &mut dyn Rng) -> Result<(OutboundSa, InboundSa), HandoffError> {
    let outbound = OutboundSa::new(keys.spi_out, suite, &keys.keymat_out, rng)?;
    let inbound = InboundSa::new(keys.spi_in, suite, &keys.keymat_in, replay_window)?;
    Ok((outbound, inbound))
}

/// The outer addresses of an SA pair: the connection's own in raw ESP, those that NAT detection left in UDP.
pub fn outer_path(encapsulation: Encapsulation, local: IpAddr, remote: IpAddr) -> OuterPath {
    match encapsulation {
        Encapsulation::Esp => OuterPath::Esp { local, remote },
        Encapsulation::Udp { local, remote } => OuterPath::Udp { local, remote },
    }
}

/// The largest inner packet, in bytes, whose ESP packet fits `outer_mtu` on this path.
pub fn max_inner(suite: Suite, path: OuterPath, outer_mtu: usize) -> usize {
    let outer = match path {
        OuterPath::Esp { local, .. } if local.is_ipv4() => Outer::Ipv4,
        OuterPath::Esp { .. } => Outer::Ipv6,
        OuterPath::Udp { local, .. } if local.is_ipv4() => Outer::Ipv4Udp,
        OuterPath::Udp { .. } => Outer::Ipv6Udp,
    };
    suite.max_inner(outer_mtu, outer)
}

/// What a new SA pair is, beside its keys.
#[derive(Clone, Copy, Debug)]
pub struct Negotiated {
    /// Its name.
    pub id: ChildSaId,
    /// Index of its connection.
    pub connection: usize,
    /// Index of its pair of proxy identities.
    pub child: usize,
    /// The proxy identities.
    pub selectors: TrafficSelectors,
    /// Its algorithms.
    pub suite: Suite,
    /// Its outer addresses.
    pub path: OuterPath,
    /// MTU of the path outside, in bytes.
    pub outer_mtu: usize,
    /// Anti-replay window in packets.
    pub replay_window: u32,
}

/// Makes the entries of a new SA pair for the packet path's tables. The next authentic packet is asked for from the start: as responder it completes
/// quick mode.
pub fn entries(new: Negotiated, keys: &ChildKeys, rng: &mut dyn Rng) -> Result<(Arc<OutboundEntry>, Arc<InboundEntry>), HandoffError> {
    let facts = Arc::new(SaFacts {
        id: new.id,
        connection: new.connection,
        selectors: new.selectors,
        spi_in: keys.spi_in,
        spi_out: keys.spi_out,
        counters: Counters::default(),
        tell_authentic: AtomicBool::new(true),
    });
    let (outbound, inbound) = sa_pair(new.suite, keys, new.replay_window, rng)?;
    let max_inner = max_inner(new.suite, new.path, new.outer_mtu);
    let outbound = OutboundEntry { facts: Arc::clone(&facts), sa: Handover::new(outbound), path: new.path, max_inner };
    let inbound = InboundEntry { facts, sa: Handover::new(inbound), child: new.child, in_udp: matches!(new.path, OuterPath::Udp { .. }) };
    Ok((Arc::new(outbound), Arc::new(inbound)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use tandem_esp::{HEADROOM, Packet, TAILROOM};

    use super::*;

    const TRANSFORMS: [EspTransform; 9] = [
        EspTransform::Cbc(EncryptionAlgorithm::Des, IntegrityAlgorithm::Md5),
        EspTransform::Cbc(EncryptionAlgorithm::TripleDes, IntegrityAlgorithm::Sha1),
        EspTransform::Cbc(EncryptionAlgorithm::Aes128, IntegrityAlgorithm::Sha1),
        EspTransform::Cbc(EncryptionAlgorithm::Aes192, IntegrityAlgorithm::Sha256),
        EspTransform::Cbc(EncryptionAlgorithm::Aes256, IntegrityAlgorithm::Sha384),
        EspTransform::Cbc(EncryptionAlgorithm::Aes256, IntegrityAlgorithm::Sha512),
        EspTransform::Cbc(EncryptionAlgorithm::Aes128, IntegrityAlgorithm::Sha256),
        EspTransform::Gcm16(128),
        EspTransform::Gcm16(256),
    ];

    fn keys(spi_in: u32, spi_out: u32, keymat_in: Vec<u8>, keymat_out: Vec<u8>) -> ChildKeys {
        ChildKeys { spi_in, spi_out, keymat_in, keymat_out }
    }

    #[test]
    fn what_one_end_seals_the_other_opens_with_every_transform() {
        let mut rng = StdRng::seed_from_u64(1);
        for transform in TRANSFORMS {
            let suite = suite(transform).unwrap();
            let (there, back): (Vec<u8>, Vec<u8>) =
                ((0..suite.keymat_len()).map(|i| i as u8 ^ 0x3c).collect(), (0..suite.keymat_len()).map(|i| 255 - i as u8).collect());
            let (mut ours, _) = sa_pair(suite, &keys(0x100, 0x200, back.clone(), there.clone()), 64, &mut rng).unwrap();
            let (_, mut theirs) = sa_pair(suite, &keys(0x200, 0x100, there, back), 64, &mut rng).unwrap();
            let mut arena = vec![0x45; HEADROOM + 100 + TAILROOM];
            let before = arena.clone();
            let mut packet = [Packet { start: HEADROOM, len: 100 }];
            ours.seal_batch(&mut arena, &mut packet).unwrap();
            assert_eq!(arena[packet[0].start..][..4], 0x200u32.to_be_bytes());
            let mut result = [Ok(())];
            theirs.open_batch(&mut arena, &mut packet, &mut result);
            assert_eq!((result, &arena[packet[0].range()]), ([Ok(())], &before[HEADROOM..HEADROOM + 100]), "{transform:?}");
        }
    }

    #[test]
    fn keys_of_the_wrong_length_and_unknown_key_lengths_are_refused() {
        assert_eq!(suite(EspTransform::Gcm16(192)), Err(HandoffError::GcmKeyLength(192)));
        let suite = suite(TRANSFORMS[2]).unwrap();
        let short = keys(0x100, 0x200, vec![1; 36], vec![1; 35]);
        assert!(sa_pair(suite, &short, 64, &mut StdRng::seed_from_u64(1)).is_err());
    }

    #[test]
    fn the_largest_inner_packet_depends_on_suite_and_path() {
        let suite = suite(TRANSFORMS[2]).unwrap();
        let raw = outer_path(Encapsulation::Esp, [198, 51, 100, 20].into(), [203, 0, 113, 21].into());
        assert_eq!(max_inner(suite, raw, 1500), 1438);
        let (local, remote) = ("198.51.100.20:4500".parse().unwrap(), "203.0.113.21:4500".parse().unwrap());
        let udp = outer_path(Encapsulation::Udp { local, remote }, [198, 51, 100, 20].into(), [203, 0, 113, 21].into());
        assert_eq!(udp, OuterPath::Udp { local, remote });
        assert_eq!(max_inner(suite, udp, 1500), 1422);
    }
}
