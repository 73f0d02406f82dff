//! Options of `cargo xtask serve` and `cargo xtask fleet`. Owns no behaviour beyond parsing.

use clap::Args;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use crate::accel::AccelChoice;
use crate::arch::Arch;
use crate::machine::MachineKind;
use crate::memory::MemorySize;
use crate::topology::Topology;

/// A guest that serves.
#[derive(Args)]
pub struct ServedGuestOptions {
    /// Model: a name of `cargo xtask model list`, or a GGUF file
    #[arg(long, default_value = "tinystory", value_name = "NAME|PATH")]
    pub model: String,
    /// Architecture of the guest [default: that of --machine, else x86_64]
    #[arg(long)]
    pub arch: Option<Arch>,
    /// Machine to emulate [default: microvm on x86_64, virt on aarch64]
    #[arg(long)]
    pub machine: Option<MachineKind>,
    /// Cores: a number, or QEMU's topology [default: those of the host]
    #[arg(long, value_name = "N|TOPOLOGY")]
    pub smp: Option<Topology>,
    /// File with keys, one a line, of which each request needs one
    #[arg(long, value_name = "FILE")]
    pub api_key: Option<PathBuf>,
    /// Accelerator of QEMU
    #[arg(long, default_value = "auto")]
    pub accel: AccelChoice,
    /// Memory of the guest: a number with M or G [default: 512M, or what the model and some contexts need]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<MemorySize>,
    /// Further words for the kernel's command line
    #[arg(long, value_name = "WORDS")]
    pub append: Vec<String>,
    /// Boot the whole-program-optimised engine of releases and benches, which takes a minute to build
    #[arg(long)]
    pub release: bool,
    /// Further arguments for QEMU
    #[arg(last = true, value_name = "QEMU ARGS")]
    pub qemu_args: Vec<OsString>,
}

/// Options of `cargo xtask serve`.
#[derive(Args)]
pub struct ServeOptions {
    /// The guest
    #[command(flatten)]
    pub guest: ServedGuestOptions,
    /// Port of the host that leads to the guest
    #[arg(long, default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Address of the host at which that port is
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDRESS")]
    pub host: IpAddr,
    /// End the guest after this many seconds
    #[arg(long, value_parser = super::seconds, value_name = "SECONDS")]
    pub timeout: Option<Duration>,
}

/// Options of `cargo xtask fleet`.
#[derive(Args)]
pub struct FleetOptions {
    /// Each guest
    #[command(flatten)]
    pub guest: ServedGuestOptions,
    /// Guests
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64), value_name = "N")]
    pub replicas: u16,
    /// Port of 127.0.0.1 at which the balancer is; the guests have those behind it
    #[arg(long, default_value_t = 8000, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// End the guests after this many seconds
    #[arg(long, value_parser = super::seconds, value_name = "SECONDS")]
    pub timeout: Option<Duration>,
}
