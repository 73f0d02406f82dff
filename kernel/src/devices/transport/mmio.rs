//! Memory-mapped registers, version 2 (virtio 1.2, 4.2.2).

use super::{DeviceError, Rings, Transport};
use crate::devices::registers::Registers;

/// A device by memory-mapped registers.
pub struct Mmio {
    registers: Registers,
}

/// Offsets (table 4.1).
mod register {
    pub const MAGIC: u64 = 0x00;
    pub const VERSION: u64 = 0x04;
    pub const DEVICE: u64 = 0x08;
    pub const OFFERED: u64 = 0x10;
    pub const OFFERED_SELECT: u64 = 0x14;
    pub const CHOSEN: u64 = 0x20;
    pub const CHOSEN_SELECT: u64 = 0x24;
    pub const QUEUE_SELECT: u64 = 0x30;
    pub const QUEUE_MAX: u64 = 0x34;
    pub const QUEUE_ENTRIES: u64 = 0x38;
    pub const QUEUE_READY: u64 = 0x44;
    pub const NOTIFY: u64 = 0x50;
    pub const INTERRUPT_STATUS: u64 = 0x60;
    pub const INTERRUPT_END: u64 = 0x64;
    pub const STATUS: u64 = 0x70;
    pub const DESCRIPTORS: u64 = 0x80;
    pub const AVAILABLE: u64 = 0x90;
    pub const USED: u64 = 0xa0;
    pub const CONFIGURATION: u64 = 0x100;
}

/// "virt", in the first register.
const MMIO_MAGIC: u32 = 0x7472_6976;

impl Mmio {
    /// The kind of device at `registers`, and the way to it; `None` where there is none.
    #[must_use]
    pub fn find(registers: Registers) -> Option<(u32, Self)> {
        if registers.read32(register::MAGIC) != MMIO_MAGIC {
            return None;
        }
        match registers.read32(register::DEVICE) {
            0 => None,
            kind => Some((kind, Self { registers })),
        }
    }
}

impl Transport for Mmio {
    fn offered(&self, word: u32) -> u32 {
        // Version 1 has other registers for queues, whatever it offers.
        if self.registers.read32(register::VERSION) != 2 {
            return 0;
        }
        self.registers.write32(register::OFFERED_SELECT, word);
        self.registers.read32(register::OFFERED)
    }

    fn choose(&self, word: u32, bits: u32) {
        self.registers.write32(register::CHOSEN_SELECT, word);
        self.registers.write32(register::CHOSEN, bits);
    }

    fn status(&self) -> u8 {
        self.registers.read32(register::STATUS) as u8
    }

    fn set_status(&self, status: u8) {
        self.registers.write32(register::STATUS, status.into());
    }

    fn set_queue(&mut self, queue: u16, entries: u16, rings: Rings, _: bool) -> Result<(), DeviceError> {
        self.registers.write32(register::QUEUE_SELECT, queue.into());
        let most = self.registers.read32(register::QUEUE_MAX);
        if most < entries.into() {
            return Err(DeviceError::ShortQueue { queue, entries: most });
        }
        self.registers.write32(register::QUEUE_ENTRIES, entries.into());
        self.registers.write_halves(register::DESCRIPTORS, rings.descriptors);
        self.registers.write_halves(register::AVAILABLE, rings.available);
        self.registers.write_halves(register::USED, rings.used);
        self.registers.write32(register::QUEUE_READY, 1);
        Ok(())
    }

    fn notify(&self, queue: u16) {
        self.registers.write32(register::NOTIFY, queue.into());
    }

    fn acknowledge(&self) {
        let pending = self.registers.read32(register::INTERRUPT_STATUS);
        self.registers.write32(register::INTERRUPT_END, pending);
    }

    fn configuration(&self, offset: u64) -> u8 {
        self.registers.read8(register::CONFIGURATION + offset)
    }
}
