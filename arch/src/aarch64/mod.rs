//! AArch64: EL1 for the kernel, EL0 for the engine, PSCI firmware, GICv2 or GICv3, the virtual timer.
//!
//! Owns the assembly of the parts below into [`Architecture`]. Knows no board: addresses and the PSCI
//! conduit are handed to [`initialise`] before the kernel starts.
//!
//! The board's entry branches to [`boot_core`], which calls the board's
//! `extern "C" fn board_main(argument: u64, entry_counter: u64) -> !` on a static boot stack, with translation on and
//! everything identity-mapped as the board's [`BootTable`] says.

mod boot_table;
mod context;
mod descriptor;
mod entry;
mod exceptions;
mod firmware;
pub mod gic;
mod identification;
pub mod probe;
mod start;
mod timer;
mod translation;
mod vector;
mod vectors;

use crate::contract::{Architecture, BuiltInTables, CoreLocal, StartError, StartRecord, Transfer};
use crate::{Conduit, CoreTopology, GicDescription, HwCpuId, PhysAddr, PhysRange, VirtAddr, stacks};
use aarch64_cpu::asm::{self, barrier};
use aarch64_cpu::registers::{DAIF, MPIDR_EL1, SCTLR_EL1, TPIDR_EL1, TPIDRRO_EL0};
use aarch64_cpu::registers::{ReadWriteable, Readable, Writeable};
use core::sync::atomic::{AtomicPtr, AtomicU8};

pub use boot_table::BootTable;
pub use descriptor::Descriptor;
pub use entry::boot_core;
pub use firmware::Firmware;
pub use vectors::Frame;

/// Affinity fields of MPIDR_EL1 (Arm ARM): Aff3 in bits 39:32, Aff2..Aff0 in 23:0.
pub const AFFINITY: u64 = 0xff_00ff_ffff;

/// See [`Architecture`].
pub struct AArch64;

/// AArch64's part of [`CoreLocal`].
pub struct CoreState {
    /// A state of [`start`].
    start: AtomicU8,
    /// Next in the list of cores that were asked to start.
    next: AtomicPtr<CoreLocal>,
}

impl Default for CoreState {
    fn default() -> Self {
        Self { start: AtomicU8::new(start::NOT_ASKED), next: AtomicPtr::new(core::ptr::null_mut()) }
    }
}

/// Hands the board's findings to the architecture. Called once on the boot core, before the kernel starts.
///
/// # Safety
/// The addresses of `gic` are those of the interrupt controller's registers, `conduit` is the one that
/// firmware listens on.
///
/// # Errors
/// The part that does not answer as the board says.
pub unsafe fn initialise(gic: GicDescription, conduit: Option<Conduit>) -> Result<(), &'static str> {
    timer::initialise()?;
    if !firmware::initialise(conduit) {
        return Err("firmware does not answer PSCI calls by the method that it names");
    }
    gic::check(gic)?;
    // SAFETY: handed on.
    unsafe { gic::initialise(gic) };
    if gic::can_interrupt(AArch64::hardware_id()) {
        Ok(())
    } else {
        Err("the interrupt controller has nothing for the boot core")
    }
}

impl Architecture for AArch64 {
    const NAME: &'static str = "aarch64";
    type CoreState = CoreState;
    type Entry = Descriptor;
    type Context = Frame;

    unsafe fn init_core(local: &'static CoreLocal) {
        TPIDR_EL1.set(core::ptr::from_ref(local) as u64);
        TPIDRRO_EL0.set(Self::hardware_id().0);
        // The boot tables, which this core has left, were the last with writable code.
        SCTLR_EL1.modify(SCTLR_EL1::WXN::Enable);
        barrier::isb(barrier::SY);
        timer::init_core();
        gic::init_core(local.hardware);
    }

