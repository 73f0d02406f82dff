//! Places of devices that the tree names: virtio-mmio nodes, and the PCI host bridge.
//!
//! A node that makes no sense is no place: the machine does without that device.

use crate::machine::{GIC_CELLS, first_registers, shared_interrupt};
use dtoolkit::fdt::FdtNode;
use dtoolkit::{Node, Property};
use embodios_kernel::board::{MmioPlace, PciConfiguration, PciHost};
use embodios_kernel::{Line, PhysRange};

/// `compatible` of a virtio-mmio device, and of a host bridge whose configuration space is memory.
pub const VIRTIO_MMIO: &str = "virtio,mmio";
pub const PCI_HOST: &str = "pci-host-ecam-generic";

/// Cells of a PCI address.
const PCI_CELLS: usize = 3;
/// Bits of a PCI address' first cell that say what space it is in, and the 32-bit memory space (IEEE 1275 PCI 2.1).
const SPACE: u32 = 0x0300_0000;
const MEMORY_32: u32 = 0x0200_0000;

/// The place of a virtio-mmio node.
pub fn mmio(node: &FdtNode<'_>) -> Option<MmioPlace> {
    let registers = first_registers(node)?;
    let specifier = node.property("interrupts")?.value_as().ok()?;
    Some(MmioPlace { start: registers.start, line: line(specifier)? })
}

/// The host bridge of a node. `gic_address` is the number of cells of an address of the interrupt controller.
pub fn pci(node: &FdtNode<'_>, gic_address: usize) -> Option<PciHost> {
    Some(PciHost {
        configuration: PciConfiguration::Memory(first_registers(node)?),
        window: window(node),
        lines: lines(node, gic_address),
    })
}

/// The 32-bit memory that the bridge leads to its functions, at the same addresses on both sides.
fn window(node: &FdtNode<'_>) -> Option<PhysRange> {
    // Child address of 3 cells, parent's of 2, size of 2.
    let cells: heapless::Vec<u32, 64> = cells(node, "ranges");
    let ranges = cells.as_chunks::<{ PCI_CELLS + 4 }>().0;
    let wide = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let [_, high, low, above, below, size_high, size_low] =
        *ranges.iter().find(|range| range[0] & SPACE == MEMORY_32)?;
    let (child, parent) = (wide(high, low), wide(above, below));
    (child == parent).then_some(PhysRange::new(parent, wide(size_high, size_low)))
}

/// The lines of pins A to D of slot 0, whose entries begin the map.
fn lines(node: &FdtNode<'_>, gic_address: usize) -> Option<[Line; 4]> {
    let cells: heapless::Vec<u32, 64> = cells(node, "interrupt-map");
    // PCI address, pin, controller, the controller's address, specifier.
    let entry = PCI_CELLS + 2 + gic_address + GIC_CELLS;
    let mut entries = cells.chunks_exact(entry);
    let mut pin = |number: u32| {
        let entry = entries.next()?;
        let specifier = entry.last_chunk::<GIC_CELLS>()?;
        (entry[0] == 0 && entry[PCI_CELLS] == number).then(|| line(*specifier))?
    };
    Some([pin(1)?, pin(2)?, pin(3)?, pin(4)?])
}

/// The line of an interrupt specifier. QEMU calls the lines of virtio-mmio edges, and holds them until the device is
/// told.
fn line(specifier: [u32; GIC_CELLS]) -> Option<Line> {
    shared_interrupt(specifier).map(|number| Line { number, active_low: false, level: true })
}

/// The first cells of a property, as many as there is room for.
fn cells<const N: usize>(node: &FdtNode<'_>, name: &str) -> heapless::Vec<u32, N> {
    let property = node.property(name);
    let bytes = property.as_ref().map_or(&[][..], |property| property.value());
    bytes.as_chunks().0.iter().take(N).map(|&cell| u32::from_be_bytes(cell)).collect()
}
