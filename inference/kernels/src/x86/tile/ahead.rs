//! Weights of the next tile, asked for before they are needed.

use core::arch::x86_64::_MM_HINT_T1;

use crate::x86::{CACHE_LINE, ask_for};

/// How much is asked for at a time.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// Lines of a tile.
    lines: usize,
    each: usize,
}

impl Pace {
    /// A tile of `bytes` bytes in so many times.
    pub(super) const fn new(bytes: usize, times: usize) -> Self {
        let lines = bytes.div_ceil(CACHE_LINE);
        Self { lines, each: lines.div_ceil(times) }
    }
}

/// What is asked for of the next tile while this one is multiplied: as many bytes as it has, a few lines at a time,
/// since the processor waits where too many are on their way. Into the second cache: more are on their way from memory
/// than the first can wait for (into the first, SmolLM2's steps are 8 % slower with four inputs, 3 % with eight; Zen
/// 4).
pub(super) struct Ahead {
    next: *const u8,
    /// Lines left.
    lines: usize,
    each: usize,
}

impl Ahead {
    /// Of the tile behind `tile`.
    #[inline(always)]
    pub(super) fn behind(tile: &[u8], Pace { lines, each }: Pace) -> Self {
        Self { next: tile.as_ptr_range().end, lines, each }
    }

    /// To be called as many times as [`Pace::new`] was told.
    #[inline(always)]
    pub(super) fn fetch(&mut self) {
        for _ in 0..self.each.min(self.lines) {
            ask_for::<_MM_HINT_T1>(self.next);
            self.next = self.next.wrapping_add(CACHE_LINE);
            self.lines -= 1;
        }
    }
}
