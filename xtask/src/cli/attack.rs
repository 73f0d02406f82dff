//! Options of `cargo xtask attack` and `cargo xtask abuse`. Owns no behaviour beyond parsing.

use clap::{Args, ValueEnum};
use std::time::Duration;

use super::{GuestOptions, seconds};
use crate::accel::AccelChoice;
use crate::arch::Arch;
use crate::topology::Topology;

/// Options of `cargo xtask attack`.
#[derive(Args)]
pub struct AttackOptions {
    /// Attack to run
    pub mode: AttackMode,
    /// Parameters as `name=value`: fuzz has seed, calls, crash and every; restarts has incarnations and full; storm and
    /// long have incarnations; direct has first
    #[arg(value_name = "NAME=VALUE")]
    pub numbers: Vec<String>,
    /// The guest
    #[command(flatten)]
    pub guest: GuestOptions,
    /// Cores of the guest
    #[arg(long, default_value = "4", value_name = "N|TOPOLOGY")]
    pub smp: Topology,
    /// Accelerator of QEMU
    #[arg(long, default_value = "tcg")]
    pub accel: AccelChoice,
    /// End a guest that still runs after this many seconds, as failed
    #[arg(long, value_parser = seconds, default_value = "600", value_name = "SECONDS")]
    pub timeout: Duration,
}

/// Options of `cargo xtask abuse`.
#[derive(Args)]
pub struct AbuseOptions {
    /// Architecture of the guest [default: x86_64]
    #[arg(long)]
    pub arch: Option<Arch>,
    /// Cores of the guest
    #[arg(long, default_value = "2", value_name = "N|TOPOLOGY")]
    pub smp: Topology,
    /// Accelerator of QEMU
    #[arg(long, default_value = "auto")]
    pub accel: AccelChoice,
    /// Start of the random numbers
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Number of the first damaged request: one that broke something, with `--requests 1`, is sent alone
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub first: u64,
    /// Damaged requests
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub requests: u64,
    /// Ordinary requests afterwards
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub ordinary: u64,
    /// Connections at once, before and after the damaged requests
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub connections: usize,
    /// End a guest that still runs after this many seconds, as failed
    #[arg(long, value_parser = seconds, default_value = "7200", value_name = "SECONDS")]
    pub timeout: Duration,
}

/// An attack of `ci/hostile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AttackMode {
    /// Single instructions and accesses, each in an incarnation of its own, compared with the table of expected effects
    Direct,
    /// Use up all threads, queues and memory
    Exhaust,
    /// Any system call with any arguments from all cores, with crashes among them
    Fuzz,
    /// A crash while other cores are in system calls of the largest size
    Long,
    /// Many incarnations, ended in every way; none may leave anything to the next
    Restarts,
    /// A crash of all cores at once
    Storm,
}

impl AttackMode {
    /// Name of the attack to the program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Exhaust => "exhaust",
            Self::Fuzz => "fuzz",
            Self::Long => "long",
            Self::Restarts => "restarts",
            Self::Storm => "storm",
        }
    }

    /// Names of its parameters.
    pub const fn numbers(self) -> &'static [&'static str] {
        match self {
            Self::Direct => &["first"],
            Self::Exhaust => &[],
            Self::Fuzz => &["seed", "calls", "crash", "every"],
            Self::Long | Self::Storm => &["incarnations"],
            Self::Restarts => &["incarnations", "full"],
        }
    }
}
