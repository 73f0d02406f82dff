//! x86_64, from Westmere-class hardware on (long mode, NX). Section numbers are of Intel's Software Developer's
//! Manual (SDM), volume 3, unless another document is named.
//!
//! Ring 0 keeps to baseline integer instructions: some hypervisors emulate ring 0 and know no others.

mod apic;
mod clock;
mod context;
mod entry;
mod features;
mod io;
mod ioapic;
mod paging;
mod segments;
mod topology;
mod traps;
mod vector;

pub use apic::REGISTERS as LOCAL_APIC;
pub use clock::{Source as ClockSource, calibrate};
pub use entry::{BOOT_MAPPED, TRAMPOLINE};
pub use features::largest_leaf;
pub use io::{inb, outb};
pub use ioapic::route;
pub use segments::CoreState;
pub use traps::{DEVICE_VECTORS, Frame, load as catch_exceptions};

use crate::contract::{Architecture, BuiltInTables, CoreLocal, StartError, StartRecord, Transfer};
use crate::{CoreTopology, HwCpuId, PhysAddr, PhysRange, VirtAddr, stacks};
use core::arch::asm;
use core::arch::x86_64::__cpuid_count;
use x86_64::registers::model_specific::Msr;

/// See [`Architecture`].
pub struct X86_64;

/// IA32_FS_BASE and IA32_GS_BASE (SDM volume 4, table 2-2), which ring 3 may change where a hypervisor allows
/// FSGSBASE.
const FS_BASE: u32 = 0xc000_0100;
const GS_BASE: u32 = 0xc000_0101;

/// This core's stack pointer.
fn stack_pointer() -> VirtAddr {
    let address;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) address, options(nomem, nostack, preserves_flags)) }
    VirtAddr(address)
}

impl Architecture for X86_64 {
    const NAME: &'static str = "x86_64";
    type CoreState = CoreState;
    type Entry = paging::Entry;
    type Context = Frame;

    unsafe fn init_core(local: &'static CoreLocal) {
        features::enable();
        segments::load(local);
        traps::load();
        apic::init_core();
    }

    fn core_local() -> &'static CoreLocal {
        assert!(Self::core_is_initialised(), "per-CPU data is used after the core's initialisation");
        // From the stack, not from GS, which the engine may have changed: the kernel never loads GS, and no
        // exception finds it in a wrong state.
        let pointer =
            stacks::block_pointer(stacks::window_of(stack_pointer())).0 as *const &'static CoreLocal;
        // SAFETY: this is a kernel stack (the assertion), whose last word the kernel filled before its first use.
        unsafe { *pointer }
    }

    fn core_is_initialised() -> bool {
        stack_pointer().0 >= stacks::FIRST_WINDOW
    }

    fn hardware_id() -> HwCpuId {
        apic::id()
    }

    fn topology() -> CoreTopology {
        let highest = io::cpuid(0, 0).eax;
        topology::read(highest, |leaf, sub_leaf| {
            let answer = __cpuid_count(leaf, sub_leaf);
            [answer.eax, answer.ebx, answer.ecx, answer.edx]
        })
    }

    unsafe fn start_core(record: &'static StartRecord) -> Result<(), StartError> {
        // SAFETY: passed on to the caller.
        unsafe { entry::publish(record) };
        apic::start(record.local.hardware, TRAMPOLINE)
    }

    fn abandon_core(hardware: HwCpuId) {
        entry::withdraw();
        apic::reset(hardware);
    }

    fn send_ipi(target: HwCpuId) {
        apic::send(target, traps::IPI_VECTOR);
    }

    fn send_nmi(target: HwCpuId) -> bool {
        apic::send_nmi(target)
    }

    fn wait_for_interrupt() {
        // SAFETY: the instruction after `sti` runs before any interrupt is taken (SDM volume 2, STI), so that an
        // interrupt that is pending already ends the `hlt`. Handlers keep to the kernel's rules.
        unsafe { asm!("sti", "hlt", "cli", options(nostack)) }
    }

    fn halt() -> ! {
        loop {
            // SAFETY: with interrupts off the core stands still; that is asked for.
            unsafe { asm!("cli", "hlt", options(nomem, nostack)) }
        }
    }

    fn relax() {
        core::hint::spin_loop();
    }

    fn counter() -> u64 {
        clock::counter()
    }

    fn counter_hz() -> u64 {
        clock::RATE.get()
    }

    fn set_timer(deadline: Option<u64>) {
        apic::set_timer(deadline);
    }

    unsafe fn enter_user(context: &Frame) -> ! {
        // SAFETY: passed on to the caller.
        unsafe { context::enter_user(context) }
    }

    unsafe fn copy_from_engine(to: *mut u8, from: *const u8, count: usize) {
        // In assembly, since the memory is not Rust's: other cores may write it at the same time.
        // SAFETY: the caller's promise; writes `to` alone. The direction flag is clear (ABI).
        unsafe {
            asm!(
                "rep movsb",
                inout("rcx") count => _,
                inout("rsi") from => _,
                inout("rdi") to => _,
                options(nostack, preserves_flags),
            );
        }
    }

    unsafe fn move_vectors(transfer: Transfer, area: VirtAddr, code: VirtAddr) -> Option<Frame> {
        Some(vector::transfer(transfer, area, code))
    }

    fn vector_code() -> Option<PhysRange> {
        Some(vector::code())
    }

    unsafe fn restart_stack(local: &'static CoreLocal, entry: fn() -> !) -> ! {
        // SAFETY: passed on to the caller.
        unsafe { context::restart_stack(stacks::stack_top(local.stacks), entry) }
    }

    unsafe fn load_root(root: PhysAddr) {
        // SAFETY: the caller's tables map the kernel; no global pages exist, so the write drops every
        // cached translation (4.10.4.1).
        unsafe { asm!("mov cr3, {}", in(reg) root.0, options(nostack, preserves_flags)) }
    }

    unsafe fn leave_engine(root: PhysAddr) {
        // SAFETY: handed on.
        unsafe { Self::load_root(root) }
        for base in [FS_BASE, GS_BASE] {
            // SAFETY: ring 0 reaches no memory through FS or GS.
            unsafe { Msr::new(base).write(0) }
        }
    }

    fn built_in_tables() -> Option<BuiltInTables> {
        Some(entry::built_in_tables())
    }

    fn publish_tables() {
        // The table walker is coherent with the stores of its core, and an entry that was not present is not
        // cached (4.10.2.3).
    }
}
