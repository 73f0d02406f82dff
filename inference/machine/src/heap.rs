//! The heap of all threads: one free list behind a spin lock, over memory that the kernel grants when
//! the list runs dry. Threads on reserved cores get nothing.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use embodios_abi::MAX_GRANT;
use embodios_abi::layout::LARGE_PAGE;
use linked_list_allocator::Heap;
use spin::Mutex;

use crate::{cores, system};

struct Grown(Mutex<Heap>);

#[cfg_attr(not(test), global_allocator)]
static HEAP: Grown = Grown(Mutex::new(Heap::empty()));

/// Lets the kernel grant what `layout` needs, and adds it to `heap`. Result: whether it did.
fn grow(heap: &mut Heap, layout: Layout) -> bool {
    let page = LARGE_PAGE as usize;
    // The list rounds sizes up to its own granularity and may lose some bytes to alignment.
    let needed = layout.size().checked_add(layout.align()).and_then(|sum| sum.checked_add(page));
    let Some(bytes) = needed.map(|needed| needed / page * page) else { return false };
    let mut missing = bytes.max(page);
    while missing > 0 {
        let bytes = missing.min(MAX_GRANT as usize);
        // Memory granted before the refusal stays the heap's.
        let Ok(start) = system::memory_grant(bytes) else { return false };
        if heap.size() == 0 {
            // SAFETY: the grant is fresh, this heap's alone, and stays mapped.
            unsafe { heap.init(start as *mut u8, bytes) };
        } else {
            // SAFETY: grants are contiguous upwards, so that this one begins where the heap ends.
            unsafe { heap.extend(bytes) };
        }
        missing -= bytes;
    }
    true
}

/// Bytes that were granted and are in no use.
pub fn idle() -> u64 {
    HEAP.0.lock().free() as u64
}

// SAFETY: blocks come from a free list under a lock, which hands out no byte twice.
unsafe impl GlobalAlloc for Grown {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if cores::refuses_allocation() {
            return ptr::null_mut();
        }
        let mut heap = self.0.lock();
        loop {
            if let Ok(block) = heap.allocate_first_fit(layout) {
                return block.as_ptr();
            }
            if !grow(&mut heap, layout) {
                return ptr::null_mut();
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller got the block from `alloc` with this layout.
            unsafe { self.0.lock().deallocate(block, layout) };
        }
    }
}
