//! GICv2 (Arm IHI 0048B).
//!
//! Written out here because the arm-gic crate drives version 2 through one exclusive handle, and takes
//! the Secure view of the groups. Every register used is banked per core or written in one store, so
//! cores need no lock. All interrupts stay in the one group that the kernel's view of the controller
//! has: bit 0 of the control registers, GICC_IAR, GICC_EOIR.

use crate::{HwCpuId, PhysRange};
use core::sync::atomic::{AtomicU64, Ordering};

/// Register offsets.
mod gicd {
    pub const CTLR: u64 = 0x000;
    pub const ISENABLER: u64 = 0x100;
    pub const ICENABLER: u64 = 0x180;
    pub const IPRIORITYR: u64 = 0x400;
    pub const ITARGETSR: u64 = 0x800;
    pub const ICFGR: u64 = 0xc00;
    pub const SGIR: u64 = 0xf00;
}

/// Register offsets.
mod gicc {
    pub const CTLR: u64 = 0x00;
    pub const PMR: u64 = 0x04;
    pub const IAR: u64 = 0x0c;
    pub const EOIR: u64 = 0x10;
}

/// Bytes of the distributor's registers.
pub(super) const BYTES: u64 = 0x1000;
/// Offset of the CPU interface's identification, GICC_IIDR.
pub(super) const INTERFACE_ID: u64 = 0xfc;
/// CPU interfaces a GICv2 can have.
const INTERFACES: usize = 8;
/// No core has been seen at this interface. Not an affinity: its bits 31:24 are not zero.
const NOBODY: u64 = u64::MAX;
/// Priority of everything, in the middle of the range.
const PRIORITY: u8 = 0x80;

pub(super) struct GicV2 {
    distributor: u64,
    cpu_interface: u64,
    /// Affinity of the core behind each interface, filled in as cores are initialised.
    cores: [AtomicU64; INTERFACES],
}

impl GicV2 {
    /// # Safety
    /// The ranges are this machine's GICD and GICC, mapped as device memory, driven by nothing else.
    pub(super) unsafe fn new(distributor: PhysRange, cpu_interface: PhysRange) -> Self {
        let gic = Self {
            distributor: distributor.start.identity().0,
            cpu_interface: cpu_interface.start.identity().0,
            cores: [const { AtomicU64::new(NOBODY) }; INTERFACES],
        };
        write(gic.distributor + gicd::CTLR, 1);
        gic
    }

    /// Enables `private` interrupts and the CPU interface of the calling core.
    pub(super) fn init_core(&self, hardware: HwCpuId, private: &[u32]) {
        // The first eight target registers are banked and read-only: each byte is the mask of the
        // reading core. A controller with one interface reads as zero (IHI 0048B, 4.3.12).
        let mask = read(self.distributor + gicd::ITARGETSR) & 0xff;
        let interface = if mask == 0 { 0 } else { mask.trailing_zeros() as usize };
        self.cores[interface].store(hardware.0, Ordering::Release);
        write(self.distributor + gicd::ICENABLER, u32::MAX);
        for &number in private {
            self.enable(number);
        }
        write(self.cpu_interface + gicc::PMR, 0xff);
        write(self.cpu_interface + gicc::CTLR, 1);
    }

    fn enable(&self, number: u32) {
        write_byte(self.distributor + gicd::IPRIORITYR + u64::from(number), PRIORITY);
        write(self.distributor + gicd::ISENABLER + u64::from(number / 32) * 4, 1 << (number % 32));
    }

    /// Bit of the interface behind which `target` was initialised; 0 when it was not.
    fn mask(&self, target: HwCpuId) -> u8 {
        let seen = |core: &AtomicU64| core.load(Ordering::Acquire) == target.0;
        self.cores.iter().position(seen).map_or(0, |interface| 1 << interface)
    }

    pub(super) fn send(&self, number: u32, target: HwCpuId) {
        write(self.distributor + gicd::SGIR, u32::from(self.mask(target)) << 16 | number);
    }

    pub(super) fn enable_device(&self, number: u32, target: HwCpuId) {
        let trigger = self.distributor + gicd::ICFGR + u64::from(number / 16) * 4;
        write(trigger, read(trigger) & !(0b10 << (number % 16 * 2)));
        write_byte(self.distributor + gicd::ITARGETSR + u64::from(number), self.mask(target));
        self.enable(number);
    }

    pub(super) fn acknowledge(&self) -> u32 {
        read(self.cpu_interface + gicc::IAR)
    }

    pub(super) fn end(&self, raw: u32) {
        write(self.cpu_interface + gicc::EOIR, raw);
    }
}

fn read(register: u64) -> u32 {
    // SAFETY: an offset within the register frames promised to `GicV2::new`.
    unsafe { (register as *const u32).read_volatile() }
}

fn write(register: u64, value: u32) {
    // SAFETY: as in `read`.
    unsafe { (register as *mut u32).write_volatile(value) }
}

/// Priority and target registers are byte-accessible (IHI 0048B, 4.1.4).
fn write_byte(register: u64, value: u8) {
    // SAFETY: as in `read`.
    unsafe { (register as *mut u8).write_volatile(value) }
}
