//! The kernel's tests of itself, run on the booted machine, on every core it has.
//!
//! They run from a system call of the engine at any time. Each asserts something that the hardware answers.

use crate::memory::memory;
use crate::per_cpu::{self, PerCpu};
use crate::time::Instant;
use crate::{engine, kprintln, scheduler};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use embodios_abi::layout;
use embodios_arch::paging::{PAGE, Translation};
use embodios_arch::{Arch, Architecture, VirtAddr, stacks};

type Outcome = Result<(), &'static str>;

/// Name and function of a test.
type Test = (&'static str, fn() -> Outcome);

const TESTS: &[Test] = &[
    ("kernel: every core found is online", every_core_is_online),
    ("kernel: each core answers with its own hardware id", cores_are_who_they_are),
    ("kernel: 1000 interrupts to each core are 1000 answers", interrupts_are_not_lost),
    ("kernel: no page is writable and executable", write_xor_execute),
    ("kernel: the page below every stack is unmapped", stacks_are_guarded),
    ("kernel: address 0 is unmapped", null_is_unmapped),
    ("kernel: memory given back is free again", frames_come_back),
    ("kernel: the clock of a core follows an interrupt from another", clocks_agree),
];

/// Time limit for another core's answer; only a core that is stuck takes longer.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Runs all tests; the numbers of passed and failed ones. `None` while another core runs them. The rest fails at once
/// when the engine is to leave.
pub fn run() -> Option<(u32, u32)> {
    static TURN: spin::Mutex<()> = spin::Mutex::new(());
    let _turn = TURN.try_lock()?;
    let mut failed = 0;
    for (name, test) in TESTS {
        match test() {
            Ok(()) => kprintln!("test {name} ... ok"),
            Err(why) => {
                failed += 1;
                kprintln!("test {name} ... FAILED: {why}");
            }
        }
    }
    Some((TESTS.len() as u32 - failed, failed))
}

/// Has `core` run `work` in its next interrupt and waits until it has. Only one core calls others, so that no core
/// that waits is waited for.
fn call_on(core: &PerCpu, work: fn(&PerCpu)) -> Outcome {
    if core.cpu == per_cpu::this().cpu {
        work(core);
        return Ok(());
    }
    *core.call.lock() = Some(work);
    core.interrupt();
    let asked = Instant::now();
    while core.call.lock().is_some() {
        if scheduler::is_stopping() {
            *core.call.lock() = None;
            return Err("the engine is to leave");
        }
        if asked.elapsed() > ANSWER_TIME {
            return Err("a core did not answer");
        }
        Arch::relax();
    }
    Ok(())
}

/// Runs the function that another core asked for. Called at every inter-processor interrupt.
pub fn answer(this: &PerCpu) {
    let work = *this.call.lock();
    if let Some(work) = work {
        work(this);
        *this.call.lock() = None;
    }
}

fn every_core_is_online() -> Outcome {
    if per_cpu::online().count() == per_cpu::all().len() { Ok(()) } else { Err("a core is missing") }
}

fn cores_are_who_they_are() -> Outcome {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    for core in per_cpu::online() {
        SEEN.store(u64::MAX, Ordering::Release);
        call_on(core, |me| {
            let block = per_cpu::this();
            if core::ptr::eq(me, block) {
                SEEN.store(Arch::hardware_id().0, Ordering::Release);
            }
        })?;
        if SEEN.load(Ordering::Acquire) != core.hardware.0 {
            return Err("a core has another's id or block");
        }
    }
    Ok(())
}

fn interrupts_are_not_lost() -> Outcome {
    static ANSWERS: AtomicU32 = AtomicU32::new(0);
    const ROUNDS: u32 = 1000;
    for core in per_cpu::online() {
        ANSWERS.store(0, Ordering::Release);
        for _ in 0..ROUNDS {
            call_on(core, |_| {
                ANSWERS.fetch_add(1, Ordering::AcqRel);
            })?;
        }
        if ANSWERS.load(Ordering::Acquire) != ROUNDS {
            return Err("answers and interrupts differ in number");
        }
    }
    Ok(())
}

fn write_xor_execute() -> Outcome {
    let memory = memory();
    // Code, constants and data of the kernel as this function, a string and a static show them.
    let code = memory.translate(VirtAddr(write_xor_execute as fn() -> Outcome as usize as u64));
    let constant = memory.translate(VirtAddr("constant".as_ptr() as u64));
    let data = memory.translate(VirtAddr(&raw const NEVER as u64));
    let rights = |found: Option<Translation>| {
        found.map(|Translation { access, .. }| (access.write, access.execute, access.user))
    };
    if rights(code) != Some((false, true, false)) {
        return Err("kernel code is not read-only and executable");
    }
    if rights(constant) != Some((false, false, false)) {
        return Err("kernel constants are writable or executable");
    }
    if rights(data) != Some((true, false, false)) {
        return Err("kernel data is executable");
    }
    let engine = (layout::IMAGE..layout::IMAGE + 0x80_0000).step_by(PAGE as usize);
    let mut pages = 0;
    for Translation { access, .. } in engine.filter_map(|address| memory.translate(VirtAddr(address))) {
        pages += 1;
        if access.write && access.execute || !access.user {
            return Err("an engine page has the wrong rights");
        }
    }
    if pages > 0 { Ok(()) } else { Err("the engine's image is not mapped") }
}

fn stacks_are_guarded() -> Outcome {
    let memory = memory();
    for core in per_cpu::all() {
        let window = core.local.stacks;
        let emergency = (0..stacks::EMERGENCY_STACKS).map(|number| {
            (stacks::emergency_bottom(window, number).0, stacks::emergency_top(window, number).0)
        });
        let mapped = |address| memory.translate(VirtAddr(address)).is_some();
        for (bottom, top) in emergency.chain([(stacks::stack_bottom(window).0, window.0 + stacks::WINDOW)]) {
            if !(bottom..top).step_by(PAGE as usize).all(mapped) || mapped(bottom - 1) {
                return Err("a kernel stack is not mapped or has no guard");
            }
        }
    }
    drop(memory);
    let stacks = engine::with(|engine| engine.stacks()).unwrap_or(0);
    let memory = crate::memory::memory();
    for top in (0..stacks).map(engine::stack_top) {
        let mapped = |address| memory.translate(VirtAddr(address)).is_some();
        if !mapped(top - 1) || mapped(top - layout::STACK_SIZE - 1) {
            return Err("an engine stack is not mapped or has no guard");
        }
    }
    if stacks > 0 { Ok(()) } else { Err("the engine has no stack") }
}

fn null_is_unmapped() -> Outcome {
    if memory().translate(VirtAddr(0)).is_none() { Ok(()) } else { Err("it is mapped") }
}

fn frames_come_back() -> Outcome {
    let mut memory = memory();
    let before = memory.free_bytes();
    for length in [PAGE, 17 * PAGE, layout::LARGE_PAGE] {
        let range = memory.allocate(length, PAGE).map_err(|_| "no memory")?;
        if memory.free_bytes() != before - length {
            return Err("taking memory does not lower what is free");
        }
        memory.free(range);
    }
    if memory.free_bytes() == before { Ok(()) } else { Err("memory was lost") }
}

/// Data, for [`write_xor_execute`].
static NEVER: AtomicU32 = AtomicU32::new(0);

fn clocks_agree() -> Outcome {
    static THERE: AtomicU64 = AtomicU64::new(0);
    for core in per_cpu::online() {
        for _ in 0..100 {
            let before = Arch::counter();
            call_on(core, |_| THERE.store(Arch::counter(), Ordering::Release))?;
            let there = THERE.load(Ordering::Acquire);
            if there < before || Arch::counter() < there {
                return Err("a core's counter is ahead of or behind another's");
            }
        }
    }
    Ok(())
}

/// Recurses until the guard page stops it; a test hook of the engine's `crash stack`.
#[inline(never)]
pub fn overflow_stack(depth: u64) -> u64 {
    let frame = core::hint::black_box([depth; 16]);
    if depth == u64::MAX {
        return 0;
    }
    overflow_stack(depth + 1).wrapping_add(core::hint::black_box(frame)[3])
}
