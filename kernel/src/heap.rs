//! The kernel's heap: small, for data sized by the machine (per-core blocks, tables).

use crate::scheduler::max_threads;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};
use embodios_arch::paging::PAGE;
use linked_list_allocator::Heap;
use spin::Mutex;

/// Bytes of the heap before any core or thread is counted.
const BASE: u64 = 128 * 1024;
/// Bytes a thread adds: its slot and links.
const PER_THREAD: u64 = 1024;
/// Bytes a core adds: its block, its run queue and its share of tables.
const PER_CORE: u64 = 16 * 1024;
/// Sets of cores that a core has in its hands at the same time, and that the scheduler keeps, at most.
const SETS_PER_CORE: u64 = 8;

/// Bytes to set aside on a machine with `cores` cores, a multiple of the page size. Enough for all that a system call
/// can lead to: threads have their slots from the beginning, and all there is beside them are sets of cores.
#[must_use]
pub const fn size(cores: usize) -> u64 {
    let (threads, cores) = (max_threads(cores) as u64, cores as u64);
    // A set needs memory of its own beyond 256 cores; the allocator adds a header of two words.
    let set = if cores > 256 { (cores.div_ceil(64) + 4) * 8 } else { 0 };
    let sets = (threads + SETS_PER_CORE * cores) * set;
    (BASE + threads * PER_THREAD + cores * PER_CORE + sets).next_multiple_of(PAGE)
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
    /// `start..start + size` is writable memory that nothing else uses, from now on; called once.
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
