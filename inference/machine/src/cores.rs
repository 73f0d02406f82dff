//! The machine's cores as the kernel lists them, which one this is, and which are kept from allocating.
//!
//! Allocates nothing after [`init`]: the heap asks here.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use embodios_abi::{CoreCounts, CoreFlags, CoreInfo, CoreStatistics, Query, layout};
use spin::Once;

use crate::{arch, system};

/// The engine's record of a core.
pub struct Core {
    info: &'static CoreInfo,
    /// Blocks are refused to threads on it.
    reserved: AtomicBool,
    /// Blocks refused so far.
    refused: AtomicU64,
}

static CORES: Once<Box<[Core]>> = Once::new();
/// Whether some core is reserved: an allocation looks here first.
static ANY_RESERVED: AtomicBool = AtomicBool::new(false);
/// Whether the engine can read a core's id itself; else the kernel does it.
static KNOWS_HARDWARE_ID: AtomicBool = AtomicBool::new(false);

/// Takes the kernel's list. Called once, by the first thread.
pub fn init(infos: &'static [CoreInfo]) {
    CORES.call_once(|| {
        let core = |info| Core { info, reserved: AtomicBool::new(false), refused: AtomicU64::new(0) };
        infos.iter().map(core).collect()
    });
    KNOWS_HARDWARE_ID.store(arch::knows_hardware_id(), Ordering::Relaxed);
}

/// All cores, online ones first.
pub fn all() -> &'static [Core] {
    CORES.get().map_or(&[], |cores| cores)
}

/// Index of the core that runs this, by the hardware's own id.
pub fn current() -> usize {
    let id = if KNOWS_HARDWARE_ID.load(Ordering::Relaxed) {
        arch::hardware_id()
    } else {
        match system::query(Query::CurrentHardwareId) {
            Ok(id) => id,
            Err(error) => panic!("the kernel does not know this core: {error:?}"),
        }
    };
    match all().iter().position(|core| core.info.hardware_id == id) {
        Some(index) => index,
        None => panic!("the kernel lists no core with hardware id {id:#x}"),
    }
}

/// The core that runs this, if it is reserved.
pub fn reserved_here() -> Option<usize> {
    let reserved = ANY_RESERVED.load(Ordering::Relaxed);
    reserved.then(current).filter(|&core| all()[core].is_reserved())
}

/// Whether the calling thread may have no block now; counts that.
pub fn refuses_allocation() -> bool {
    let core = reserved_here();
    if let Some(core) = core {
        all()[core].refused.fetch_add(1, Ordering::Relaxed);
    }
    core.is_some()
}

/// Refuses blocks to threads on the cores that `reserved` says, from now on.
pub fn reserve(reserved: impl Fn(usize) -> bool) {
    let mut any = false;
    for (index, core) in all().iter().enumerate() {
        let reserved = reserved(index);
        any |= reserved;
        core.reserved.store(reserved, Ordering::Relaxed);
    }
    ANY_RESERVED.store(any, Ordering::Relaxed);
}

impl Core {
    /// The kernel's description of it.
    pub const fn info(&self) -> &'static CoreInfo {
        self.info
    }

    /// Whether it has this one of [`CoreFlags`].
    pub const fn is(&self, flag: u32) -> bool {
        self.info.flags & flag != 0
    }

    /// Whether it takes threads.
    pub const fn is_online(&self) -> bool {
        self.is(CoreFlags::ONLINE)
    }

    /// Whether it is reserved.
    pub fn is_reserved(&self) -> bool {
        self.reserved.load(Ordering::Relaxed)
    }

    /// Blocks refused to it.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Counts of events on it, as of one moment.
    pub fn counts(&self) -> CoreCounts {
        const PAGE: u64 = 4096;
        let place = layout::STATISTICS + u64::from(self.info.statistics) * PAGE;
        // SAFETY: the kernel maps a record there for every core it lists, read-only and for good.
        unsafe { &*(place as *const CoreStatistics) }.read()
    }
}
