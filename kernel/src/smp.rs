//! Wakes every core, one after the other, and waits for each a bounded time.
//!
//! The architecture starts one core; stacks, blocks, order, time-out and the report are here.

use crate::command_line::{self, Options};
use crate::memory::{MemoryError, memory};
use crate::per_cpu::{self, PerCpu};
use crate::scheduler;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::time::Duration;
use embodios_abi::CoreStatistics;
use embodios_arch::paging::{Access, PAGE};
use embodios_arch::{
    Arch, Architecture, CoreLocal, CoreTopology, CpuId, HwCpuId, PhysRange, StartRecord, stacks,
};

/// Time limit for a core from being asked to being initialised. Real and emulated machines need well under
/// 100 ms; the rest is for a host that is busy.
const START_TIME: Duration = Duration::from_secs(2);

/// Makes the block and the stack of every core; `cores[0]` is the boot core. `topology` is theirs, or empty.
///
/// # Errors
/// [`MemoryError`] when there is no memory for a stack.
pub fn prepare(cores: &[HwCpuId], topology: &[CoreTopology]) -> Result<(), MemoryError> {
    let mut blocks = Vec::with_capacity(cores.len());
    let statistics = memory().allocate(cores.len() as u64 * PAGE, PAGE)?;
    let mut frames = memory().allocate(cores.len() as u64 * STACK_BYTES, PAGE)?;
    for (index, &hardware) in cores.iter().enumerate() {
        let window = stacks::window(index);
        let local: &CoreLocal = Box::leak(Box::new(CoreLocal {
            stacks: window,
            emergency_top: stacks::emergency_top(window, 0),
            cpu: CpuId(index as u32),
            hardware,
            arch: Default::default(),
        }));
        let own = PhysRange::new(frames.start.0, STACK_BYTES);
        frames.start = own.end;
        map_stacks(local, own)?;
        let block = PerCpu::new(local, statistics_page(statistics, index));
        if let Some(&place) = topology.get(index) {
            block.set_topology(|| place);
        }
        blocks.push(block);
    }
    per_cpu::install(blocks);
    scheduler::prepare(cores.len());
    Ok(())
}

/// Bytes of all stacks of a core.
const STACK_BYTES: u64 = stacks::STACK_SIZE + stacks::EMERGENCY_STACKS * stacks::EMERGENCY_SIZE;

/// Maps the stacks of the core of `local` to `frames`, and leaves the block's address where the core looks for it.
fn map_stacks(local: &'static CoreLocal, frames: PhysRange) -> Result<(), MemoryError> {
    let mut memory = memory();
    let stack = PhysRange::new(frames.start.0, stacks::STACK_SIZE);
    memory.map(stacks::stack_bottom(local.stacks), stack, Access::KERNEL_DATA)?;
    let offset = stacks::block_pointer(local.stacks).0 - stacks::stack_bottom(local.stacks).0;
    memory.fill(stack, offset, &core::ptr::from_ref(local).addr().to_ne_bytes());
    for number in 0..stacks::EMERGENCY_STACKS {
        let start = stack.end.0 + number * stacks::EMERGENCY_SIZE;
        let frames = PhysRange::new(start, stacks::EMERGENCY_SIZE);
        memory.map(stacks::emergency_bottom(local.stacks, number), frames, Access::KERNEL_DATA)?;
    }
    Ok(())
}

/// Core `core`'s record in the pages `all`.
fn statistics_page(all: PhysRange, core: usize) -> &'static CoreStatistics {
    let place = (all.start.identity().0 + core as u64 * PAGE) as *mut CoreStatistics;
    // SAFETY: fresh frames, identity-mapped, large and aligned enough, given to nothing else and never freed.
    unsafe {
        place.write(CoreStatistics::default());
        &*place
    }
}

/// Starts every core but the boot core. A core that does not come is reported by its hardware id, and the boot
/// goes on without it.
pub fn start_others(options: &Options) {
    let cores = per_cpu::all().len();
    if let Some(core) = options.absent_core.filter(|&core| core as usize >= cores) {
        command_line::report_bad_word(format_args!(
            "`hook.absent={core}`: of {cores} cores the last is {}",
            cores - 1
        ));
    }
    let root = memory().kernel_root();
    for core in per_cpu::all().iter().skip(1) {
        if options.absent_core == Some(core.cpu.0) {
            report_missing(core, format_args!("did not start within {} ms", START_TIME.as_millis()));
            continue;
        }
        let record = Box::leak(Box::new(StartRecord {
            stack_top: stacks::stack_top(core.local.stacks),
            entry: secondary_main,
            local: core.local,
            root,
        }));
        // SAFETY: stack and block were made for this core alone; the root is the kernel's.
        if let Err(error) = unsafe { Arch::start_core(record) } {
            report_missing(core, format_args!("did not start: {error}"));
        } else if !comes_online(core) {
            Arch::abandon_core(core.hardware);
            report_missing(core, format_args!("did not start within {} ms", START_TIME.as_millis()));
        }
    }
}

fn report_missing(core: &PerCpu, what: core::fmt::Arguments<'_>) {
    log::error!("core {} (hardware id {}) {what}; going on without it", core.cpu, core.hardware);
}

fn comes_online(core: &PerCpu) -> bool {
    let end = Instant::now() + START_TIME;
    while !core.is_online() {
        if Instant::now() > end {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// First Rust function of every core but the boot core, on its own stack.
extern "C" fn secondary_main(local: &'static CoreLocal) -> ! {
    // SAFETY: the first thing on this core, with its own block.
    unsafe { Arch::init_core(local) };
    come_online();
    scheduler::run()
}

/// Marks the calling core as ready for work, if it is the one it is meant to be.
pub fn come_online() {
    let this = per_cpu::this();
    let actual = Arch::hardware_id();
    assert_eq!(actual, this.hardware, "core {} runs on other hardware than it was started on", this.cpu);
    scheduler::come_online(this);
    this.online.store(true, Ordering::Release);
    // After the boot core has stopped waiting: asking takes time where a hypervisor answers.
    this.set_topology(Arch::topology);
}
