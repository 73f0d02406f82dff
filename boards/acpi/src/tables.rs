//! Tables that are safe to read: each lies where memory is mapped, and those that are read are whole.

use acpi::{AcpiHandler, AcpiTables, PhysicalMapping};
use core::ptr::NonNull;

/// Bytes of the header of a system description table (ACPI 6.5, table 5.4).
const HEADER: u64 = 36;
/// Root tables that list more are taken for damaged.
const MAX_TABLES: u64 = 256;

/// Opens the tables that the root pointer at `rsdp` leads to.
///
/// # Errors
/// The fault in them.
///
/// # Safety
/// `rsdp` is the address that the loader gave; memory below `mapped` is mapped at its own addresses and stays as it is.
pub unsafe fn open(rsdp: u64, mapped: u64) -> Result<AcpiTables<Identity>, &'static str> {
    // SAFETY: the caller's promise.
    if !unsafe { is_within(rsdp, mapped) } {
        return Err("the ACPI tables lead past memory, or into the middle of an entry");
    }
    // SAFETY: the caller's promise, and no table leads out of it.
    unsafe { AcpiTables::from_rsdp(Identity, rsdp as usize) }
        .map_err(|_| "the ACPI root pointer or root table is damaged")
}

/// Whether all that the root pointer leads to lies below `end`, which is as far as memory is mapped: tables are read
/// where they say they are.
///
/// # Safety
/// As for [`open`].
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
pub fn has_whole_entries(madt: &[u8]) -> bool {
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
pub struct Identity;

impl AcpiHandler for Identity {
    unsafe fn map_physical_region<T>(&self, address: usize, size: usize) -> PhysicalMapping<Self, T> {
        let pointer = NonNull::new(address as *mut T).unwrap_or(NonNull::dangling());
        // SAFETY: low memory is mapped at its own addresses, for good.
        unsafe { PhysicalMapping::new(address, pointer, size, size, Self) }
    }

    fn unmap_physical_region<T>(_: &PhysicalMapping<Self, T>) {}
}
