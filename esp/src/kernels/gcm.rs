//! AES-GCM as ESP uses it (RFC 4106): a 16-byte ICV, the nonce made of the SA's salt and the packet's IV, the header as additional data.

use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::{AeadCore, AeadInOut, Aes128Gcm, Aes256Gcm, KeyInit, Tag};
use zeroize::Zeroizing;

use super::Kernel;
#[cfg(target_arch = "x86_64")]
use super::{Choice, x86};
use crate::suite::{HEADER_LEN, SALT_LEN};
use crate::{Cipher, Packet};

const IV_LEN: usize = 8;
const ICV_LEN: usize = 16;

/// The key of an SA; the same for both directions of the cipher.
pub(crate) struct Gcm {
    key: Key,
    salt: Zeroizing<[u8; SALT_LEN]>,
}

enum Key {
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::Gcm),
    Aes128(Box<Aes128Gcm>),
    Aes256(Box<Aes256Gcm>),
}

impl Gcm {
    /// `None` if key or salt have not the cipher's length, or the cipher is not GCM.
    pub(crate) fn new(kernel: Kernel, cipher: Cipher, key: &[u8], salt: &[u8]) -> Option<Self> {
        let key = match (kernel.0, cipher) {
            #[cfg(target_arch = "x86_64")]
            (Choice::Avx512(token), Cipher::Aes128Gcm16 | Cipher::Aes256Gcm16) => Key::Avx512(x86::Gcm::new(token, key)?),
            (_, Cipher::Aes128Gcm16) => Key::Aes128(Box::new(KeyInit::new_from_slice(key).ok()?)),
            (_, Cipher::Aes256Gcm16) => Key::Aes256(Box::new(KeyInit::new_from_slice(key).ok()?)),
            _ => return None,
        };
        Some(Self { key, salt: Zeroizing::new(salt.try_into().ok()?) })
    }

    /// Encrypts each place, a whole ESP packet, and writes its ICV.
    pub(crate) fn seal(&self, arena: &mut [u8], places: &[Packet]) {
        for place in places {
            let parts = self.split(&mut arena[place.range()]);
            let icv = match &self.key {
                #[cfg(target_arch = "x86_64")]
                Key::Avx512(key) => {
                    key.seal(&parts.nonce, parts.header, parts.text, parts.icv);
                    continue;
                }
                Key::Aes128(key) => seal(&**key, &parts.nonce, parts.header, parts.text),
                Key::Aes256(key) => seal(&**key, &parts.nonce, parts.header, parts.text),
            };
            parts.icv.copy_from_slice(&icv);
        }
    }

    /// Decrypts a whole ESP packet if its ICV holds, and says whether it does.
    pub(crate) fn open(&self, arena: &mut [u8], place: Packet) -> bool {
        let parts = self.split(&mut arena[place.range()]);
        match &self.key {
            #[cfg(target_arch = "x86_64")]
            Key::Avx512(key) => key.open(&parts.nonce, parts.header, parts.text, parts.icv),
            Key::Aes128(key) => open(&**key, &parts.nonce, parts.header, parts.text, parts.icv),
            Key::Aes256(key) => open(&**key, &parts.nonce, parts.header, parts.text, parts.icv),
        }
    }

    fn split<'a>(&self, packet: &'a mut [u8]) -> Parts<'a> {
        let (rest, icv) = packet.split_at_mut(packet.len() - ICV_LEN);
        let (header, rest) = rest.split_at_mut(HEADER_LEN);
        let (iv, text) = rest.split_at_mut(IV_LEN);
        let mut nonce = [0; SALT_LEN + IV_LEN];
        nonce[..SALT_LEN].copy_from_slice(&*self.salt);
        nonce[SALT_LEN..].copy_from_slice(iv);
        Parts { nonce, header, text, icv }
    }
}

struct Parts<'a> {
    nonce: [u8; SALT_LEN + IV_LEN],
    header: &'a [u8],
    text: &'a mut [u8],
    icv: &'a mut [u8],
}

fn seal<A>(key: &A, nonce: &[u8; 12], header: &[u8], text: &mut [u8]) -> Tag
where
    A: AeadInOut + AeadCore<NonceSize = U12, TagSize = U16>,
{
    key.encrypt_inout_detached(nonce.into(), header, text.into()).expect("a packet is far shorter than the 64 GiB of GCM")
}

/// The tag is compared in constant time, and before anything is decrypted.
fn open<A>(key: &A, nonce: &[u8; 12], header: &[u8], text: &mut [u8], icv: &[u8]) -> bool
where
    A: AeadInOut + AeadCore<NonceSize = U12, TagSize = U16>,
{
    Tag::try_from(icv).is_ok_and(|tag| key.decrypt_inout_detached(nonce.into(), header, text.into(), &tag).is_ok())
}
