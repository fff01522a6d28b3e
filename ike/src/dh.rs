//! Diffie-Hellman in the MODP groups (RFC 2409 section 6, RFC 3526), with secret exponents in constant time.
//!
//! Every modulus is a safe prime, so a value from 2 to p - 2 generates a group of at least (p - 1)/2 elements: checking that range is
//! all that a peer's value needs (RFC 6989 section 2.1 asks for no more in these groups).

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U512, Uint};
use rand::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::proposal::Group;

/// Our share of one exchange. The exponent is wiped when dropped.
pub(crate) struct KeyPair {
    group: Group,
    exponent: Zeroizing<U512>,
    public: Vec<u8>,
}

/// `g^xy`, as long as the modulus, leading zeroes kept. Wiped when dropped, never shown.
pub(crate) struct SharedSecret(Zeroizing<Vec<u8>>);

/// Why a peer's public value is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DhError {
    /// Another length than the modulus: wrong group, or leading zeroes left out.
    #[error("the Diffie-Hellman value has {found} bytes, {expected} expected")]
    Length {
        /// Bytes received.
        found: usize,
        /// Bytes of the modulus.
        expected: usize,
    },
    /// 0, 1, p - 1 or more: the secret would be known to everybody.
    #[error("the Diffie-Hellman value is not within 2 and p - 2")]
    Range,
}

impl KeyPair {
    /// Draws a secret exponent and computes `g^x`. A few milliseconds in the large groups.
    pub(crate) fn generate(group: Group, rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut bytes = Zeroizing::new([0_u8; U512::BYTES]);
        rng.fill_bytes(&mut *bytes);
        let mut exponent = Zeroizing::new(U512::from_be_slice(&*bytes) >> (U512::BITS - exponent_bits(group)));
        // The top bit set: the length, which exponentiation shows, is the same for every exponent, and none is zero.
        *exponent |= U512::ONE << (exponent_bits(group) - 1);
        Self::with_exponent(group, exponent)
    }

    fn with_exponent(group: Group, exponent: Zeroizing<U512>) -> Self {
        let mut generator = vec![0; public_len(group)];
        if let Some(last) = generator.last_mut() {
            *last = 2;
        }
        let public = raise(group, &generator, &exponent).to_vec();
        Self { group, exponent, public }
    }

    /// `g^x`, as long as the modulus: the body of the key exchange payload.
    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }

    /// `g^xy` with the peer's public value.
    ///
    /// # Errors
    /// The value does not have the modulus' length, or is outside 2 to p - 2.
    pub(crate) fn shared_secret(&self, peer: &[u8]) -> Result<SharedSecret, DhError> {
        check(self.group, peer)?;
        Ok(SharedSecret(raise(self.group, peer, &self.exponent)))
    }
}

