//! The memory functions that compiled code calls by name, which no library of this target supplies: a byte at a time,
//! since nothing here is measured.

use core::arch::asm;

/// Keeps the compiler from making a loop a call of the function that it is.
fn stay_a_loop() {
    // SAFETY: no instruction.
    unsafe { asm!("", options(nostack, preserves_flags)) }
}

/// # Safety
/// As C's `memcpy`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(target: *mut u8, source: *const u8, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: the caller vouches for both ranges.
        unsafe { target.add(at).write(source.add(at).read()) };
        stay_a_loop();
    }
    target
}

/// # Safety
/// As C's `memmove`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(target: *mut u8, source: *const u8, count: usize) -> *mut u8 {
    if target.addr().wrapping_sub(source.addr()) >= count {
        // SAFETY: handed on; going upwards reads each byte before it is written.
        return unsafe { memcpy(target, source, count) };
    }
    for at in (0..count).rev() {
        // SAFETY: the caller vouches for both ranges.
        unsafe { target.add(at).write(source.add(at).read()) };
        stay_a_loop();
    }
    target
}

/// # Safety
/// As C's `memset`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(target: *mut u8, value: i32, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: the caller vouches for the range.
        unsafe { target.add(at).write(value as u8) };
        stay_a_loop();
    }
    target
}

/// # Safety
/// As C's `memcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    for at in 0..count {
        // SAFETY: the caller vouches for both ranges.
        let (a, b) = unsafe { (left.add(at).read(), right.add(at).read()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
        stay_a_loop();
    }
    0
}

/// # Safety
/// As C's `bcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // SAFETY: handed on.
    unsafe { memcmp(left, right, count) }
}

/// The prebuilt `core` names it for unwinding; as panics abort, nothing gets here.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    crate::system::abort(b"unwinding in a program whose panics abort")
}
