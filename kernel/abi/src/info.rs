//! Start-up information of a fresh engine, written once, in read-only memory at [`crate::layout::INFO`].

use bytemuck::{Pod, Zeroable};

/// First word of [`EngineInfo`]: "EMBODIOS" in ASCII, little-endian.
pub const INFO_MAGIC: u64 = u64::from_le_bytes(*b"EMBODIOS");

/// A run of bytes or of records in the engine's address space, inside memory mapped read-only.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Span {
    /// Address of the first element.
    pub address: u64,
    /// Number of elements.
    pub count: u64,
}

/// One core, by dense index.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct CoreInfo {
    /// APIC id or MPIDR affinity.
    pub hardware_id: u64,
    /// [`CoreFlags`].
    pub flags: u32,
    /// Number of its package (socket).
    pub package: u32,
    /// Dense number of its physical core, over the whole machine; hyper-threads share it.
    pub physical: u32,
    /// Number of this hyper-thread within its physical core.
    pub thread: u32,
    /// Speed beside the fastest class of cores, which has [`FULL_CAPACITY`].
    pub capacity: u32,
    /// Dense number of its last-level cache; cores that share it have the same.
    pub last_level: u32,
    /// KiB of its caches of levels 1 (data) to 3; 0 where nothing is known.
    pub caches_kib: [u32; 3],
    /// Page of [`crate::layout::STATISTICS`] with its statistics.
    pub statistics: u32,
}

/// [`CoreInfo::capacity`] of the fastest class (device tree binding `capacity-dmips-mhz`, normalised).
pub const FULL_CAPACITY: u32 = 1024;

/// Bits of [`CoreInfo::flags`].
pub struct CoreFlags;

impl CoreFlags {
    /// It came up and takes threads.
    pub const ONLINE: u32 = 1;
    /// It takes the console, devices and their interrupts.
    pub const HOUSEKEEPING: u32 = 1 << 1;
}

/// One module: a file that firmware loaded or that is part of the kernel image.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ModuleInfo {
    /// UTF-8 name without directory.
    pub name: Span,
    /// Contents, mapped read-only.
    pub bytes: Span,
}

/// Start-up information. Thread 0 of the engine is entered with its address as the only argument.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct EngineInfo {
    /// [`INFO_MAGIC`].
    pub magic: u64,
    /// Ticks a second of the counter that user code reads directly (TSC, CNTVCT_EL0).
    pub counter_hz: u64,
    /// Counter value at the kernel's entry: time zero of the machine's clock.
    pub counter_zero: u64,
    /// Seconds from 1970 to that time, by the machine's clock; 0 where it has none.
    pub wall_clock: u64,
    /// A random number of a device's, another one for each engine; 0 where there is no such device.
    pub random: u64,
    /// Number of restarts of the engine; 0 for the first.
    pub restarts: u64,
    /// Number of the latest engines in a row that crashed before they used the console. A fresh engine that sees
    /// anything but 0 leaves out what may have killed them.
    pub silent_crashes: u64,
    /// 1 where a word of the command line made no sense to the kernel, which has said so; else 0.
    pub bad_words: u64,
    /// Every core found, as [`CoreInfo`]; online cores come first, so that core `i < online` is
    /// exactly the one a thread is started on by index `i`. The boot core is index 0.
    pub cores: Span,
    /// Number of online cores.
    pub online: u64,
    /// Threads that exist at the same time at most.
    pub max_threads: u64,
    /// Modules, as [`ModuleInfo`].
    pub modules: Span,
    /// The kernel's command line, UTF-8.
    pub command_line: Span,
    /// The machine, UTF-8, for example `microvm`.
    pub machine: Span,
    /// The network device, as [`crate::NetworkInfo`]; none where the machine has no such device.
    pub networks: Span,
    /// Address of a `u32` that counts Ctrl-Cs at the console, wrapping. The byte itself is among the
    /// input, in its place.
    pub interrupts: u64,
}
