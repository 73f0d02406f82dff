//! The real-time clock: an Arm PL031 (DDI 0224), which counts seconds.

use embodios_arch::aarch64::probe;
use embodios_kernel::{PhysAddr, PhysRange};

/// Offsets: the time; the first identification register, and what it reads as.
const DATA: u64 = 0x000;
const PERIPHERAL_ID: u64 = 0xfe0;
const PART: u32 = 0x31;

/// Seconds since 1970; `None` where there is no such clock.
pub fn read(registers: PhysRange) -> Option<u64> {
    let word = |offset: u64| probe::read(PhysAddr(registers.start.0.saturating_add(offset)));
    (word(PERIPHERAL_ID) == Some(PART)).then(|| word(DATA).map(u64::from))?
}
