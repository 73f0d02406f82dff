//! Tables made by hand, good and damaged.

use super::*;
use crate::tables::has_whole_entries;
use std::boxed::Box;
use std::vec::Vec as StdVec;

/// An interrupt of ISA, the first serial port's.
const ISA: u8 = 4;

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

fn read(table: &[u8], boot: u64) -> (Result<Apics, &'static str>, StdVec<u64>) {
    let mut cores = Vec::new();
    // SAFETY: the tables lie in leaked memory, at the addresses they name.
    let apics = unsafe { find(root(table.as_ptr() as u64), u64::MAX, HwCpuId(boot), ISA, &mut cores) };
    (apics, cores.iter().map(|id| id.0).collect())
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
    let (apics, cores) = read(table, 4);
    assert!(apics.is_ok());
    assert_eq!(cores, [4, 0, 300, 70_000]);
}

#[test]
fn an_isa_line_follows_its_override() {
    let controller = [&[1, 12, 7, 0][..], &0xfec0_0000u32.to_le_bytes(), &16u32.to_le_bytes()].concat();
    let over = [&[2, 10, 0, ISA][..], &20u32.to_le_bytes(), &0b1111u16.to_le_bytes()].concat();
    let (apics, _) = read(madt(&[controller.clone(), over]), 0);
    let apics = apics.expect("the table is good");
    assert_eq!(apics.io_apics[..], [IoApic { registers: PhysAddr(0xfec0_0000), first_line: 16 }]);
    assert_eq!(apics.line, Line { number: 20, active_low: true, level: true });
    let (apics, _) = read(madt(&[controller]), 0);
    assert_eq!(apics.expect("the table is good").line.number, 4);
}

#[test]
fn more_cores_than_fit_are_counted() {
    let entries: StdVec<_> = (0..MAX_CORES as u32 + 3).map(|id| local_x2apic(id, ENABLED)).collect();
    let (apics, cores) = read(madt(&entries), 0);
    assert_eq!((apics.expect("the table is good").left_out, cores.len()), (3, MAX_CORES));
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
    assert!(read(self::table(b"FACP", &[0; 80]), 0).0.is_err());
}

#[test]
fn tables_that_lead_out_of_memory_are_refused() {
    let refused = |rsdp| {
        let mut cores = Vec::new();
        // SAFETY: what is inside lies in leaked memory.
        unsafe { find(rsdp, 1 << 47, HwCpuId(0), ISA, &mut cores) }.is_err()
    };
    assert!(refused(0) && refused(u64::MAX - 8));
    assert!(refused(root(u64::MAX - 40)));
    let table = madt(&[local_apic(0, ENABLED)]);
    table[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    let start = table.as_ptr() as u64;
    let mut cores = Vec::new();
    // SAFETY: the table is not read past its header, since its end is past what is mapped.
    assert!(unsafe { find(root(start), start + 1000, HwCpuId(0), ISA, &mut cores) }.is_err());
}
