//! The hashes as compression functions, which is what HMAC states made once per SA need.

use zeroize::Zeroize;

/// A Merkle-Damgard hash.
pub(crate) trait Hash {
    /// The chaining value.
    type State: Copy + Zeroize;
    /// Room for two blocks.
    type Ending: Copy + AsRef<[u8]> + AsMut<[u8]>;
    /// That, all zero.
    const EMPTY_ENDING: Self::Ending;
    /// Bytes of a block.
    const BLOCK: usize;
    /// Bytes of the output.
    const OUTPUT: usize;
    /// Bytes of the length at the end of the last block.
    const LENGTH_FIELD: usize;
    /// The chaining value before the first block (RFC 1321, FIPS 180-4 section 5.3).
    const INITIAL: Self::State;

    /// Takes in the whole blocks at the start of `data` and returns the rest.
    fn absorb<'a>(state: &mut Self::State, data: &'a [u8]) -> &'a [u8];
    /// The message's length in bits, as the last 8 bytes of the last block.
    fn length(bits: u64) -> [u8; 8];
    /// The chaining value as bytes. `out` takes as much as it has room for, at most all.
    fn write(state: &Self::State, out: &mut [u8]);
}

/// The hashes of HMAC-MD5, HMAC-SHA1 and HMAC-SHA2.
pub(crate) enum Md5 {}
pub(crate) enum Sha1 {}
pub(crate) enum Sha256 {}
pub(crate) enum Sha384 {}
pub(crate) enum Sha512 {}

impl Hash for Md5 {
    type State = [u32; 4];
    type Ending = [u8; 2 * Self::BLOCK];
    const EMPTY_ENDING: Self::Ending = [0; 2 * Self::BLOCK];
    const BLOCK: usize = 64;
    const OUTPUT: usize = 16;
    const LENGTH_FIELD: usize = 8;
    const INITIAL: Self::State = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];

    fn absorb<'a>(state: &mut Self::State, data: &'a [u8]) -> &'a [u8] {
        let (blocks, rest) = data.as_chunks();
        md5::block_api::compress(state, blocks);
        rest
    }

    fn length(bits: u64) -> [u8; 8] {
        bits.to_le_bytes()
    }

    fn write(state: &Self::State, out: &mut [u8]) {
        write(state.map(u32::to_le_bytes).as_flattened(), out);
    }
}

impl Hash for Sha1 {
    type State = [u32; 5];
    type Ending = [u8; 2 * Self::BLOCK];
    const EMPTY_ENDING: Self::Ending = [0; 2 * Self::BLOCK];
    const BLOCK: usize = 64;
    const OUTPUT: usize = 20;
    const LENGTH_FIELD: usize = 8;
    const INITIAL: Self::State = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];

    fn absorb<'a>(state: &mut Self::State, data: &'a [u8]) -> &'a [u8] {
        let (blocks, rest) = data.as_chunks();
        sha1::block_api::compress(state, blocks);
        rest
    }

    fn length(bits: u64) -> [u8; 8] {
        bits.to_be_bytes()
    }

    fn write(state: &Self::State, out: &mut [u8]) {
        write(state.map(u32::to_be_bytes).as_flattened(), out);
    }
}

impl Hash for Sha256 {
    type State = [u32; 8];
    type Ending = [u8; 2 * Self::BLOCK];
    const EMPTY_ENDING: Self::Ending = [0; 2 * Self::BLOCK];
    const BLOCK: usize = 64;
    const OUTPUT: usize = 32;
    const LENGTH_FIELD: usize = 8;
    const INITIAL: Self::State = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

    fn absorb<'a>(state: &mut Self::State, data: &'a [u8]) -> &'a [u8] {
        let (blocks, rest) = data.as_chunks();
        sha2::block_api::compress256(state, blocks);
        rest
    }

    fn length(bits: u64) -> [u8; 8] {
        bits.to_be_bytes()
    }

    fn write(state: &Self::State, out: &mut [u8]) {
        write(state.map(u32::to_be_bytes).as_flattened(), out);
    }
}

/// SHA-384 and SHA-512 are one function with two initial values and two output lengths.
macro_rules! sha512_family {
    ($name:ident, $output:literal, $initial:expr) => {
        impl Hash for $name {
            type State = [u64; 8];
            type Ending = [u8; 2 * Self::BLOCK];
            const EMPTY_ENDING: Self::Ending = [0; 2 * Self::BLOCK];
            const BLOCK: usize = 128;
            const OUTPUT: usize = $output;
            const LENGTH_FIELD: usize = 16;
            const INITIAL: Self::State = $initial;

            fn absorb<'a>(state: &mut Self::State, data: &'a [u8]) -> &'a [u8] {
                let (blocks, rest) = data.as_chunks();
                sha2::block_api::compress512(state, blocks);
                rest
            }

            fn length(bits: u64) -> [u8; 8] {
                bits.to_be_bytes()
            }

            fn write(state: &Self::State, out: &mut [u8]) {
                write(&state.map(u64::to_be_bytes).as_flattened()[..Self::OUTPUT], out);
            }
        }
    };
}

sha512_family!(
    Sha384,
    48,
    [
        0xcbbb9d5dc1059ed8,
        0x629a292a367cd507,
        0x9159015a3070dd17,
        0x152fecd8f70e5939,
        0x67332667ffc00b31,
        0x8eb44a8768581511,
        0xdb0c2e0d64f98fa7,
        0x47b5481dbefa4fa4,
    ]
);
sha512_family!(
    Sha512,
    64,
    [
        0x6a09e667f3bcc908,
        0xbb67ae8584caa73b,
        0x3c6ef372fe94f82b,
        0xa54ff53a5f1d36f1,
        0x510e527fade682d1,
        0x9b05688c2b3e6c1f,
        0x1f83d9abfb41bd6b,
        0x5be0cd19137e2179,
    ]
);

fn write(bytes: &[u8], out: &mut [u8]) {
    let len = bytes.len().min(out.len());
    out[..len].copy_from_slice(&bytes[..len]);
}
