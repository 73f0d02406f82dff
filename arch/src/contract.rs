//! The services of an architecture for the kernel ([`Architecture`]) and of the kernel for it ([`Handlers`]).
//!
//! Rules that hold on both sides:
//! - The kernel runs with interrupts masked. They are taken only in [`Architecture::wait_for_interrupt`]
//!   and while the engine runs.
//! - Ring 0 / EL1 computes with no vector register; vector state belongs to the engine thread of the core, until
//!   [`Architecture::move_vectors`] puts another's in its place.
//! - Physical memory and devices are identity-mapped in level-4 slot 0, inaccessible to the engine.
//! - Every core calls [`Architecture::init_core`] exactly once, the boot core first.

use crate::{CoreTopology, CpuId, HwCpuId, PhysAddr, PhysRange, VirtAddr, paging};
use core::fmt;

/// The block that a core finds from its stack pointer or TPIDR_EL1. One per core, made by the kernel, never freed.
pub struct CoreLocal {
    /// Its window of kernel stacks, laid out as [`crate::stacks`] says.
    pub stacks: VirtAddr,
    /// Top of the first emergency stack in it, for entry code.
    pub emergency_top: VirtAddr,
    /// Dense index.
    pub cpu: CpuId,
    /// The hardware's name.
    pub hardware: HwCpuId,
    /// The architecture's data of the core.
    pub arch: <crate::Arch as Architecture>::CoreState,
}

/// The start data of a secondary core, read by its first instructions.
#[repr(C)]
pub struct StartRecord {
    /// Initial stack pointer, 16-byte aligned. Offset 0.
    pub stack_top: VirtAddr,
    /// First Rust function, called as `entry(local)` with translation on, interrupts masked. Offset 8.
    pub entry: extern "C" fn(&'static CoreLocal) -> !,
    /// Its only argument. Offset 16.
    pub local: &'static CoreLocal,
    /// Level-4 table to run on. Offset 24.
    pub root: PhysAddr,
}

/// The reason for which a core could not even be asked to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The id cannot be addressed by this interrupt controller (xAPIC reaches ids below 255).
    Unreachable,
    /// Firmware refused, with its own code.
    Firmware(i64),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("its id cannot be addressed by the interrupt controller"),
            Self::Firmware(code) => write!(f, "firmware refused to start it (code {code})"),
        }
    }
}

/// The first state of an engine thread.
#[derive(Clone, Copy, Debug)]
pub struct UserStart {
    /// First instruction.
    pub entry: VirtAddr,
    /// Initial stack pointer, 16-byte aligned.
    pub stack_top: VirtAddr,
    /// First argument register (RDI, X0).
    pub argument: u64,
}

/// The registers of an engine thread that is not running, vector registers apart.
pub trait UserContext: Clone {
    /// Those of a thread that has not begun: interrupts on, all other registers zero.
    fn new(start: &UserStart) -> Self;
    /// Sets the result of the system call that it is in.
    fn set_result(&mut self, result: u64);
    /// Has it make the same system call again when it goes on.
    fn repeat_call(&mut self);
    /// Makes it one that the processor refuses to return to, for tests. False where none can be made.
    fn spoil(&mut self) -> bool;
}

/// Bytes of [`INITIAL_VECTORS`]: on x86_64 XSAVE's legacy region and header, on AArch64 all registers and more.
const INITIAL_BYTES: usize = 576;

/// The first bytes of the room for vector registers before its first use. Restored, it gives a thread registers of
/// which all are zero but for the control registers of x86_64, which have their values after reset with all exceptions
/// masked: FCW at 0, MXCSR at 24 (SDM volume 1, 10.5.1.1, 13.4).
pub const INITIAL_VECTORS: [u8; INITIAL_BYTES] = {
    let mut bytes = [0; INITIAL_BYTES];
    if cfg!(target_arch = "x86_64") {
        (bytes[0], bytes[1]) = (0x7f, 0x03);
        (bytes[24], bytes[25]) = (0x80, 0x1f);
    }
    bytes
};

/// The direction in which vector registers move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// From the registers to memory.
    Save,
    /// From memory to the registers.
    Restore,
    /// From [`INITIAL_VECTORS`] to the registers.
    Clear,
}

