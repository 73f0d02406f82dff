//! Virtual addresses, the same on both architectures (4 KiB granule, four levels, 48 bits).
//!
//! Level-4 slot 0 is the kernel's identity map of the first 512 GiB of physical memory and never
//! accessible to the engine. Slots 1 and 2 are the engine's, slot 3 holds the kernel's stacks.

/// First address the engine may ever use; everything below belongs to the kernel.
pub const ENGINE_START: u64 = 0x80_0000_0000;
/// Where the engine's ELF image is linked. The low pages stay unmapped.
pub const IMAGE: u64 = ENGINE_START + 0x0020_0000;
/// Where [`crate::EngineInfo`] is mapped, read-only.
pub const INFO: u64 = 0x80_4000_0000;
/// Base of the thread stacks: core `i` owns `[STACKS + i * STACK_STRIDE, + STACK_STRIDE)`, its
/// stack ends at the top of that window and the rest of the window below it is unmapped.
pub const STACKS: u64 = 0x80_8000_0000;
/// Distance between the stack windows of two cores.
pub const STACK_STRIDE: u64 = 0x20_0000;
/// Mapped bytes of each thread stack.
pub const STACK_SIZE: u64 = 0x4_0000;
/// Memory granted by [`crate::Call::MemoryGrant`] appears from here upwards, contiguously.
pub const HEAP: u64 = 0xa0_0000_0000;
/// Modules (models) are mapped from here, read-only.
pub const MODULES: u64 = 0x100_0000_0000;
/// First address past the engine's part of the address space.
pub const ENGINE_END: u64 = 0x180_0000_0000;
/// Unit of [`crate::Call::MemoryGrant`] and of the engine's large mappings, in bytes.
pub const LARGE_PAGE: u64 = 0x20_0000;
