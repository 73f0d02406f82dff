//! The boot description of a board ([`BootInfo`]), and its services for the kernel later ([`Board`], [`Console`]).

use embodios_abi::ExitStatus;
use embodios_abi::command_line::MAX_MODULES;
use embodios_arch::{CoreTopology, CpuId, HwCpuId, Line, Message, PhysAddr, PhysRange};
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

/// Places of virtio-mmio devices that a description can hold.
pub const MAX_MMIO: usize = 64;

/// A place where a virtio-mmio device may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmioPlace {
    /// Its first register.
    pub start: PhysAddr,
    /// Its interrupt line.
    pub line: Line,
}

/// The way to PCI configuration space.
#[derive(Clone, Copy, Debug)]
pub enum PciConfiguration {
    /// By memory, 1 MiB a bus, from bus 0 on (ECAM).
    Memory(PhysRange),
    /// By [`Board::read_pci`] and [`Board::write_pci`].
    Ports,
}

/// A PCI host bridge.
#[derive(Clone, Copy, Debug)]
pub struct PciHost {
    /// Its configuration space.
    pub configuration: PciConfiguration,
    /// Addresses for BARs where firmware assigns none.
    pub window: Option<PhysRange>,
    /// The lines of pins A to D of slot 0, where they are known.
    pub lines: Option<[Line; 4]>,
}

/// Places where devices may be, beside those that the board drives itself.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Virtio-mmio devices.
    pub mmio: Vec<MmioPlace, MAX_MMIO>,
    /// The PCI host bridge.
    pub pci: Option<PciHost>,
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
    /// Places where there may be other devices.
    pub places: Places,
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
    /// Leads a device's line to a core; the id of its interrupts ([`embodios_arch::Interrupt::Device`]). `None` where
    /// no controller takes the line.
    fn route(&self, line: Line, target: HwCpuId) -> Option<u32>;
    /// A message by which a device interrupts a core; `None` where there are no messages.
    fn message(&self, target: HwCpuId) -> Option<Message>;
    /// Seconds since 1970, by the machine's clock; `None` where there is none.
    fn wall_clock(&self) -> Option<u64>;
    /// Loads a word of PCI configuration space by ports; all ones where there are none.
    fn read_pci(&self, _address: u32) -> u32 {
        u32::MAX
    }
    /// Stores one.
    fn write_pci(&self, _address: u32, _value: u32) {}
    /// Ends the machine; an emulator's process ends with `status`.
    fn power_off(&self, status: ExitStatus) -> !;
    /// Starts it again.
    fn reboot(&self) -> !;
}