/// Page tables made when the image was built.
#[derive(Clone, Copy, Debug)]
pub struct BuiltInTables {
    /// Their root.
    pub root: PhysAddr,
    /// Physical memory that they map at its own addresses, writable and never executable, from the second page on.
    pub covers: PhysRange,
}

/// The cause of an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// Another core sent it.
    Ipi,
    /// The deadline of [`Architecture::set_timer`] passed; none is set now.
    Timer,
    /// A device line: x86_64 the vector, AArch64 the interrupt id. Ended at the controller when the handler returns.
    Device(u32),
}

/// The kind of exception that a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Translation or permission: `write`/`execute` name the access.
    Page {
        /// Whether it was a store.
        write: bool,
        /// Whether it was an instruction fetch.
        execute: bool,
        /// Whether the page was there but the right was not.
        present: bool,
    },
    /// The kernel's own stack ran into its guard page.
    KernelStackOverflow,
    /// An error that the machine itself reports, at any time: never the engine's fault.
    Hardware(&'static str),
    /// Anything else, by the architecture manual's name.
    Other(&'static str),
}

/// One fault, with all that a report needs.
pub struct Fault<'a> {
    /// Its kind.
    pub kind: FaultKind,
    /// Address concerned, where the hardware gives one.
    pub address: Option<VirtAddr>,
    /// Instruction.
    pub pc: VirtAddr,
    /// Frame pointer (RBP, X29), where the backtrace starts: `[fp]` is the caller's frame pointer and
    /// `[fp + 8]` the return address on both architectures.
    pub frame_pointer: VirtAddr,
    /// Whether the engine was running.
    pub from_user: bool,
    /// All registers, several lines.
    pub registers: &'a dyn fmt::Display,
}

/// The kernel's handlers of the hardware's calls. Registered once, before the first core is initialised.
pub trait Handlers: Sync {
    /// A system call of the engine, or the end of a move that [`Architecture::move_vectors`] asked for. The result goes
    /// into `context`, which the engine then continues with. May not return.
    fn system_call(
        &self,
        context: &mut <crate::Arch as Architecture>::Context,
        number: u64,
        arguments: [u64; 3],
    );
    /// An interrupt; returns.
    fn interrupt(&self, interrupt: Interrupt);
    /// The end of the interrupts that stopped the engine, before it goes on. May not return.
    fn leave_interrupt(&self, context: &mut <crate::Arch as Architecture>::Context);
    /// A fault of the engine or of the kernel; never resumed.
    fn fault(&self, fault: &Fault<'_>) -> !;
}

/// The contract. All functions act on the calling core unless they say otherwise.
pub trait Architecture {
    /// Its name as the user writes it: `x86_64`, `aarch64`.
    const NAME: &'static str;
    /// Its part of [`CoreLocal`].
    type CoreState: Default;
    /// Its page-table entries.
    type Entry: paging::Entry;
    /// Its registers, as far as the engine sees them.
    type Context: UserContext;

