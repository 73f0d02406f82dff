//! The machine as its device tree describes it (Devicetree Specification 0.4).
//!
//! Devices are looked for among the root's children, where QEMU puts them.

use crate::cores::Cores;
use crate::devices::{self, PCI_HOST, VIRTIO_MMIO};
use core::fmt;
use dtoolkit::error::FdtParseError;
use dtoolkit::fdt::{Fdt, FdtNode, FdtProperty};
use dtoolkit::standard::NodeStandard;
use dtoolkit::{Node, Property};
use embodios_arch::{Conduit, GicDescription, MAX_REDISTRIBUTORS};
use embodios_kernel::board::{MAX_MEMORY, MAX_MMIO, MAX_RESERVED, MmioPlace, PciHost, Places};
use embodios_kernel::{HwCpuId, PhysRange};
use heapless::Vec;

/// Cells of an interrupt specifier of a GIC.
pub(crate) const GIC_CELLS: usize = 3;

/// The kind of serial port that a board drives.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// Its `compatible`.
    pub compatible: &'static str,
    /// Its name in errors.
    pub name: &'static str,
}

/// A serial port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serial {
    /// Its registers.
    pub registers: PhysRange,
    /// Its GIC interrupt id.
    pub interrupt: u32,
}

/// All that the kernel wants to know.
#[derive(Debug)]
pub struct Machine<'a> {
    /// The `model` of the root, or the first `compatible`.
    pub name: &'a str,
    /// `/memory` nodes.
    pub memory: Vec<PhysRange, MAX_MEMORY>,
    /// The memory reservation block and `/reserved-memory`.
    pub reserved: Vec<PhysRange, MAX_RESERVED>,
    /// `/chosen/bootargs`.
    pub command_line: &'a str,
    /// `/chosen/linux,initrd-start` to `-end`.
    pub initrd: Option<PhysRange>,
    /// `/psci/method`.
    pub conduit: Option<Conduit>,
    /// The interrupt controller.
    pub gic: GicDescription,
    /// The serial port of `/chosen/stdout-path` if it is of the board's kind, else the first that is.
    pub serial: Serial,
    /// Registers of the real-time clock, a PL031.
    pub clock: Option<PhysRange>,
    /// Places of other devices.
    pub places: Places,
}

/// The reason for which a tree does not describe a machine the kernel can run on.
#[derive(Debug)]
pub enum TreeError {
    /// It is not a flattened device tree.
    Malformed(FdtParseError),
    /// Something the kernel needs is not described.
    Missing(&'static str),
    /// A property cannot be understood.
    Property {
        /// Kind of node.
        node: &'static str,
        /// Its property.
        property: &'static str,
    },
    /// More than the kernel has room for.
    TooMany(&'static str),
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "the device tree is malformed: {error}"),
            Self::Missing(what) => write!(f, "the device tree names no {what}"),
            Self::Property { node, property } => {
                write!(f, "the device tree's {node} has a bad property \"{property}\"")
            }
            Self::TooMany(what) => write!(f, "the device tree names too many {what}"),
        }
    }
}

impl<'a> Machine<'a> {
    /// Reads a flattened device tree with a serial port of kind `port`. `boot_core` is the core that reads it; the
    /// tree's are put into `cores`.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn read(
        tree: &'a [u8],
        port: Port,
        boot_core: HwCpuId,
        cores: &mut Cores,
    ) -> Result<Self, TreeError> {
        let tree = Fdt::new(tree).map_err(TreeError::Malformed)?;
        let nodes = Nodes::find(tree, port)?;
        let conduit = conduit(&nodes)?;
        cores.read(tree, &nodes.cpus.ok_or(TreeError::Missing("cores"))?, boot_core, conduit.is_some())?;
        Ok(Self {
            name: name(tree),
            reserved: reserved(tree, &nodes)?,
            command_line: boot_arguments(&nodes)?,
            initrd: initrd(&nodes)?,
            conduit,
            gic: gic(&nodes)?,
            serial: serial(tree, &nodes, port)?,
            clock: nodes.clock.as_ref().and_then(first_registers),
            places: Places { pci: pci(&nodes), mmio: nodes.mmio },
            memory: nodes.memory,
        })
    }
}

/// The nodes that count, found in one walk: each walk over the tree is a good part of the time to boot.
#[derive(Default)]
struct Nodes<'a> {
    memory: Vec<PhysRange, MAX_MEMORY>,
    chosen: Option<FdtNode<'a>>,
    cpus: Option<FdtNode<'a>>,
    reserved: Option<FdtNode<'a>>,
    psci: Option<FdtNode<'a>>,
    gic_v2: Option<FdtNode<'a>>,
    gic_v3: Option<FdtNode<'a>>,
    serial: Option<FdtNode<'a>>,
    clock: Option<FdtNode<'a>>,
    pci: Option<FdtNode<'a>>,
    mmio: Vec<MmioPlace, MAX_MMIO>,
}

