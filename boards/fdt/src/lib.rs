//! The machine as a device tree describes it, for boards whose firmware hands one over.
//!
//! Reading is pure: bytes in, a [`Machine`] out, so that it is tested on a development machine. [`tree_at`] finds the
//! bytes, [`boot_info`] puts them into the kernel's form. A board names its serial port and knows the rest of
//! its devices itself.
#![no_std]
#![deny(unsafe_code)]

mod boot;
mod cores;
mod devices;
mod machine;
mod places;
mod tree;

#[cfg(test)]
mod tests;

pub use boot::{Carried, boot_info};
pub use cores::{Cores, MAX_CORES, Refusal};
pub use machine::{Machine, Port, Serial, TreeError};
pub use tree::tree_at;
