//! The portable kernel.
//!
//! Owns per-CPU data, bringing cores up, threads, memory, time, faults, the engine's life cycle. Knows the
//! hardware only through [`embodios_arch::Arch`] and the [`Board`]; has no `cfg(target_arch)` and no
//! floating point.
#![no_std]

extern crate alloc;
#[cfg(any(test, shuttle))]
extern crate std;

mod affinity;
pub mod board;
pub mod calendar;
pub mod command_line;
mod devices;
pub mod engine;
mod fault;
pub mod frames;
mod heap;
mod input;
mod memory;
pub mod modules;
pub mod output;
pub mod per_cpu;
pub mod phases;
mod power;
mod scheduler;
mod selftest;
mod smp;
mod start;
mod sync;
mod syscall;
pub mod time;
mod topology;
mod user;

pub use board::{Board, BootInfo, Console, Module};
pub use embodios_arch::{
    Caches, CoreTopology, CpuId, FULL_CAPACITY, HwCpuId, Line, Message, PhysAddr, PhysRange, VirtAddr,
};
pub use power::refuse;
pub use start::{prepare, start};
