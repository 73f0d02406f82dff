//! The kernel's heap: small, for what is sized by the machine (per-core blocks, tables).

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};
use embodios_abi::MAX_THREADS;
use linked_list_allocator::Heap;
use spin::Mutex;

/// Bytes of the heap before any core is counted: 128 KiB, and 1 KiB for each thread that may exist.
const BASE: u64 = 128 * 1024 + MAX_THREADS * 1024;
/// Bytes a core adds: its block, its run queue and its share of tables.
const PER_CORE: u64 = 16 * 1024;

/// Bytes to set aside on a machine with `cores` cores, a multiple of the page size.
#[must_use]
pub const fn size(cores: usize) -> u64 {
    BASE + cores as u64 * PER_CORE
}

/// An allocator behind a lock. Usable after [`KernelHeap::init`]; before that every request fails.
pub struct KernelHeap(Mutex<Heap>);

impl KernelHeap {
    const fn new() -> Self {
        Self(Mutex::new(Heap::empty()))
    }

    /// Hands the heap its memory.
    ///
    /// # Safety
    /// `start..start + size` is writable memory that nobody else uses, from now on; called once.
    pub unsafe fn init(&self, start: *mut u8, size: usize) {
        // SAFETY: the caller's promise is the one `Heap::init` asks for.
        unsafe { self.0.lock().init(start, size) }
    }
}

// SAFETY: `Heap` hands out disjoint, aligned blocks and the lock serialises it.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().allocate_first_fit(layout).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if let Some(pointer) = NonNull::new(pointer) {
            // SAFETY: by the contract of `GlobalAlloc`, `pointer` came from `alloc` with this layout.
            unsafe { self.0.lock().deallocate(pointer, layout) }
        }
    }
}

/// The kernel's heap.
#[cfg_attr(target_os = "none", global_allocator)]
pub static HEAP: KernelHeap = KernelHeap::new();
