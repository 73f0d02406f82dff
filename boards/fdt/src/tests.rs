//! Trees as QEMU 7.2 writes them, changed a little, and cut or flipped ones.

extern crate std;

use crate::{Cores, Machine, Port, Refusal, Serial, TreeError};
use dtoolkit::memreserve::MemoryReservation;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use embodios_arch::{Conduit, GicDescription};
use embodios_kernel::board::{MmioPlace, PciConfiguration};
use embodios_kernel::{HwCpuId, Line, PhysAddr, PhysRange};
use proptest::prelude::*;
use std::format;
use std::string::ToString;
use std::vec::Vec;

const PL011: Port = Port { compatible: "arm,pl011", name: "PL011 serial port" };

fn cells(name: &str, values: &[u32]) -> DeviceTreeProperty {
    DeviceTreeProperty::new(name, values).expect("a valid name")
}

fn text(name: &str, value: &str) -> DeviceTreeProperty {
    DeviceTreeProperty::new(name, value).expect("a valid name")
}

fn node(name: &str, properties: impl IntoIterator<Item = DeviceTreeProperty>) -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new(name).expect("a valid name");
    properties.into_iter().for_each(|property| node.add_property(property));
    node
}

fn core(id: u32) -> DeviceTreeNode {
    let name = format!("cpu@{id:x}");
    node(&name, [text("device_type", "cpu"), cells("reg", &[id]), text("enable-method", "psci")])
}

/// `-machine virt,gic-version=3 -smp 4 -m 1G -initrd … -append …`.
fn virt() -> DeviceTree {
    let mut tree = DeviceTree::new();
    let root = &mut tree.root;
    root.add_property(text("model", "linux,dummy-virt"));
    root.add_property(cells("#address-cells", &[2]));
    root.add_property(cells("#size-cells", &[2]));
    root.add_child(node("psci", [text("compatible", "arm,psci-1.0"), text("method", "hvc")]));
    root.add_child(node(
        "memory@40000000",
        [text("device_type", "memory"), cells("reg", &[0, 0x4000_0000, 0, 0x4000_0000])],
    ));
    root.add_child(node(
        "pl011@9000000",
        [
            text("compatible", "arm,pl011"),
            cells("reg", &[0, 0x900_0000, 0, 0x1000]),
            cells("interrupts", &[0, 1, 4]),
        ],
    ));
    root.add_child(node(
        "intc@8000000",
        [
            text("compatible", "arm,gic-v3"),
            cells("#redistributor-regions", &[1]),
            cells("reg", &[0, 0x800_0000, 0, 0x1_0000, 0, 0x80a_0000, 0, 0xf6_0000]),
        ],
    ));
    let mut cpus = node("cpus", [cells("#address-cells", &[1]), cells("#size-cells", &[0])]);
    (0..4).for_each(|id| cpus.add_child(core(id)));
    root.add_child(cpus);
    root.add_child(node(
        "chosen",
        [
            text("bootargs", "module=/models/a.gguf log=info"),
            text("stdout-path", "/pl011@9000000"),
            cells("linux,initrd-start", &[0x4800_0000]),
            cells("linux,initrd-end", &[0x4812_3456]),
        ],
    ));
    tree
}

fn child<'a>(tree: &'a mut DeviceTree, path: &str) -> &'a mut DeviceTreeNode {
    tree.find_node_mut(path).expect("part of the sample")
}

fn refusal(tree: &DeviceTree) -> std::string::String {
    let mut cores = Cores::new();
    match Machine::read(&tree.to_dtb(), PL011, HwCpuId(0), &mut cores) {
        Err(error) => error.to_string(),
        Ok(machine) => panic!("accepted: {machine:?}"),
    }
}

fn ids(cores: &Cores) -> Vec<u64> {
    cores.usable.iter().map(|id| id.0).collect()
}

