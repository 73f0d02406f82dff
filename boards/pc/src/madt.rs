//! Cores and interrupt lines from ACPI's MADT. Pure reading of tables, so that it runs in host tests too.

use acpi::madt::{Madt, MadtEntry};
use acpi::{AcpiHandler, AcpiTables, PhysicalMapping};
use core::ptr::NonNull;
use embodios_arch::{HwCpuId, Line, PhysAddr};
use heapless::Vec;

/// Cores that are listed at most.
pub const MAX_CORES: usize = 1024;
/// I/O APICs that are listed at most.
pub const MAX_IO_APICS: usize = 8;
/// ISA interrupt of the first serial port.
const SERIAL_IRQ: u8 = 4;
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

/// What the MADT says.
#[derive(Debug)]
pub struct Topology {
    /// I/O APICs.
    pub io_apics: Vec<IoApic, MAX_IO_APICS>,
    /// The serial port's line.
    pub serial: Line,
    /// Cores beyond [`MAX_CORES`], or I/O APICs beyond what fits.
    pub left_out: usize,
}

/// Bytes of the header of a system description table (ACPI 6.5, table 5.4).
const HEADER: u64 = 36;
/// Root tables that list more are taken for damaged.
const MAX_TABLES: u64 = 256;

/// Whether all that the root pointer leads to lies below `end`, which is as far as memory is mapped: tables are read
/// where they say they are.
///
/// # Safety
/// As for [`find`].
unsafe fn is_within(rsdp: u64, end: u64) -> bool {
    let inside = |address: u64, length: u64| {
        address != 0 && address.checked_add(length).is_some_and(|past| past <= end)
    };
    // SAFETY: the caller's promise, for places that are inside.
    let read32 = |address: u64| unsafe { (address as *const u32).read_unaligned() };
    // SAFETY: as above.
    let read64 = |address: u64| unsafe { (address as *const u64).read_unaligned() };
    let is_table = |address: u64| {
        inside(address, HEADER) && {
            let length = u64::from(read32(address + 4));
            length >= HEADER && inside(address, length)
        }
    };
    // Root pointer (table 5.3): revision at 15, RSDT at 16, length at 20, XSDT at 24.
    if !inside(rsdp, HEADER) {
        return false;
    }
    // SAFETY: as above.
    let revision = unsafe { *(rsdp as *const u8).add(15) };
    let (root, width) =
        if revision == 0 { (u64::from(read32(rsdp + 16)), 4) } else { (read64(rsdp + 24), 8) };
    if revision != 0 && !inside(rsdp, read32(rsdp + 20).into()) || !is_table(root) {
        return false;
    }
    let count = (u64::from(read32(root + 4)) - HEADER) / width;
    let entry = |index| {
        let place = root + HEADER + index * width;
        if width == 4 { u64::from(read32(place)) } else { read64(place) }
    };
    let is_sound = |table: u64| {
        // SAFETY: inside, by the check before.
        is_table(table)
            && unsafe {
                let bytes = core::slice::from_raw_parts(table as *const u8, read32(table + 4) as usize);
                !bytes.starts_with(b"APIC") || has_whole_entries(bytes)
            }
    };
    count <= MAX_TABLES && (0..count).map(entry).all(is_sound)
}

