//! One block a core, found by dense index; a core finds its own through GS base / TPIDR_EL1.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use embodios_arch::{Arch, Architecture, CoreLocal, CpuId, HwCpuId, UserStart};
use spin::{Mutex, Once};

/// What the kernel keeps per core.
pub struct PerCpu {
    /// Dense index.
    pub cpu: CpuId,
    /// The hardware's name.
    pub hardware: HwCpuId,
    /// The architecture's block, handed to the core when it starts.
    pub local: &'static CoreLocal,
    /// Set once the core has set itself up and takes work.
    pub online: AtomicBool,
    /// An engine thread runs here, or is about to.
    pub busy: AtomicBool,
    /// The thread to start next.
    pub mailbox: Mutex<Option<UserStart>>,
    /// A kernel function to run in the next inter-processor interrupt.
    pub call: Mutex<Option<fn(&PerCpu)>>,
    /// Address of the word this core's thread waits on; 0 when it waits on none. Changed under the wait lock.
    pub waiting_on: AtomicU64,
    /// What happened here.
    pub counters: Counters,
}

/// Events of one core.
#[derive(Default)]
pub struct Counters {
    /// Woken out of a wait by another thread.
    pub wakeups: AtomicU64,
    /// Inter-processor interrupts sent.
    pub ipis_sent: AtomicU64,
    /// System calls served.
    pub system_calls: AtomicU64,
    /// Interrupts of every kind taken.
    pub interrupts: AtomicU64,
}

/// Counts one event. Each counter is written by its own core only, so a plain load and store suffices.
pub fn count(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

impl PerCpu {
    /// A core that has not started.
    #[must_use]
    pub fn new(local: &'static CoreLocal) -> Self {
        Self {
            cpu: local.cpu,
            hardware: local.hardware,
            local,
            online: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            mailbox: Mutex::new(None),
            call: Mutex::new(None),
            waiting_on: AtomicU64::new(0),
            counters: Counters::default(),
        }
    }

    /// Whether the core takes work.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.online.load(Ordering::Acquire)
    }

    /// Interrupts this core.
    pub fn interrupt(&self) {
        if let Some(sender) = try_this() {
            count(&sender.counters.ipis_sent);
        }
        Arch::send_ipi(self.hardware);
    }
}

static CORES: Once<&'static [PerCpu]> = Once::new();

/// Publishes the blocks, `blocks[i].cpu == i`. Later calls change nothing.
pub fn install(blocks: Vec<PerCpu>) {
    CORES.call_once(|| Box::leak(blocks.into_boxed_slice()));
}

/// Every core found, online or not; empty before [`install`].
#[must_use]
pub fn all() -> &'static [PerCpu] {
    CORES.get().copied().unwrap_or_default()
}

/// Cores that take work.
pub fn online() -> impl Iterator<Item = &'static PerCpu> {
    all().iter().filter(|core| core.is_online())
}

/// The core that the engine calls `index`: online cores counted from 0, which is the dense index unless a
/// core did not start.
#[must_use]
pub fn by_engine_index(index: u64) -> Option<&'static PerCpu> {
    online().nth(usize::try_from(index).ok()?)
}

/// What the engine calls this core; the reverse of [`by_engine_index`].
#[must_use]
pub fn engine_index(core: &PerCpu) -> u64 {
    online().take_while(|other| other.cpu != core.cpu).count() as u64
}

/// The calling core's block, if it has one yet.
#[must_use]
pub fn try_this() -> Option<&'static PerCpu> {
    if !Arch::core_is_initialised() {
        return None;
    }
    all().get(Arch::core_local().cpu.index())
}

/// The calling core's block.
///
/// Panics on a core that has not been initialised.
#[must_use]
pub fn this() -> &'static PerCpu {
    try_this().expect("per-CPU data is used after the core's initialisation")
}

/// Adds one counter over all cores.
#[must_use]
pub fn total(counter: impl Fn(&Counters) -> &AtomicU64) -> u64 {
    all().iter().map(|core| counter(&core.counters).load(Ordering::Relaxed)).sum()
}
