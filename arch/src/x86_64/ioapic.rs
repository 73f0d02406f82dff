//! The I/O APIC: leads a device line to one core (Intel 82093AA data sheet).

use crate::{HwCpuId, PhysAddr, PhysRange};

/// Register select and window, at these offsets.
const SELECT: u64 = 0;
const WINDOW: u64 = 0x10;
/// Version register; bits 23:16 are the highest line.
const VERSION: u32 = 1;
/// First redirection entry; two registers a line.
const REDIRECTION: u32 = 0x10;

/// One controller.
pub struct IoApic {
    /// Its registers.
    pub registers: PhysAddr,
    /// Global number of its first line.
    pub first_line: u32,
}

/// How a line signals.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Global number.
    pub number: u32,
    /// Active low.
    pub active_low: bool,
    /// Level-triggered.
    pub level: bool,
}

impl IoApic {
    /// The registers, for mapping.
    #[must_use]
    pub const fn range(&self) -> PhysRange {
        PhysRange::new(self.registers.0, 0x1000)
    }

    fn write(&self, register: u32, value: u32) {
        let base = self.registers.identity().0;
        // SAFETY: the board lists the range as a device; callers take turns (one board, one caller).
        unsafe {
            ((base + SELECT) as *mut u32).write_volatile(register);
            ((base + WINDOW) as *mut u32).write_volatile(value);
        }
    }

    fn read(&self, register: u32) -> u32 {
        let base = self.registers.identity().0;
        // SAFETY: as in `write`.
        unsafe {
            ((base + SELECT) as *mut u32).write_volatile(register);
            ((base + WINDOW) as *const u32).read_volatile()
        }
    }

    /// Leads `line` to `vector` on `target` and unmasks it. False when the line is not this controller's or the
    /// core's id does not fit its 8-bit field.
    pub fn route(&self, line: Line, vector: u8, target: HwCpuId) -> bool {
        let lines = (self.read(VERSION) >> 16 & 0xff) + 1;
        let (Some(entry), Ok(target)) = (line.number.checked_sub(self.first_line), u8::try_from(target.0))
        else {
            return false;
        };
        if entry >= lines {
            return false;
        }
        let low = u32::from(vector) | u32::from(line.active_low) << 13 | u32::from(line.level) << 15;
        self.write(REDIRECTION + 2 * entry + 1, u32::from(target) << 24);
        self.write(REDIRECTION + 2 * entry, low);
        true
    }
}
