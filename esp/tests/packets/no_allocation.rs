//! Does the packet path allocate? Counted by an allocator of our own: never, once an SA is made.
// A global allocator cannot be written without `unsafe`; this one only counts and passes on.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tandem_esp::Kernel;

use crate::common::{every_suite, lay_out, pair_with};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to `System` unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn sealing_and_opening_a_batch_allocate_nothing() {
    for (suite, kernel) in every_suite().into_iter().flat_map(|suite| Kernel::available().map(move |kernel| (suite, kernel))) {
        let (mut outbound, mut inbound) = pair_with(kernel, suite, 4096, 1);
        let inner: Vec<_> = (0..100).map(|i| vec![0x45; 20 + 13 * i]).collect();
        let (mut arena, mut places) = lay_out(&inner);
        let mut results = vec![Ok(()); places.len()];

        let before = ALLOCATIONS.get();
        outbound.seal_batch(&mut arena, &mut places).unwrap();
        inbound.open_batch(&mut arena, &mut places, &mut results);
        inbound.open_batch(&mut arena, &mut places, &mut results);
        assert_eq!(ALLOCATIONS.get() - before, 0, "{suite}, {kernel}");
    }
}

#[test]
fn the_count_is_of_this_thread_and_works() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(Box::new(7)));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}
