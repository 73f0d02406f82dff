//! The border between the kernel (ring 0 / EL1) and the engine (ring 3 / EL0), written down once.
//!
//! Owns: system call numbers and results, the read-only start-up information, the layout of the
//! engine's address space and the exit status of the machine. Contains no code that runs on one
//! side only; its records are plain old data (`bytemuck`).
#![no_std]
#![deny(unsafe_code)]

mod exit;
mod info;
pub mod layout;
mod syscall;

pub use exit::ExitStatus;
pub use info::{CoreInfo, EngineInfo, INFO_MAGIC, ModuleInfo, Span};
pub use syscall::{Call, Error, PowerAction, Query, decode_result, encode_result};
