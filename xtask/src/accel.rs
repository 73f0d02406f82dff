//! Choice of the accelerator for a guest. Owns the detection of the host's; the QEMU options are in `machine`.

use anyhow::{Result, bail};
use clap::ValueEnum;
use std::fmt;
use std::fs::OpenOptions;
use std::path::Path;

use crate::arch::Arch;

/// The user's choice of accelerator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AccelChoice {
    /// KVM where the processor's own virtualisation serves the guest's architecture, else emulation
    Auto,
    /// Emulation
    Tcg,
    /// KVM, also a nested paravirtual one
    Kvm,
}

/// The accelerator of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// Emulation, one host thread a core.
    Tcg,
    /// KVM: the processor runs the guest.
    Kvm {
        /// Paravirtual KVM (`kvm_pvm`), without some registers that QEMU expects.
        paravirtual: bool,
    },
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcg => "emulated (TCG)",
            Self::Kvm { paravirtual: false } => "KVM",
            Self::Kvm { paravirtual: true } => "KVM (kvm_pvm)",
        })
    }
}

/// Virtualisation of the host.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    arch: Option<Arch>,
    kvm_usable: bool,
    hardware_module: bool,
    paravirtual_module: bool,
}

impl Host {
    /// Detects it by `/dev/kvm` and the loaded modules.
    pub fn detect() -> Self {
        let module = |name: &str| Path::new("/sys/module").join(name).exists();
        Self {
            arch: Arch::ALL.into_iter().find(|arch| arch.name() == std::env::consts::ARCH),
            kvm_usable: OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok(),
            hardware_module: module("kvm_intel") || module("kvm_amd"),
            paravirtual_module: module("kvm_pvm"),
        }
    }

    /// As [`Self::choose`], but `auto` takes any KVM: for machines whose firmware takes no seconds where ring 0 is
    /// emulated.
    ///
    /// # Errors
    /// As [`Self::choose`].
    pub fn choose_any(self, choice: AccelChoice, guest: Arch) -> Result<Accelerator> {
        match choice {
            AccelChoice::Auto => Ok(self.choose(AccelChoice::Kvm, guest).unwrap_or(Accelerator::Tcg)),
            choice => self.choose(choice, guest),
        }
    }

    /// Chooses the accelerator for a guest.
    ///
    /// # Errors
    /// When KVM is asked for by name and cannot be had.
    pub fn choose(self, choice: AccelChoice, guest: Arch) -> Result<Accelerator> {
        let own = self.arch == Some(guest);
        let kvm = Accelerator::Kvm { paravirtual: self.paravirtual_module };
        // On Arm, KVM is part of the kernel and not a module.
        let hardware = self.hardware_module || guest == Arch::Aarch64;
        match choice {
            AccelChoice::Tcg => Ok(Accelerator::Tcg),
            AccelChoice::Auto if own && self.kvm_usable && hardware => Ok(kvm),
            AccelChoice::Auto => Ok(Accelerator::Tcg),
            AccelChoice::Kvm if !own => {
                bail!("--accel kvm: cannot run {guest} on a host of {}", std::env::consts::ARCH)
            }
            AccelChoice::Kvm if !self.kvm_usable => {
                bail!("--accel kvm: /dev/kvm cannot be opened for reading and writing")
            }
            AccelChoice::Kvm => Ok(kvm),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: Host = Host {
        arch: Some(Arch::X86_64),
        kvm_usable: false,
        hardware_module: false,
        paravirtual_module: false,
    };
    const INTEL: Host = Host { kvm_usable: true, hardware_module: true, ..BARE };
    const PVM: Host = Host { kvm_usable: true, paravirtual_module: true, ..BARE };
    const ARM: Host = Host { arch: Some(Arch::Aarch64), kvm_usable: true, ..BARE };

    #[test]
    fn auto_takes_hardware_kvm_for_its_own_architecture_only() {
        let auto = |host: Host, guest| host.choose(AccelChoice::Auto, guest).expect("auto never fails");
        let kvm = Accelerator::Kvm { paravirtual: false };
        assert_eq!(auto(INTEL, Arch::X86_64), kvm);
        assert_eq!(auto(INTEL, Arch::Aarch64), Accelerator::Tcg);
        assert_eq!(auto(BARE, Arch::X86_64), Accelerator::Tcg);
        assert_eq!(auto(PVM, Arch::X86_64), Accelerator::Tcg);
        assert_eq!(auto(ARM, Arch::Aarch64), kvm);
        assert_eq!(auto(ARM, Arch::X86_64), Accelerator::Tcg);
    }

    #[test]
    fn kvm_by_name_is_kvm_or_an_error() {
        let kvm = |host: Host, guest| host.choose(AccelChoice::Kvm, guest);
        assert_eq!(kvm(PVM, Arch::X86_64).ok(), Some(Accelerator::Kvm { paravirtual: true }));
        assert!(kvm(BARE, Arch::X86_64).is_err());
        assert!(kvm(INTEL, Arch::Aarch64).is_err());
    }

    #[test]
    fn any_kvm_goes_before_emulation() {
        let any = |host: Host, guest| host.choose_any(AccelChoice::Auto, guest).expect("auto never fails");
        assert_eq!(any(PVM, Arch::X86_64), Accelerator::Kvm { paravirtual: true });
        assert_eq!(any(BARE, Arch::X86_64), Accelerator::Tcg);
        assert_eq!(any(INTEL, Arch::Aarch64), Accelerator::Tcg);
        assert!(BARE.choose_any(AccelChoice::Kvm, Arch::X86_64).is_err());
    }
}
