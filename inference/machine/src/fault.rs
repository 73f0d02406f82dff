//! Deliberate faults, set off by the console's `crash` command to show that the kernel contains them.

use core::hint::black_box;
use core::ptr;

use embodios_abi::Hook;
use embodios_console::Fault;

use crate::{arch, system};

/// Commits `fault`. The kernel takes over before this comes to its end.
pub fn commit(fault: Fault) -> ! {
    match fault {
        Fault::Null => {
            // SAFETY: never sound; page 0 is unmapped, so that the read traps.
            unsafe { black_box(ptr::read_volatile(black_box(ptr::null::<u8>()))) };
        }
        Fault::Kernel => {
            // SAFETY: never sound; the page is the kernel's, so that the write traps.
            unsafe { ptr::write_volatile(black_box(arch::KERNEL_ADDRESS as *mut u8), 0) };
        }
        Fault::Panic => panic!("asked for at the console"),
        Fault::Stack => hook(Hook::OverflowStack),
        Fault::Return => hook(Hook::BadReturn),
        Fault::NonMaskable => hook(Hook::NonMaskable),
    }
    panic!("{fault:?} did not stop the engine")
}

/// Has the kernel commit a fault of its own.
fn hook(hook: Hook) {
    if let Err(error) = system::test_hook(hook) {
        panic!("the kernel refused {hook:?}: {error:?}");
    }
}
