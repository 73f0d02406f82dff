//! The machine as ACPI tables describe it, for boards whose firmware brings them.
//!
//! `tables` checks that tables can be read at all; files beside it interpret them for one kind of machine. Pure
//! reading, so that it runs in host tests too.
#![no_std]

#[cfg(test)]
extern crate std;

mod apic;
mod pci;
mod tables;

pub use apic::{Apics, IoApic, MAX_CORES, MAX_IO_APICS, find};
