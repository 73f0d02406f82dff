//! From the board's hand-over to the first thread of the engine.

use crate::board::{Board, BootInfo, Places};
use crate::engine::{self, Payload};
use crate::scheduler::{self, Context};
use crate::time::Instant;
use crate::{
    affinity, command_line, devices, fault, heap, input, memory, output, per_cpu, phases, power, refuse,
    selftest, smp, syscall,
};
use alloc::vec::Vec;
use embodios_arch::{Arch, Architecture, CpuId, Fault, Handlers, Interrupt, register_handlers};
use spin::Mutex;

/// Longest command line, in bytes: the engine's copy of it passes through the kernel's heap.
const MAX_COMMAND_LINE: usize = 32 << 10;

/// What the first half of the start leaves for the second, which runs on another stack.
static LEFT: Mutex<Option<(Payload, Places)>> = Mutex::new(None);

/// Lets the board speak, and faults be reported, before [`start`].
pub fn prepare(board: &'static dyn Board) {
    output::init(board);
    register_handlers(&Kernel);
}

/// Starts the kernel. Called once, by the boot core, on the board's boot stack and boot tables.
///
/// # Safety
/// `boot` describes this machine truthfully; memory not reserved in it is unused; its strings, modules
/// and slices stay where they are for good.
pub unsafe fn start(board: &'static dyn Board, boot: &BootInfo<'static>) -> ! {
    phases::done("board");
    prepare(board);
    let bytes = boot.command_line.len();
    if bytes > MAX_COMMAND_LINE {
        refuse(format_args!("the command line has {bytes} bytes, and {MAX_COMMAND_LINE} at most are read"));
    }
    // SAFETY: the caller vouches for `boot`; this is the one call.
    let (root, heap) = match unsafe { memory::init(boot, heap::size(boot.cores.len())) } {
        Ok(done) => done,
        Err(error) => refuse(format_args!("memory: {error}")),
    };
    // SAFETY: the new tables map the kernel where it runs, the boot stack included, and the heap's frames are ours.
    unsafe {
        Arch::load_root(root);
        heap::HEAP.init(heap.start.identity().0 as *mut u8, heap.length() as usize);
    }
    phases::done("memory map and page tables");
    // Sets of cores live on the heap.
    let (options, bad_word) = command_line::parse(boot.command_line);
    log::set_max_level(options.log);
    if let Some(word) = bad_word {
        command_line::report_bad_word(format_args!("`{word}` makes no sense"));
    }
    if let Err(error) = smp::prepare(boot.cores, boot.topology) {
        refuse(format_args!("kernel stacks for {} cores: {error}", boot.cores.len()));
    }
    phases::done("per-CPU blocks and stacks");
    let local = per_cpu::all()[CpuId::BOOT.index()].local;
    // SAFETY: first on this core, with the block made for it.
    unsafe { Arch::init_core(local) };
    let payload = Payload {
        program: boot.engine,
        modules: boot.modules.iter().copied().collect::<Vec<_>>(),
        command_line: boot.command_line,
        machine: boot.machine,
        entry_counter: boot.entry_counter,
        wall_clock: board.wall_clock().map(|now| {
            let elapsed = Instant::from_counter(boot.entry_counter).elapsed();
            now.saturating_sub(elapsed.as_secs())
        }),
    };
    command_line::set(options);
    *LEFT.lock() = Some((payload, boot.places.clone()));
    // SAFETY: all that the rest needs has been moved out of this stack.
    unsafe { Arch::restart_stack(local, start_on_own_stack) }
}

/// The second half: the boot core is a core like the others, with a guarded stack.
fn start_on_own_stack() -> ! {
    let Some((payload, mut places)) = LEFT.lock().take() else { unreachable!("`start` filled it") };
    smp::come_online();
    phases::done("boot core");
    smp::start_others(command_line::options());
    phases::done("other cores");
    affinity::init(command_line::options());
    // Beyond the list's room there are no more devices than a machine has.
    let _ = places.mmio.extend_from_slice(&command_line::options().devices);
    // SAFETY: the places are firmware's (`start`'s caller) or the loader's; this is the one call.
    unsafe { devices::init(&places) }
    phases::done("devices");
    let entry_counter = payload.entry_counter;
    if let Err(error) = engine::start(payload) {
        refuse(format_args!("{error}"));
    }
    phases::done("engine loaded");
    log::info!("counter at {} Hz", Arch::counter_hz());
    phases::report(entry_counter);
    scheduler::run()
}

/// The kernel's handlers of the hardware's calls.
pub struct Kernel;

impl Handlers for Kernel {
    fn system_call(&self, context: &mut Context, number: u64, arguments: [u64; 3]) {
        syscall::dispatch(context, number, arguments);
    }

    fn interrupt(&self, interrupt: Interrupt) {
        let began = Arch::counter();
        power::halt_if_asked();
        let this = per_cpu::this();
        match interrupt {
            Interrupt::Ipi => selftest::answer(this),
            Interrupt::Timer => this.timer_fired(),
            Interrupt::Device(id) if devices::interrupt(id) => {}
            Interrupt::Device(_) => {
                if let Some(board) = output::board() {
                    input::receive(board.console());
                }
            }
        }
        this.statistics.update(|counts| {
            match interrupt {
                Interrupt::Ipi => counts.ipi_interrupts.add(1),
                Interrupt::Timer => counts.timer_interrupts.add(1),
                Interrupt::Device(_) => counts.device_interrupts.add(1),
            }
            counts.interrupt_ticks.add(Arch::counter().saturating_sub(began));
        });
    }

    fn leave_interrupt(&self, context: &mut Context) {
        scheduler::exit_to_user_work(per_cpu::this(), context);
    }

    fn fault(&self, fault: &Fault<'_>) -> ! {
        fault::handle(fault)
    }
}
