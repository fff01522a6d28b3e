//! CBC over many packets in safe code: the reference for every other kernel.
//!
//! Encryption takes one block from each of several packets and hands them to the cipher's multi-block backend, whose width (1 to 64) depends on the processor.
//! A lane whose packet ends takes the next one, so that packets of different lengths do not leave lanes idle.

use std::marker::PhantomData;

use cipher::array::{Array, ArraySize};
use cipher::typenum::Unsigned;
use cipher::{
    BlockCipherDecBackend, BlockCipherDecClosure, BlockCipherDecrypt, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt,
    BlockSizeUser, ParBlocks,
};

use crate::Packet;

/// Packets encrypted side by side at most. More would not fit the first-level cache, and sixteen cover the latency of an AES round.
const MAX_LANES: usize = 16;

/// Encrypts each span in place: an IV, which stays as it is, and whole blocks.
pub(super) fn cbc_encrypt<C: BlockCipherEncrypt>(cipher: &C, arena: &mut [u8], spans: &[Packet]) {
    cipher.encrypt_with_backend(Encrypt { arena, spans, block: PhantomData::<C::BlockSize> });
}

/// Decrypts each span in place: an IV, which stays as it is, and whole blocks.
pub(super) fn cbc_decrypt<C: BlockCipherDecrypt>(cipher: &C, arena: &mut [u8], spans: &[Packet]) {
    cipher.decrypt_with_backend(Decrypt { arena, spans, block: PhantomData::<C::BlockSize> });
}

/// The widest backend whose multi-block call is used. Bitsliced AES (4 blocks) and DES need it; AES-NI and ARMv8 (8) gain by it on small cores. Beyond that a big
/// core overlaps single blocks by itself, and gathering 30 or 64 of them (VAES) costs more than it saves.
const GATHER_MAX: usize = 8;

struct Encrypt<'a, S> {
    arena: &'a mut [u8],
    spans: &'a [Packet],
    block: PhantomData<S>,
}

/// Where a lane stands in its packet.
#[derive(Clone, Copy, Default)]
struct Lane {
    at: usize,
    end: usize,
}

impl<S: ArraySize> BlockSizeUser for Encrypt<'_, S> {
    type BlockSize = S;
}

impl<S: ArraySize> BlockCipherEncClosure for Encrypt<'_, S> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = S>>(self, backend: &B) {
        let size = S::USIZE;
        let width = B::ParBlocksSize::USIZE.min(MAX_LANES);
        let mut waiting = self.spans.iter();
        let mut lanes = [Lane::default(); MAX_LANES];
        // The last ciphertext block of each lane, at first its IV.
        let mut chain = ParBlocks::<B>::default();
        let mut live = 0;
        loop {
            while live < width
                && let Some(span) = waiting.next()
            {
                chain[live].copy_from_slice(&self.arena[span.start..][..size]);
                lanes[live] = Lane { at: span.start + size, end: span.start + span.len };
                live += 1;
            }
            let Some(steps) = lanes[..live].iter().map(|lane| (lane.end - lane.at) / size).min() else { return };
            for _ in 0..steps {
                for (lane, block) in lanes[..live].iter().zip(&mut chain) {
                    xor(block, &self.arena[lane.at..][..size]);
                }
                if width <= GATHER_MAX && live > 1 {
                    backend.encrypt_par_blocks_inplace(&mut chain);
                } else {
                    chain[..live].iter_mut().for_each(|block| backend.encrypt_block_inplace(block));
                }
                for (lane, block) in lanes[..live].iter_mut().zip(&chain) {
                    self.arena[lane.at..][..size].copy_from_slice(block);
                    lane.at += size;
                }
            }
            let mut i = 0;
            while i < live {
                if lanes[i].end - lanes[i].at < size {
                    live -= 1;
                    lanes.swap(i, live);
                    chain.swap(i, live);
                } else {
                    i += 1;
                }
            }
        }
    }
}

struct Decrypt<'a, S> {
    arena: &'a mut [u8],
    spans: &'a [Packet],
    block: PhantomData<S>,
}

impl<S: ArraySize> BlockSizeUser for Decrypt<'_, S> {
    type BlockSize = S;
}

impl<S: ArraySize> BlockCipherDecClosure for Decrypt<'_, S> {
    #[inline(always)]
    fn call<B: BlockCipherDecBackend<BlockSize = S>>(self, backend: &B) {
        let width = B::ParBlocksSize::USIZE;
        let mut blocks = ParBlocks::<B>::default();
        for span in self.spans {
            let (bytes, _) = Array::<u8, S>::slice_as_chunks_mut(&mut self.arena[span.start..][..span.len]);
            // From the packet's end to its start, so that the ciphertext block before the one being written is still there.
            let mut end = bytes.len();
            while end > 1 {
                let start = end.saturating_sub(width).max(1);
                let count = end - start;
                blocks[..count].clone_from_slice(&bytes[start..end]);
                if width <= GATHER_MAX && count > 1 {
                    backend.decrypt_par_blocks_inplace(&mut blocks);
                } else {
                    blocks[..count].iter_mut().for_each(|block| backend.decrypt_block_inplace(block));
                }
                for (block, previous) in blocks[..count].iter_mut().zip(&bytes[start - 1..]) {
                    xor(block, previous);
                }
                bytes[start..end].clone_from_slice(&blocks[..count]);
                end = start;
            }
        }
    }
}

#[inline(always)]
fn xor(block: &mut [u8], other: &[u8]) {
    for (byte, other) in block.iter_mut().zip(other) {
        *byte ^= other;
    }
}
