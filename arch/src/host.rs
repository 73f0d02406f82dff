//! The architecture on a development machine: enough for the portable kernel's tests, no hardware.
//!
//! Cores are threads that [`run_core`] makes theirs. Interrupts are a condition variable: an IPI sets it,
//! [`Architecture::wait_for_interrupt`] waits for it. Abandoning a stack unwinds it. Engine threads are [`Program`]s,
//! which are interrupted between their steps. With `--cfg shuttle`, all of it is under a model checker, and time stands
//! still.

use crate::contract::{
    Architecture, BuiltInTables, CoreLocal, StartError, StartRecord, Transfer, UserContext, UserStart,
};
use crate::paging::{Access, Entry, Target};
use crate::{CoreTopology, HwCpuId, Interrupt, PhysAddr, PhysRange, VirtAddr, handlers};
use std::boxed::Box;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::PoisonError;
#[cfg(not(shuttle))]
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard};
use std::time::Duration;
#[cfg(not(shuttle))]
use std::{thread, thread_local, time::Instant};

#[cfg(shuttle)]
use shuttle::sync::{Condvar, Mutex, MutexGuard};
#[cfg(shuttle)]
use shuttle::{thread, thread_local};

/// See [`Architecture`].
pub struct Host;

/// The state of a thread as a core.
#[derive(Default)]
struct Core {
    local: Cell<Option<&'static CoreLocal>>,
    deadline: Cell<Option<u64>>,
}

thread_local! {
    static CORE: Core = Core::default();
}

#[cfg(not(shuttle))]
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The interrupts between cores.
#[derive(Default)]
struct Wires {
    state: Mutex<WireState>,
    /// Shared by all cores, which is enough for tests.
    arrived: Condvar,
}

#[derive(Default)]
struct WireState {
    /// Cores with an interrupt on its way.
    pending: BTreeSet<u64>,
    is_off: bool,
}

impl Wires {
    fn state(&self) -> MutexGuard<'_, WireState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(not(shuttle))]
static WIRES: LazyLock<Wires> = LazyLock::new(Wires::default);
#[cfg(shuttle)]
shuttle::lazy_static! {
    static ref WIRES: Wires = Wires::default();
}

/// An engine thread: from its argument to the number and arguments of its next system call.
pub type Program = fn(u64) -> (u64, [u64; 3]);

/// The panic payload with which a stack is unwound that is abandoned for a function.
struct Abandoned(fn() -> !);

/// The panic payload with which a core's stack is unwound when the machine is switched off.
struct SwitchedOff;

/// Makes the calling thread the core of `local`, which begins with `entry`. Returns when the machine has been switched
/// off; a panic of the kernel passes through.
pub fn run_core(local: &'static CoreLocal, mut entry: fn() -> !) {
    CORE.with(|core| core.local.set(Some(local)));
    loop {
        let Err(payload) = catch_unwind(|| entry());
        match payload.downcast::<Abandoned>() {
            Ok(abandoned) => entry = abandoned.0,
            Err(payload) if payload.is::<SwitchedOff>() => return,
            Err(panic) => resume_unwind(panic),
        }
    }
}

/// Ends all cores, for good: each as soon as it would halt.
pub fn switch_off() {
    WIRES.state().is_off = true;
    WIRES.arrived.notify_all();
}

impl Architecture for Host {
    const NAME: &'static str = "host";
    type CoreState = ();
    type Entry = HostEntry;
    type Context = HostContext;

    unsafe fn init_core(local: &'static CoreLocal) {
        CORE.with(|core| core.local.set(Some(local)));
    }

    fn core_local() -> &'static CoreLocal {
        CORE.with(|core| core.local.get()).expect("this thread is a core")
    }

    fn core_is_initialised() -> bool {
        CORE.with(|core| core.local.get()).is_some()
    }

    fn hardware_id() -> HwCpuId {
        Self::core_local().hardware
    }

    fn topology() -> CoreTopology {
        let core = Self::hardware_id().0;
        CoreTopology { core, ..CoreTopology::UNKNOWN }
    }

    unsafe fn start_core(record: &'static StartRecord) -> Result<(), StartError> {
        thread::spawn(move || (record.entry)(record.local));
        Ok(())
    }

    fn abandon_core(_: HwCpuId) {}

    fn send_ipi(target: HwCpuId) {
        WIRES.state().pending.insert(target.0);
        WIRES.arrived.notify_all();
    }

    fn send_nmi(_: HwCpuId) -> bool {
        false
    }

