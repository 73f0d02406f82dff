//! The boot tables: an identity map of the first 512 GiB in blocks of 1 GiB. The board says which of them hold devices.

use super::descriptor::Descriptor;
use crate::PhysRange;
use crate::paging::Access;

/// Bytes from address 0 on that are mapped at boot.
pub const BOOT_MAPPED: u64 = 512 << 30;

/// Entries of a table.
const ENTRIES: usize = 512;

/// The level-3 table of the map, made when the image is built: the first instructions run on it.
#[repr(C, align(4096))]
pub struct BootTable([Descriptor; ENTRIES]);

impl BootTable {
    /// A block that holds a part of one of `devices` is mapped as devices, any other as memory with all rights.
    #[must_use]
    pub const fn new(devices: &[PhysRange]) -> Self {
        let memory = Access { write: true, execute: true, user: false, device: false };
        let mut entries = [Descriptor::block(0, 3, memory); ENTRIES];
        let mut slot = 0;
        while slot < ENTRIES {
            let start = (slot as u64) << 30;
            let access = if touches(devices, start, start + (1 << 30)) { Access::DEVICE } else { memory };
            entries[slot] = Descriptor::block(start, 3, access);
            slot += 1;
        }
        Self(entries)
    }
}

/// Whether one of `ranges` has a byte in `start..end`.
const fn touches(ranges: &[PhysRange], start: u64, end: u64) -> bool {
    let mut index = 0;
    while index < ranges.len() {
        if ranges[index].start.0 < end && start < ranges[index].end.0 {
            return true;
        }
        index += 1;
    }
    false
}

#[repr(C, align(4096))]
pub(super) struct BootRoot {
    first: *const BootTable,
    others: [u64; ENTRIES - 1],
}

// SAFETY: constant; the pointer is a table entry that only the table walker follows.
unsafe impl Sync for BootRoot {}

unsafe extern "C" {
    /// The board's table.
    static BOARD_BOOT_TABLE: BootTable;
}

/// The level-4 table above it.
pub(super) static BOOT_ROOT: BootRoot = BootRoot {
    first: (&raw const BOARD_BOOT_TABLE).wrapping_byte_add(Descriptor::TABLE as usize),
    others: [0; ENTRIES - 1],
};