#[test]
fn devices_are_places_with_their_lines() {
    let mut tree = virt();
    let mmio = |at: u32, interrupt: [u32; 3]| {
        node(
            &format!("virtio_mmio@{at:x}"),
            [
                text("compatible", "virtio,mmio"),
                cells("reg", &[0, at, 0, 0x200]),
                cells("interrupts", &interrupt),
            ],
        )
    };
    tree.root.add_child(mmio(0xa00_0000, [0, 16, 1]));
    tree.root.add_child(mmio(0xa00_0200, [1, 17, 1]));
    tree.root.add_child(node("virtio_mmio@a000400", [text("compatible", "virtio,mmio")]));
    let mut disabled = mmio(0xa00_0600, [0, 19, 1]);
    disabled.add_property(text("status", "disabled"));
    tree.root.add_child(disabled);
    // The first of 16 slots, each with four pins; the controller's address has two cells.
    let pin = |pin: u32| [0, 0, 0, pin, 0x8002, 0, 0, 0, 2 + pin, 4];
    let map: Vec<u32> = (1..=4).flat_map(pin).collect();
    tree.root.add_child(node(
        "pcie@10000000",
        [
            text("compatible", "pci-host-ecam-generic"),
            cells("reg", &[0x40, 0x1000_0000, 0, 0x1000_0000]),
            cells(
                "ranges",
                &[
                    0x0100_0000,
                    0,
                    0,
                    0,
                    0x3eff_0000,
                    0,
                    0x1_0000, //
                    0x0200_0000,
                    0,
                    0x1000_0000,
                    0,
                    0x1000_0000,
                    0,
                    0x2eff_0000, //
                ],
            ),
            cells("interrupt-map", &map),
        ],
    ));
    tree.root.child_mut("intc@8000000").expect("the controller").add_property(cells("#address-cells", &[2]));
    let blob = tree.to_dtb();
    let mut cores = Cores::new();
    let machine = Machine::read(&blob, PL011, HwCpuId(0), &mut cores).expect("a good tree");
    let line = |number| Line { number, active_low: false, level: true };
    assert_eq!(*machine.places.mmio, [MmioPlace { start: PhysAddr(0xa00_0000), line: line(48) }]);
    let pci = machine.places.pci.expect("a host bridge");
    assert!(matches!(pci.configuration, PciConfiguration::Memory(space)
        if space == PhysRange::new(0x40_1000_0000, 0x1000_0000)));
    assert_eq!(pci.window, Some(PhysRange::new(0x1000_0000, 0x2eff_0000)));
    assert_eq!(pci.lines, Some([line(35), line(36), line(37), line(38)]));
}

#[test]
fn the_usual_machine_is_understood() {
    let bytes = virt().to_dtb();
    let mut cores = Cores::new();
    let machine = Machine::read(&bytes, PL011, HwCpuId(0), &mut cores).expect("a good tree");
    assert_eq!(machine.name, "linux,dummy-virt");
    assert_eq!(machine.memory[..], [PhysRange::new(0x4000_0000, 1 << 30)]);
    assert!(machine.reserved.is_empty());
    assert_eq!(machine.initrd, Some(PhysRange::new(0x4800_0000, 0x12_3456)));
    assert_eq!(machine.command_line, "module=/models/a.gguf log=info");
    assert_eq!(machine.conduit, Some(Conduit::Hvc));
    assert_eq!(ids(&cores), [0, 1, 2, 3]);
    assert!(cores.refused.is_empty());
    assert_eq!(machine.serial, Serial { registers: PhysRange::new(0x900_0000, 0x1000), interrupt: 33 });
    let redistributors = [Some(PhysRange::new(0x80a_0000, 0xf6_0000)), None, None, None];
    let distributor = PhysRange::new(0x800_0000, 0x1_0000);
    assert_eq!(machine.gic, GicDescription::V3 { distributor, redistributors });
}

#[test]
fn gicv2_and_smc_are_understood() {
    let mut tree = virt();
    child(&mut tree, "/psci").add_property(text("method", "smc"));
    let gic = child(&mut tree, "/intc@8000000");
    gic.add_property(text("compatible", "arm,cortex-a15-gic"));
    gic.add_property(cells("reg", &[0, 0x800_0000, 0, 0x1_0000, 0, 0x801_0000, 0, 0x1_0000]));
    let bytes = tree.to_dtb();
    let machine = Machine::read(&bytes, PL011, HwCpuId(0), &mut Cores::new()).expect("a good tree");
    assert_eq!(machine.conduit, Some(Conduit::Smc));
    let distributor = PhysRange::new(0x800_0000, 0x1_0000);
    let cpu_interface = PhysRange::new(0x801_0000, 0x1_0000);
    assert_eq!(machine.gic, GicDescription::V2 { distributor, cpu_interface });
}

