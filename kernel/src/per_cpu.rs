//! One block a core, found by dense index; a core finds its own from its stack pointer or TPIDR_EL1.

use crate::scheduler::Pending;
use crate::sync::{AtomicBool, shared};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use embodios_abi::CoreStatistics;
use embodios_arch::paging::PAGE;
use embodios_arch::{Arch, Architecture, CoreLocal, CoreTopology, CpuId, HwCpuId, PhysRange};
use spin::{Mutex, Once};

/// The kernel's data of one core.
pub struct PerCpu {
    /// Dense index.
    pub cpu: CpuId,
    /// The hardware's name.
    pub hardware: HwCpuId,
    /// The architecture's block, handed to the core when it starts.
    pub local: &'static CoreLocal,
    /// Whether the core has set itself up and takes work.
    pub online: AtomicBool,
    /// Whether the scheduler has something for this core; looked at before it goes back to the engine.
    pub need_resched: AtomicBool,
    /// A move of vector registers that the engine's mode has to end.
    pub pending: Mutex<Option<Pending>>,
    /// The counter value for which the timer is set; [`NO_TIMER`] when it is not.
    timer: AtomicU64,
    /// The incarnation of the engine whose tables this core has loaded; 0 on the kernel's own.
    pub incarnation: AtomicU64,
    /// A kernel function to run in the next inter-processor interrupt.
    pub call: Mutex<Option<fn(&PerCpu)>>,
    /// Its topology.
    topology: Once<CoreTopology>,
    /// Its statistics.
    pub statistics: &'static CoreStatistics,
}

const NO_TIMER: u64 = u64::MAX;

impl PerCpu {
    /// A core that has not started.
    #[must_use]
    pub fn new(local: &'static CoreLocal, statistics: &'static CoreStatistics) -> Self {
        Self {
            cpu: local.cpu,
            hardware: local.hardware,
            local,
            online: AtomicBool::new(false),
            need_resched: AtomicBool::new(false),
            pending: Mutex::new(None),
            timer: AtomicU64::new(NO_TIMER),
            incarnation: AtomicU64::new(0),
            call: Mutex::new(None),
            topology: Once::new(),
            statistics,
        }
    }

    /// The block of a core that a host thread stands for. Its hardware id is another number than its index.
    #[cfg(test)]
    pub(crate) fn on_host(index: usize) -> Self {
        let nowhere = embodios_arch::VirtAddr(0);
        let local: &CoreLocal = Box::leak(Box::new(CoreLocal {
            stacks: nowhere,
            emergency_top: nowhere,
            cpu: CpuId(index as u32),
            hardware: HwCpuId(index as u64 * 7),
            arch: (),
        }));
        Self::new(local, Box::leak(Box::default()))
    }

    /// Whether the core takes work.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.online.load(Ordering::Acquire)
    }

    /// Whether the core has the engine's tables.
    #[must_use]
    pub fn has_engine(&self) -> bool {
        self.incarnation.load(Ordering::Acquire) != 0
    }

    /// Sets the core's topology, unless it is known.
    pub fn set_topology(&self, read: impl FnOnce() -> CoreTopology) {
        self.topology.call_once(read);
    }

    /// The core's topology. An online core sets it right after it has come online, so this waits for it.
    #[must_use]
    pub fn topology(&self) -> CoreTopology {
        if self.is_online() { *self.topology.wait() } else { CoreTopology::UNKNOWN }
    }

    /// Interrupts this core.
    pub fn interrupt(&self) {
        if let Some(sender) = try_this() {
            sender.statistics.update(|counts| counts.ipis_sent.add(1));
        }
        Arch::send_ipi(self.hardware);
    }

    /// Sets the timer of this core, which is the caller's, unless it is set so already.
    pub fn set_timer(&self, deadline: Option<u64>) {
        let wanted = deadline.unwrap_or(NO_TIMER);
        if self.timer.swap(wanted, Ordering::Relaxed) != wanted {
            Arch::set_timer(deadline);
        }
    }

    /// Notes that the timer of this core has fired.
    pub fn timer_fired(&self) {
        self.timer.store(NO_TIMER, Ordering::Relaxed);
        self.need_resched.store(true, Ordering::Relaxed);
    }

    /// Halts this core, which is the caller's, until after an interrupt.
    pub fn halt(&self) {
        let since = Arch::counter();
        let mut interrupts = 0;
        self.statistics.update(|counts| {
            counts.idle_since.set(since);
            interrupts = counts.interrupt_ticks.get();
        });
        Arch::wait_for_interrupt();
        let halted = Arch::counter().saturating_sub(since);
        self.statistics.update(|counts| {
            counts.idle_since.set(0);
            counts.idle_ticks.add(halted.saturating_sub(counts.interrupt_ticks.get() - interrupts));
        });
    }
}

shared!(CORES: Once<&'static [PerCpu]> = Once::new());

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

/// The pages with the statistics of all cores, in order.
#[must_use]
pub fn statistics() -> PhysRange {
    let first = all().first().map_or(0, |core| core.statistics as *const CoreStatistics as u64);
    PhysRange::new(first, all().len() as u64 * PAGE)
}
