//! How many packets a second does one core carry through each direction, and does the way allocate? (It must not: 0 allocations.)

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../tests/tunnel/mod.rs"]
mod tunnel;

use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher};
use tandem::datapath::{InboundBatch, OutboundBatch};
use tunnel::{Gateway, Link, outbound_batch, pair, received, udp};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// Packets in one batch, of four flows.
const BATCH: usize = 64;
/// Inner packets in bytes: small, middle, and full at the scenario's tunnel.
const SIZES: [usize; 3] = [64, 512, 1400];

fn main() {
    let (mut a, mut b) = pair(1, Link::default());
    let sent: Vec<_> = (0..4).map(|flow| udp([192, 168, 0, flow], [172, 16, 1, 10], (5000, 53), 1400)).collect();
    let wires = a.seal(&sent).0;
    assert_eq!(b.open(&wires), sent, "what is measured works");
    divan::main();
    assert!(a.told().is_empty() && b.dropped().is_empty());
}

fn batch(len: usize) -> OutboundBatch {
    let packets: Vec<_> = (0..BATCH).map(|i| udp([192, 168, 0, i as u8 % 4], [172, 16, 1, 10], (5000, 53), len)).collect();
    let mut batch = outbound_batch(&packets);
    batch.sealed.reserve(BATCH);
    batch
}

/// What the other end receives of a batch.
fn sealed(gateway: &mut Gateway, len: usize) -> InboundBatch {
    let mut out = batch(len);
    gateway.outbound.process(0, &mut out);
    let received = out.sealed.iter().map(|s| received(s.packet, s.path, s.tos)).collect();
    InboundBatch { arena: out.arena, received, delivered: Vec::with_capacity(BATCH) }
}

#[divan::bench(args = SIZES)]
fn outbound(bencher: Bencher, len: usize) {
    let (mut a, _) = pair(1, Link::default());
    a.outbound.process(0, &mut batch(len));
    bencher
        .counter(ItemsCount::new(BATCH))
        .counter(BytesCount::new(BATCH * len))
        .with_inputs(|| batch(len))
        .bench_local_refs(|batch| a.outbound.process(0, batch));
}

#[divan::bench(args = SIZES)]
fn inbound(bencher: Bencher, len: usize) {
    let (mut a, mut b) = pair(1, Link::default());
    b.inbound.process(0, &mut sealed(&mut a, len));
    bencher
        .counter(ItemsCount::new(BATCH))
        .counter(BytesCount::new(BATCH * len))
        .with_inputs(|| sealed(&mut a, len))
        .bench_local_refs(|batch| b.inbound.process(0, batch));
}

/// Everything but the cryptography: packets that the access list denies.
#[divan::bench(args = SIZES)]
fn denied(bencher: Bencher, len: usize) {
    let mut a = Gateway::new([198, 51, 100, 20]);
    let connection = a.connection(&[("192.168.0.0/24", "172.16.0.0/16", false)]);
    a.route("172.16.0.0/16", connection);
    a.commit();
    bencher.counter(ItemsCount::new(BATCH)).with_inputs(|| batch(len)).bench_local_refs(|batch| a.outbound.process(0, batch));
}
