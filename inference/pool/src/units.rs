//! Slices that workers take disjoint parts of.

use core::marker::PhantomData;
use core::ops::Range;

/// The part of `count` units that belongs to `worker` of `workers`.
pub fn share(count: usize, worker: usize, workers: usize) -> Range<usize> {
    // `count * worker / workers`, without a product that may not fit.
    let (each, left) = (count / workers, count % workers);
    let bound = |worker: usize| each * worker + left * worker / workers;
    bound(worker)..bound(worker + 1)
}

/// A slice cut into units of equally many elements; the last one may be short. Copies are the same units.
pub struct Units<'a, T> {
    base: *mut T,
    length: usize,
    unit: usize,
    borrow: PhantomData<&'a mut [T]>,
}

impl<T> Clone for Units<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Units<'_, T> {}

// SAFETY: it only hands out exclusive parts of a slice whose elements may be sent, or all of it where they may be
// shared.
unsafe impl<T: Send> Sync for Units<'_, T> {}

impl<'a, T> Units<'a, T> {
    /// Cuts `slice` into units of `unit` elements.
    pub fn new(slice: &'a mut [T], unit: usize) -> Self {
        Self { base: slice.as_mut_ptr(), length: slice.len(), unit, borrow: PhantomData }
    }

    /// Number of elements.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Number of units.
    pub const fn count(&self) -> usize {
        self.length.div_ceil(self.unit)
    }

    /// The elements of units `share`.
    ///
    /// # Safety
    /// No part may be handed out twice at the same time.
    #[expect(clippy::mut_from_ref, reason = "the parts are disjoint")]
    pub unsafe fn slice(&self, share: &Range<usize>) -> &mut [T] {
        let start = (share.start * self.unit).min(self.length);
        let end = (share.end * self.unit).min(self.length);
        // SAFETY: inside the borrowed slice, and no other thread has this part.
        unsafe { core::slice::from_raw_parts_mut(self.base.add(start), end - start) }
    }

    /// All elements.
    ///
    /// # Safety
    /// No part that was handed out may be in use, nor be handed out while this is.
    pub const unsafe fn whole(&self) -> &[T]
    where
        T: Sync,
    {
        // SAFETY: the borrowed slice, which no thread writes.
        unsafe { core::slice::from_raw_parts(self.base, self.length) }
    }
}
