//! VMSAv8-64 table descriptors for the 4 KiB granule (Arm ARM, "The AArch64 Virtual Memory System
//! Architecture"). Pure: tested on a development machine.

use crate::PhysAddr;
use crate::paging::{Access, Entry, Target};

/// A 64-bit descriptor.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Descriptor(u64);

const VALID: u64 = 1;
/// A table at levels above 1, a page at level 1; without it a block.
const TABLE_OR_PAGE: u64 = 1 << 1;
/// Attribute 1 of MAIR_EL1, Normal memory; attribute 0 is Device.
const NORMAL: u64 = 1 << 2;
const EL0: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const NO_EXECUTE_EL1: u64 = 1 << 53;
const NO_EXECUTE_EL0: u64 = 1 << 54;
/// Output address, bits 47:12.
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

impl Descriptor {
    /// The bits of a table descriptor beside its address.
    pub(super) const TABLE: u64 = VALID | TABLE_OR_PAGE;

    /// [`Entry::leaf`], for constants.
    pub(super) const fn block(address: u64, level: u8, access: Access) -> Self {
        let mut bits = address & ADDRESS | VALID | ACCESSED;
        if level == 1 {
            bits |= TABLE_OR_PAGE;
        }
        if !access.device {
            bits |= NORMAL | INNER_SHAREABLE;
        }
        if !access.write {
            bits |= READ_ONLY;
        }
        if access.user {
            bits |= EL0;
        }
        if access.user || !access.execute {
            bits |= NO_EXECUTE_EL1;
        }
        if !access.user || !access.execute {
            bits |= NO_EXECUTE_EL0;
        }
        Self(bits)
    }
}

impl Entry for Descriptor {
    fn table(address: PhysAddr) -> Self {
        Self(address.0 | Self::TABLE)
    }

    fn leaf(address: PhysAddr, level: u8, access: Access) -> Self {
        Self::block(address.0, level, access)
    }

    fn advance(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }

    fn target(self, level: u8) -> Target {
        let has = |bit| self.0 & bit != 0;
        let address = PhysAddr(self.0 & ADDRESS);
        if !has(VALID) {
            return Target::Empty;
        }
        if level > 1 && has(TABLE_OR_PAGE) {
            return Target::Table(address);
        }
        let user = has(EL0);
        let execute = !has(if user { NO_EXECUTE_EL0 } else { NO_EXECUTE_EL1 });
        Target::Leaf(address, Access { write: !has(READ_ONLY), execute, user, device: !has(NORMAL) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Every access that the kernel can ask for.
    fn accesses() -> Vec<Access> {
        let kernel = [Access::KERNEL_CODE, Access::KERNEL_CONSTANTS, Access::KERNEL_DATA, Access::DEVICE];
        let engine = [(false, false), (false, true), (true, false)];
        kernel.into_iter().chain(engine.map(|(write, execute)| Access::engine(write, execute))).collect()
    }

    #[test]
    fn leaves_survive_the_round_trip_at_every_level() {
        for (level, address) in [(1, 0x8_0000_7000), (2, 0x8_0020_0000), (3, 0x8_4000_0000)] {
            for access in accesses() {
                let leaf = Descriptor::leaf(PhysAddr(address), level, access);
                assert_eq!(leaf.target(level), Target::Leaf(PhysAddr(address), access));
                let next = leaf.advance(1 << 30);
                assert_eq!(next.target(level), Target::Leaf(PhysAddr(address + (1 << 30)), access));
            }
        }
        let table = Descriptor::table(PhysAddr(0x4321_0000));
        assert_eq!(table.target(4), Target::Table(PhysAddr(0x4321_0000)));
        assert_eq!(Descriptor(0).target(1), Target::Empty);
    }

    #[test]
    fn no_level_executes_what_another_may_write() {
        for access in accesses() {
            let bits = Descriptor::leaf(PhysAddr(0x1000), 1, access).0;
            let (at_el1, at_el0) = (bits & NO_EXECUTE_EL1 == 0, bits & NO_EXECUTE_EL0 == 0);
            assert_eq!((at_el1, at_el0), (access.execute && !access.user, access.execute && access.user));
            assert!(bits & READ_ONLY != 0 || !(at_el1 || at_el0));
            assert_eq!(bits & EL0 != 0, access.user);
        }
    }

    #[test]
    fn fields_are_where_the_manual_puts_them() {
        let page = Descriptor::leaf(PhysAddr(0x4000_1000), 1, Access::KERNEL_CODE);
        assert_eq!(page.0, 0x0040_0000_4000_1787);
        let block = Descriptor::leaf(PhysAddr(0x0900_0000), 2, Access::DEVICE);
        assert_eq!(block.0, 0x0060_0000_0900_0401);
    }
}