impl<'a> Nodes<'a> {
    fn find(tree: Fdt<'a>, port: Port) -> Result<Self, TreeError> {
        let mut nodes = Self::default();
        for node in tree.root().children() {
            if node.name_without_address() == "memory" {
                nodes.add_memory(&node)?;
            } else if node.is_compatible(VIRTIO_MMIO) {
                if let Some(place) = devices::mmio(&node).filter(|_| is_in_use(&node)) {
                    // More than there is room for are not looked at.
                    let _ = nodes.mmio.push(place);
                }
            } else if let Some(place) = nodes.place(&node, port)
                && is_in_use(&node)
            {
                place.get_or_insert(node);
            }
        }
        if nodes.memory.is_empty() { Err(TreeError::Missing("memory")) } else { Ok(nodes) }
    }

    fn add_memory(&mut self, node: &FdtNode<'a>) -> Result<(), TreeError> {
        if is_in_use(node) {
            for range in registers(node, "memory")?.filter(|range| range.length() > 0) {
                self.memory.push(range).map_err(|_| TreeError::TooMany("memory regions"))?;
            }
        }
        Ok(())
    }

    /// The place of a node, if it counts.
    fn place(&mut self, node: &FdtNode<'a>, port: Port) -> Option<&mut Option<FdtNode<'a>>> {
        match node.name_without_address() {
            "chosen" => return Some(&mut self.chosen),
            "cpus" => return Some(&mut self.cpus),
            "reserved-memory" => return Some(&mut self.reserved),
            _ => {}
        }
        for name in node.compatible()? {
            match name {
                "arm,psci-0.2" | "arm,psci-1.0" => return Some(&mut self.psci),
                "arm,cortex-a15-gic" | "arm,cortex-a7-gic" | "arm,gic-400" => return Some(&mut self.gic_v2),
                "arm,gic-v3" => return Some(&mut self.gic_v3),
                "arm,pl031" => return Some(&mut self.clock),
                PCI_HOST => return Some(&mut self.pci),
                name if name == port.compatible => return Some(&mut self.serial),
                _ => {}
            }
        }
        None
    }

    /// A property of `/chosen`.
    fn chosen(&self, name: &str) -> Option<FdtProperty<'a>> {
        self.chosen.as_ref()?.property(name)
    }
}

fn text<'a>(node: &FdtNode<'a>, name: &str) -> Option<&'a str> {
    node.property(name)?.value_as::<&'a str>().ok()
}

/// A node without a status, or with the one that means "in use" ("ok" in older trees).
pub(crate) fn is_in_use(node: &FdtNode<'_>) -> bool {
    node.property("status").is_none_or(|status| matches!(status.value_as::<&str>(), Ok("okay" | "ok")))
}

/// All of a node's `reg`, in the root's address space.
fn registers<'a>(
    node: &FdtNode<'a>,
    kind: &'static str,
) -> Result<impl Iterator<Item = PhysRange> + use<'a>, TreeError> {
    let bad = || TreeError::Property { node: kind, property: "reg" };
    let entries = node.reg().map_err(|_| bad())?.ok_or_else(bad)?;
    let ranges = entries.map(|entry| Some(PhysRange::new(entry.address().ok()?, entry.size().ok()?)));
    // Address and size have the same number of cells in every entry.
    let mut ranges = ranges.peekable();
    match ranges.peek() {
        Some(Some(_)) => Ok(ranges.flatten()),
        _ => Err(bad()),
    }
}

/// The first of a node's `reg`; `None` where it has none, or none that is understood.
pub(crate) fn first_registers(node: &FdtNode<'_>) -> Option<PhysRange> {
    registers(node, "device").ok()?.next()
}

/// The id of a shared peripheral interrupt: they are numbered from 32 to the last one, 1019 (GIC binding).
pub(crate) fn shared_interrupt([kind, number, _]: [u32; GIC_CELLS]) -> Option<u32> {
    (kind == 0 && number < 988).then_some(32 + number)
}

fn pci(nodes: &Nodes<'_>) -> Option<PciHost> {
    let controller = nodes.gic_v3.as_ref().or(nodes.gic_v2.as_ref())?;
    let cells = controller.property("#address-cells").and_then(|cells| cells.value_as::<u32>().ok());
    devices::pci(nodes.pci.as_ref()?, cells.unwrap_or(0) as usize)
}

fn name<'a>(tree: Fdt<'a>) -> &'a str {
    let root = tree.root();
    text(&root, "model").or_else(|| root.compatible()?.next()).unwrap_or("unnamed")
}

