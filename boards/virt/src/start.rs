//! From the first Rust function to the kernel: the device tree becomes a [`BootInfo`].

use crate::pl011::{self, Pl011};
use crate::{image, semihosting};
use board_virt::{Cores, Machine};
use core::fmt;
use embodios_abi::ExitStatus;
use embodios_arch::aarch64::{self, Firmware, probe};
use embodios_arch::{Arch, Architecture, GicDescription};
use embodios_kernel::board::MAX_RESERVED;
use embodios_kernel::modules::files;
use embodios_kernel::{Board, BootInfo, Console, PhysRange, kprintln};
use heapless::Vec;
use smccc::psci;
use spin::{Mutex, MutexGuard, Once};

/// Where the serial port has been on every version of this machine, for want of a tree that says so.
const USUAL_SERIAL: PhysRange = PhysRange::new(0x0900_0000, 0x1000);
/// Its interrupt id there.
const USUAL_SERIAL_INTERRUPT: u32 = 33;

/// First word of a device tree (Devicetree Specification 0.4, 5.2).
const TREE_MAGIC: u32 = 0xd00d_feed;
/// Most bytes that a tree may claim to have. QEMU leaves room for additions: 1 MiB, and 2 MiB around a tree given
/// with `-dtb`.
const MAX_TREE: usize = 16 << 20;

struct Virt {
    console: Pl011,
}

static BOARD: Once<Virt> = Once::new();
static CORES: Mutex<Cores> = Mutex::new(Cores::new());

impl Board for Virt {
    fn console(&self) -> &dyn Console {
        &self.console
    }

    fn power_off(&self, status: ExitStatus) -> ! {
        semihosting::exit(status.process_status());
        // Returns only where firmware refuses.
        let _refused = psci::system_off::<Firmware>();
        Arch::halt()
    }

    fn reboot(&self) -> ! {
        // As above.
        let _refused = psci::system_reset::<Firmware>();
        Arch::halt()
    }
}

/// Called on the boot stack and boot tables, by way of the Image's entry and the architecture's.
#[unsafe(no_mangle)]
extern "C" fn board_main(device_tree: u64, entry_counter: u64) -> ! {
    // SAFETY: firmware hands over a device tree or 0; memory is identity-mapped.
    let tree = match unsafe { tree_at(device_tree) } {
        Ok(tree) => tree,
        Err(message) => refuse(format_args!("{message} (x0 = {device_tree:#x})")),
    };
    let cores: &'static mut Cores = MutexGuard::leak(CORES.lock());
    let machine = match Machine::read(tree, Arch::hardware_id(), cores) {
        Ok(machine) => machine,
        Err(error) => refuse(format_args!("{error}")),
    };
    if !pl011::is_at(machine.serial.registers) {
        let place = machine.serial.registers;
        refuse(format_args!("there is no PL011 serial port at {place}, where the device tree says"));
    }
    // SAFETY: the port is there, as the tree says.
    let console = unsafe { Pl011::new(machine.serial.registers, machine.serial.interrupt) };
    let board = BOARD.call_once(|| Virt { console });
    embodios_kernel::prepare(board);
    if !machine.memory.iter().any(|region| region.contains(image::whole())) {
        refuse(format_args!("the kernel is not in the memory that the device tree names"));
    }
    if let Some(absent) = machine.memory.iter().find(|&&region| !probe::is_memory(region)) {
        refuse(format_args!("there is no memory at {absent}, where the device tree says"));
    }
    // SAFETY: the tree says so, and nothing ran before.
    if let Err(error) = unsafe { aarch64::initialise(machine.gic, machine.conduit) } {
        refuse(format_args!("{error}"));
    }
    for (core, why) in &cores.refused {
        kprintln!("core {core} is not used: {why}");
    }
    let boot = match describe(&machine, cores, tree, entry_counter) {
        Ok(boot) => boot,
        Err(what) => refuse(format_args!("no room for the {what} of this machine")),
    };
    // SAFETY: the boot description is what firmware said; all it names is reserved and stays.
    unsafe { embodios_kernel::start(board, &boot) }
}

/// The device tree at this address.
///
/// # Safety
/// Bytes at the address may be read, as many as a tree there says it has.
unsafe fn tree_at(address: u64) -> Result<&'static [u8], &'static str> {
    if address == 0 {
        return Err("firmware left no device tree; the kernel has to be loaded as a raw Image");
    }
    if !address.is_multiple_of(8) {
        return Err("the device tree is not aligned to 8 bytes");
    }
    // SAFETY: by the caller; the header's words are aligned.
    let [magic, size] = unsafe { (address as *const [u32; 2]).read() }.map(u32::from_be);
    if magic != TREE_MAGIC {
        return Err("what firmware left is no device tree");
    }
    if size as usize > MAX_TREE {
        return Err("the device tree claims to be larger than 16 MiB");
    }
    // SAFETY: by the caller; the kernel keeps the tree reserved, so it never changes.
    Ok(unsafe { core::slice::from_raw_parts(address as *const u8, size as usize) })
}

/// Everything in the kernel's form; fails with what there is no room for.
fn describe(
    machine: &Machine<'static>,
    cores: &'static Cores,
    tree: &'static [u8],
    entry_counter: u64,
) -> Result<BootInfo<'static>, &'static str> {
    const RESERVED: &str = "reserved ranges";
    const DEVICES: &str = "devices";
    const MODULES: &str = "modules";
    let mut reserved = machine.reserved.clone();
    let mut modules = Vec::new();
    reserved.push(PhysRange::new(tree.as_ptr() as u64, tree.len() as u64)).map_err(|_| RESERVED)?;
    reserved.push(image::whole()).map_err(|_| RESERVED)?;
    if let Some(range) = machine.initrd {
        reserved.push(range).map_err(|_| RESERVED)?;
        let mut files = files(machine.command_line);
        files.of(range).try_for_each(|file| modules.push(file)).map_err(|_| MODULES)?;
    }
    modules.push(image::story_model()).map_err(|_| MODULES)?;
    let mut devices = Vec::<PhysRange, MAX_RESERVED>::new();
    let mut add = |range: PhysRange| devices.push(range.widen(embodios_arch::paging::PAGE));
    add(machine.serial.registers).map_err(|_| DEVICES)?;
    match machine.gic {
        GicDescription::V2 { distributor, cpu_interface } => {
            add(distributor).and_then(|()| add(cpu_interface)).map_err(|_| DEVICES)?;
        }
        GicDescription::V3 { distributor, redistributors } => {
            add(distributor).map_err(|_| DEVICES)?;
            redistributors.into_iter().flatten().try_for_each(add).map_err(|_| DEVICES)?;
        }
    }
    Ok(BootInfo {
        machine: machine.name,
        memory: machine.memory.clone(),
        reserved,
        devices,
        image: image::sections(),
        command_line: machine.command_line,
        modules,
        engine: image::engine(),
        cores: &cores.usable,
        topology: &cores.places,
        entry_counter,
        // Every implementation has 1 GiB blocks with the 4 KiB granule (Arm ARM).
        largest_leaf: 3,
    })
}

/// Ends the machine before the kernel has started.
fn refuse(reason: fmt::Arguments<'_>) -> ! {
    let board = BOARD.call_once(|| {
        // SAFETY: this machine has a port there, and nobody uses it yet.
        Virt { console: unsafe { Pl011::new(USUAL_SERIAL, USUAL_SERIAL_INTERRUPT) } }
    });
    embodios_kernel::prepare(board);
    embodios_kernel::refuse(reason)
}
