//! The time-stamp counter and its rate.
//!
//! Sources, best first: CPUID leaf 0x15 (SDM 18.7.3), the hypervisor's timing leaf 0x40000010, KVM's clock
//! record, and the programmable interval timer (Intel 8254).

use super::features::has_hypervisor;
use super::io::{cpuid, inb, outb};
use crate::rate::CounterRate;
use core::arch::asm;
use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU32, Ordering};
use x86_64::registers::model_specific::Msr;

/// Ticks a second.
pub static RATE: CounterRate = CounterRate::unknown();

/// The source of the rate, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// CPUID leaf 0x15.
    Cpuid,
    /// Hypervisor leaf 0x40000010.
    Hypervisor,
    /// KVM's clock record.
    KvmClock,
    /// Measured against the interval timer.
    IntervalTimer,
}

/// The counter; not read before earlier instructions are done.
pub fn counter() -> u64 {
    // SAFETY: both instructions exist on every x86_64 processor and touch no memory.
    unsafe {
        asm!("lfence", options(nomem, nostack, preserves_flags));
        _rdtsc()
    }
}

/// Finds the counter's rate. Called by the board before the kernel starts. `None` when no source answers.
#[must_use]
pub fn calibrate() -> Option<Source> {
    let (source, hz) = from_cpuid()
        .map(|hz| (Source::Cpuid, hz))
        .or_else(|| from_hypervisor().map(|hz| (Source::Hypervisor, hz)))
        .or_else(|| from_kvm_clock().map(|hz| (Source::KvmClock, hz)))
        .or_else(|| from_interval_timer().map(|hz| (Source::IntervalTimer, hz)))?;
    stop_interval_timer();
    RATE.set(hz);
    Some(source)
}

/// Waits, for hardware that needs it.
pub fn spin_microseconds(microseconds: u64) {
    let end = counter() + RATE.get() / 1000 * microseconds / 1000;
    while counter() < end {
        core::hint::spin_loop();
    }
}

fn from_cpuid() -> Option<u64> {
    let leaf = cpuid(0x15, 0);
    let crystal = u64::from(leaf.ecx);
    let hz = crystal * u64::from(leaf.ebx) / u64::from(leaf.eax.max(1));
    (leaf.eax != 0 && hz != 0).then_some(hz)
}

/// The hypervisor's signature; zeroes without one.
fn hypervisor_signature() -> [u32; 3] {
    if !has_hypervisor() {
        return [0; 3];
    }
    let leaf = cpuid(0x4000_0000, 0);
    [leaf.ebx, leaf.ecx, leaf.edx]
}

/// The leaf that VMware defined and KVM took over: EAX is the counter's rate in kHz.
fn from_hypervisor() -> Option<u64> {
    if hypervisor_signature() == [0; 3] {
        return None;
    }
    let khz = cpuid(0x4000_0010, 0).eax;
    (khz != 0).then_some(u64::from(khz) * 1000)
}

/// KVM's per-core clock record (Linux, `Documentation/virt/kvm/x86/msr.rst`, MSR_KVM_SYSTEM_TIME_NEW).
#[repr(C, align(64))]
struct ClockRecord {
    version: AtomicU32,
    padding: AtomicU32,
    counter: [AtomicU32; 2],
    system_time: [AtomicU32; 2],
    /// Nanoseconds = (ticks << shift) * multiplier >> 32.
    multiplier: AtomicU32,
    /// Lowest byte, signed: the shift.
    shift: AtomicU32,
}

static RECORD: ClockRecord = ClockRecord {
    version: AtomicU32::new(0),
    padding: AtomicU32::new(0),
    counter: [const { AtomicU32::new(0) }; 2],
    system_time: [const { AtomicU32::new(0) }; 2],
    multiplier: AtomicU32::new(0),
    shift: AtomicU32::new(0),
};

/// "KVMKVMKVM" as CPUID spells it.
const KVM_SIGNATURE: [u32; 3] = [0x4b4d_564b, 0x564b_4d56, 0x0000_004d];
/// KVM_FEATURE_CLOCKSOURCE2 in CPUID.40000001H:EAX.
const KVM_CLOCK_FEATURE: u32 = 1 << 3;
const KVM_CLOCK: u32 = 0x4b56_4d01;

/// The rate KVM itself uses. The record is filled once, at the write that announces it, and then withdrawn.
fn from_kvm_clock() -> Option<u64> {
    if hypervisor_signature() != KVM_SIGNATURE || cpuid(0x4000_0001, 0).eax & KVM_CLOCK_FEATURE == 0 {
        return None;
    }
    let mut clock = Msr::new(KVM_CLOCK);
    // SAFETY: the record lives for ever, at its own physical address, and is only written by KVM as atomics
    // permit; bit 0 enables, 0 withdraws.
    unsafe { clock.write(&raw const RECORD as u64 | 1) };
    let multiplier = RECORD.multiplier.load(Ordering::Acquire);
    let shift = RECORD.shift.load(Ordering::Acquire) as u8 as i8;
    // SAFETY: as above.
    unsafe { clock.write(0) };
    rate_from_scale(multiplier, shift)
}

/// Ticks a second of a counter that takes `(1 << shift) * multiplier / 2^32` nanoseconds a tick.
fn rate_from_scale(multiplier: u32, shift: i8) -> Option<u64> {
    if multiplier == 0 {
        return None;
    }
    let second = 1_000_000_000u128 << 32;
    let unshifted = second / u128::from(multiplier);
    let hz = if shift < 0 { unshifted << -i32::from(shift) } else { unshifted >> shift };
    u64::try_from(hz).ok().filter(|&hz| hz != 0)
}

/// Rate of the 8254's input, in Hz.
const INTERVAL_TIMER_HZ: u64 = 1_193_182;
/// Length of the measurement: 10 ms.
const MEASURE_TICKS: u16 = 11_932;

/// Counts while channel 0 of the 8254 runs down. Read back by latch, since not every machine has port 0x61.
fn from_interval_timer() -> Option<u64> {
    // SAFETY: the ports belong to the interval timer, which nothing else uses; mode 2, both bytes, channel 0.
    unsafe {
        outb(0x43, 0x34);
        outb(0x40, 0xff);
        outb(0x40, 0xff);
    }
    let (start_ticks, start) = interval_timer();
    for _ in 0..1_000_000 {
        let (ticks, now) = interval_timer();
        let passed = start_ticks.wrapping_sub(ticks);
        if passed >= MEASURE_TICKS {
            return Some((now - start) * INTERVAL_TIMER_HZ / u64::from(passed));
        }
    }
    None
}

/// Stops channel 0, which firmware leaves running for ever. Nothing hears it here, but a thread of the emulator that
/// plays it wakes 36 times a second, on a core that a worker thinks its own.
fn stop_interval_timer() {
    // SAFETY: as above; mode 0 counts down once, here from 1, and then stands still.
    unsafe {
        outb(0x43, 0x30);
        outb(0x40, 1);
        outb(0x40, 0);
    }
}

/// Channel 0's count (it counts down), and the counter at that time.
fn interval_timer() -> (u16, u64) {
    // SAFETY: as above; 0 latches channel 0.
    unsafe {
        outb(0x43, 0);
        let now = counter();
        (u16::from_le_bytes([inb(0x40), inb(0x40)]), now)
    }
}
