//! The walk with a host's frames and entries.

use super::*;
use crate::host::HostEntry;
use proptest::prelude::*;
use std::{alloc::Layout, vec::Vec};

/// Frames from the host's heap; counts what is out.
#[derive(Default)]
struct Heap {
    out: Vec<u64>,
}

const FRAME: Layout = match Layout::from_size_align(PAGE as usize, PAGE as usize) {
    Ok(layout) => layout,
    Err(_) => panic!("a page is a valid layout"),
};

impl Tables for Heap {
    fn allocate(&mut self) -> Option<PhysAddr> {
        // SAFETY: the layout has a size.
        let address = unsafe { std::alloc::alloc_zeroed(FRAME) } as u64;
        self.out.push(address);
        Some(PhysAddr(address))
    }
    fn free(&mut self, table: PhysAddr) {
        self.out.retain(|&a| a != table.0);
        // SAFETY: allocated above with the same layout and freed once (`retain` found it).
        unsafe { std::alloc::dealloc(table.0 as *mut u8, FRAME) }
    }
}

fn space(heap: &mut Heap) -> AddressSpace<HostEntry> {
    // SAFETY: the heap's frames are exclusive and reachable at their address.
    unsafe { AddressSpace::new(3, heap) }.expect("the heap never ends")
}

#[test]
fn every_page_of_a_mapping_translates_and_its_neighbours_do_not() {
    let mut heap = Heap::default();
    let mut space = space(&mut heap);
    let (virt, phys, pages) = (0x80_001f_e000, 0x1fe000, 1029);
    space
        .map(VirtAddr(virt), PhysRange::new(phys, pages * PAGE), Access::engine(true, false), &mut heap)
        .expect("free space");
    for page in 0..pages {
        let found = space.translate(VirtAddr(virt + page * PAGE + 5));
        assert_eq!(found, Some((PhysAddr(phys + page * PAGE + 5), Access::engine(true, false))));
    }
    assert_eq!(space.translate(VirtAddr(virt - 1)), None);
    assert_eq!(space.translate(VirtAddr(virt + pages * PAGE)), None);
    // 4 KiB head and tail around two 2 MiB pages: root, one level 3, one level 2, two level 1.
    assert_eq!(heap.out.len(), 5);
}

#[test]
fn gigabyte_pages_are_used_where_they_fit() {
    let mut heap = Heap::default();
    let mut space = space(&mut heap);
    space
        .map(VirtAddr(1 << 39), PhysRange::new(0, 4 << 30), Access::engine(false, false), &mut heap)
        .expect("free space");
    assert_eq!(heap.out.len(), 2);
    assert!(space.translate(VirtAddr((1 << 39) + (3 << 30) + 77)).is_some());
}

#[test]
fn what_is_mapped_is_never_overwritten() {
    let mut heap = Heap::default();
    let mut space = space(&mut heap);
    let range = PhysRange::new(0x20_0000, 0x20_0000);
    space.map(VirtAddr(0x20_0000), range, Access::KERNEL_CODE, &mut heap).expect("free space");
    let again = space.map(VirtAddr(0x20_3000), PhysRange::new(0, PAGE), Access::KERNEL_DATA, &mut heap);
    assert_eq!(again, Err(MapError::Occupied(VirtAddr(0x20_3000))));
    assert_eq!(space.map(VirtAddr(1), range, Access::KERNEL_DATA, &mut heap), Err(MapError::Misaligned));
}

#[test]
fn protection_changes_rights_and_nothing_else() {
    let mut heap = Heap::default();
    let mut space = space(&mut heap);
    let range = PhysRange::new(0x1f_e000, 0x40_4000);
    space.map(VirtAddr(0x1f_e000), range, Access::KERNEL_DATA, &mut heap).expect("free space");
    space.protect(VirtAddr(0x1f_f000), 0x20_1000, Access::KERNEL_CODE);
    for (address, access) in [
        (0x1f_e000, Access::KERNEL_DATA),
        (0x1f_f000, Access::KERNEL_CODE),
        (0x3f_ffff, Access::KERNEL_CODE),
        (0x40_0000, Access::KERNEL_DATA),
    ] {
        assert_eq!(space.translate(VirtAddr(address)), Some((PhysAddr(address), access)));
    }
    space.protect(VirtAddr(0), PAGE, Access::KERNEL_CODE);
    assert_eq!(space.translate(VirtAddr(0)), None);
}

#[test]
fn clearing_a_slot_returns_every_table() {
    let mut heap = Heap::default();
    let mut space = space(&mut heap);
    space.map(VirtAddr(PAGE), PhysRange::new(0, PAGE), Access::KERNEL_DATA, &mut heap).expect("free");
    let before = heap.out.len();
    for start in [1u64 << 39, (1 << 39) + (5 << 30), (1 << 40) - PAGE] {
        space
            .map(VirtAddr(start), PhysRange::new(0x5000, PAGE), Access::engine(false, true), &mut heap)
            .expect("free");
    }
    assert!(heap.out.len() > before);
    space.clear_root_slot(1, &mut heap);
    assert_eq!(heap.out.len(), before);
    assert_eq!(space.translate(VirtAddr(1 << 39)), None);
    assert!(space.translate(VirtAddr(PAGE)).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn translation_is_the_mapping(virt in 0u64..1 << 20, phys in 0u64..1 << 20, pages in 1u64..3000) {
        let mut heap = Heap::default();
        let mut space = space(&mut heap);
        let range = PhysRange::new(phys * PAGE, pages * PAGE);
        space.map(VirtAddr(virt * PAGE), range, Access::KERNEL_DATA, &mut heap).expect("free space");
        for page in [0, pages / 2, pages - 1] {
            let found = space.translate(VirtAddr((virt + page) * PAGE));
            prop_assert_eq!(found, Some((PhysAddr((phys + page) * PAGE), Access::KERNEL_DATA)));
        }
        prop_assert_eq!(space.translate(VirtAddr((virt + pages) * PAGE)), None);
    }
}
