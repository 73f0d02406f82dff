//! The first serial port: a 16550 (National Semiconductor PC16550D data sheet) at port 0x3f8.
//!
//! Bytes go out in bursts of the transmit FIFO's size: under a hypervisor every port access is an exit, and this
//! needs one and a sixteenth a byte.

use core::arch::asm;
use embodios_arch::x86_64::{inb, outb};
use embodios_kernel::board::END_OF_INPUT;
use embodios_kernel::{Console, CpuId, HwCpuId, Line};
use spin::Once;

use crate::interrupts;

/// Its first port.
pub const PORT: u16 = 0x3f8;
/// Its ISA interrupt.
pub const INTERRUPT: u8 = 4;
const INTERRUPT_ENABLE: u16 = PORT + 1;
const FIFO_CONTROL: u16 = PORT + 2;
const LINE_CONTROL: u16 = PORT + 3;
const MODEM_CONTROL: u16 = PORT + 4;
const LINE_STATUS: u16 = PORT + 5;
/// Line status: a byte was received; it is a break; the transmit FIFO is empty.
const RECEIVED: u8 = 1;
const BREAK: u8 = 1 << 4;
const TRANSMIT_EMPTY: u8 = 1 << 5;
/// The value that every port reads as where there is no device.
const NOTHING: u8 = 0xff;
/// Bytes the transmit FIFO takes when it is empty.
const FIFO: usize = 16;

/// The port and its interrupt line.
pub struct Serial {
    line: Once<Line>,
}

/// The only one.
pub static SERIAL: Serial = Serial { line: Once::new() };

impl Serial {
    /// 8 bits, no parity, one stop bit, FIFOs on. The speed stays as firmware set it.
    pub fn init(&self) {
        // SAFETY: the ports are the serial port's, which only this module uses.
        unsafe {
            outb(INTERRUPT_ENABLE, 0);
            outb(LINE_CONTROL, 3);
            outb(FIFO_CONTROL, 7);
            // DTR, RTS, and OUT2, which lets the interrupt through on a PC.
            outb(MODEM_CONTROL, 0x0b);
        }
    }

    /// Remembers the interrupt's line.
    pub fn set_line(&self, line: Line) {
        self.line.call_once(|| line);
    }

    fn status(&self) -> u8 {
        // SAFETY: as in `init`.
        unsafe { inb(LINE_STATUS) }
    }

    /// Fills the transmit FIFO, which is empty.
    fn burst(&self, bytes: &[u8]) {
        // SAFETY: as in `init`; reads `bytes` only.
        unsafe {
            asm!(
                "rep outsb",
                in("dx") PORT,
                inout("rsi") bytes.as_ptr() => _,
                inout("rcx") bytes.len() => _,
                options(nostack, readonly),
            );
        }
    }
}

impl Console for Serial {
    fn write(&self, bytes: &[u8]) -> usize {
        let pieces = bytes.chunks(FIFO).take_while(|_| self.status() & TRANSMIT_EMPTY != 0);
        pieces
            .map(|piece| {
                self.burst(piece);
                piece.len()
            })
            .sum()
    }

    fn read(&self) -> Option<u8> {
        let status = self.status();
        if status == NOTHING || status & RECEIVED == 0 {
            return None;
        }
        // SAFETY: as in `init`.
        let byte = unsafe { inb(PORT) };
        Some(if status & BREAK == 0 { byte } else { END_OF_INPUT })
    }

    fn enable_interrupt(&self, _: CpuId, hardware: HwCpuId) {
        let Some(&line) = self.line.get() else { return };
        if interrupts::connect(line, hardware).is_none() {
            log::error!("no I/O APIC takes the console's interrupt line {} to core {hardware}", line.number);
        }
        // SAFETY: as in `init`; bit 0 is "received data available".
        unsafe { outb(INTERRUPT_ENABLE, 1) }
    }
}
