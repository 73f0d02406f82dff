//! Cores and interrupt lines of a PC: the local APICs and I/O APICs of the MADT (ACPI 6.5, 5.2.12).

#[cfg(test)]
mod tests;

use crate::{pci, tables};
use acpi::madt::{Madt, MadtEntry};
use embodios_arch::{HwCpuId, Line, PhysAddr, PhysRange};
use heapless::Vec;

/// Cores that are listed at most.
pub const MAX_CORES: usize = 1024;
/// I/O APICs that are listed at most.
pub const MAX_IO_APICS: usize = 8;
/// MADT local APIC flag: the core is enabled (ACPI 6.5, table 5.22).
const ENABLED: u32 = 1;

/// An I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Its registers.
    pub registers: PhysAddr,
    /// Global number of its first line.
    pub first_line: u32,
}

/// The contents of the tables besides the cores.
#[derive(Debug)]
pub struct Apics {
    /// I/O APICs.
    pub io_apics: Vec<IoApic, MAX_IO_APICS>,
    /// The line of the ISA interrupt that was asked for.
    pub line: Line,
    /// PCI configuration space of segment 0, where there is a table of it.
    pub pci: Option<PhysRange>,
    /// Cores beyond [`MAX_CORES`], or I/O APICs beyond what fits.
    pub left_out: usize,
}

/// Reads the MADT, lists every enabled core once, the boot core (`boot`) first, and finds the line of ISA interrupt
/// `isa`.
///
/// # Errors
/// The fault in the tables.
///
/// # Safety
/// `rsdp` is the address that the loader gave; memory below `mapped` is mapped at its own addresses and stays as it is.
pub unsafe fn find(
    rsdp: u64,
    mapped: u64,
    boot: HwCpuId,
    isa: u8,
    cores: &mut Vec<HwCpuId, MAX_CORES>,
) -> Result<Apics, &'static str> {
    // SAFETY: the caller's promise.
    let tables = unsafe { tables::open(rsdp, mapped)? };
    let madt = tables.find_table::<Madt>().map_err(|_| "no valid MADT among the ACPI tables")?;
    let mut apics = Apics {
        io_apics: Vec::new(),
        // Without an override an ISA interrupt is the line of its number, active high and edge-triggered.
        line: Line { number: isa.into(), active_low: false, level: false },
        pci: pci::configuration(&tables),
        left_out: 0,
    };
    // The first element always fits.
    let _ = cores.push(boot);
    for entry in madt.get().entries() {
        match entry {
            MadtEntry::LocalApic(entry) => add(entry.apic_id.into(), entry.flags, cores, &mut apics),
            MadtEntry::LocalX2Apic(entry) => add(entry.x2apic_id.into(), entry.flags, cores, &mut apics),
            MadtEntry::IoApic(entry) => {
                let controller = IoApic {
                    registers: PhysAddr(entry.io_apic_address.into()),
                    first_line: entry.global_system_interrupt_base,
                };
                apics.left_out += usize::from(apics.io_apics.push(controller).is_err());
            }
            MadtEntry::InterruptSourceOverride(entry) if entry.irq == isa => {
                apics.line = line(entry.global_system_interrupt, entry.flags);
            }
            _ => {}
        }
    }
    Ok(apics)
}

fn add(id: u64, flags: u32, cores: &mut Vec<HwCpuId, MAX_CORES>, apics: &mut Apics) {
    let id = HwCpuId(id);
    if flags & ENABLED != 0 && !cores.contains(&id) {
        apics.left_out += usize::from(cores.push(id).is_err());
    }
}

/// MPS INTI flags (ACPI 6.5, table 5.26): polarity in bits 1:0, trigger in bits 3:2; 3 is low, or level.
const fn line(number: u32, flags: u16) -> Line {
    Line { number, active_low: flags & 3 == 3, level: flags >> 2 & 3 == 3 }
}
