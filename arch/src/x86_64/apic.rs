//! The local APIC in both its forms: memory-mapped (xAPIC) and by MSR (x2APIC) (chapter 11).

use super::clock;
use super::features::has_hypervisor;
use super::io::cpuid;
use super::traps::{IPI_VECTOR, SPURIOUS_VECTOR, TIMER_VECTOR};
use crate::contract::StartError;
use crate::{HwCpuId, PhysAddr};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::registers::model_specific::Msr;

/// IA32_APIC_BASE and its bits (11.4.3, 11.12.1).
const APIC_BASE: u32 = 0x1b;
const ENABLE: u64 = 1 << 11;
const ENABLE_X2: u64 = 1 << 10;
/// Address of the memory-mapped registers after reset.
pub const REGISTERS: PhysAddr = PhysAddr(0xfee0_0000);
/// IA32_TSC_DEADLINE.
const TSC_DEADLINE: u32 = 0x6e0;

/// Register offsets (table 11-1); the MSR is `0x800 + offset / 16` (11.12.1.2).
const TASK_PRIORITY: u32 = 0x80;
const END_OF_INTERRUPT: u32 = 0xb0;
const SPURIOUS: u32 = 0xf0;
const COMMAND: u32 = 0x300;
const COMMAND_HIGH: u32 = 0x310;
const TIMER: u32 = 0x320;
const INITIAL_COUNT: u32 = 0x380;
const CURRENT_COUNT: u32 = 0x390;
const DIVIDE: u32 = 0x3e0;

/// Software-enable bit of the spurious-vector register (11.9).
const SOFTWARE_ENABLE: u32 = 1 << 8;
/// Timer modes and mask bit (11.5.4).
const MODE_DEADLINE: u32 = 2 << 17;
const MASKED: u32 = 1 << 16;
/// Divide by 1 (figure 11-10).
const DIVIDE_BY_1: u32 = 0b1011;
/// Interrupt commands (11.6.1).
const INIT: u32 = 5 << 8 | 1 << 14;
const STARTUP: u32 = 6 << 8 | 1 << 14;
const FIXED: u32 = 1 << 14;
const NMI: u32 = 4 << 8 | 1 << 14;
const DELIVERY_PENDING: u32 = 1 << 12;

/// Times of the universal start-up algorithm (8.4.4.1), in microseconds. A hypervisor needs neither.
const AFTER_INIT: u64 = 10_000;
const AFTER_STARTUP: u64 = 200;

fn has_x2apic() -> bool {
    cpuid(1, 0).ecx & 1 << 21 != 0
}

fn has_tsc_deadline() -> bool {
    cpuid(1, 0).ecx & 1 << 24 != 0
}

/// CPUID's answers, read once: the instruction traps under a hypervisor, and these are asked at every interrupt.
static MODE: AtomicU64 = AtomicU64::new(0);
const MODE_KNOWN: u64 = 1;
const MODE_X2: u64 = 2;
const MODE_TSC_DEADLINE: u64 = 4;

fn mode() -> u64 {
    match MODE.load(Ordering::Relaxed) {
        0 => {
            let x2 = if has_x2apic() { MODE_X2 } else { 0 };
            let deadline = if has_tsc_deadline() { MODE_TSC_DEADLINE } else { 0 };
            MODE.store(MODE_KNOWN | x2 | deadline, Ordering::Relaxed);
            MODE_KNOWN | x2 | deadline
        }
        mode => mode,
    }
}

fn is_x2() -> bool {
    mode() & MODE_X2 != 0
}

fn read(register: u32) -> u32 {
    if is_x2() {
        // SAFETY: reads of APIC registers have no effect on memory.
        unsafe { Msr::new(0x800 + register / 16).read() as u32 }
    } else {
        // SAFETY: the board lists the page as a device, so it is mapped uncached.
        unsafe { ((REGISTERS.identity().0 + u64::from(register)) as *const u32).read_volatile() }
    }
}

fn write(register: u32, value: u32) {
    if is_x2() {
        // SAFETY: the registers written here control interrupts of this core only, by the caller's intent.
        unsafe { Msr::new(0x800 + register / 16).write(value.into()) }
    } else {
        // SAFETY: as in `read`.
        unsafe { ((REGISTERS.identity().0 + u64::from(register)) as *mut u32).write_volatile(value) }
    }
}

/// Switches this core's APIC on, timer masked.
pub fn init_core() {
    if is_x2() {
        let mut base = Msr::new(APIC_BASE);
        // SAFETY: enabling x2APIC where it exists keeps all other state (11.12.5).
        unsafe { base.write(base.read() | ENABLE | ENABLE_X2) }
    }
    write(SPURIOUS, SOFTWARE_ENABLE | u32::from(SPURIOUS_VECTOR));
    write(TASK_PRIORITY, 0);
    write(TIMER, MASKED | u32::from(TIMER_VECTOR));
}

