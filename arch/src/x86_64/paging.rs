//! Page-table entries (4.5.4).

use crate::PhysAddr;
use crate::paging::{self, Access, Target};

const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const WRITE_THROUGH: u64 = 1 << 3;
const CACHE_DISABLE: u64 = 1 << 4;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// One entry of a table.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Entry(u64);

impl paging::Entry for Entry {
    fn table(address: PhysAddr) -> Self {
        Self(address.0 | PRESENT | WRITE | USER)
    }

    fn leaf(address: PhysAddr, level: u8, access: Access) -> Self {
        let on = |condition, bits| if condition { bits } else { 0 };
        Self(
            // Accessed and dirty from the start: no walker has to write them.
            address.0
                | PRESENT
                | ACCESSED
                | DIRTY
                | on(level > 1, LARGE)
                | on(access.write, WRITE)
                | on(access.user, USER)
                | on(access.device, WRITE_THROUGH | CACHE_DISABLE)
                | on(!access.execute, NO_EXECUTE),
        )
    }

    fn advance(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }

    fn target(self, level: u8) -> Target {
        let address = PhysAddr(self.0 & ADDRESS);
        let has = |bits| self.0 & bits != 0;
        if !has(PRESENT) {
            Target::Empty
        } else if level > 1 && !has(LARGE) {
            Target::Table(address)
        } else {
            let access = Access {
                write: has(WRITE),
                execute: !has(NO_EXECUTE),
                user: has(USER),
                device: has(CACHE_DISABLE),
            };
            Target::Leaf(address, access)
        }
    }
}
