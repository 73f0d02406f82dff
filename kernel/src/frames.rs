//! Physical memory: the free frames.
//!
//! Owns a sorted list of free extents. It writes nothing into the memory it manages and clears nothing;
//! setting up costs a few steps a region, whatever the amount of memory.

use crate::board::{MAX_MEMORY, MAX_RESERVED};
use core::fmt;
use embodios_arch::{PhysAddr, PhysRange, paging::PAGE};
use heapless::Vec;

/// Free extents that can be told apart: as many as a boot description can lead to, and as many again. Neighbours merge
/// and the lowest that fits is taken, so that this bounds fragmentation, not memory.
const MAX_EXTENTS: usize = 2 * (MAX_MEMORY + MAX_RESERVED);

/// The error for a list without room for another extent, which has not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFragmented;

impl fmt::Display for TooFragmented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory is in more than {MAX_EXTENTS} pieces")
    }
}

/// Free physical memory in units of [`PAGE`].
pub struct Frames {
    /// Sorted by address, neither empty nor touching.
    free: Vec<PhysRange, MAX_EXTENTS>,
}

impl Default for Frames {
    fn default() -> Self {
        Self::new()
    }
}

impl Frames {
    /// No memory at all.
    #[must_use]
    pub const fn new() -> Self {
        Self { free: Vec::new() }
    }

    /// Becomes a list like `other`.
    pub fn copy(&mut self, other: &Self) {
        self.free.clear();
        // As long as the other at most.
        let _ = self.free.extend_from_slice(&other.free);
    }

    /// Adds all whole frames of `region`, which may overlap regions added before.
    ///
    /// # Errors
    /// [`TooFragmented`].
    pub fn add(&mut self, region: PhysRange) -> Result<(), TooFragmented> {
        let start = region.start.0.div_ceil(PAGE) * PAGE;
        let end = region.end.0 / PAGE * PAGE;
        if start >= end {
            return Ok(());
        }
        let whole = PhysRange { start: PhysAddr(start), end: PhysAddr(end) };
        // A frame named twice is there once.
        self.remove(whole)?;
        self.free(whole)
    }

    /// Takes all frames out that a part of `range` touches.
    ///
    /// # Errors
    /// [`TooFragmented`].
    pub fn reserve(&mut self, range: PhysRange) -> Result<(), TooFragmented> {
        self.remove(range.widen(PAGE))
    }

    /// Bytes free.
    #[must_use]
    pub fn available(&self) -> u64 {
        self.free.iter().map(|extent| extent.length()).sum()
    }

    /// Takes `length` bytes (a multiple of [`PAGE`]) at a multiple of `align` (a power of two, at least
    /// [`PAGE`]): the lowest that fit. Contents are unspecified. `None` also where the rest would be in too many
    /// pieces.
    pub fn allocate(&mut self, length: u64, align: u64) -> Option<PhysRange> {
        debug_assert!(length.is_multiple_of(PAGE) && align.is_power_of_two() && align >= PAGE);
        let fits = |extent: &PhysRange| {
            let start = extent.start.0.checked_add(align - 1)? & !(align - 1);
            (start.checked_add(length)? <= extent.end.0).then_some(start)
        };
        let start = self.free.iter().find_map(fits)?;
        let taken = PhysRange::new(start, length);
        self.remove(taken).ok().map(|()| taken)
    }

    /// Takes `range` out of the free extents.
    fn remove(&mut self, range: PhysRange) -> Result<(), TooFragmented> {
        let splits = self.free.iter().any(|e| e.start < range.start && range.end < e.end);
        if splits && self.free.is_full() {
            return Err(TooFragmented);
        }
        let mut slot = 0;
        while let Some(&extent) = self.free.get(slot) {
            let left = PhysRange { start: extent.start, end: extent.end.min(range.start) };
            let right = PhysRange { start: extent.start.max(range.end), end: extent.end };
            match (left.length() > 0, right.length() > 0) {
                (true, true) if left == extent || right == extent => slot += 1,
                (true, true) => {
                    self.free[slot] = left;
                    self.insert(slot + 1, right)?;
                    slot += 2;
                }
                (true, false) => {
                    self.free[slot] = left;
                    slot += 1;
                }
                (false, true) => {
                    self.free[slot] = right;
                    slot += 1;
                }
                (false, false) => {
                    self.free.remove(slot);
                }
            }
        }
        Ok(())
    }

