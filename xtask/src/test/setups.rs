//! Which machines the kernel is tested on. Owns the list; `guests` boots them.

use anyhow::Result;

use crate::arch::Arch;
use crate::boot::Setup;
use crate::machine::{Gic, MachineKind};
use crate::topology::Topology;

impl Setup {
    fn new(kind: MachineKind, smp: Topology) -> Self {
        Self { kind, smp, cpu: None, gic: None, el2: false }
    }

    /// The default machine of `arch` with as many cores as `smp` says.
    ///
    /// # Errors
    /// When `smp` is no topology.
    pub fn plain(arch: Arch, smp: &str) -> Result<Self> {
        Ok(Self::new(MachineKind::default_of(arch), smp.parse().map_err(anyhow::Error::msg)?))
    }

    /// Machines that differ from the default in more than the number of cores: sparse hardware ids, the
    /// oldest processor, other interrupt controllers, other boot paths.
    fn variants(arch: Arch) -> Result<Vec<Self>> {
        let new = |kind, smp: &str| -> Result<Self> {
            Ok(Self::new(kind, smp.parse().map_err(anyhow::Error::msg)?))
        };
        Ok(match arch {
            Arch::X86_64 => vec![
                Self { cpu: Some("qemu64"), ..new(MachineKind::Q35, "1")? },
                new(MachineKind::Pc, "2")?,
                new(MachineKind::Microvm, "4")?,
                new(MachineKind::Q35, "8,sockets=2,cores=2,threads=2")?,
            ],
            Arch::Aarch64 => vec![
                Self { cpu: Some("cortex-a57"), ..new(MachineKind::Virt, "1")? },
                Self { gic: Some(Gic::V2), el2: true, ..new(MachineKind::Virt, "2")? },
                Self { el2: true, ..new(MachineKind::Virt, "4")? },
                Self { gic: Some(Gic::V2), ..new(MachineKind::Virt, "8")? },
            ],
        })
    }

    /// The default machine with each of these core counts, and the variants that have one of them.
    ///
    /// # Errors
    /// Never for the list as it stands; a variant that does not parse is named.
    pub fn select(arch: Arch, smp: &[Topology]) -> Result<Vec<Self>> {
        let kind = MachineKind::default_of(arch);
        let mut setups: Vec<Self> = smp.iter().map(|smp| Self::new(kind, smp.clone())).collect();
        let variants = Self::variants(arch)?.into_iter();
        setups.extend(variants.filter(|setup| smp.iter().any(|smp| smp.cores() == setup.smp.cores())));
        Ok(setups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arch: Arch, smp: &[&str]) -> Vec<String> {
        let smp: Vec<Topology> = smp.iter().map(|text| text.parse().expect("a number")).collect();
        Setup::select(arch, &smp).expect("the list parses").iter().map(Setup::to_string).collect()
    }

    #[test]
    fn core_counts_select_their_variants() {
        assert_eq!(
            names(Arch::X86_64, &["3", "8"]),
            ["x86_64 q35 -smp 3", "x86_64 q35 -smp 8", "x86_64 q35 -smp 8,sockets=2,cores=2,threads=2"]
        );
        assert_eq!(names(Arch::Aarch64, &["2"]), ["aarch64 virt -smp 2", "aarch64 virt -smp 2 GICv2 EL2"]);
    }
}
