//! The real-time clock of a PC: an MC146818 (Motorola data sheet; Intel 82371 PCI-to-ISA bridge, 4.3).

use embodios_arch::x86_64::{inb, outb};
use embodios_kernel::calendar::{Date, unix_seconds};

/// Register select, with the bit that would enable non-maskable interrupts left 0, and value.
const SELECT: u16 = 0x70;
const VALUE: u16 = 0x71;
/// Registers: second, minute, hour, day, month, year, century.
const FIELDS: [u8; 7] = [0x00, 0x02, 0x04, 0x07, 0x08, 0x09, 0x32];
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
/// Status A: the fields change. Status B: hours are 0 to 23; fields are binary.
const CHANGING: u8 = 1 << 7;
const HOURS_24: u8 = 1 << 1;
const BINARY: u8 = 1 << 2;
/// Hour: afternoon, where hours are 1 to 12.
const AFTERNOON: u8 = 1 << 7;
/// A register where there is no clock.
const NOTHING: u8 = 0xff;
/// Attempts to read the fields while none changes, which takes 2 ms a second; each attempt has a dozen port accesses.
const ATTEMPTS: usize = 1000;

fn register(number: u8) -> u8 {
    // SAFETY: the clock's ports, which only this module uses; reading a register changes nothing.
    unsafe {
        outb(SELECT, number);
        inb(VALUE)
    }
}

/// Seconds since 1970; `None` where there is no clock, or none that was set.
pub fn read() -> Option<u64> {
    if register(STATUS_A) == NOTHING && register(STATUS_B) == NOTHING {
        return None;
    }
    let fields = (0..ATTEMPTS).find_map(|_| {
        if register(STATUS_A) & CHANGING != 0 {
            return None;
        }
        let fields = FIELDS.map(register);
        (fields[0] == register(FIELDS[0]) && register(STATUS_A) & CHANGING == 0).then_some(fields)
    })?;
    let status = register(STATUS_B);
    let plain = |field: u8| match status & BINARY {
        0 => u64::from(field >> 4) * 10 + u64::from(field & 0xf),
        _ => u64::from(field),
    };
    let [second, minute, hour, day, month, year, century] = fields;
    let hour = match status & HOURS_24 {
        0 => plain(hour & !AFTERNOON) % 12 + if hour & AFTERNOON != 0 { 12 } else { 0 },
        _ => plain(hour),
    };
    // Machines without the register read 0 or all ones there.
    let century = Some(plain(century)).filter(|century| (19..=21).contains(century)).unwrap_or(20);
    let date = Date { year: century * 100 + plain(year), month: plain(month), day: plain(day) };
    unix_seconds(date, [hour, plain(minute), plain(second)])
}
