//! The architecture contract and its implementations.
//!
//! Owns everything that differs between x86_64 and AArch64 below the kernel: entry, paging formats,
//! traps, system-call entry, interrupt controller, timer, inter-processor interrupts, starting a core.
//! Knows no board (addresses are handed in) and makes no policy: interrupts, faults and system calls
//! go to the [`Handlers`] that the kernel registers.
//!
//! The contract is [`Architecture`]; [`Arch`] is the one implementation compiled in. A third one,
//! [`host`], stands in on a development machine so that the portable kernel can be tested there.
#![no_std]
#![cfg_attr(target_os = "none", deny(missing_docs))]

#[cfg(not(target_os = "none"))]
extern crate std;

mod contract;
pub mod paging;
#[cfg(target_os = "none")]
mod rate;
pub mod stacks;
mod topology;
mod types;

#[cfg(all(target_arch = "x86_64", target_os = "none"))]
pub mod x86_64;
#[cfg(all(target_arch = "x86_64", target_os = "none"))]
pub use x86_64::X86_64 as Arch;

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
pub mod aarch64;
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
pub use aarch64::AArch64 as Arch;

/// AArch64's table entries are arithmetic alone, so a development machine tests them.
#[cfg(all(test, not(target_os = "none")))]
#[path = "aarch64/descriptor.rs"]
mod aarch64_descriptor;

/// x86_64's reading of CPUID's answers is too.
#[cfg(all(test, not(target_os = "none")))]
#[path = "x86_64/topology.rs"]
mod x86_64_topology;

#[cfg(not(target_os = "none"))]
pub mod host;
#[cfg(not(target_os = "none"))]
pub use host::Host as Arch;

pub use contract::{
    Architecture, BuiltInTables, CoreLocal, Fault, FaultKind, Handlers, INITIAL_VECTORS, Interrupt,
    StartError, StartRecord, Transfer, UserContext, UserStart, handlers, register_handlers,
};
pub use topology::{Caches, CoreTopology, FULL_CAPACITY};
pub use types::{
    Conduit, CpuId, GicDescription, HwCpuId, Line, MAX_REDISTRIBUTORS, Message, PhysAddr, PhysRange, VirtAddr,
};
