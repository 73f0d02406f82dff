//! Places where this machine may have devices: those that QEMU's machine kinds fix, and those that firmware names.

use embodios_kernel::board::{MmioPlace, PciConfiguration, PciHost, Places};
use embodios_kernel::{Line, PhysAddr, PhysRange};

/// Virtio-mmio devices of `microvm` (QEMU `hw/i386/microvm.c`, with its second I/O APIC): first registers, distance,
/// number, first line.
const MICROVM: (u64, u64, u32, u32) = (0xfeb0_0000, 0x200, 24, 24);
/// Configuration space of `microvm` with `pcie=on`, which no table names, and addresses for BARs, which no firmware
/// assigns (QEMU `include/hw/i386/microvm.h`).
const MICROVM_SPACE: PhysRange = PhysRange::new(0xe000_0000, 0x1000_0000);
const MICROVM_WINDOW: PhysRange = PhysRange::new(0xc000_0000, 0x2000_0000);

/// The places of a machine called `machine`, whose PCI configuration space firmware puts at `pci`.
pub fn find(machine: &str, pci: Option<PhysRange>) -> Places {
    let is_microvm = machine == "microvm";
    let mut places = Places::default();
    if is_microvm {
        let (first, distance, count, line) = MICROVM;
        // QEMU fills them from the last one down.
        places.mmio.extend((0..count).rev().map(|slot| MmioPlace {
            start: PhysAddr(first + distance * u64::from(slot)),
            line: Line { number: line + slot, active_low: false, level: true },
        }));
    }
    let window = is_microvm.then_some(MICROVM_WINDOW);
    let configuration = match pci.or(is_microvm.then_some(MICROVM_SPACE)) {
        Some(space) => PciConfiguration::Memory(space),
        None => PciConfiguration::Ports,
    };
    places.pci = Some(PciHost { configuration, window, lines: None });
    places
}
