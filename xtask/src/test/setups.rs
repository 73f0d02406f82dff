//! Machines that the kernel is tested on. Owns the list; `guests` boots them.

use anyhow::Result;

use crate::arch::Arch;
use crate::boot::Setup;
use crate::machine::{Gic, MachineKind};
use crate::topology::Topology;

/// The default machine with each of these core counts, and the variants that have one of them.
///
/// # Errors
/// Never for the list as it stands; a variant that does not parse is named.
pub fn select(arch: Arch, smp: &[Topology]) -> Result<Vec<Setup>> {
    let kind = MachineKind::default_of(arch);
    let mut setups: Vec<Setup> = smp.iter().map(|smp| Setup::new(kind, smp.clone())).collect();
    let variants = variants(arch)?.into_iter();
    setups.extend(variants.filter(|setup| smp.iter().any(|smp| smp.cores() == setup.smp.cores())));
    Ok(setups)
}

/// Machines other than the default in more than the number of cores: sparse hardware ids, the oldest processor, other
/// interrupt controllers, other boot paths.
fn variants(arch: Arch) -> Result<Vec<Setup>> {
    let new =
        |kind, smp: &str| -> Result<Setup> { Ok(Setup::new(kind, smp.parse().map_err(anyhow::Error::msg)?)) };
    Ok(match arch {
        Arch::X86_64 => vec![
            Setup { cpu: Some("qemu64"), ..new(MachineKind::Q35, "1")? },
            new(MachineKind::Pc, "2")?,
            new(MachineKind::Microvm, "4")?,
            new(MachineKind::Q35, "8,sockets=2,cores=2,threads=2")?,
        ],
        Arch::Aarch64 => vec![
            Setup { cpu: Some("cortex-a57"), ..new(MachineKind::Virt, "1")? },
            Setup { gic: Some(Gic::V2), el2: true, ..new(MachineKind::Virt, "2")? },
            Setup { el2: true, ..new(MachineKind::Virt, "4")? },
            Setup { gic: Some(Gic::V2), ..new(MachineKind::Virt, "8")? },
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arch: Arch, smp: &[&str]) -> Vec<String> {
        let smp: Vec<Topology> = smp.iter().map(|text| text.parse().expect("a number")).collect();
        select(arch, &smp).expect("the list parses").iter().map(Setup::to_string).collect()
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
