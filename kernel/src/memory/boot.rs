//! The first address space: memory at its own addresses, the image and devices with their rights.

use super::source::Source;
use super::{Entry, Memory, MemoryError, memory};
use crate::board::BootInfo;
use embodios_abi::layout;
use embodios_arch::paging::{Access, AddressSpace, PAGE};
use embodios_arch::{Arch, Architecture, PhysAddr, PhysRange};

/// Builds the kernel's address space and returns its root together with memory for the kernel's heap of
/// `heap` bytes.
///
/// # Errors
/// [`MemoryError`] when the machine has too little memory or its map contradicts itself.
///
/// # Safety
/// `boot` describes this machine; called once, on boot tables that map all memory at its own address.
pub unsafe fn init(boot: &BootInfo<'_>, heap: u64) -> Result<(PhysAddr, PhysRange), MemoryError> {
    let mut memory = memory();
    let Memory { source: tables, kernel: space, total, .. } = &mut *memory;
    for &region in &boot.memory {
        let (near, far) = reachable(region);
        tables.supply.frames.add(near)?;
        if far.length() > 0 {
            log::warn!("memory at {far} is not used: the kernel maps the first 512 GiB");
        }
    }
    *total = tables.supply.frames.available();
    let overlaps = |a: PhysRange, b: PhysRange| a.start < b.end && b.start < a.end;
    let in_memory = |&device: &&PhysRange| boot.memory.iter().any(|&region| overlaps(*device, region));
    if let Some(&device) = boot.devices.iter().find(in_memory) {
        return Err(MemoryError::DeviceInMemory(device));
    }
    for &range in &boot.reserved {
        tables.supply.frames.reserve(range)?;
    }
    let free = tables.supply.frames.available();
    let heap = tables.take(heap, PAGE).ok_or(MemoryError::Exhausted { wanted: heap, free })?;
    let built_in = Arch::built_in_tables();
    let covered = built_in.map_or(PhysRange::new(0, 0), |tables| tables.covers);
    // SAFETY: built-in tables, pool and frames are exclusive and identity-mapped; the board vouches for the leaf size.
    *space = unsafe {
        match built_in {
            Some(built_in) => AddressSpace::<Entry>::adopt(built_in.root, boot.largest_leaf),
            None => AddressSpace::<Entry>::new(boot.largest_leaf, tables)?,
        }
    };
    let image = boot.image;
    let sections = [
        (image.text, Access::KERNEL_CODE),
        (image.rodata, Access::KERNEL_CONSTANTS),
        (image.data, Access::KERNEL_DATA),
    ];
    let devices = boot.devices.iter().map(|&range| (range, Access::DEVICE));
    for (range, access) in sections.into_iter().chain(devices) {
        let range = range.widen(PAGE);
        if covered.contains(range) {
            space.protect(range.start.identity(), range.length(), access);
        } else {
            space.map(range.start.identity(), range, access, tables)?;
        }
    }
    let mut mapped = covered.end;
    // From the lowest up, whatever their order and overlaps.
    while let Some(region) =
        boot.memory.iter().filter(|region| region.end > mapped).min_by_key(|region| region.start)
    {
        let rest = PhysRange { start: region.start.max(mapped), end: region.end };
        map_memory(space, tables, rest, &sections.map(|(range, _)| range))?;
        mapped = region.end;
    }
    Ok((space.root(), heap))
}

/// The part of a region of memory that the kernel's map of memory reaches, and the part behind it.
fn reachable(region: PhysRange) -> (PhysRange, PhysRange) {
    let end = PhysAddr(layout::ENGINE_START);
    (
        PhysRange { start: region.start, end: region.end.min(end) },
        PhysRange { start: region.start.max(end), end: region.end },
    )
}

/// Maps a region of memory, except page 0 (null must fault) and the kernel image, which has its own rights.
fn map_memory(
    space: &mut AddressSpace<Entry>,
    tables: &mut Source,
    region: PhysRange,
    image: &[PhysRange],
) -> Result<(), MemoryError> {
    let mut start = region.start.0.div_ceil(PAGE).max(1) * PAGE;
    let end = (region.end.0 / PAGE * PAGE).min(layout::ENGINE_START);
    let mut sections: heapless::Vec<PhysRange, 8> = image.iter().map(|range| range.widen(PAGE)).collect();
    sections.sort_unstable_by_key(|section| section.start.0);
    sections.retain(|section| section.end.0 > start && section.start.0 < end);
    for section in sections {
        if start < section.start.0 {
            let gap = PhysRange { start: PhysAddr(start), end: section.start };
            space.map(gap.start.identity(), gap, Access::KERNEL_DATA, tables)?;
        }
        start = section.end.0;
    }
    if start < end {
        let rest = PhysRange { start: PhysAddr(start), end: PhysAddr(end) };
        space.map(rest.start.identity(), rest, Access::KERNEL_DATA, tables)?;
    }
    Ok(())
}
