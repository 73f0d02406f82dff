//! The portable kernel.
//!
//! Owns per-CPU data, bringing cores up, threads, memory, time, faults, the engine's life. Knows the
//! hardware only through [`embodios_arch::Arch`] and the [`Board`]; has no `cfg(target_arch)` and no
//! floating point.
#![no_std]

extern crate alloc;

pub mod board;

pub use board::{Board, BootInfo, Console, Module};
pub use embodios_arch::{CpuId, HwCpuId, PhysAddr, PhysRange, VirtAddr};
