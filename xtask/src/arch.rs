//! The two architectures and their names for rustc, cargo and QEMU. Owns no behaviour.

use clap::ValueEnum;
use std::fmt;

/// An architecture EMBODIOS runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arch {
    /// 64-bit PC.
    #[value(name = "x86_64")]
    X86_64,
    /// 64-bit Arm.
    #[value(name = "aarch64")]
    Aarch64,
}

impl Arch {
    /// Both, in the order of tables.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The name on the command line and in paths; equal to [`std::env::consts::ARCH`] on such a host.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Rust target of the kernel.
    pub const fn kernel_target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-none",
            Self::Aarch64 => "aarch64-unknown-none-softfloat",
        }
    }

    /// Rust target of the engine.
    pub const fn engine_target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-musl",
            Self::Aarch64 => "aarch64-unknown-linux-musl",
        }
    }

    /// Package of the board that QEMU emulates.
    pub const fn board_package(self) -> &'static str {
        match self {
            Self::X86_64 => "embodios-board-pc",
            Self::Aarch64 => "embodios-board-virt",
        }
    }

    /// The emulator's program.
    pub const fn qemu(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
