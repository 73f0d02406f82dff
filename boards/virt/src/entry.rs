//! First instructions and first page tables: the arm64 Image boot protocol (Linux
//! `Documentation/arch/arm64/booting.rst`) and the machine's map (QEMU `hw/arch/virt.c`).

use core::arch::naked_asm;
use embodios_arch::aarch64::{BootTable, boot_core};
use embodios_kernel::PhysRange;

/// Devices are below 1 GiB, memory is above.
#[unsafe(no_mangle)]
static BOARD_BOOT_TABLE: BootTable = BootTable::new(&[PhysRange::new(0, 1 << 30)]);

/// The Image's header: little-endian, 4 KiB pages, to be loaded at the start of memory plus a multiple of 2 MiB. X0 is
/// the address of the device tree.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".head")]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "b {boot}",
        ".long 0",
        ".quad 0",
        ".quad __image_size",
        ".quad 2",
        ".quad 0, 0, 0",
        ".ascii \"ARM\\x64\"",
        ".long 0",
        boot = sym boot_core,
    )
}
