//! VMSAv8-64 descriptors, 4 KiB granule (Arm ARM D8.3), and the translation base.
//!
//! Owns the encoding and the instructions that make table changes effective; the walk is
//! [`crate::paging`].

use crate::PhysAddr;
use crate::paging::{Access, Entry, Target};
use aarch64_cpu::asm::barrier;
use core::arch::asm;

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

/// See [`crate::Architecture::load_root`].
///
/// # Safety
/// As there.
pub(super) unsafe fn load_root(root: PhysAddr) {
    publish_tables();
    // SAFETY: the caller promises that the kernel is mapped as before, so execution goes on. One address
    // space identifier (0) is used, so every cached translation goes. Code may have been written to the
    // new mappings, so cached instructions go too.
    unsafe {
        asm!(
            "msr ttbr0_el1, {root}",
            "isb",
            "tlbi vmalle1",
            "ic iallu",
            "dsb nsh",
            "isb",
            root = in(reg) root.0,
            options(nostack, preserves_flags),
        );
    }
}

/// See [`crate::Architecture::publish_tables`].
pub(super) fn publish_tables() {
    barrier::dsb(barrier::ISHST);
    barrier::isb(barrier::SY);
}
