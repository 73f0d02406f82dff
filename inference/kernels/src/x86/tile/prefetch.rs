//! Prefetch of the next tile's weights.

use core::arch::x86_64::_MM_HINT_T1;

use crate::x86::{CACHE_LINE, prefetch};

/// The lines of a tile, and how many are prefetched at a time.
#[derive(Clone, Copy)]
pub(super) struct Rate {
    /// Lines of a tile.
    lines: usize,
    each: usize,
}

impl Rate {
    /// A tile of `bytes` bytes in so many times.
    pub(super) const fn new(bytes: usize, times: usize) -> Self {
        let lines = bytes.div_ceil(CACHE_LINE);
        Self { lines, each: lines.div_ceil(times) }
    }
}

/// The prefetch of the next tile while this one is multiplied: a few lines at a time, since the processor stalls where
/// too many are in flight. Into the second-level cache, which can have more lines in flight than the first (into the
/// first, SmolLM2's steps are 8 % slower with four inputs, 3 % with eight; Zen 4).
pub(super) struct Prefetch {
    next: *const u8,
    /// Lines left.
    lines: usize,
    each: usize,
}

impl Prefetch {
    /// The prefetch of the tile behind `tile`.
    #[inline(always)]
    pub(super) fn behind(tile: &[u8], Rate { lines, each }: Rate) -> Self {
        Self { next: tile.as_ptr_range().end, lines, each }
    }

    /// Prefetches the next lines; called as many times as [`Rate::new`] was given.
    #[inline(always)]
    pub(super) fn issue(&mut self) {
        for _ in 0..self.each.min(self.lines) {
            prefetch::<_MM_HINT_T1>(self.next);
            self.next = self.next.wrapping_add(CACHE_LINE);
            self.lines -= 1;
        }
    }
}