    fn core_local() -> &'static CoreLocal {
        let address = TPIDR_EL1.get();
        assert!(address != 0, "per-CPU data used before this core was initialised");
        // SAFETY: only `init_core` stores a value other than 0, a `&'static CoreLocal`.
        unsafe { &*(address as *const CoreLocal) }
    }

    fn core_is_initialised() -> bool {
        TPIDR_EL1.get() != 0
    }

    fn hardware_id() -> HwCpuId {
        HwCpuId(MPIDR_EL1.get() & AFFINITY)
    }

    fn topology() -> CoreTopology {
        // MPIDR_EL1.MT: affinity level 0 numbers threads of one physical core (Arm ARM). Packages it does not tell.
        let id = Self::hardware_id().0;
        let (core, thread) =
            if MPIDR_EL1.get() & 1 << 24 == 0 { (id, 0) } else { (id >> 8, id as u32 & 0xff) };
        CoreTopology { core, thread, ..CoreTopology::UNKNOWN }
    }

    unsafe fn start_core(record: &'static StartRecord) -> Result<(), StartError> {
        start::start_core(record)
    }

    fn abandon_core(hardware: HwCpuId) {
        start::abandon_core(hardware);
    }

    fn send_ipi(target: HwCpuId) {
        gic::send_ipi(target);
    }

    fn send_nmi(_: HwCpuId) -> bool {
        false
    }

    fn wait_for_interrupt() {
        debug_assert!(DAIF.is_set(DAIF::I), "interrupts are masked in the kernel");
        // A pending interrupt ends WFI although it is masked, so none is lost between the caller's check
        // and here; it is taken at the ISB.
        asm::wfi();
        unmask_once();
    }

    fn halt() -> ! {
        DAIF.write(DAIF::D::Masked + DAIF::A::Masked + DAIF::I::Masked + DAIF::F::Masked);
        loop {
            asm::wfi();
        }
    }

    fn relax() {
        // SAFETY: a hint.
        unsafe { core::arch::asm!("yield", options(nomem, nostack, preserves_flags)) };
    }

    fn counter() -> u64 {
        timer::counter()
    }

    fn counter_hz() -> u64 {
        timer::rate()
    }

    fn set_timer(deadline: Option<u64>) {
        timer::set(deadline);
    }

    unsafe fn enter_user(context: &Frame) -> ! {
        // SAFETY: handed on.
        unsafe { context::enter_user(context) }
    }

    unsafe fn copy_from_engine(to: *mut u8, from: *const u8, count: usize) {
        // In assembly, since the memory is not Rust's: other cores may write it at the same time.
        // SAFETY: the caller's promise; writes `to` alone.
        unsafe {
            core::arch::asm!(
                "cbz {count}, 3f",
                "2: ldrb {byte:w}, [{from}], #1",
                "strb {byte:w}, [{to}], #1",
                "subs {count}, {count}, #1",
                "b.ne 2b",
                "3:",
                count = inout(reg) count => _,
                from = inout(reg) from => _,
                to = inout(reg) to => _,
                byte = out(reg) _,
                options(nostack),
            );
        }
    }

    unsafe fn move_vectors(transfer: Transfer, area: VirtAddr, _: VirtAddr) -> Option<Frame> {
        // SAFETY: handed on.
        unsafe { vector::transfer(transfer, area) };
        None
    }

    fn vector_code() -> Option<PhysRange> {
        None
    }

    unsafe fn restart_stack(local: &'static CoreLocal, entry: fn() -> !) -> ! {
        // SAFETY: handed on.
        unsafe { context::restart_stack(entry, stacks::stack_top(local.stacks)) }
    }

    unsafe fn load_root(root: PhysAddr) {
        // SAFETY: handed on.
        unsafe { translation::load_root(root) };
    }

    unsafe fn leave_engine(root: PhysAddr) {
        // Contexts hold TPIDR_EL0, and EL0 reaches no other register that outlives it.
        // SAFETY: handed on.
        unsafe { translation::load_root(root) };
    }

    fn built_in_tables() -> Option<BuiltInTables> {
        None
    }

    fn publish_tables() {
        translation::publish_tables();
    }
}

/// Takes pending interrupts, then masks them again.
fn unmask_once() {
    // SAFETY: interrupt handlers keep every register but those of PSTATE.
    unsafe { core::arch::asm!("msr daifclr, #2", "isb", "msr daifset, #2", options(nostack)) };
}
