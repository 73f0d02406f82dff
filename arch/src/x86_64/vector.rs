//! Vector registers of an engine thread that loses its core against its will: to memory and back.
//!
//! XSAVE must not run in ring 0 (some hypervisors that emulate ring 0 do not know it), so ring 3 executes it: a few
//! instructions that the kernel maps for the engine, each followed by a system call that says it is done. They belong
//! to the kernel's constants, where nothing executes them.

use super::features;
use super::traps::Frame;
use crate::contract::{Transfer, UserContext, UserStart};
use crate::{PhysRange, VirtAddr};
use core::arch::global_asm;
use core::mem::offset_of;

/// Bytes of the page.
const PAGE: u64 = 4096;

global_asm!(
    ".section .rodata.vector_code, \"a\", @progbits",
    ".balign 4096",
    "vector_code:",
    ".quad vector_save - vector_code, vector_restore - vector_code",
    ".quad vector_save_sse - vector_code, vector_restore_sse - vector_code",
    ".quad vector_initial - vector_code",
    "vector_save: xsave64 [rdi]",
    "int 0x80",
    "vector_restore: xrstor64 [rdi]",
    "int 0x80",
    "vector_save_sse: fxsave64 [rdi]",
    "int 0x80",
    "vector_restore_sse: fxrstor64 [rdi]",
    "int 0x80",
    // As `INITIAL_VECTORS`: the two control registers, and zeroes.
    ".balign 64",
    "vector_initial: .short 0x37f",
    ".skip 22",
    ".long 0x1f80",
    ".skip 548",
    ".balign 4096",
    ".section .text",
);

/// Offsets of the entries, as the page begins.
#[repr(C)]
struct Entries {
    save: u64,
    restore: u64,
    save_sse: u64,
    restore_sse: u64,
    initial: u64,
}

unsafe extern "C" {
    #[link_name = "vector_code"]
    static ENTRIES: Entries;
}

/// See [`crate::Architecture::vector_code`].
pub fn code() -> PhysRange {
    PhysRange::new(&raw const ENTRIES as u64, PAGE)
}

/// See [`crate::Architecture::move_vectors`].
pub fn transfer(transfer: Transfer, area: VirtAddr, code: VirtAddr) -> Frame {
    let components = features::vector_components();
    // SAFETY: a constant of the image.
    let entries = unsafe { &ENTRIES };
    let offset = match (transfer, components) {
        // Without XSAVE there is only what FXSAVE knows (SDM volume 1, 10.5).
        (Transfer::Save, 0) => entries.save_sse,
        (Transfer::Restore | Transfer::Clear, 0) => entries.restore_sse,
        (Transfer::Save, _) => entries.save,
        (Transfer::Restore | Transfer::Clear, _) => entries.restore,
    };
    let area = if transfer == Transfer::Clear { VirtAddr(code.0 + entries.initial) } else { area };
    let entry = VirtAddr(code.0 + offset);
    let mut context = Frame::new(&UserStart { entry, stack_top: VirtAddr(0), argument: area.0 });
    context.rax = components.into();
    context
}

const _: () = assert!(offset_of!(Entries, restore_sse) == 24, "as the assembly lays them out");
