//! The cores that the device tree lists, and those of them that can be started.

use crate::machine::{TreeError, is_in_use};
use crate::places;
use core::fmt;
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use embodios_kernel::{CoreTopology, HwCpuId};
use heapless::Vec;

/// Cores a tree may list: the most that QEMU's machine has.
pub const MAX_CORES: usize = 512;

/// The reason for which a listed core is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its `status` is not "okay".
    Disabled,
    /// Its `enable-method` is not "psci", or there is no PSCI.
    NoPsci,
    /// Another node has the same `reg`.
    ListedTwice,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disabled => "the device tree marks it as disabled",
            Self::NoPsci => "the device tree names no PSCI to start it",
            Self::ListedTwice => "the device tree lists it twice",
        })
    }
}

/// The cores of a machine.
#[derive(Debug)]
pub struct Cores {
    /// Those to use, the boot core first, the others as listed.
    pub usable: Vec<HwCpuId, MAX_CORES>,
    /// Their places.
    pub places: Vec<CoreTopology, MAX_CORES>,
    /// Their nodes' phandles.
    handles: Vec<Option<u32>, MAX_CORES>,
    /// Those to leave alone.
    pub refused: Vec<(HwCpuId, Refusal), MAX_CORES>,
}

impl Cores {
    /// No core yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { usable: Vec::new(), places: Vec::new(), handles: Vec::new(), refused: Vec::new() }
    }

    pub(crate) fn read(
        &mut self,
        tree: Fdt<'_>,
        cpus: &FdtNode<'_>,
        boot_core: HwCpuId,
        has_psci: bool,
    ) -> Result<(), TreeError> {
        const BAD_REG: TreeError = TreeError::Property { node: "core", property: "reg" };
        let mut boot_core_listed = false;
        let unknown = CoreTopology { core: boot_core.0, ..CoreTopology::UNKNOWN };
        self.add(boot_core, unknown, None)?;
        for cpu in cpus.children().filter(|node| node.name_without_address() == "cpu") {
            let id = cpu.reg().ok().flatten().and_then(|mut ids| ids.next()).ok_or(BAD_REG)?;
            let id = HwCpuId(id.address().map_err(|_| BAD_REG)?);
            if id == boot_core && !boot_core_listed {
                boot_core_listed = true;
                self.places[0] = places::read_node(tree, &cpu, id.0);
                self.handles[0] = places::cell(&cpu, "phandle");
                continue;
            }
            let method = cpu.property("enable-method").and_then(|method| method.value_as::<&str>().ok());
            let refusal = if !is_in_use(&cpu) {
                Some(Refusal::Disabled)
            } else if self.usable.contains(&id) {
                Some(Refusal::ListedTwice)
            } else if method != Some("psci") || !has_psci {
                Some(Refusal::NoPsci)
            } else {
                None
            };
            match refusal {
                None => {
                    self.add(id, places::read_node(tree, &cpu, id.0), places::cell(&cpu, "phandle"))?;
                }
                Some(why) => self.refused.push((id, why)).map_err(|_| TreeError::TooMany("cores"))?,
            }
        }
        if let Some(map) = cpus.children().find(|node| node.name() == "cpu-map") {
            places::read_map(&map, &self.handles, &mut self.places);
        }
        if boot_core_listed { Ok(()) } else { Err(TreeError::Missing("core with the boot core's id")) }
    }

    fn add(&mut self, id: HwCpuId, place: CoreTopology, handle: Option<u32>) -> Result<(), TreeError> {
        // The lists are equally long, so what fits one fits all.
        let _ = self.places.push(place).map(|()| self.handles.push(handle));
        self.usable.push(id).map_err(|_| TreeError::TooMany("cores"))
    }
}

impl Default for Cores {
    fn default() -> Self {
        Self::new()
    }
}
