//! ESP packets recorded between two strongSwan 5.9.8 gateways: four suites, each SA pair before and after a rekeying, both directions.

mod aes128_sha1_pfs2;
mod aes128_sha256_pfs2;
mod aes128_sha256_pfs5;
mod aes192_sha1_pfs5;

use tandem_esp::{Cipher, Integrity};

/// One direction of one SA pair.
pub(crate) struct Recording {
    pub(crate) cipher: Cipher,
    pub(crate) integrity: Integrity,
    pub(crate) spi: u32,
    pub(crate) keymat: &'static [u8],
    /// ESP packet and the inner packet in it, in the order of the sequence numbers, 1 first.
    pub(crate) packets: &'static [(&'static [u8], &'static [u8])],
}

/// All of them.
pub(crate) const RECORDINGS: [[Recording; 4]; 4] =
    [aes128_sha1_pfs2::RECORDINGS, aes128_sha256_pfs5::RECORDINGS, aes192_sha1_pfs5::RECORDINGS, aes128_sha256_pfs2::RECORDINGS];
