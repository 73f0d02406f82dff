//! From the first Rust function to the kernel: the device tree becomes a boot description.

use crate::pl011::{self, Pl011};
use crate::{image, pl031, semihosting};
use core::fmt;
use embodios_abi::ExitStatus;
use embodios_arch::aarch64::{self, Firmware, gic, probe};
use embodios_arch::{Arch, Architecture};
use embodios_fdt::{Carried, Cores, Machine, boot_info, tree_at};
use embodios_kernel::board::{PciConfiguration, PciHost};
use embodios_kernel::{Board, Console, HwCpuId, Line, Message, PhysRange, kprintln};
use smccc::psci;
use spin::{Mutex, MutexGuard, Once};

/// The serial port of every version of this machine, for want of a tree that says so.
const USUAL_SERIAL: PhysRange = PhysRange::new(0x0900_0000, 0x1000);
/// Its interrupt id there.
const USUAL_SERIAL_INTERRUPT: u32 = 33;

struct Virt {
    console: Pl011,
    /// Registers of the real-time clock.
    clock: Option<PhysRange>,
}

static BOARD: Once<Virt> = Once::new();
static CORES: Mutex<Cores> = Mutex::new(Cores::new());

impl Board for Virt {
    fn console(&self) -> &dyn Console {
        &self.console
    }

    fn route(&self, line: Line, target: HwCpuId) -> Option<u32> {
        gic::enable_device(line.number, target);
        Some(line.number)
    }

    fn message(&self, _: HwCpuId) -> Option<Message> {
        None
    }

    fn wall_clock(&self) -> Option<u64> {
        self.clock.and_then(pl031::read)
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

/// The board's first Rust function, called on the boot stack and boot tables by way of the Image's entry and the
/// architecture's.
#[unsafe(no_mangle)]
extern "C" fn board_main(device_tree: u64, entry_counter: u64) -> ! {
    // SAFETY: firmware hands over a device tree or 0; memory is identity-mapped.
    let tree = match unsafe { tree_at(device_tree) } {
        Ok(tree) => tree,
        Err(message) => refuse(format_args!(
            "{message} (x0 = {device_tree:#x}); the kernel has to be loaded as a raw Image"
        )),
    };
    let cores: &'static mut Cores = MutexGuard::leak(CORES.lock());
    let mut machine = match Machine::read(tree, pl011::KIND, Arch::hardware_id(), cores) {
        Ok(machine) => machine,
        Err(error) => refuse(format_args!("{error}")),
    };
    if !pl011::is_at(machine.serial.registers) {
        let place = machine.serial.registers;
        refuse(format_args!("there is no PL011 serial port at {place}, where the device tree says"));
    }
    // SAFETY: the port is there, as the tree says.
    let console = unsafe { Pl011::new(machine.serial.registers, machine.serial.interrupt) };
    let board = BOARD.call_once(|| Virt { console, clock: machine.clock });
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
    // The kernel looks at these without a net.
    machine.places.mmio.retain(|place| probe::read(place.start).is_some());
    machine.places.pci = machine.places.pci.filter(is_there);
    for (core, why) in &cores.refused {
        kprintln!("core {core} is not used: {why}");
    }
    let carried = Carried {
        image: image::sections(),
        engine: embodios_payload::engine(),
        // The raw Image would have to hold the padding.
        model: embodios_payload::model(false),
    };
    let boot = match boot_info(&machine, cores, tree, carried, entry_counter) {
        Ok(boot) => boot,
        Err(what) => refuse(format_args!("no room for the {what} of this machine")),
    };
    // SAFETY: the boot description is firmware's; all it names is reserved and stays.
    unsafe { embodios_kernel::start(board, &boot) }
}

/// Whether a host bridge's configuration space answers.
fn is_there(host: &PciHost) -> bool {
    match host.configuration {
        PciConfiguration::Memory(space) => probe::read(space.start).is_some(),
        PciConfiguration::Ports => false,
    }
}

/// Ends the machine before the kernel has started.
fn refuse(reason: fmt::Arguments<'_>) -> ! {
    let board = BOARD.call_once(|| {
        // SAFETY: this machine has a port there, and nothing uses it yet.
        Virt { console: unsafe { Pl011::new(USUAL_SERIAL, USUAL_SERIAL_INTERRUPT) }, clock: None }
    });
    embodios_kernel::prepare(board);
    embodios_kernel::refuse(reason)
}
