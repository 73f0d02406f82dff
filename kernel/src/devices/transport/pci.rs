//! Registers in the BARs of a PCI function (virtio 1.2, 4.1.4).

use super::{DeviceError, Rings, Transport};
use crate::devices::registers::Registers;

/// A device by PCI.
pub struct Pci {
    /// `virtio_pci_common_cfg`.
    pub common: Registers,
    /// Doorbells.
    pub notify: Registers,
    /// Distance between a unit of a queue's doorbell offset and the next.
    pub multiplier: u32,
    /// Interrupt status, which a load clears.
    pub interrupt_status: Registers,
    /// The device's own configuration.
    pub configuration: Registers,
    /// Whether interrupts come as messages.
    pub messages: bool,
    /// Offset of each queue's doorbell that was set up.
    pub doorbells: [u64; QUEUES],
}

/// Queues that a device may have here.
pub const QUEUES: usize = 2;

/// Offsets into the common configuration (4.1.4.3).
mod register {
    pub const OFFERED_SELECT: u64 = 0x00;
    pub const OFFERED: u64 = 0x04;
    pub const CHOSEN_SELECT: u64 = 0x08;
    pub const CHOSEN: u64 = 0x0c;
    pub const CONFIGURATION_VECTOR: u64 = 0x10;
    pub const STATUS: u64 = 0x14;
    pub const QUEUE_SELECT: u64 = 0x16;
    pub const QUEUE_ENTRIES: u64 = 0x18;
    pub const QUEUE_VECTOR: u64 = 0x1a;
    pub const QUEUE_ENABLE: u64 = 0x1c;
    pub const QUEUE_NOTIFY: u64 = 0x1e;
    pub const DESCRIPTORS: u64 = 0x20;
    pub const AVAILABLE: u64 = 0x28;
    pub const USED: u64 = 0x30;
}

/// No MSI-X vector (4.1.5.1.2).
const NO_VECTOR: u16 = 0xffff;
/// Entry of the MSI-X table for the queues that interrupt.
const VECTOR: u16 = 0;

impl Transport for Pci {
    fn offered(&self, word: u32) -> u32 {
        self.common.write32(register::OFFERED_SELECT, word);
        self.common.read32(register::OFFERED)
    }

    fn choose(&self, word: u32, bits: u32) {
        self.common.write32(register::CHOSEN_SELECT, word);
        self.common.write32(register::CHOSEN, bits);
    }

    fn status(&self) -> u8 {
        self.common.read8(register::STATUS)
    }

    fn set_status(&self, status: u8) {
        self.common.write8(register::STATUS, status);
    }

    fn set_queue(
        &mut self,
        queue: u16,
        entries: u16,
        rings: Rings,
        interrupting: bool,
    ) -> Result<(), DeviceError> {
        self.common.write16(register::QUEUE_SELECT, queue);
        let most = self.common.read16(register::QUEUE_ENTRIES);
        if most < entries {
            return Err(DeviceError::ShortQueue { queue, entries: most.into() });
        }
        self.common.write16(register::QUEUE_ENTRIES, entries);
        if self.messages {
            let vector = if interrupting { VECTOR } else { NO_VECTOR };
            self.common.write16(register::CONFIGURATION_VECTOR, NO_VECTOR);
            self.common.write16(register::QUEUE_VECTOR, vector);
            if self.common.read16(register::QUEUE_VECTOR) != vector {
                return Err(DeviceError::NoVector);
            }
        }
        self.common.write_halves(register::DESCRIPTORS, rings.descriptors);
        self.common.write_halves(register::AVAILABLE, rings.available);
        self.common.write_halves(register::USED, rings.used);
        let doorbell = u64::from(self.common.read16(register::QUEUE_NOTIFY)) * u64::from(self.multiplier);
        self.notify.part(doorbell, 2).ok_or(DeviceError::OutsideRegisters)?;
        *self.doorbells.get_mut(usize::from(queue)).ok_or(DeviceError::OutsideRegisters)? = doorbell;
        self.common.write16(register::QUEUE_ENABLE, 1);
        Ok(())
    }

    fn notify(&self, queue: u16) {
        if let Some(&doorbell) = self.doorbells.get(usize::from(queue)) {
            self.notify.write16(doorbell, queue);
        }
    }

    fn acknowledge(&self) {
        if !self.messages {
            let _cleared = self.interrupt_status.read8(0);
        }
    }

    fn configuration(&self, offset: u64) -> u8 {
        self.configuration.read8(offset)
    }
}
