//! Addresses and core identities as types of their own, so that one cannot pass for another, and boards' descriptions
//! of devices that the architecture drives.

use core::fmt;

/// Dense index of a core, `0..n`, in the order the board found them; the boot core is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuId(pub u32);

impl CpuId {
    /// The core that firmware started.
    pub const BOOT: Self = Self(0);

    /// The index into tables with one element a core.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The hardware's name of a core: APIC id, or MPIDR affinity fields (Aff3..Aff0 at their places in the
/// register). Sparse; never an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HwCpuId(pub u64);

impl fmt::Display for HwCpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A physical address. The kernel maps physical memory at equal virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PhysAddr(pub u64);

/// A virtual address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct VirtAddr(pub u64);

impl PhysAddr {
    /// The address at which the kernel reaches this one: the identity map.
    #[must_use]
    pub const fn identity(self) -> VirtAddr {
        VirtAddr(self.0)
    }
}

/// Physical bytes `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhysRange {
    /// First byte.
    pub start: PhysAddr,
    /// One past the last byte.
    pub end: PhysAddr,
}

impl PhysRange {
    /// `length` bytes from `start`; saturates at the end of the address space.
    #[must_use]
    pub const fn new(start: u64, length: u64) -> Self {
        Self { start: PhysAddr(start), end: PhysAddr(start.saturating_add(length)) }
    }

    /// Bytes covered.
    #[must_use]
    pub const fn length(self) -> u64 {
        self.end.0.saturating_sub(self.start.0)
    }

    /// Whether all of `other` lies inside.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.start.0 <= other.start.0 && other.end.0 <= self.end.0
    }

    /// The smallest range of whole `unit`s (a power of two) that covers this one.
    #[must_use]
    pub const fn widen(self, unit: u64) -> Self {
        let end = match self.end.0.checked_add(unit - 1) {
            Some(end) => end & !(unit - 1),
            None => !(unit - 1),
        };
        Self { start: PhysAddr(self.start.0 & !(unit - 1)), end: PhysAddr(end) }
    }
}

impl fmt::Display for PhysRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start.0, self.end.0)
    }
}

/// A device's interrupt line at the interrupt controller, and how it signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Number: at I/O APICs counted over all of them (ACPI's GSI), at a GIC the interrupt id.
    pub number: u32,
    /// Active low.
    pub active_low: bool,
    /// Level-triggered.
    pub level: bool,
}

/// An interrupt that a device sends as a store to memory (MSI-X).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The address that it stores to.
    pub address: u64,
    /// The value that it stores.
    pub data: u32,
    /// The id in [`crate::Interrupt::Device`].
    pub id: u32,
}

/// Regions of redistributors that the description of a GICv3 can hold.
pub const MAX_REDISTRIBUTORS: usize = 4;

/// The registers of a Generic Interrupt Controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GicDescription {
    /// GICv2: at most eight cores.
    V2 {
        /// GICD.
        distributor: PhysRange,
        /// GICC.
        cpu_interface: PhysRange,
    },
    /// GICv3 or GICv4.
    V3 {
        /// GICD.
        distributor: PhysRange,
        /// GICR, one or more runs of frames.
        redistributors: [Option<PhysRange>; MAX_REDISTRIBUTORS],
    },
}

/// The instruction that reaches Arm firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// `hvc`: a hypervisor answers.
    Hvc,
    /// `smc`: the secure monitor answers.
    Smc,
}
