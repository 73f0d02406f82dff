//! Weights of the next tile, asked for before they are needed.

use core::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1};

use super::PARTS;
use crate::kernels::x86::formats::QuantVector;
use crate::kernels::x86::{CACHE_LINE, ask_for};
use crate::tiles::TILE;

/// What is asked for of the next tile while parts of this one are multiplied: as many bytes as these have, a few lines at a
/// time, since the processor waits where too many are on their way.
pub(super) struct Ahead {
    next: *const u8,
    lines: usize,
    /// Lines asked for with each part and step of inputs.
    each: usize,
}

impl Ahead {
    /// Of the tile behind `rows`, while parts `start .. start + count` of these are multiplied in so many steps of inputs.
    pub(super) fn new<Q: QuantVector>(rows: &[u8], start: usize, count: usize, steps: usize) -> Self {
        let bytes = |parts: usize| TILE * parts * Q::BYTES / Q::PARTS;
        let lines = (bytes(start + count) - bytes(start)).div_ceil(CACHE_LINE);
        let next = rows.as_ptr().wrapping_add(rows.len() + bytes(start));
        Self { next, lines, each: lines.div_ceil(count * steps) }
    }

    /// To be called with each part and step.
    #[inline(always)]
    pub(super) fn fetch<Q: QuantVector>(&mut self) {
        // Into the nearest cache, if they leave room there for what is unpacked and for activations.
        let near = const { TILE * PARTS * Q::BYTES / Q::PARTS <= 8 << 10 };
        for _ in 0..self.each.min(self.lines) {
            match near {
                true => ask_for::<_MM_HINT_T0>(self.next),
                false => ask_for::<_MM_HINT_T1>(self.next),
            }
            self.next = self.next.wrapping_add(CACHE_LINE);
            self.lines -= 1;
        }
    }
}