    /// Sets this core up: exception vectors, per-CPU base, vector units for the engine, counter access
    /// for the engine, the interrupt controller's CPU side. Interrupts stay masked.
    ///
    /// # Safety
    /// Called once a core, with the block of that core, on the kernel's page tables.
    unsafe fn init_core(local: &'static CoreLocal);

    /// This core's block.
    ///
    /// Panics before [`Self::core_is_initialised`].
    fn core_local() -> &'static CoreLocal;

    /// Whether this core has a block: from [`Self::init_core`] on or, on the boot core, from its first
    /// [`Self::restart_stack`] on.
    fn core_is_initialised() -> bool;

    /// This core's id, read from the hardware and not from memory.
    fn hardware_id() -> HwCpuId;

    /// This core's place, as far as it knows itself.
    fn topology() -> CoreTopology;

    /// Asks core `local.hardware` to begin at `record.entry`. Returns before it has; calls for different
    /// cores must not overlap.
    ///
    /// # Safety
    /// `record` describes a stack and block that no other core uses, and a root that maps the kernel.
    unsafe fn start_core(record: &'static StartRecord) -> Result<(), StartError>;

    /// Makes sure that a core which did not come in time cannot come later.
    fn abandon_core(hardware: HwCpuId);

    /// Interrupts another core (or this one), which sees [`Interrupt::Ipi`]. All earlier stores are
    /// visible to it by then.
    fn send_ipi(target: HwCpuId);

    /// Interrupts another core although it has interrupts masked; it reports what it was doing and ends the machine.
    /// False where there is no such interrupt.
    fn send_nmi(target: HwCpuId) -> bool;

    /// Enables interrupts, which are masked, and halts in one indivisible step; returns masked again
    /// after at least one interrupt was handled (or spuriously).
    fn wait_for_interrupt();

    /// Says that this core does nothing but wait for another one's write: to the processor, and to its emulator,
    /// which may run that other core instead.
    fn relax();

    /// Masks interrupts and halts for good.
    fn halt() -> !;

    /// The free-running counter that user code reads too (TSC, CNTVCT_EL0); never goes back on a core.
    fn counter() -> u64;

    /// Its rate in ticks a second; known after the board has initialised the clock.
    fn counter_hz() -> u64;

    /// One [`Interrupt::Timer`] once the counter reaches `deadline`; `None` cancels. At most one pending.
    fn set_timer(deadline: Option<u64>);

    /// Continues an engine thread on this core, on the current tables; resets the kernel stack.
    ///
    /// # Safety
    /// The kernel stack holds nothing of use but `context`.
    unsafe fn enter_user(context: &Self::Context) -> !;

    /// Copies `count` of the engine's bytes, each read once, while other cores may write there.
    ///
    /// # Safety
    /// As many bytes may be written at `to` and read at `from`.
    unsafe fn copy_from_engine(to: *mut u8, from: *const u8, count: usize);

    /// Moves the vector registers from or to `area`: a page of the engine, writable, which began with
    /// [`INITIAL_VECTORS`] before its first use; it is not looked at for [`Transfer::Clear`]. `None`: done. Otherwise
    /// only unprivileged code may do it: [`Self::vector_code`] is mapped for the engine at `code`, and the caller
    /// enters the result, whose next system call says that it is done.
    ///
    /// # Safety
    /// `area` and `code` are as said.
    unsafe fn move_vectors(transfer: Transfer, area: VirtAddr, code: VirtAddr) -> Option<Self::Context>;

    /// A page of instructions that [`Self::move_vectors`] has executed in the engine's mode, if it does so.
    fn vector_code() -> Option<PhysRange>;

    /// Abandons the current stack: continues in `entry` at the top of the kernel stack of `local`, this core's block.
    ///
    /// # Safety
    /// Nothing on the stack (guards, borrowed data) is used afterwards.
    unsafe fn restart_stack(local: &'static CoreLocal, entry: fn() -> !) -> !;

    /// Installs another level-4 table and drops every cached translation of this core.
    ///
    /// # Safety
    /// The table maps the kernel as the current one does.
    unsafe fn load_root(root: PhysAddr);

    /// Installs the kernel's own level-4 table, drops every cached translation of this core, and clears registers that
    /// unprivileged code may have changed and that no context holds.
    ///
    /// # Safety
    /// As for [`Self::load_root`].
    unsafe fn leave_engine(root: PhysAddr);

    /// Tables that the image brings along, if it does: where every instruction of the kernel is expensive, they
    /// spare it most of the mapping at boot.
    fn built_in_tables() -> Option<BuiltInTables>;

    /// Makes stores to page tables visible to the table walker before a new mapping is first used.
    fn publish_tables();
}

static HANDLERS: spin::Once<&'static dyn Handlers> = spin::Once::new();

/// Registers the kernel's handlers; later calls change nothing.
pub fn register_handlers(handlers: &'static dyn Handlers) {
    HANDLERS.call_once(|| handlers);
}

/// The registered handlers.
///
/// Panics before [`register_handlers`], which the kernel calls before interrupts can arrive.
#[must_use]
pub fn handlers() -> &'static dyn Handlers {
    *HANDLERS.get().expect("handlers are registered before vectors are installed")
}
