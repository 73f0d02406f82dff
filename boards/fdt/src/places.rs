//! Places of the cores, as `/cpus` says them: `cpu-map` (Linux
//! `Documentation/devicetree/bindings/cpu/cpu-topology.txt`), `capacity-dmips-mhz`, and cache nodes (Devicetree
//! Specification 0.4, 3.8 and 3.9).

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use embodios_kernel::{Caches, CoreTopology, FULL_CAPACITY};

/// Deepest nesting of sockets, clusters, cores and threads that is followed.
const DEPTH: u32 = 8;
/// Most levels of caches that are followed.
const LEVELS: u32 = 4;

/// A number in a property of one cell.
pub(crate) fn cell(node: &FdtNode<'_>, name: &str) -> Option<u32> {
    node.property(name)?.value_as().ok()
}

/// The place of the core with this affinity by its own node alone: no package, no hyper-threads.
pub(crate) fn read_node(tree: Fdt<'_>, cpu: &FdtNode<'_>, core: u64) -> CoreTopology {
    let capacity = cell(cpu, "capacity-dmips-mhz").unwrap_or(FULL_CAPACITY);
    CoreTopology { package: 0, core, thread: 0, capacity, caches: caches(tree, cpu, core) }
}

/// The caches of a core: its own, then along `next-level-cache`.
fn caches(tree: Fdt<'_>, cpu: &FdtNode<'_>, core: u64) -> Caches {
    let mut caches = Caches::default();
    if let Some(bytes) = cell(cpu, "d-cache-size") {
        caches.add(1, bytes.into(), core);
    }
    let mut next = cell(cpu, "next-level-cache");
    for level in 2..2 + LEVELS {
        let Some(handle) = next else { break };
        let Some(node) = find(tree.root(), handle, 0) else { break };
        let level = cell(&node, "cache-level").unwrap_or(level);
        caches.add(level, cell(&node, "cache-size").unwrap_or(0).into(), handle.into());
        next = cell(&node, "next-level-cache");
    }
    caches
}

/// The node with this phandle.
fn find<'a>(node: FdtNode<'a>, handle: u32, depth: u32) -> Option<FdtNode<'a>> {
    if cell(&node, "phandle") == Some(handle) {
        return Some(node);
    }
    if depth == DEPTH { None } else { node.children().find_map(|child| find(child, handle, depth + 1)) }
}

/// Reads `cpu-map`. `places` and `handles` (the cores' phandles) are parallel.
pub(crate) fn read_map(map: &FdtNode<'_>, handles: &[Option<u32>], places: &mut [CoreTopology]) {
    Walk { handles, places, cores: 0 }.descend(map, 0, DEPTH);
}

struct Walk<'w> {
    handles: &'w [Option<u32>],
    places: &'w mut [CoreTopology],
    /// Physical cores up to now.
    cores: u64,
}

impl Walk<'_> {
    fn descend(&mut self, node: &FdtNode<'_>, package: u32, depth: u32) {
        for child in node.children().take_while(|_| depth > 0) {
            let name = child.name();
            let digits = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
            let (kind, number) = name.split_at(digits);
            let number = number.parse().unwrap_or(0);
            match kind {
                "socket" => self.descend(&child, number, depth - 1),
                "cluster" => self.descend(&child, package, depth - 1),
                "core" => {
                    self.cores += 1;
                    self.name(&child, package, 0);
                    self.descend(&child, package, depth - 1);
                }
                "thread" => self.name(&child, package, number),
                _ => {}
            }
        }
    }

    /// Takes note of the core that `node` names, if it names one.
    fn name(&mut self, node: &FdtNode<'_>, package: u32, thread: u32) {
        let handle = cell(node, "cpu");
        let core = self.handles.iter().position(|&known| known.is_some() && known == handle);
        if let Some(place) = core.and_then(|core| self.places.get_mut(core)) {
            (place.package, place.core, place.thread) = (package, self.cores - 1, thread);
        }
    }
}
