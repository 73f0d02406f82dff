//! From a device tree to the kernel's boot description.

use crate::cores::Cores;
use crate::machine::Machine;
use embodios_arch::GicDescription;
use embodios_arch::paging::PAGE;
use embodios_kernel::board::{Image, MAX_RESERVED};
use embodios_kernel::modules::files;
use embodios_kernel::{BootInfo, Module, PhysRange};
use heapless::Vec;

/// The kernel image and its payload.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    /// Its sections, from the first to the last byte without a gap that others may use.
    pub image: Image,
    /// The engine program.
    pub engine: &'static [u8],
    /// The built-in model.
    pub model: Module<'static>,
}

/// The boot description of `machine`, which `tree` describes and whose cores are `cores`. `entry_counter` is the
/// counter value at entry.
///
/// # Errors
/// The part for which there is no room.
pub fn boot_info(
    machine: &Machine<'static>,
    cores: &'static Cores,
    tree: &'static [u8],
    carried: Carried,
    entry_counter: u64,
) -> Result<BootInfo<'static>, &'static str> {
    const RESERVED: &str = "reserved ranges";
    const MODULES: &str = "modules";
    let mut reserved = machine.reserved.clone();
    let mut modules = Vec::new();
    let image = PhysRange { start: carried.image.text.start, end: carried.image.data.end };
    reserved.push(PhysRange::new(tree.as_ptr() as u64, tree.len() as u64)).map_err(|_| RESERVED)?;
    reserved.push(image).map_err(|_| RESERVED)?;
    if let Some(range) = machine.initrd {
        reserved.push(range).map_err(|_| RESERVED)?;
        let mut files = files(machine.command_line);
        files.of(range).try_for_each(|file| modules.push(file)).map_err(|_| MODULES)?;
    }
    modules.push(carried.model).map_err(|_| MODULES)?;
    Ok(BootInfo {
        machine: machine.name,
        memory: machine.memory.clone(),
        reserved,
        devices: devices(machine).ok_or("devices")?,
        places: machine.places.clone(),
        image: carried.image,
        command_line: machine.command_line,
        modules,
        engine: carried.engine,
        cores: &cores.usable,
        topology: &cores.places,
        entry_counter,
        // Every implementation has 1 GiB blocks with the 4 KiB granule (Arm ARM).
        largest_leaf: 3,
    })
}

/// Registers that the kernel reaches, in whole pages; `None` when they are too many.
fn devices(machine: &Machine<'_>) -> Option<Vec<PhysRange, MAX_RESERVED>> {
    let mut devices = Vec::new();
    let mut add = |range: PhysRange| devices.push(range.widen(PAGE)).ok();
    add(machine.serial.registers)?;
    machine.clock.into_iter().try_for_each(&mut add)?;
    match machine.gic {
        GicDescription::V2 { distributor, cpu_interface } => {
            add(distributor)?;
            add(cpu_interface)?;
        }
        GicDescription::V3 { distributor, redistributors } => {
            add(distributor)?;
            redistributors.into_iter().flatten().try_for_each(add)?;
        }
    }
    Some(devices)
}
