//! Signals of the kernel to a running engine, without a call: a page that the engine reads.

use core::sync::atomic::{AtomicU32, Ordering};
use embodios_arch::PhysRange;
use embodios_arch::paging::PAGE;

/// A page of its own, so that nothing else of the kernel is seen.
#[repr(C, align(4096))]
struct Page {
    /// Number of Ctrl-Cs typed.
    interrupts: AtomicU32,
    _rest: [u8; PAGE as usize - size_of::<AtomicU32>()],
}

static PAGE_OF_SIGNALS: Page = Page { interrupts: AtomicU32::new(0), _rest: [0; _] };

/// The page, for the engine's space.
pub fn page() -> PhysRange {
    PhysRange::new((&raw const PAGE_OF_SIGNALS) as u64, PAGE)
}

/// Counts a Ctrl-C.
pub fn interrupt() {
    PAGE_OF_SIGNALS.interrupts.fetch_add(1, Ordering::Release);
}
