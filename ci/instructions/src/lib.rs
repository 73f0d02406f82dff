//! A plugin for QEMU's emulation that counts the guest's instructions by core, by phase and by privilege.
//!
//! The guest marks measured parts and, in them, phases ([`embodios_abi::Mark`]): between two marks all cores work on
//! one job, or one core is alone. A part's critical path is the sum over its phases of the busiest core's count; what
//! it takes less than one core's count for the same work is the speed-up that the division of the work allows. A core
//! that halts counts nothing. It counts instructions, not time.
//!
//! Arguments: `out=FILE`, where the counts go at the emulator's exit, as JSON ([`ledger::Ledger`]).

mod ledger;
#[cfg(not(test))]
mod plugin;
#[cfg(not(test))]
mod qemu;