#[test]
fn the_boot_core_comes_first_and_affinities_keep_their_places() {
    let mut tree = virt();
    tree.root.remove_child("cpus");
    let mut cpus = node("cpus", [cells("#address-cells", &[2]), cells("#size-cells", &[0])]);
    for (name, id) in [("cpu@0", [0, 0]), ("cpu@100", [0, 0x100]), ("cpu@100000203", [1, 0x203])] {
        cpus.add_child(node(name, [cells("reg", &id), text("enable-method", "psci")]));
    }
    cpus.add_child(node("cpu-map", []));
    tree.root.add_child(cpus);
    let mut cores = Cores::new();
    Machine::read(&tree.to_dtb(), PL011, HwCpuId(0x100), &mut cores).expect("a good tree");
    assert_eq!(ids(&cores), [0x100, 0, 0x1_0000_0203]);
}

#[test]
fn cores_that_cannot_be_started_are_named() {
    let mut tree = virt();
    child(&mut tree, "/cpus/cpu@1").add_property(text("status", "disabled"));
    child(&mut tree, "/cpus/cpu@2").add_property(text("enable-method", "spin-table"));
    child(&mut tree, "/cpus").add_child(node("cpu@30", [cells("reg", &[3]), text("enable-method", "psci")]));
    let mut cores = Cores::new();
    Machine::read(&tree.to_dtb(), PL011, HwCpuId(0), &mut cores).expect("a good tree");
    assert_eq!(ids(&cores), [0, 3]);
    let expected =
        [(HwCpuId(1), Refusal::Disabled), (HwCpuId(2), Refusal::NoPsci), (HwCpuId(3), Refusal::ListedTwice)];
    assert_eq!(cores.refused[..], expected);
}

/// Two sockets of different classes: one core with two threads, and two cores.
#[test]
fn the_map_of_cores_and_their_caches_are_understood() {
    let mut tree = virt();
    for id in 0..4 {
        let cpu = child(&mut tree, &format!("/cpus/cpu@{id}"));
        cpu.add_property(cells("phandle", &[0x8000 + id]));
        cpu.add_property(cells("capacity-dmips-mhz", &[if id < 2 { 1024 } else { 578 }]));
        cpu.add_property(cells("d-cache-size", &[0x8000]));
        cpu.add_property(cells("next-level-cache", &[0x9000 + id / 2]));
    }
    for cache in 0..2 {
        let handle = cells("phandle", &[0x9000 + cache]);
        let size = cells("cache-size", &[0x10_0000]);
        child(&mut tree, "/cpus").add_child(node(&format!("l2-cache{cache}"), [handle, size]));
    }
    let leaf = |name: &str, id: u32| node(name, [cells("cpu", &[0x8000 + id])]);
    let with = |name: &str, children: Vec<DeviceTreeNode>| {
        let mut parent = node(name, []);
        children.into_iter().for_each(|child| parent.add_child(child));
        parent
    };
    let threads = with("core0", [leaf("thread0", 0), leaf("thread1", 1)].into());
    let first = with("socket0", [with("cluster0", [threads].into())].into());
    let second = with("socket1", [with("cluster0", [leaf("core0", 2), leaf("core1", 3)].into())].into());
    child(&mut tree, "/cpus").add_child(with("cpu-map", [first, second].into()));
    let mut cores = Cores::new();
    Machine::read(&tree.to_dtb(), PL011, HwCpuId(2), &mut cores).expect("a good tree");
    assert_eq!(ids(&cores), [2, 0, 1, 3]);
    let found: Vec<_> = cores.places.iter().map(|p| (p.package, p.core, p.thread, p.capacity)).collect();
    assert_eq!(found, [(1, 1, 0, 578), (0, 0, 0, 1024), (0, 0, 1, 1024), (1, 2, 0, 578)]);
    assert!(cores.places.iter().all(|place| place.caches.kib == [32, 1024, 0]));
    let last: Vec<_> = cores.places.iter().map(|place| place.caches.last_level).collect();
    assert_eq!(last, [Some(0x9001), Some(0x9000), Some(0x9000), Some(0x9001)]);
}

