//! Maps the engine's ELF file: read-only segments in place, writable ones copied.

use super::LoadError;
use crate::memory::Memory;
use embodios_abi::layout;
use embodios_arch::paging::{Access, PAGE};
use embodios_arch::{PhysRange, VirtAddr};
use xmas_elf::ElfFile;
use xmas_elf::header::Type as FileType;
use xmas_elf::program::{ProgramHeader, Type};

/// Maps every loadable segment of `program` (page-aligned in memory) and returns the entry point.
///
/// # Errors
/// [`LoadError`]; the program is part of the image, so a bad one is a build error found at the first boot.
pub fn map(memory: &mut Memory, program: &'static [u8]) -> Result<VirtAddr, LoadError> {
    let elf = ElfFile::new(program).map_err(LoadError::Program)?;
    if elf.header.pt2.type_().as_type() != FileType::Executable {
        return Err(LoadError::Program("not an executable"));
    }
    for header in elf.program_iter() {
        if header.get_type().map_err(LoadError::Program)? == Type::Load && header.mem_size() > 0 {
            map_segment(memory, program, header)?;
        }
    }
    Ok(VirtAddr(elf.header.pt2.entry_point()))
}

fn map_segment(
    memory: &mut Memory,
    program: &'static [u8],
    header: ProgramHeader<'_>,
) -> Result<(), LoadError> {
    let (virt, offset, in_file, in_memory) =
        (header.virtual_addr(), header.offset(), header.file_size(), header.mem_size());
    let end = virt.checked_add(in_memory).ok_or(LoadError::Program("a segment wraps around"))?;
    if virt < layout::IMAGE || end > layout::INFO || in_file > in_memory {
        return Err(LoadError::Program("a segment lies outside the image's place"));
    }
    if virt % PAGE != offset % PAGE {
        return Err(LoadError::Program("a segment is not congruent with its place in the file"));
    }
    let bytes = usize::try_from(offset)
        .ok()
        .zip(usize::try_from(in_file).ok())
        .and_then(|(offset, length)| program.get(offset..offset.checked_add(length)?))
        .ok_or(LoadError::Program("a segment lies outside the file"))?;
    let flags = header.flags();
    if flags.is_write() && flags.is_execute() {
        return Err(LoadError::Program("a segment is both writable and executable"));
    }
    let first_page = virt / PAGE * PAGE;
    let access = Access::engine(flags.is_write(), flags.is_execute());
    if flags.is_write() {
        let frames = memory.allocate_for_engine((end - first_page).next_multiple_of(PAGE), PAGE)?;
        memory.fill(frames, virt - first_page, bytes);
        memory.map_for_engine(VirtAddr(first_page), frames, access)?;
    } else {
        if in_file != in_memory {
            return Err(LoadError::Program("a read-only segment has no bytes in the file"));
        }
        let place = PhysRange::new(bytes.as_ptr() as u64, in_file).widen(PAGE);
        memory.map_for_engine(VirtAddr(first_page), place, access)?;
    }
    Ok(())
}
