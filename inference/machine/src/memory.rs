//! The memory functions that compiled code calls by name (`memcpy` and its kin), which no library of
//! this target supplies.
//!
//! The loops are assembly in [`crate::arch`]: written in Rust, the compiler would turn them into calls
//! of themselves.

use crate::arch;

/// Copies `count` bytes between ranges that do not overlap. Result: `target`.
///
/// # Safety
/// As C's `memcpy`.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memcpy(target: *mut u8, source: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller vouches for the ranges.
    unsafe { arch::copy_up(target, source, count) };
    target
}

/// Copies `count` bytes between ranges that may overlap. Result: `target`.
///
/// # Safety
/// As C's `memmove`.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memmove(target: *mut u8, source: *const u8, count: usize) -> *mut u8 {
    if target.addr().wrapping_sub(source.addr()) >= count {
        // SAFETY: the caller vouches for the ranges; `target` is lower, or past the end of `source`.
        unsafe { arch::copy_up(target, source, count) };
    } else {
        // SAFETY: the caller vouches for the ranges; `target` is inside `source`.
        unsafe { arch::copy_down(target, source, count) };
    }
    target
}

/// Sets `count` bytes to the low byte of `value`. Result: `target`.
///
/// # Safety
/// As C's `memset`.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memset(target: *mut u8, value: i32, count: usize) -> *mut u8 {
    // SAFETY: the caller vouches for the range.
    unsafe { arch::fill(target, value as u8, count) };
    target
}

/// Compares `count` bytes. Result: negative, 0 or positive as the first difference says.
///
/// # Safety
/// As C's `memcmp`.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    let mut at = 0;
    while at + 8 <= count {
        // SAFETY: eight bytes from `at` on are inside both ranges, for which the caller vouches.
        let (a, b) = unsafe {
            (left.add(at).cast::<u64>().read_unaligned(), right.add(at).cast::<u64>().read_unaligned())
        };
        if a != b {
            return if a.to_be() < b.to_be() { -1 } else { 1 };
        }
        at += 8;
    }
    while at < count {
        // SAFETY: `at` is inside both ranges, for which the caller vouches.
        let (a, b) = unsafe { (left.add(at).read(), right.add(at).read()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
        at += 1;
    }
    0
}

/// Compares `count` bytes for equality. Result: 0 if equal.
///
/// # Safety
/// As C's `bcmp`.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // SAFETY: the caller vouches for both ranges.
    unsafe { memcmp(left, right, count) }
}

/// Bytes of the buffer that [`check`] works on.
const SIZE: usize = 80;

/// Checks every function above, at every length and offset in a small buffer, against plain loops.
/// Result: whether all agree.
pub fn check() -> bool {
    let mut original = [0u8; SIZE];
    for (byte, value) in original.iter_mut().zip(0u8..) {
        *byte = value.wrapping_mul(37) ^ 0x5a;
    }
    (0..SIZE).all(|from| (0..SIZE).all(|to| check_at(&original, from, to)))
}

fn check_at(original: &[u8; SIZE], from: usize, to: usize) -> bool {
    let count = SIZE - from.max(to);
    let outside = |at: usize| at < to || at >= to + count;

    let mut moved = *original;
    let start = moved.as_mut_ptr();
    // SAFETY: `count` bytes from `from` and from `to` are inside the buffer.
    unsafe { memmove(start.wrapping_add(to), start.wrapping_add(from), count) };
    let moved_right =
        (0..SIZE).all(|at| moved[at] == if outside(at) { original[at] } else { original[at + from - to] });

    let mut copied = *original;
    // SAFETY: as above, and the buffers are two.
    unsafe { memcpy(copied.as_mut_ptr().wrapping_add(to), original.as_ptr().wrapping_add(from), count) };

    let mut filled = *original;
    // SAFETY: as above.
    unsafe { memset(filled.as_mut_ptr().wrapping_add(to), 0x1a7, count) };
    let filled_right = (0..SIZE).all(|at| filled[at] == if outside(at) { original[at] } else { 0xa7 });

    // SAFETY: both are whole buffers.
    let equal = |a: &[u8; SIZE], b: &[u8; SIZE]| unsafe { memcmp(a.as_ptr(), b.as_ptr(), SIZE) } == 0;
    let mut greater = *original;
    greater[to] = greater[to].wrapping_add(1).max(1);
    let ordered = (original[to] < greater[to])
        // SAFETY: both are whole buffers.
        == (unsafe { bcmp(original.as_ptr(), greater.as_ptr(), SIZE) } < 0);
    moved_right && filled_right && ordered && equal(&moved, &copied) && !equal(original, &greater)
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_functions_agree_with_plain_loops() {
        assert!(super::check());
    }
}