impl SharedSecret {
    /// A secret that a test knows.
    #[cfg(test)]
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// As long as the modulus.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The length of a public value: the modulus' in bytes.
pub(crate) fn public_len(group: Group) -> usize {
    usize::from(group.bits()) / 8
}

/// The length of our exponents in bits: at least twice the group's strength as RFC 3526 section 8 estimates it on the careful side, and never
/// under 256.
fn exponent_bits(group: Group) -> u32 {
    match group {
        Group::Modp768 | Group::Modp1024 | Group::Modp1536 => 256,
        Group::Modp2048 => 384,
        Group::Modp3072 => 448,
        Group::Modp4096 => 512,
    }
}

/// Calls a function generic over the number of limbs with the group's parameters.
macro_rules! in_group {
    ($group:expr, $function:ident($($argument:expr),*)) => {
        match $group {
            Group::Modp768 => $function(&MODP_768, $($argument),*),
            Group::Modp1024 => $function(&MODP_1024, $($argument),*),
            Group::Modp1536 => $function(&MODP_1536, $($argument),*),
            Group::Modp2048 => $function(&MODP_2048, $($argument),*),
            Group::Modp3072 => $function(&MODP_3072, $($argument),*),
            Group::Modp4096 => $function(&MODP_4096, $($argument),*),
        }
    };
}

/// `base^exponent mod p`, in a time that depends on the group alone. `base` is a checked value of the modulus' length.
fn raise(group: Group, base: &[u8], exponent: &U512) -> Zeroizing<Vec<u8>> {
    fn with<const LIMBS: usize>(params: &FixedMontyParams<LIMBS>, base: &[u8], exponent: &U512, bits: u32) -> Zeroizing<Vec<u8>> {
        let base = FixedMontyForm::new(&Uint::from_be_slice(base), params);
        let mut power = base.pow_bounded_exp(exponent, bits).retrieve();
        let mut bytes = power.to_be_bytes();
        let result = Zeroizing::new(bytes.as_ref().to_vec());
        power.zeroize();
        bytes.as_mut().zeroize();
        result
    }
    in_group!(group, with(base, exponent, exponent_bits(group)))
}

/// Refuses what no honest peer sends. Nothing secret is compared.
fn check(group: Group, peer: &[u8]) -> Result<(), DhError> {
    fn is_within_range<const LIMBS: usize>(params: &FixedMontyParams<LIMBS>, peer: &[u8]) -> bool {
        let peer = Uint::<LIMBS>::from_be_slice(peer);
        let last = params.modulus().as_ref().wrapping_sub(&Uint::ONE);
        peer > Uint::ONE && peer < last
    }
    if peer.len() != public_len(group) {
        return Err(DhError::Length { found: peer.len(), expected: public_len(group) });
    }
    if in_group!(group, is_within_range(peer)) { Ok(()) } else { Err(DhError::Range) }
}

/// A modulus with what Montgomery multiplication wants to know of it, computed by the compiler.
macro_rules! modulus {
    ($name:ident, $bits:literal, $source:literal, $hex:expr) => {
        #[doc = $source]
        static $name: FixedMontyParams<{ Uint::<{ $bits / crypto_bigint::Limb::BITS as usize }>::LIMBS }> =
            FixedMontyParams::new_vartime(Odd::<Uint<{ $bits / crypto_bigint::Limb::BITS as usize }>>::from_be_hex($hex));
    };
}

modulus!(
    MODP_768,
    768,
    "Group 1: RFC 2409 section 6.1.",
    concat!(
        "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437",
        "4FE1356D6D51C245E485B576625E7EC6F44C42E9A63A3620FFFFFFFFFFFFFFFF",
    )
);

modulus!(
    MODP_1024,
    1024,
    "Group 2: RFC 2409 section 6.2.",
    concat!(
        "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437",
        "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF",
    )
);

modulus!(
    MODP_1536,
    1536,
    "Group 5: RFC 3526 section 2.",
    concat!(
        "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437",
        "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05",
        "98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA237327FFFFFFFFFFFFFFFF",
    )
);

modulus!(
    MODP_2048,
    2048,
    "Group 14: RFC 3526 section 3.",
    concat!(
        "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437",
        "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05",
        "98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B",
        "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF",
    )
);

modulus!(
    MODP_3072,
    3072,
    "Group 15: RFC 3526 section 4.",
    concat!(
        "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437",
        "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05",
        "98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B",
        "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33",
        "A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864",
        "D87602733EC86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF",
    )
);

modulus!(
    MODP_4096,
    4096,
    "Group 16: RFC 3526 section 5.",
    concat!(
        "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437",
        "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05",
        "98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B",
        "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33",
        "A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864",
        "D87602733EC86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A92108011A723C12A787E6D7",
        "88719A10BDBA5B2699C327186AF4E23C1A946834B6150BDA2583E9CA2AD44CE8DBBBC2DB04DE8EF92E8EFC141FBECAA6287C59474E6BC05D99B2964FA090C3A2",
        "233BA186515BE7ED1F612970CEE2D7AFB81BDD762170481CD0069127D5B05AA993B4EA988D8FDDC186FFB7DC90A6C08F4DF435C934063199FFFFFFFFFFFFFFFF",
    )
);

#[cfg(test)]
mod tests;
