//! PCI configuration space by memory: the MCFG (PCI Firmware Specification 3.3, 4.1.2).

use crate::tables::Identity;
use acpi::AcpiTables;
use acpi::mcfg::Mcfg;
use embodios_arch::PhysRange;

/// Bytes before the first entry, and of an entry.
const ENTRIES: usize = 44;
const ENTRY: usize = 16;
/// Bytes of a bus.
const BUS: u64 = 1 << 20;

/// The configuration space of segment 0 from bus 0 on; `None` where firmware does not describe it.
pub fn configuration(tables: &AcpiTables<Identity>) -> Option<PhysRange> {
    let table = tables.find_table::<Mcfg>().ok()?;
    let start = table.virtual_start().cast::<u8>();
    // SAFETY: the table is whole (`tables::open`), and as long as its mapping says.
    let bytes = unsafe { core::slice::from_raw_parts(start.as_ptr(), table.region_length()) };
    segment_zero(bytes.get(ENTRIES..)?)
}

fn segment_zero(entries: &[u8]) -> Option<PhysRange> {
    let first = entries.as_chunks::<ENTRY>().0.iter().find(|entry| entry[8..11] == [0, 0, 0])?;
    let base = u64::from_le_bytes(first[..8].try_into().ok()?);
    Some(PhysRange::new(base, (u64::from(first[11]) + 1) * BUS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_of_segment_zero_from_bus_zero_counts() {
        let mut entries = [0; 3 * ENTRY + 5];
        // Segment 1; then segment 0 from bus 0x80 on; then segment 0, buses 0 to 3.
        entries[8] = 1;
        entries[ENTRY + 10] = 0x80;
        let last = &mut entries[2 * ENTRY..];
        last[..8].copy_from_slice(&0xb000_0000u64.to_le_bytes());
        last[11] = 3;
        assert_eq!(segment_zero(&entries), Some(PhysRange::new(0xb000_0000, 4 << 20)));
        assert_eq!(segment_zero(&entries[..2 * ENTRY]), None);
    }
}
