//! Weights of the next tile, asked for before they are needed.

use core::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1};

use crate::kernels::x86::{CACHE_LINE, ask_for};

/// Tiles up to so many bytes leave room in the nearest cache for activations.
const NEAR: usize = 16 << 10;

/// What is asked for of the next tile while this one is multiplied: as many bytes as it has, a few lines at a time, since
/// the processor waits where too many are on their way.
pub(super) struct Ahead {
    next: *const u8,
    lines: usize,
    /// Lines asked for at a time.
    each: usize,
    near: bool,
}

impl Ahead {
    /// Of the tile behind `tile`, in so many times.
    pub(super) fn new(tile: &[u8], times: usize) -> Self {
        let lines = tile.len().div_ceil(CACHE_LINE);
        Self {
            next: tile.as_ptr().wrapping_add(tile.len()),
            lines,
            each: lines.div_ceil(times),
            near: tile.len() <= NEAR,
        }
    }

    /// To be called so many times.
    #[inline(always)]
    pub(super) fn fetch(&mut self) {
        for _ in 0..self.each.min(self.lines) {
            match self.near {
                true => ask_for::<_MM_HINT_T0>(self.next),
                false => ask_for::<_MM_HINT_T1>(self.next),
            }
            self.next = self.next.wrapping_add(CACHE_LINE);
            self.lines -= 1;
        }
    }
}
