//! The boot description of a board ([`BootInfo`]), and its services for the kernel later ([`Board`], [`Console`]).

use embodios_abi::ExitStatus;
use embodios_abi::command_line::MAX_MODULES;
use embodios_arch::{CoreTopology, CpuId, HwCpuId, PhysRange};
use heapless::Vec;

/// Memory regions a boot description can hold.
pub const MAX_MEMORY: usize = 64;
/// Reserved ranges it can hold.
pub const MAX_RESERVED: usize = 32;

/// A file that firmware loaded, or one that is part of the kernel image.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// Name without directory.
    pub name: &'a str,
    /// Its physical range.
    pub range: PhysRange,
    /// Whether it begins at a multiple of 2 MiB and nothing but zeroes fills its last 2 MiB. If not, neighbours on
    /// its edge pages may be anything.
    pub padded: bool,
}

/// Firmware's whole description, in one form; nothing later knows which firmware it was.
pub struct BootInfo<'a> {
    /// The machine, for people: `microvm`, `linux,dummy-virt`.
    pub machine: &'a str,
    /// Usable memory, as firmware lists it.
    pub memory: Vec<PhysRange, MAX_MEMORY>,
    /// Parts of it in use: kernel image, modules, firmware tables, device tree. May lie outside `memory`.
    pub reserved: Vec<PhysRange, MAX_RESERVED>,
    /// Device registers the kernel reaches.
    pub devices: Vec<PhysRange, MAX_RESERVED>,
    /// Sections of the kernel image.
    pub image: Image,
    /// Words from the boot loader.
    pub command_line: &'a str,
    /// Modules, firmware's before built-in ones.
    pub modules: Vec<Module<'a>, MAX_MODULES>,
    /// The engine program, an ELF file inside the kernel image, page-aligned.
    pub engine: &'static [u8],
    /// Every usable core once, the boot core first.
    pub cores: &'a [HwCpuId],
    /// Their topology, in the same order; empty where each core knows its own.
    pub topology: &'a [CoreTopology],
    /// Counter value at entry.
    pub entry_counter: u64,
    /// Largest page-table leaf the machine has: 3 for 1 GiB, 2 for 2 MiB.
    pub largest_leaf: u8,
}

/// Sections of the kernel image (page-aligned, from the linker script).
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// Code.
    pub text: PhysRange,
    /// Constants, the engine program and built-in modules among them.
    pub rodata: PhysRange,
    /// Initialised and zeroed data, with the boot stack.
    pub data: PhysRange,
}

/// The byte that a break on the line reads as: Ctrl-D.
pub const END_OF_INPUT: u8 = 4;

/// The serial line.
pub trait Console: Sync {
    /// Writes as many bytes as the device takes at once, from the first on; their number. Callers take turns.
    fn write(&self, bytes: &[u8]) -> usize;
    /// The next received byte, if one is there; [`END_OF_INPUT`] for a break. `None` as well where there is no device.
    fn read(&self) -> Option<u8>;
    /// Has received bytes interrupt `cpu` from now on, as [`embodios_arch::Interrupt::Device`].
    fn enable_interrupt(&self, cpu: CpuId, hardware: HwCpuId);
}

/// The machine.
pub trait Board: Sync {
    /// Its console.
    fn console(&self) -> &dyn Console;
    /// Ends the machine; an emulator's process ends with `status`.
    fn power_off(&self, status: ExitStatus) -> !;
    /// Starts it again.
    fn reboot(&self) -> !;
}