fn reserved(tree: Fdt<'_>, nodes: &Nodes<'_>) -> Result<Vec<PhysRange, MAX_RESERVED>, TreeError> {
    let mut reserved = Vec::new();
    let mut add = |range| reserved.push(range).map_err(|_| TreeError::TooMany("reserved ranges"));
    for range in tree.memory_reservations() {
        add(PhysRange::new(range.address(), range.size()))?;
    }
    for node in nodes.reserved.iter().flat_map(|parent| parent.children()) {
        // Without an address it asks for any unused memory.
        if node.property("reg").is_some() {
            registers(&node, "reserved memory")?.try_for_each(&mut add)?;
        }
    }
    Ok(reserved)
}

fn boot_arguments<'a>(nodes: &Nodes<'a>) -> Result<&'a str, TreeError> {
    let Some(property) = nodes.chosen("bootargs") else { return Ok("") };
    property.value_as().map_err(|_| TreeError::Property { node: "/chosen", property: "bootargs" })
}

fn initrd(nodes: &Nodes<'_>) -> Result<Option<PhysRange>, TreeError> {
    let address = |name: &'static str| {
        let bad = TreeError::Property { node: "/chosen", property: name };
        let Some(property) = nodes.chosen(name) else { return Ok(None) };
        // One cell or two (Linux Documentation/devicetree/bindings/chosen.txt).
        let narrow = property.value_as::<u32>().ok().map(u64::from);
        narrow.or_else(|| property.value_as().ok()).map(Some).ok_or(bad)
    };
    match (address("linux,initrd-start")?, address("linux,initrd-end")?) {
        (Some(start), Some(end)) if start <= end => Ok(Some(PhysRange::new(start, end - start))),
        (None, None) => Ok(None),
        _ => Err(TreeError::Property { node: "/chosen", property: "linux,initrd-end" }),
    }
}

fn conduit(nodes: &Nodes<'_>) -> Result<Option<Conduit>, TreeError> {
    let Some(node) = nodes.psci else { return Ok(None) };
    match text(&node, "method") {
        Some("hvc") => Ok(Some(Conduit::Hvc)),
        Some("smc") => Ok(Some(Conduit::Smc)),
        _ => Err(TreeError::Property { node: "/psci", property: "method" }),
    }
}

fn gic(nodes: &Nodes<'_>) -> Result<GicDescription, TreeError> {
    const KIND: &str = "interrupt controller";
    let short = || TreeError::Property { node: KIND, property: "reg" };
    if let Some(node) = nodes.gic_v3 {
        let mut ranges = registers(&node, KIND)?;
        let distributor = ranges.next().ok_or_else(short)?;
        // The GICv2 compatibility registers follow the redistributors.
        let regions = match node.property("#redistributor-regions").map(|count| count.value_as::<u32>()) {
            None => 1,
            Some(Ok(count @ 1..)) if count as usize <= MAX_REDISTRIBUTORS => count as usize,
            Some(_) => {
                return Err(TreeError::Property { node: KIND, property: "#redistributor-regions" });
            }
        };
        let mut redistributors = [None; MAX_REDISTRIBUTORS];
        for region in &mut redistributors[..regions] {
            *region = Some(ranges.next().ok_or_else(short)?);
        }
        return Ok(GicDescription::V3 { distributor, redistributors });
    }
    let node = nodes.gic_v2.ok_or(TreeError::Missing("GICv2 or GICv3"))?;
    let mut ranges = registers(&node, KIND)?;
    let (distributor, cpu_interface) = ranges.next().zip(ranges.next()).ok_or_else(short)?;
    Ok(GicDescription::V2 { distributor, cpu_interface })
}

fn serial(tree: Fdt<'_>, nodes: &Nodes<'_>, port: Port) -> Result<Serial, TreeError> {
    let output = nodes.chosen("stdout-path").and_then(|property| property.value_as::<&str>().ok());
    // Options of the line may follow the path.
    let output = output.and_then(|path| tree.find_node(path.split(':').next().unwrap_or(path)));
    let node = output.filter(|node| node.is_compatible(port.compatible)).or(nodes.serial);
    let node = node.ok_or(TreeError::Missing(port.name))?;
    let registers = registers(&node, port.name)?.next();
    let interrupts = node.property("interrupts");
    let interrupt = interrupts.and_then(|property| shared_interrupt(property.value_as().ok()?));
    match (registers, interrupt) {
        (Some(registers), Some(interrupt)) => Ok(Serial { registers, interrupt }),
        (None, _) => Err(TreeError::Property { node: port.name, property: "reg" }),
        _ => Err(TreeError::Property { node: port.name, property: "interrupts" }),
    }
}
