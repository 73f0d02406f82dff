//! The machine as its device tree describes it (Devicetree Specification 0.4).
//!
//! Devices are looked for among the root's children, where QEMU puts them.

use crate::cores::Cores;
use core::fmt;
use dtoolkit::error::FdtParseError;
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::standard::NodeStandard;
use dtoolkit::{Node, Property};
use embodios_kernel::board::{MAX_MEMORY, MAX_RESERVED};
use embodios_kernel::{HwCpuId, PhysRange, command_line};
use heapless::Vec;

/// Runs of redistributor frames of one GICv3.
pub const MAX_REDISTRIBUTORS: usize = 4;

/// How firmware is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// `hvc`
    Hvc,
    /// `smc`
    Smc,
}

/// The interrupt controller's registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gic {
    /// GICv2.
    V2 {
        /// GICD.
        distributor: PhysRange,
        /// GICC.
        cpu_interface: PhysRange,
    },
    /// GICv3 or GICv4.
    V3 {
        /// GICD.
        distributor: PhysRange,
        /// GICR.
        redistributors: [Option<PhysRange>; MAX_REDISTRIBUTORS],
    },
}

/// A PL011 serial port.
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
    pub gic: Gic,
    /// The serial port of `/chosen/stdout-path`, else the first.
    pub serial: Serial,
}

/// Why a tree does not describe a machine the kernel can run on.
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
    /// Reads a flattened device tree. `boot_core` is the core that reads it; the tree's are put into `cores`.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn read(tree: &'a [u8], boot_core: HwCpuId, cores: &mut Cores) -> Result<Self, TreeError> {
        let tree = Fdt::new(tree).map_err(TreeError::Malformed)?;
        let conduit = conduit(tree)?;
        cores.read(tree, boot_core, conduit.is_some())?;
        Ok(Self {
            name: name(tree),
            memory: memory(tree)?,
            reserved: reserved(tree)?,
            command_line: boot_arguments(tree)?,
            initrd: initrd(tree)?,
            conduit,
            gic: gic(tree)?,
            serial: serial(tree)?,
        })
    }
}

/// The name of the firmware-loaded module: the command line's word `module=NAME`, without directory.
#[must_use]
pub fn module_name(command_line: &str) -> &str {
    let named = command_line::value(command_line, "module");
    let file = named.map(|path| path.rsplit('/').next().unwrap_or(path));
    file.filter(|file| !file.is_empty()).unwrap_or("initrd")
}

fn text<'a>(node: &FdtNode<'a>, name: &str) -> Option<&'a str> {
    node.property(name)?.value_as::<&'a str>().ok()
}

/// A node without a status, or with the one that means "in use" ("ok" in older trees).
pub(crate) fn is_in_use(node: &FdtNode<'_>) -> bool {
    node.property("status").is_none_or(|status| matches!(status.value_as::<&str>(), Ok("okay" | "ok")))
}

fn compatible<'a>(tree: Fdt<'a>, names: &[&str]) -> impl Iterator<Item = FdtNode<'a>> {
    tree.root().children().filter(|node| names.iter().any(|name| node.is_compatible(name)) && is_in_use(node))
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

fn name<'a>(tree: Fdt<'a>) -> &'a str {
    let root = tree.root();
    text(&root, "model").or_else(|| root.compatible()?.next()).unwrap_or("unnamed")
}

fn memory(tree: Fdt<'_>) -> Result<Vec<PhysRange, MAX_MEMORY>, TreeError> {
    let mut memory = Vec::new();
    for node in tree.root().children() {
        if text(&node, "device_type") == Some("memory") && is_in_use(&node) {
            for range in registers(&node, "memory")?.filter(|range| range.length() > 0) {
                memory.push(range).map_err(|_| TreeError::TooMany("memory regions"))?;
            }
        }
    }
    if memory.is_empty() { Err(TreeError::Missing("memory")) } else { Ok(memory) }
}

fn reserved(tree: Fdt<'_>) -> Result<Vec<PhysRange, MAX_RESERVED>, TreeError> {
    let mut reserved = Vec::new();
    let mut add = |range| reserved.push(range).map_err(|_| TreeError::TooMany("reserved ranges"));
    for range in tree.memory_reservations() {
        add(PhysRange::new(range.address(), range.size()))?;
    }
    for node in tree.reserved_memory().into_iter().flatten() {
        // Without an address it asks for memory that nobody uses yet.
        if node.property("reg").is_some() {
            registers(&node, "reserved memory")?.try_for_each(&mut add)?;
        }
    }
    Ok(reserved)
}

fn boot_arguments(tree: Fdt<'_>) -> Result<&str, TreeError> {
    let chosen = tree.find_node("/chosen");
    let Some(property) = chosen.and_then(|node| node.property("bootargs")) else { return Ok("") };
    property.value_as().map_err(|_| TreeError::Property { node: "/chosen", property: "bootargs" })
}

fn initrd(tree: Fdt<'_>) -> Result<Option<PhysRange>, TreeError> {
    let address = |name: &'static str| {
        let bad = TreeError::Property { node: "/chosen", property: name };
        let Some(property) = tree.find_node("/chosen").and_then(|node| node.property(name)) else {
            return Ok(None);
        };
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

fn conduit(tree: Fdt<'_>) -> Result<Option<Conduit>, TreeError> {
    let Some(node) = compatible(tree, &["arm,psci-0.2", "arm,psci-1.0"]).next() else { return Ok(None) };
    match text(&node, "method") {
        Some("hvc") => Ok(Some(Conduit::Hvc)),
        Some("smc") => Ok(Some(Conduit::Smc)),
        _ => Err(TreeError::Property { node: "/psci", property: "method" }),
    }
}

fn gic(tree: Fdt<'_>) -> Result<Gic, TreeError> {
    const KIND: &str = "interrupt controller";
    let short = || TreeError::Property { node: KIND, property: "reg" };
    if let Some(node) = compatible(tree, &["arm,gic-v3"]).next() {
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
        return Ok(Gic::V3 { distributor, redistributors });
    }
    let version2 = ["arm,cortex-a15-gic", "arm,gic-400", "arm,cortex-a7-gic"];
    let node = compatible(tree, &version2).next().ok_or(TreeError::Missing("GICv2 or GICv3"))?;
    let mut ranges = registers(&node, KIND)?;
    let (distributor, cpu_interface) = ranges.next().zip(ranges.next()).ok_or_else(short)?;
    Ok(Gic::V2 { distributor, cpu_interface })
}

fn serial(tree: Fdt<'_>) -> Result<Serial, TreeError> {
    const KIND: &str = "PL011 serial port";
    let chosen = tree.find_node("/chosen").and_then(|node| text(&node, "stdout-path"));
    // Options of the line may follow the path.
    let chosen = chosen.and_then(|path| tree.find_node(path.split(':').next().unwrap_or(path)));
    let node = chosen
        .filter(|node| node.is_compatible("arm,pl011"))
        .or_else(|| compatible(tree, &["arm,pl011"]).next())
        .ok_or(TreeError::Missing(KIND))?;
    let registers = registers(&node, KIND)?.next();
    let interrupt = node.property("interrupts").and_then(|property| property.value_as::<[u32; 3]>().ok());
    match (registers, interrupt) {
        // Shared peripheral interrupts, numbered from id 32 to the last one, 1019 (GIC binding).
        (Some(registers), Some([0, number @ ..988, _])) => Ok(Serial { registers, interrupt: 32 + number }),
        (None, _) => Err(TreeError::Property { node: KIND, property: "reg" }),
        _ => Err(TreeError::Property { node: KIND, property: "interrupts" }),
    }
}
