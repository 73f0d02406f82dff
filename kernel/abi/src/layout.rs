//! Virtual addresses, the same on both architectures (4 KiB granule, four levels, 48 bits).
//!
//! Level-4 slot 0 is the kernel's identity map of the first 512 GiB of physical memory and never
//! accessible to the engine. Slots 1 and 2 are the engine's, slot 3 (`embodios_arch::stacks`) holds the kernel's
//! stacks, slot 4 registers of devices that the kernel found.

/// First address the engine may ever use; everything below belongs to the kernel.
pub const ENGINE_START: u64 = 0x80_0000_0000;
/// Link address of the engine's ELF image. The low pages stay unmapped. The kernel copies initialised data; bytes
/// past those of a segment's file part (`.bss`) have unspecified contents and are the engine's to clear.
pub const IMAGE: u64 = ENGINE_START + 0x0020_0000;
/// Address of [`crate::EngineInfo`], mapped read-only.
pub const INFO: u64 = 0x80_4000_0000;
/// Address of the records of [`crate::CoreStatistics`], mapped read-only: core `i`'s at the start of page `i`, whose
/// rest is as firmware left it.
pub const STATISTICS: u64 = INFO + 0x10_1000;
/// Address of the words by which the kernel signals a running engine, mapped read-only.
pub const SIGNALS: u64 = INFO + 0xf_f000;
/// Address of the instructions that save and restore vector registers, on machines where the kernel itself does not.
pub const VECTOR_CODE: u64 = INFO + 0x10_0000;
/// Base of the threads' windows: thread slot `i` owns `[STACKS + i * STACK_STRIDE, + STACK_STRIDE)`. Its stack ends
/// at the top of that window, its saved vector registers lie at the bottom, and the pages between stay unmapped.
pub const STACKS: u64 = 0x80_8000_0000;
/// Distance between two threads' windows.
pub const STACK_STRIDE: u64 = 0x20_0000;
/// Mapped bytes of each thread stack.
pub const STACK_SIZE: u64 = 0x2_0000;
/// Mapped bytes for the vector registers of a thread: a page, which holds those of AVX-512 too.
pub const VECTOR_STATE_SIZE: u64 = 0x1000;
/// The part of a device's memory that the engine writes: see [`crate::NetworkInfo`].
pub const DEVICES: u64 = 0x90_0000_0000;
/// Memory granted by [`crate::Call::MemoryGrant`] appears from here upwards, contiguously.
pub const HEAP: u64 = 0xa0_0000_0000;
/// Modules (models) are mapped from here, read-only.
pub const MODULES: u64 = 0x100_0000_0000;
/// First address past the engine's part of the address space.
pub const ENGINE_END: u64 = 0x180_0000_0000;
/// Unit of [`crate::Call::MemoryGrant`] and of the engine's large mappings, in bytes.
pub const LARGE_PAGE: u64 = 0x20_0000;
/// Registers of devices that the kernel found are mapped from here, for the kernel alone.
pub const REGISTERS: u64 = 0x200_0000_0000;
