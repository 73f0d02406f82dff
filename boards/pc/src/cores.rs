//! Cores and interrupt lines from ACPI's MADT.

use acpi::madt::{Madt, MadtEntry};
use acpi::{AcpiHandler, AcpiTables, PhysicalMapping};
use core::ptr::NonNull;
use embodios_arch::x86_64::{IoApic, Line};
use embodios_kernel::{HwCpuId, PhysAddr};
use heapless::Vec;

/// Cores that are listed at most.
pub const MAX_CORES: usize = 1024;
/// I/O APICs at most.
const MAX_IO_APICS: usize = 8;
/// ISA interrupt of the first serial port.
const SERIAL_IRQ: u8 = 4;
/// MADT local APIC flag: the core is enabled (ACPI 6.5, table 5.22).
const ENABLED: u32 = 1;

/// What the MADT says.
#[derive(Default)]
pub struct Topology {
    /// I/O APICs.
    pub io_apics: Vec<IoApic, MAX_IO_APICS>,
    /// The serial port's line.
    pub serial: Option<Line>,
    /// Cores beyond [`MAX_CORES`], or I/O APICs beyond what fits.
    pub left_out: usize,
}

/// Reaches tables through the identity map.
#[derive(Clone)]
struct Identity;

impl AcpiHandler for Identity {
    unsafe fn map_physical_region<T>(&self, address: usize, size: usize) -> PhysicalMapping<Self, T> {
        let pointer = NonNull::new(address as *mut T).unwrap_or(NonNull::dangling());
        // SAFETY: low memory is mapped at its own addresses, for good.
        unsafe { PhysicalMapping::new(address, pointer, size, size, Self) }
    }

    fn unmap_physical_region<T>(_: &PhysicalMapping<Self, T>) {}
}

/// Reads the MADT and lists every enabled core once, the boot core (`boot`) first.
///
/// # Errors
/// What is wrong with the tables.
///
/// # Safety
/// `rsdp` is the address the loader gave; low memory is mapped at its own addresses.
pub unsafe fn find(
    rsdp: u64,
    boot: HwCpuId,
    cores: &mut Vec<HwCpuId, MAX_CORES>,
) -> Result<Topology, &'static str> {
    // SAFETY: the caller's promise.
    let tables = unsafe { AcpiTables::from_rsdp(Identity, rsdp as usize) }
        .map_err(|_| "the ACPI root pointer or root table is damaged")?;
    let madt = tables.find_table::<Madt>().map_err(|_| "no valid MADT among the ACPI tables")?;
    let mut topology = Topology::default();
    // The first element always fits.
    let _ = cores.push(boot);
    for entry in madt.get().entries() {
        match entry {
            MadtEntry::LocalApic(entry) => add(entry.apic_id.into(), entry.flags, cores, &mut topology),
            MadtEntry::LocalX2Apic(entry) => add(entry.x2apic_id.into(), entry.flags, cores, &mut topology),
            MadtEntry::IoApic(entry) => {
                let controller = IoApic {
                    registers: PhysAddr(entry.io_apic_address.into()),
                    first_line: entry.global_system_interrupt_base,
                };
                topology.left_out += usize::from(topology.io_apics.push(controller).is_err());
            }
            MadtEntry::InterruptSourceOverride(entry) if entry.irq == SERIAL_IRQ => {
                topology.serial = Some(line(entry.global_system_interrupt, entry.flags));
            }
            _ => {}
        }
    }
    // Without an override an ISA interrupt is the line of its number, active high and edge-triggered.
    topology.serial.get_or_insert(Line { number: SERIAL_IRQ.into(), active_low: false, level: false });
    Ok(topology)
}

fn add(id: u64, flags: u32, cores: &mut Vec<HwCpuId, MAX_CORES>, topology: &mut Topology) {
    let id = HwCpuId(id);
    if flags & ENABLED != 0 && !cores.contains(&id) {
        topology.left_out += usize::from(cores.push(id).is_err());
    }
}

/// MPS INTI flags (ACPI 6.5, table 5.26): polarity in bits 1:0, trigger in bits 3:2; 3 is low, or level.
const fn line(number: u32, flags: u16) -> Line {
    Line { number, active_low: flags & 3 == 3, level: flags >> 2 & 3 == 3 }
}
