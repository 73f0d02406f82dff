//! The ABI between the kernel (ring 0 / EL1) and the engine (ring 3 / EL0), written down once.
//!
//! Owns: system call numbers and results, the read-only start-up information, what is shared of a device, the layout of
//! the engine's address space, the words of the command line, the per-core statistics, marks for instruction-counting
//! tools, and the exit status of the machine. Its records are plain old data (`bytemuck`), or atomics where both sides
//! use them at once.
#![no_std]
#![deny(unsafe_code)]

pub mod command_line;
mod exit;
mod info;
pub mod layout;
mod mark;
pub mod network;
mod statistics;
mod syscall;

pub use exit::ExitStatus;
pub use info::{CoreFlags, CoreInfo, EngineInfo, FULL_CAPACITY, INFO_MAGIC, ModuleInfo, Span};
pub use mark::Mark;
pub use network::NetworkInfo;
pub use statistics::{CoreCounts, CoreStatistics, Count, Counts};
pub use syscall::{
    Call, Error, Hook, MAX_GRANT, MAX_MESSAGE, PRIORITIES, PowerAction, Query, ThreadRecord, decode_result,
    encode_result,
};
