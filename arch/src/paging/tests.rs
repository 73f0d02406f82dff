//! The walk with a host's frames and entries.

use super::*;
use crate::host::HostEntry;
use proptest::prelude::*;
use std::{alloc::Layout, vec::Vec};

/// Frames from the host's heap; lists those that are out.
#[derive(Default)]
struct Heap {
    out: Vec<u64>,
    /// Limit of their number.
    limit: Option<usize>,
}

impl Drop for Heap {
    fn drop(&mut self) {
        for &table in &self.out {
            // SAFETY: allocated below with the same layout, and no space outlives its heap's use.
            unsafe { std::alloc::dealloc(table as *mut u8, FRAME) }
        }
    }
}

const FRAME: Layout = match Layout::from_size_align(PAGE as usize, PAGE as usize) {
    Ok(layout) => layout,
    Err(_) => panic!("a page is a valid layout"),
};

impl Tables for Heap {
    fn allocate(&mut self) -> Option<PhysAddr> {
        if self.limit.is_some_and(|limit| limit <= self.out.len()) {
            return None;
        }
        // SAFETY: the layout has a size.
        let address = unsafe { std::alloc::alloc_zeroed(FRAME) } as u64;
        self.out.push(address);
        Some(PhysAddr(address))
    }
}

fn space(heap: &mut Heap) -> AddressSpace<HostEntry> {
    // SAFETY: the heap's frames are exclusive and reachable at their address.
    unsafe { AddressSpace::new(3, heap) }.expect("the heap never ends")
}

fn leads(space: &AddressSpace<HostEntry>, virt: u64) -> Option<(u64, Access)> {
    space.translate(VirtAddr(virt)).map(|found| (found.phys.0, found.access))
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
        let found = leads(&space, virt + page * PAGE + 5);
        assert_eq!(found, Some((phys + page * PAGE + 5, Access::engine(true, false))));
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
        assert_eq!(leads(&space, address), Some((address, access)));
    }
    space.protect(VirtAddr(0), PAGE, Access::KERNEL_CODE);
    assert_eq!(space.translate(VirtAddr(0)), None);
}

#[test]
fn a_mapping_without_tables_for_all_of_it_maps_nothing() {
    let mut heap = Heap::default();
    let mut space = space(&mut heap);
    let (virt, phys) = ((1 << 39) + (1 << 30) - 0x20_0000, PhysRange::new(0x40_0000, 0x40_0000));
    // Root, one level 3, and one of two level 2.
    heap.limit = Some(heap.out.len() + 2);
    let access = Access::engine(true, false);
    assert_eq!(space.map(VirtAddr(virt), phys, access, &mut heap), Err(MapError::OutOfTables));
    assert_eq!(space.translate(VirtAddr(virt)), None);
    heap.limit = None;
    assert_eq!(space.map(VirtAddr(virt), phys, access, &mut heap), Ok(()));
    assert_eq!(leads(&space, virt + 0x20_0000), Some((0x60_0000, access)));
}

#[test]
fn spaces_share_what_lies_below_a_slot_and_nothing_else() {
    let mut heap = Heap::default();
    let mut kernel = space(&mut heap);
    let map = |space: &mut AddressSpace<_>, heap: &mut Heap, virt| {
        space.map(VirtAddr(virt), PhysRange::new(0x5000, PAGE), Access::KERNEL_DATA, heap).expect("free")
    };
    map(&mut kernel, &mut heap, PAGE);
    map(&mut kernel, &mut heap, 1 << 39);
    let mut engine = kernel.share(&[0], &mut heap).expect("the heap never ends");
    map(&mut kernel, &mut heap, 3 * PAGE);
    map(&mut engine, &mut heap, 1 << 40);
    assert!(leads(&engine, PAGE).is_some() && leads(&engine, 3 * PAGE).is_some());
    assert_eq!((leads(&engine, 1 << 39), leads(&kernel, 1 << 40)), (None, None));
}

#[test]
fn addresses_of_more_than_48_bits_lead_nowhere() {
    let mut heap = Heap::default();
    let mut space = space(&mut heap);
    space.map(VirtAddr(PAGE), PhysRange::new(0, PAGE), Access::KERNEL_DATA, &mut heap).expect("free");
    for high in [1 << 48, 1 << 63, 0xffff << 48] {
        assert_eq!(leads(&space, PAGE | high), None);
    }
    assert_eq!(space.translate(VirtAddr(PAGE + 5)).map(|found| found.rest), Some(PAGE - 5));
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
            let found = leads(&space, (virt + page) * PAGE);
            prop_assert_eq!(found, Some(((phys + page) * PAGE, Access::KERNEL_DATA)));
        }
        prop_assert_eq!(space.translate(VirtAddr((virt + pages) * PAGE)), None);
    }
}