/// This core's id, from CPUID: it answers before the APIC is switched on. Leaf 0x0b has all 32 bits (10.12.8.1),
/// leaf 1 the lowest eight.
pub fn id() -> HwCpuId {
    let topology = cpuid(0x0b, 0);
    HwCpuId(if topology.ebx != 0 { topology.edx.into() } else { u64::from(cpuid(1, 0).ebx >> 24) })
}

pub fn end_of_interrupt() {
    write(END_OF_INTERRUPT, 0);
}

/// Sends a command to one core. False when the id cannot be addressed.
fn command(target: HwCpuId, command: u32) -> bool {
    if is_x2() {
        let Ok(target) = u32::try_from(target.0) else { return false };
        // SAFETY: the fences make earlier stores visible before the command, which x2APIC alone does not (11.12.3).
        unsafe {
            asm!("mfence", "lfence", options(nostack, preserves_flags));
            Msr::new(0x800 + COMMAND / 16).write(u64::from(target) << 32 | u64::from(command));
        }
    } else {
        // 255 is the broadcast address.
        let Some(target) = u32::try_from(target.0).ok().filter(|&target| target < 255) else { return false };
        write(COMMAND_HIGH, target << 24);
        write(COMMAND, command);
        while read(COMMAND) & DELIVERY_PENDING != 0 {
            core::hint::spin_loop();
        }
    }
    true
}

/// Sends an inter-processor interrupt. The target was started by [`start`], so its id can be addressed.
pub fn send(target: HwCpuId, vector: u8) {
    debug_assert_eq!(vector, IPI_VECTOR);
    command(target, FIXED | u32::from(vector));
}

/// Sends a non-maskable interrupt. False when the id cannot be addressed.
pub fn send_nmi(target: HwCpuId) -> bool {
    command(target, NMI)
}

/// INIT, then start-up at `page`, with the pauses that real hardware asks for.
pub fn start(target: HwCpuId, page: PhysAddr) -> Result<(), StartError> {
    let vector = (page.0 >> 12) as u32;
    if !command(target, INIT) {
        return Err(StartError::Unreachable);
    }
    if has_hypervisor() {
        command(target, STARTUP | vector);
        return Ok(());
    }
    clock::spin_microseconds(AFTER_INIT);
    for _ in 0..2 {
        command(target, STARTUP | vector);
        clock::spin_microseconds(AFTER_STARTUP);
    }
    Ok(())
}

/// Puts a core back to waiting for a start-up command.
pub fn reset(target: HwCpuId) {
    command(target, INIT);
}

/// See [`crate::Architecture::set_timer`].
pub fn set_timer(deadline: Option<u64>) {
    let timer = u32::from(TIMER_VECTOR);
    if mode() & MODE_TSC_DEADLINE != 0 {
        // A deadline of 0 disarms (11.5.4.1).
        write(TIMER, timer | MODE_DEADLINE);
        // SAFETY: the fence orders the mode before the deadline (11.5.4.1); the MSR arms this core's timer.
        unsafe {
            asm!("mfence", options(nostack, preserves_flags));
            Msr::new(TSC_DEADLINE).write(deadline.map_or(0, |deadline| deadline.max(1)));
        }
        return;
    }
    let Some(deadline) = deadline else { return write(INITIAL_COUNT, 0) };
    write(DIVIDE, DIVIDE_BY_1);
    let rate = u128::from(one_shot_rate());
    write(TIMER, timer);
    let ticks = u128::from(deadline.saturating_sub(clock::counter()));
    let count = ticks * rate / u128::from(clock::RATE.get().max(1)) + 1;
    // A wait longer than the timer reaches ends early; the waiter looks at the clock and sets it again.
    write(INITIAL_COUNT, u32::try_from(count).unwrap_or(u32::MAX));
}

/// Ticks a second of the one-shot timer, measured against the counter the first time it is needed.
fn one_shot_rate() -> u64 {
    static RATE: AtomicU64 = AtomicU64::new(0);
    let known = RATE.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    write(TIMER, MASKED | u32::from(TIMER_VECTOR));
    write(INITIAL_COUNT, u32::MAX);
    let start = clock::counter();
    clock::spin_microseconds(1000);
    let ticks = u64::from(u32::MAX - read(CURRENT_COUNT));
    let elapsed = clock::counter() - start;
    write(INITIAL_COUNT, 0);
    let rate = (u128::from(ticks) * u128::from(clock::RATE.get()) / u128::from(elapsed.max(1))) as u64;
    RATE.store(rate.max(1), Ordering::Relaxed);
    rate.max(1)
}