    /// Gives `range` (page-aligned, not free now) back.
    ///
    /// # Errors
    /// [`TooFragmented`]; never for the last allocation.
    pub fn free(&mut self, range: PhysRange) -> Result<(), TooFragmented> {
        let slot = self.free.partition_point(|extent| extent.start < range.start);
        let joins_left = slot > 0 && self.free[slot - 1].end == range.start;
        let joins_right = self.free.get(slot).is_some_and(|right| right.start == range.end);
        match (joins_left, joins_right) {
            (true, true) => {
                self.free[slot - 1].end = self.free[slot].end;
                self.free.remove(slot);
            }
            (true, false) => self.free[slot - 1].end = range.end,
            (false, true) => self.free[slot].start = range.start,
            (false, false) => self.insert(slot, range)?,
        }
        Ok(())
    }

    fn insert(&mut self, slot: usize, range: PhysRange) -> Result<(), TooFragmented> {
        self.free.insert(slot, range).map_err(|_| TooFragmented)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec as StdVec;

    fn range(first: u64, pages: u64) -> PhysRange {
        PhysRange::new(first * PAGE, pages * PAGE)
    }

    fn of(regions: &[PhysRange]) -> Frames {
        let mut frames = Frames::new();
        regions.iter().for_each(|&region| frames.add(region).expect("few pieces"));
        frames
    }

    #[test]
    fn reserved_ranges_are_never_handed_out() {
        let memory = [range(1, 99), range(200, 100)];
        let reserved = [PhysRange::new(10 * PAGE + 5, 10), range(90, 120), PhysRange::new(299 * PAGE + 1, 1)];
        let mut frames = of(&memory);
        reserved.iter().for_each(|&range| frames.reserve(range).expect("few pieces"));
        assert_eq!(frames.available(), (99 - 1 - 10 + 90 - 1) * PAGE);
        while let Some(frame) = frames.allocate(PAGE, PAGE) {
            for r in &reserved {
                assert!(frame.end <= r.start || r.end <= frame.start, "{frame} is in {r}");
            }
        }
        assert_eq!(frames.available(), 0);
    }

    #[test]
    fn partial_frames_at_the_edges_are_left_out() {
        let frames = of(&[PhysRange::new(100, 3 * PAGE)]);
        assert_eq!(frames.available(), 2 * PAGE);
    }

    #[test]
    fn regions_that_overlap_are_there_once() {
        let frames = of(&[range(10, 20), range(5, 10), range(12, 3), range(30, 10), range(0, 60)]);
        assert_eq!(frames.available(), 60 * PAGE);
        assert_eq!(frames.free.len(), 1);
    }

    #[test]
    fn a_full_list_is_an_error_and_frees_nothing() {
        let regions: StdVec<_> = (0..MAX_EXTENTS as u64).map(|i| range(10 * i, 9)).collect();
        let mut frames = of(&regions);
        let before = frames.available();
        assert_eq!(frames.add(range(100_000, 3)), Err(TooFragmented));
        assert_eq!(frames.reserve(range(3, 1)), Err(TooFragmented), "it would be in two pieces");
        assert_eq!(frames.available(), before);
        assert_eq!(frames.reserve(range(0, 1)), Ok(()), "an edge needs no further extent");
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_frames(
            steps in prop::collection::vec((0u8..3, 1u64..40, 0u32..5), 1..200),
        ) {
            let mut frames = of(&[range(3, 500), range(700, 300)]);
            frames.reserve(range(20, 5)).expect("few pieces");
            let mut free: BTreeSet<u64> = (3..20).chain(25..503).chain(700..1000).collect();
            let mut held: StdVec<PhysRange> = StdVec::new();
            for (action, pages, align) in steps {
                if action < 2 {
                    match frames.allocate(pages * PAGE, PAGE << align) {
                        Some(taken) => {
                            prop_assert_eq!(taken.start.0 % (PAGE << align), 0);
                            prop_assert_eq!(taken.length(), pages * PAGE);
                            for frame in taken.start.0 / PAGE..taken.end.0 / PAGE {
                                prop_assert!(free.remove(&frame), "handed out twice");
                            }
                            held.push(taken);
                        }
                        None => {
                            let step = 1u64 << align;
                            let fits = (0..1000).filter(|f| f % step == 0)
                                .any(|f| (f..f + pages).all(|p| free.contains(&p)));
                            prop_assert!(!fits, "refused though it fits");
                        }
                    }
                } else if let Some(range) = held.pop() {
                    free.extend(range.start.0 / PAGE..range.end.0 / PAGE);
                    prop_assert_eq!(frames.free(range), Ok(()));
                }
                prop_assert_eq!(frames.available(), free.len() as u64 * PAGE);
            }
        }
    }
}