#[test]
fn without_a_map_every_core_is_one_of_its_own() {
    let mut cores = Cores::new();
    Machine::read(&virt().to_dtb(), PL011, HwCpuId(0), &mut cores).expect("a good tree");
    let found: Vec<_> = cores.places.iter().map(|p| (p.package, p.core, p.thread)).collect();
    assert_eq!(found, [(0, 0, 0), (0, 1, 0), (0, 2, 0), (0, 3, 0)]);
}

#[test]
fn reservations_and_memory_in_use_elsewhere_are_respected() {
    let mut tree = virt();
    tree.memory_reservations.push(MemoryReservation::new(0x4100_0000, 0x1000));
    let mut reserved = node("reserved-memory", [cells("#address-cells", &[2]), cells("#size-cells", &[2])]);
    reserved.add_child(node("firmware@50000000", [cells("reg", &[0, 0x5000_0000, 0, 0x2000])]));
    reserved.add_child(node("pool", [cells("size", &[0, 0x10_0000])]));
    tree.root.add_child(reserved);
    let secure = [text("device_type", "memory"), cells("reg", &[0, 0xe00_0000, 0, 0x100_0000])];
    tree.root.add_child(node("memory@e000000", secure.into_iter().chain([text("status", "disabled")])));
    let bytes = tree.to_dtb();
    let machine = Machine::read(&bytes, PL011, HwCpuId(0), &mut Cores::new()).expect("a good tree");
    let expected = [PhysRange::new(0x4100_0000, 0x1000), PhysRange::new(0x5000_0000, 0x2000)];
    assert_eq!(machine.reserved[..], expected);
    assert_eq!(machine.memory[..], [PhysRange::new(0x4000_0000, 1 << 30)]);
}

#[test]
fn what_is_missing_or_bad_is_named() {
    let without = |path: &str| {
        let mut tree = virt();
        tree.root.remove_child(path);
        refusal(&tree)
    };
    assert_eq!(without("memory@40000000"), "the device tree names no memory");
    assert_eq!(without("cpus"), "the device tree names no cores");
    assert_eq!(without("intc@8000000"), "the device tree names no GICv2 or GICv3");
    assert_eq!(without("pl011@9000000"), "the device tree names no PL011 serial port");
    let with = |path: &str, property| {
        let mut tree = virt();
        child(&mut tree, path).add_property(property);
        refusal(&tree)
    };
    let bad =
        |what: &str, property: &str| format!("the device tree's {what} has a bad property \"{property}\"");
    assert_eq!(with("/psci", text("method", "knock")), bad("/psci", "method"));
    assert_eq!(with("/memory@40000000", cells("reg", &[0, 0, 1])), bad("memory", "reg"));
    assert_eq!(with("/cpus/cpu@2", cells("reg", &[])), bad("core", "reg"));
    let regions = cells("#redistributor-regions", &[9]);
    assert_eq!(with("/intc@8000000", regions), bad("interrupt controller", "#redistributor-regions"));
    assert_eq!(with("/chosen", cells("linux,initrd-end", &[1])), bad("/chosen", "linux,initrd-end"));
    assert_eq!(
        with("/pl011@9000000", cells("interrupts", &[1, 1, 4])),
        bad("PL011 serial port", "interrupts")
    );
    assert_eq!(
        with("/cpus/cpu@0", cells("reg", &[7])),
        "the device tree names no core with the boot core's id"
    );
}

proptest! {
    /// Reading anything that firmware leaves ends with a machine or an error.
    #[test]
    fn damaged_trees_do_no_harm(
        cut in 0usize..2000,
        flips in prop::collection::vec((0usize..2000, any::<u8>()), 0..8),
    ) {
        let mut bytes = virt().to_dtb();
        for (place, value) in flips {
            let place = place % bytes.len();
            bytes[place] = value;
        }
        bytes.truncate(bytes.len().saturating_sub(cut / 100));
        if let Err(TreeError::Malformed(error)) = Machine::read(&bytes, PL011, HwCpuId(0), &mut Cores::new()) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