/// Whether the entries of a MADT (ACPI 6.5, 5.2.12) fill it, and those that are read have all their fields.
fn has_whole_entries(madt: &[u8]) -> bool {
    /// Bytes before the first entry.
    const ENTRIES: usize = 44;
    let Some(mut entries) = madt.get(ENTRIES..) else { return false };
    while let &[kind, length, ..] = entries {
        // Local APIC, I/O APIC, interrupt source override, local x2APIC.
        let least = match kind {
            0 => 8,
            1 => 12,
            2 => 10,
            9 => 16,
            _ => 2,
        };
        match entries.get(usize::from(length)..) {
            Some(rest) if length >= least => entries = rest,
            _ => return false,
        }
    }
    entries.is_empty()
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
/// `rsdp` is the address the loader gave; memory below `mapped` is mapped at its own addresses.
pub unsafe fn find(
    rsdp: u64,
    mapped: u64,
    boot: HwCpuId,
    cores: &mut Vec<HwCpuId, MAX_CORES>,
) -> Result<Topology, &'static str> {
    // SAFETY: the caller's promise.
    if !unsafe { is_within(rsdp, mapped) } {
        return Err("the ACPI tables lead past memory, or into the middle of an entry");
    }
    // SAFETY: the caller's promise, and no table leads out of it.
    let tables = unsafe { AcpiTables::from_rsdp(Identity, rsdp as usize) }
        .map_err(|_| "the ACPI root pointer or root table is damaged")?;
    let madt = tables.find_table::<Madt>().map_err(|_| "no valid MADT among the ACPI tables")?;
    let mut topology = Topology {
        io_apics: Vec::new(),
        // Without an override an ISA interrupt is the line of its number, active high and edge-triggered.
        serial: Line { number: SERIAL_IRQ.into(), active_low: false, level: false },
        left_out: 0,
    };
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
                topology.serial = line(entry.global_system_interrupt, entry.flags);
            }
            _ => {}
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;
    use std::vec::Vec as StdVec;

    /// Fixes the byte at `place` so that all bytes add up to 0.
    fn seal(table: &mut [u8], place: usize) {
        table[place] = 0;
        table[place] = table.iter().fold(0u8, |sum, &byte| sum.wrapping_sub(byte));
    }

    /// A system description table with header (ACPI 6.5, table 5.5) that stays in memory.
    fn table(signature: &[u8; 4], body: &[u8]) -> &'static mut [u8] {
        let mut bytes = StdVec::from(&signature[..]);
        bytes.extend((36 + body.len() as u32).to_le_bytes());
        bytes.extend([1, 0]);
        bytes.extend(*b"EMBDOSTESTTABL");
        bytes.extend([0; 12]);
        bytes.extend(body);
        seal(&mut bytes, 9);
        Box::leak(bytes.into_boxed_slice())
    }

    /// Root pointer to an XSDT that lists one table.
    fn root(table_address: u64) -> u64 {
        let xsdt = table(b"XSDT", &table_address.to_le_bytes());
        let mut rsdp = StdVec::from(&b"RSD PTR "[..]);
        rsdp.extend([0; 7]);
        rsdp.push(2);
        rsdp.extend([0; 4]);
        rsdp.extend(36u32.to_le_bytes());
        rsdp.extend((xsdt.as_ptr() as u64).to_le_bytes());
        rsdp.extend([0; 4]);
        seal(&mut rsdp[..20], 8);
        seal(&mut rsdp, 32);
        Box::leak(rsdp.into_boxed_slice()).as_ptr() as u64
    }

    fn local_apic(id: u8, flags: u32) -> StdVec<u8> {
        [&[0, 8, id, id][..], &flags.to_le_bytes()].concat()
    }

    fn local_x2apic(id: u32, flags: u32) -> StdVec<u8> {
        [&[9, 16, 0, 0][..], &id.to_le_bytes(), &flags.to_le_bytes(), &id.to_le_bytes()].concat()
    }

    fn madt(entries: &[StdVec<u8>]) -> &'static mut [u8] {
        table(b"APIC", &[&0xfee0_0000u32.to_le_bytes()[..], &1u32.to_le_bytes(), &entries.concat()].concat())
    }

    fn read(table: &[u8], boot: u64) -> (Result<Topology, &'static str>, StdVec<u64>) {
        let mut cores = Vec::new();
        // SAFETY: the tables lie in leaked memory, at the addresses they name.
        let topology = unsafe { find(root(table.as_ptr() as u64), u64::MAX, HwCpuId(boot), &mut cores) };
        (topology, cores.iter().map(|id| id.0).collect())
    }

    #[test]
    fn sparse_and_wide_ids_are_listed_once_with_the_boot_core_first() {
        let table = madt(&[
            local_apic(0, ENABLED),
            local_apic(4, ENABLED),
            local_apic(6, 0),
            local_apic(4, ENABLED),
            local_x2apic(4, ENABLED),
            local_x2apic(300, ENABLED),
            local_x2apic(70_000, ENABLED),
            local_x2apic(70_001, 2),
        ]);
        let (topology, cores) = read(table, 4);
        assert!(topology.is_ok());
        assert_eq!(cores, [4, 0, 300, 70_000]);
    }

    #[test]
    fn the_serial_line_follows_its_override() {
        let controller = [&[1, 12, 7, 0][..], &0xfec0_0000u32.to_le_bytes(), &16u32.to_le_bytes()].concat();
        let over = [&[2, 10, 0, SERIAL_IRQ][..], &20u32.to_le_bytes(), &0b1111u16.to_le_bytes()].concat();
        let (topology, _) = read(madt(&[controller.clone(), over]), 0);
        let topology = topology.expect("the table is good");
        assert_eq!(topology.io_apics[..], [IoApic { registers: PhysAddr(0xfec0_0000), first_line: 16 }]);
        assert_eq!(topology.serial, Line { number: 20, active_low: true, level: true });
        let (topology, _) = read(madt(&[controller]), 0);
        assert_eq!(topology.expect("the table is good").serial.number, 4);
    }

    #[test]
    fn more_cores_than_fit_are_counted() {
        let entries: StdVec<_> = (0..MAX_CORES as u32 + 3).map(|id| local_x2apic(id, ENABLED)).collect();
        let (topology, cores) = read(madt(&entries), 0);
        assert_eq!((topology.expect("the table is good").left_out, cores.len()), (3, MAX_CORES));
    }

    #[test]
    fn entries_that_do_not_fill_the_table_are_refused() {
        let good = madt(&[local_apic(1, ENABLED)]);
        assert!(has_whole_entries(good));
        for (place, length) in [(45, 0), (45, 1), (45, 7), (45, 9), (45, 255)] {
            good[place] = length;
            assert!(!has_whole_entries(good), "an entry of {length} bytes");
        }
        assert!(!has_whole_entries(&good[..40]));
        assert!(!has_whole_entries(madt(&[local_apic(1, ENABLED), std::vec![127]])));
        assert!(has_whole_entries(madt(&[std::vec![127, 2]])));
    }

    #[test]
    fn a_damaged_table_is_refused() {
        let table = madt(&[local_apic(1, ENABLED)]);
        table[40] ^= 1;
        assert!(read(table, 0).0.is_err());
        assert!(read(super::tests::table(b"FACP", &[0; 80]), 0).0.is_err());
    }

    #[test]
    fn tables_that_lead_out_of_memory_are_refused() {
        let refused = |rsdp| {
            let mut cores = Vec::new();
            // SAFETY: what is inside lies in leaked memory.
            unsafe { find(rsdp, 1 << 47, HwCpuId(0), &mut cores) }.is_err()
        };
        assert!(refused(0) && refused(u64::MAX - 8));
        assert!(refused(root(u64::MAX - 40)));
        let table = madt(&[local_apic(0, ENABLED)]);
        table[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let start = table.as_ptr() as u64;
        let mut cores = Vec::new();
        // SAFETY: the table is not read past its header, since its end is past what is mapped.
        assert!(unsafe { find(root(start), start + 1000, HwCpuId(0), &mut cores) }.is_err());
    }
}
