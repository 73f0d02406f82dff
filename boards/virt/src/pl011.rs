//! The PL011 serial port (Arm DDI 0183): polled output, interrupt-driven input.
//!
//! Its functions take no lock: the kernel makes writers take turns, and a panic must get its words out
//! whichever core held the port. Line speed stays as firmware set it.

use embodios_arch::aarch64::{gic, probe};
use embodios_fdt::Port;
use embodios_kernel::board::END_OF_INPUT;
use embodios_kernel::{Console, CpuId, HwCpuId, PhysAddr, PhysRange};

/// Its names in device trees and in errors.
pub const KIND: Port = Port { compatible: "arm,pl011", name: "PL011 serial port" };

/// Register offsets.
mod register {
    pub const DR: u64 = 0x00;
    pub const FR: u64 = 0x18;
    pub const LCR_H: u64 = 0x2c;
    pub const CR: u64 = 0x30;
    pub const IMSC: u64 = 0x38;
    pub const ICR: u64 = 0x44;
    /// PeriphID0 and, a word behind it, PeriphID1: the part number.
    pub const PERIPHERAL_ID: u64 = 0xfe0;
    /// PCellID0 to 3.
    pub const PRIMECELL_ID: u64 = 0xff0;
}

/// DR: a break.
const BREAK: u32 = 1 << 10;
/// FR: nothing received.
const RECEIVE_EMPTY: u32 = 1 << 4;
/// FR: no room to send.
const TRANSMIT_FULL: u32 = 1 << 5;
/// LCR_H: FIFOs on, eight bits.
const FIFOS_EIGHT_BITS: u32 = 1 << 4 | 3 << 5;
/// CR: port, transmitter and receiver on.
const ENABLED: u32 = 1 | 1 << 8 | 1 << 9;
/// IMSC: bytes have arrived (RXIM), or wait in a FIFO that does not fill up (RTIM).
const RECEIVED: u32 = 1 << 4 | 1 << 6;
/// ICR: all of them.
const ALL: u32 = 0x7ff;

/// The contents of the identification registers of a PrimeCell device (3.3.19).
const PRIMECELL: [u32; 4] = [0x0d, 0xf0, 0x05, 0xb1];

/// Whether the registers of such a port are there.
pub fn is_at(registers: PhysRange) -> bool {
    let word = |offset| probe::read(PhysAddr(registers.start.0.saturating_add(offset)));
    (0..4).map(|index| word(register::PRIMECELL_ID + 4 * index)).eq(PRIMECELL.map(Some))
        && word(register::PERIPHERAL_ID) == Some(0x11)
        && word(register::PERIPHERAL_ID + 4).is_some_and(|id| id & 0xf == 0)
}

/// A serial port.
pub struct Pl011 {
    base: u64,
    interrupt: u32,
}

impl Pl011 {
    /// Turns the port on.
    ///
    /// # Safety
    /// `registers` are those of a PL011, mapped as device memory; `interrupt` is its interrupt id.
    pub unsafe fn new(registers: PhysRange, interrupt: u32) -> Self {
        let port = Self { base: registers.start.identity().0, interrupt };
        port.write_register(register::CR, 0);
        port.write_register(register::IMSC, 0);
        port.write_register(register::ICR, ALL);
        port.write_register(register::LCR_H, FIFOS_EIGHT_BITS);
        port.write_register(register::CR, ENABLED);
        port
    }

    fn read_register(&self, offset: u64) -> u32 {
        // SAFETY: `new`'s caller promised the registers; reading one takes at most a received byte.
        unsafe { ((self.base + offset) as *const u32).read_volatile() }
    }

    fn write_register(&self, offset: u64, value: u32) {
        // SAFETY: as in `read_register`; the port reaches no memory by itself.
        unsafe { ((self.base + offset) as *mut u32).write_volatile(value) }
    }
}

impl Console for Pl011 {
    fn write(&self, bytes: &[u8]) -> usize {
        let has_room = |_: &&u8| self.read_register(register::FR) & TRANSMIT_FULL == 0;
        bytes.iter().take_while(has_room).map(|&byte| self.write_register(register::DR, byte.into())).count()
    }

    fn read(&self) -> Option<u8> {
        if self.read_register(register::FR) & RECEIVE_EMPTY != 0 {
            return None;
        }
        // Bits above the byte tell of line errors; a byte received badly is still shown.
        let received = self.read_register(register::DR);
        Some(if received & BREAK == 0 { received as u8 } else { END_OF_INPUT })
    }

    fn enable_interrupt(&self, _: CpuId, hardware: HwCpuId) {
        gic::enable_device(self.interrupt, hardware);
        self.write_register(register::IMSC, RECEIVED);
    }
}
