//! From the first Rust instruction to the kernel: firmware's words become a [`BootInfo`].

use crate::machine::{self, Pc};
use crate::pvh::StartInfo;
use crate::serial::{self, SERIAL};
use crate::{interrupts, places};
use embodios_acpi::{Apics, MAX_CORES};
use embodios_arch::x86_64::{BOOT_MAPPED, LOCAL_APIC, calibrate, catch_exceptions, largest_leaf};
use embodios_arch::{Arch, Architecture};
use embodios_kernel::board::Image;
use embodios_kernel::modules::files;
use embodios_kernel::{BootInfo, HwCpuId, PhysAddr, PhysRange};
use heapless::Vec;
use spin::{Mutex, MutexGuard};

unsafe extern "C" {
    static image_text: u8;
    static image_rodata: u8;
    static image_data: u8;
    static image_end: u8;
}

static PC: Pc = Pc;
static CORES: Mutex<Vec<HwCpuId, MAX_CORES>> = Mutex::new(Vec::new());

/// Memory below this belongs to firmware and to the trampoline; the image begins here.
const LOW_MEMORY: u64 = 0x20_0000;
/// Bytes of an I/O APIC's registers.
const IO_APIC_BYTES: u64 = 0x1000;
/// 8259 interrupt controllers' mask ports.
const PIC_MASKS: [u16; 2] = [0x21, 0xa1];

/// Ends the machine before there is a kernel.
fn refuse(reason: &str) -> ! {
    embodios_kernel::refuse(format_args!("{reason}"))
}

/// The board's first Rust function, called on the boot stack and boot tables by way of the protocol's entry and the
/// architecture's.
#[unsafe(no_mangle)]
extern "C" fn board_main(start_info: u32, entry_counter: u64) -> ! {
    SERIAL.init();
    embodios_kernel::prepare(&PC);
    catch_exceptions();
    // SAFETY: the address is the loader's; boot tables map low memory at its own addresses.
    let Some(start) = (unsafe { StartInfo::at(start_info) }) else { refuse("not entered by PVH version 1") };
    let Ok(line) = core::str::from_utf8(start.command_line_bytes()) else {
        refuse("the command line is not UTF-8")
    };
    if start.rsdp() == 0 {
        refuse("this machine has no ACPI, which is where its cores are listed (QEMU: do not pass acpi=off)");
    }
    if calibrate().is_none() {
        refuse("no source tells the rate of the time-stamp counter");
    }
    for port in PIC_MASKS {
        // SAFETY: masks the old interrupt controllers, which nothing uses.
        unsafe { embodios_arch::x86_64::outb(port, 0xff) }
    }
    let cores: &'static mut Vec<HwCpuId, MAX_CORES> = MutexGuard::leak(CORES.lock());
    // SAFETY: the address is the loader's; boot tables map low memory at its own addresses.
    let apics = match unsafe {
        embodios_acpi::find(start.rsdp(), BOOT_MAPPED, Arch::hardware_id(), serial::INTERRUPT, cores)
    } {
        Ok(apics) => apics,
        Err(reason) => refuse(reason),
    };
    let mut boot = BootInfo {
        machine: machine::name(),
        memory: Vec::new(),
        reserved: Vec::new(),
        devices: Vec::new(),
        places: places::find(machine::name(), apics.pci),
        image: image(),
        command_line: line,
        modules: Vec::new(),
        engine: embodios_payload::engine(),
        cores,
        // CPUID tells it.
        topology: &[],
        entry_counter,
        largest_leaf: largest_leaf(),
    };
    if !describe(start, &apics, &mut boot) || apics.left_out > 0 {
        refuse(
            "firmware lists more memory regions, modules, cores or controllers than a boot description holds",
        );
    }
    SERIAL.set_line(apics.line);
    interrupts::init(apics.io_apics);
    // SAFETY: `boot` is firmware's description; everything it names is reserved and stays.
    unsafe { embodios_kernel::start(&PC, &boot) }
}

fn image() -> Image {
    let range = |start: *const u8, end: *const u8| PhysRange {
        start: PhysAddr(start as u64),
        end: PhysAddr(end as u64),
    };
    Image {
        text: range(&raw const image_text, &raw const image_rodata),
        rodata: range(&raw const image_rodata, &raw const image_data),
        data: range(&raw const image_data, &raw const image_end),
    }
}

/// Fills the lists; false when one is too short.
fn describe(start: &StartInfo, apics: &Apics, boot: &mut BootInfo<'static>) -> bool {
    let image = PhysRange { start: boot.image.text.start, end: boot.image.data.end };
    // Left out of memory that may be handed out; the built-in tables map it, and loaders' data there can be read.
    let low = PhysRange::new(0, LOW_MEMORY);
    let above = |region: PhysRange| PhysRange { start: region.start.max(low.end), end: region.end };
    let mut regions = start.memory().map(above).filter(|region| region.length() > 0);
    let mut complete = regions.all(|region| boot.memory.push(region).is_ok());
    let reserved = [low, image].into_iter().chain(start.ranges()).chain(start.modules());
    for range in reserved.filter(|range| range.length() > 0) {
        complete &= boot.reserved.push(range).is_ok();
    }
    complete &= boot.devices.push(PhysRange::new(LOCAL_APIC.0, 0x1000)).is_ok();
    for controller in &apics.io_apics {
        complete &= boot.devices.push(PhysRange::new(controller.registers.0, IO_APIC_BYTES)).is_ok();
    }
    let mut files = files(boot.command_line);
    for range in start.modules() {
        complete &= files.of(range).all(|file| boot.modules.push(file).is_ok());
    }
    // Padded by link.ld.
    complete & boot.modules.push(embodios_payload::model(true)).is_ok()
}
