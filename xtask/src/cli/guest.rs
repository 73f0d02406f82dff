//! Options of every command that boots one guest. Owns no behaviour beyond parsing.

use anyhow::Result;
use clap::Args;

use crate::arch::Arch;
use crate::machine::MachineKind;
use crate::memory::MemorySize;

/// The guest.
#[derive(Args)]
pub struct GuestOptions {
    /// Architecture of the guest [default: that of --machine, else x86_64]
    #[arg(long)]
    pub arch: Option<Arch>,
    /// Machine to emulate [default: q35 on x86_64, virt on aarch64]
    #[arg(long)]
    pub machine: Option<MachineKind>,
    /// Memory of the guest: a number with M or G
    #[arg(long, default_value_t = MemorySize::DEFAULT, value_name = "SIZE")]
    pub memory: MemorySize,
}

impl GuestOptions {
    /// The machine by architecture and name.
    ///
    /// # Errors
    /// As [`MachineKind::choose`].
    pub fn kind(&self) -> Result<MachineKind> {
        MachineKind::choose(self.arch, self.machine)
    }
}