    fn wait_for_interrupt() {
        let me = Self::hardware_id().0;
        let mut state = WIRES.state();
        loop {
            if state.is_off {
                drop(state);
                resume_unwind(Box::new(SwitchedOff));
            }
            if state.pending.remove(&me) {
                drop(state);
                return handlers().interrupt(Interrupt::Ipi);
            }
            let now = Self::counter();
            let pause = match CORE.with(|core| core.deadline.get()) {
                Some(deadline) if now >= deadline => {
                    CORE.with(|core| core.deadline.set(None));
                    drop(state);
                    return handlers().interrupt(Interrupt::Timer);
                }
                Some(deadline) => Duration::from_nanos(deadline - now),
                None => Duration::from_secs(1),
            };
            state = WIRES.arrived.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn halt() -> ! {
        loop {
            thread::park();
        }
    }

    fn relax() {
        core::hint::spin_loop();
    }

    fn counter() -> u64 {
        #[cfg(not(shuttle))]
        return START.elapsed().as_nanos() as u64;
        #[cfg(shuttle)]
        return 0;
    }

    fn counter_hz() -> u64 {
        1_000_000_000
    }

    fn set_timer(deadline: Option<u64>) {
        CORE.with(|core| core.deadline.set(deadline));
    }

    unsafe fn enter_user(context: &HostContext) -> ! {
        let mut context = context.clone();
        loop {
            if WIRES.state().pending.remove(&Self::hardware_id().0) {
                handlers().interrupt(Interrupt::Ipi);
                handlers().leave_interrupt(&mut context);
            }
            let (number, arguments) = (context.program)(context.argument);
            handlers().system_call(&mut context, number, arguments);
        }
    }

    unsafe fn copy_from_engine(to: *mut u8, from: *const u8, count: usize) {
        for index in 0..count {
            // SAFETY: the caller's promise.
            unsafe { to.add(index).write(from.add(index).read_volatile()) };
        }
    }

    unsafe fn move_vectors(_: Transfer, _: VirtAddr, _: VirtAddr) -> Option<HostContext> {
        None
    }

    fn vector_code() -> Option<PhysRange> {
        None
    }

    unsafe fn restart_stack(_: &'static CoreLocal, entry: fn() -> !) -> ! {
        resume_unwind(Box::new(Abandoned(entry)))
    }

    unsafe fn load_root(_: PhysAddr) {}

    unsafe fn leave_engine(_: PhysAddr) {}

    fn built_in_tables() -> Option<BuiltInTables> {
        None
    }

    fn publish_tables() {}
}

/// A thread's registers, as far as tests see them.
#[derive(Clone, Debug)]
pub struct HostContext {
    /// Its program.
    pub program: Program,
    /// Result of its last system call; `None` while it has none.
    pub result: Option<u64>,
    /// Its first argument.
    pub argument: u64,
    /// Number of times that it is to repeat a call.
    pub repeats: u32,
}

impl UserContext for HostContext {
    fn new(start: &UserStart) -> Self {
        let entry = start.entry.0 as *const ();
        // SAFETY: on the host a thread's entry is the address of a `Program`.
        let program = unsafe { core::mem::transmute::<*const (), Program>(entry) };
        Self { program, result: None, argument: start.argument, repeats: 0 }
    }

    fn set_result(&mut self, result: u64) {
        self.result = Some(result);
    }

    fn repeat_call(&mut self) {
        self.repeats += 1;
    }

    fn spoil(&mut self) -> bool {
        false
    }
}

/// A page-table entry with the fields side by side.
#[derive(Clone, Copy)]
pub struct HostEntry(u64);

impl Entry for HostEntry {
    fn table(address: PhysAddr) -> Self {
        Self(address.0 | 1)
    }

    fn leaf(address: PhysAddr, _: u8, access: Access) -> Self {
        let rights = [access.write, access.execute, access.user, access.device];
        Self(rights.iter().enumerate().fold(address.0 | 3, |bits, (i, &on)| bits | u64::from(on) << (2 + i)))
    }

    fn advance(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }

    fn target(self, _: u8) -> Target {
        let address = PhysAddr(self.0 & !0xfff);
        let bit = |i: u8| self.0 >> i & 1 != 0;
        match self.0 & 3 {
            0 => Target::Empty,
            1 => Target::Table(address),
            _ => {
                Target::Leaf(address, Access { write: bit(2), execute: bit(3), user: bit(4), device: bit(5) })
            }
        }
    }
}
