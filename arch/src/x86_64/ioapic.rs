//! The I/O APIC: leads a device line to one core (Intel 82093AA data sheet).

use crate::{HwCpuId, Line, PhysAddr};

/// Register select and window, at these offsets.
const SELECT: u64 = 0;
const WINDOW: u64 = 0x10;
/// Version register; bits 23:16 are the highest line.
const VERSION: u32 = 1;
/// First redirection entry; two registers a line.
const REDIRECTION: u32 = 0x10;

/// Leads `line` to `vector` on `target` and unmasks it, if it is one of the controller's at `registers`, whose first
/// line is `first_line`. False when it is not, or when the core's id does not fit the entry's 8 bits.
///
/// # Safety
/// An I/O APIC's registers are mapped there as a device, and nothing else uses them meanwhile.
pub unsafe fn route(registers: PhysAddr, first_line: u32, line: Line, vector: u8, target: HwCpuId) -> bool {
    let select = (registers.identity().0 + SELECT) as *mut u32;
    let window = (registers.identity().0 + WINDOW) as *mut u32;
    // SAFETY: the caller's promise.
    let read = |register| unsafe {
        select.write_volatile(register);
        window.read_volatile()
    };
    // SAFETY: the caller's promise.
    let write = |register, value| unsafe {
        select.write_volatile(register);
        window.write_volatile(value);
    };
    let highest = read(VERSION) >> 16 & 0xff;
    let entry = line.number.checked_sub(first_line).filter(|&entry| entry <= highest);
    let (Some(entry), Ok(target)) = (entry, u8::try_from(target.0)) else { return false };
    let low = u32::from(vector) | u32::from(line.active_low) << 13 | u32::from(line.level) << 15;
    write(REDIRECTION + 2 * entry + 1, u32::from(target) << 24);
    write(REDIRECTION + 2 * entry, low);
    true
}
