//! Bootable images, made from the linker's ELF files. Pure: bytes in, bytes out.

use anyhow::{Context, Result, ensure};
use object::Endianness;
use object::elf::{FileHeader64, PT_LOAD, ProgramHeader64};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

/// Largest physical address span of a raw image, in bytes: a wrong address must not fill the disk.
const MAX_RAW: u64 = 256 << 20;

/// Strips an ELF file of its sections and everything after its segments.
///
/// # Errors
/// When `elf` is not a little-endian ELF64 file whose segments lie inside it.
pub fn strip(elf: &[u8]) -> Result<Vec<u8>> {
    let (header, segments) = parse(elf)?;
    let table = header.e_phoff.get(Endianness::Little)
        + u64::from(header.e_phnum.get(Endianness::Little))
            * u64::from(header.e_phentsize.get(Endianness::Little));
    let mut end = table;
    for segment in segments {
        let (offset, size) = segment.file_range(Endianness::Little);
        end = end.max(offset.checked_add(size).context("a segment's end overflows")?);
    }
    let end = usize::try_from(end)
        .ok()
        .filter(|&end| end <= elf.len())
        .context("a segment lies past the end of the file")?;
    let mut stripped = elf[..end].to_vec();
    // Offsets of e_shoff, e_shnum and e_shstrndx (System V ABI, "ELF Header").
    for (offset, size) in [(40, 8), (60, 2), (62, 2)] {
        stripped[offset..offset + size].fill(0);
    }
    Ok(stripped)
}

/// Raw memory image of the segments, from the lowest physical address to the end of the last file contents.
///
/// # Errors
/// As [`strip`], and when the segments overlap or lie too far from each other.
pub fn raw(elf: &[u8]) -> Result<Vec<u8>> {
    let (_, segments) = parse(elf)?;
    let mut loads = Vec::new();
    for segment in segments.iter().filter(|segment| segment.p_type(Endianness::Little) == PT_LOAD) {
        let data =
            segment.data(Endianness::Little, elf).ok().context("a segment lies past the end of the file")?;
        if !data.is_empty() {
            loads.push((segment.p_paddr(Endianness::Little), data));
        }
    }
    loads.sort_by_key(|&(address, _)| address);
    let base = loads.first().context("there is nothing to load")?.0;
    let mut image = Vec::new();
    for (address, data) in loads {
        let offset = address - base;
        ensure!(offset < MAX_RAW, "segments span more than {} MiB", MAX_RAW >> 20);
        ensure!(offset >= image.len() as u64, "segments overlap at physical address {address:#x}");
        image.resize(offset as usize, 0);
        image.extend_from_slice(data);
    }
    Ok(image)
}

type Parsed<'a> = (&'a FileHeader64<Endianness>, &'a [ProgramHeader64<Endianness>]);

fn parse(elf: &[u8]) -> Result<Parsed<'_>> {
    let header = FileHeader64::<Endianness>::parse(elf).context("not an ELF64 file")?;
    ensure!(header.endian().is_ok_and(|endian| endian == Endianness::Little), "not a little-endian ELF file");
    let segments = header.program_headers(Endianness::Little, elf).context("no program headers")?;
    Ok((header, segments))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with these segments `(type, physical address, contents)` and a section table after them.
    fn elf(segments: &[(u32, u64, &[u8])]) -> Vec<u8> {
        let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
        file.resize(64, 0);
        let mut put = |offset: usize, bytes: &[u8]| file[offset..offset + bytes.len()].copy_from_slice(bytes);
        put(16, &2u16.to_le_bytes());
        put(20, &1u32.to_le_bytes());
        put(32, &64u64.to_le_bytes());
        put(52, &64u16.to_le_bytes());
        put(54, &56u16.to_le_bytes());
        put(56, &(segments.len() as u16).to_le_bytes());
        put(58, &64u16.to_le_bytes());
        put(60, &1u16.to_le_bytes());
        put(62, &1u16.to_le_bytes());
        let mut data = Vec::new();
        let start = 64 + 56 * segments.len() as u64;
        for (kind, address, bytes) in segments {
            let size = bytes.len() as u64;
            file.extend_from_slice(&kind.to_le_bytes());
            file.extend_from_slice(&5u32.to_le_bytes());
            for word in [start + data.len() as u64, *address, *address, size, size, 1] {
                file.extend_from_slice(&word.to_le_bytes());
            }
            data.extend_from_slice(bytes);
        }
        file.extend_from_slice(&data);
        let sections = file.len() as u64;
        file[40..48].copy_from_slice(&sections.to_le_bytes());
        file.extend_from_slice(&[0xaa; 64]);
        file
    }

    #[test]
    fn stripping_drops_sections_and_keeps_segments() {
        let file = elf(&[(PT_LOAD.0, 0x1000, b"code"), (object::elf::PT_NOTE.0, 0, b"note")]);
        let stripped = strip(&file).expect("valid");
        assert_eq!(stripped.len(), file.len() - 64);
        assert!(stripped.ends_with(b"codenote"));
        assert_eq!(stripped[40..48], [0; 8]);
        assert_eq!(stripped[60..64], [0; 4]);
        assert_eq!(stripped[..40], file[..40]);
        assert_eq!(strip(&stripped).expect("still valid"), stripped);
    }

    #[test]
    fn raw_images_follow_physical_addresses() {
        let file = elf(&[
            (PT_LOAD.0, 0x4008, b"late"),
            (object::elf::PT_NOTE.0, 0, b"note"),
            (PT_LOAD.0, 0x4000, b"first"),
        ]);
        assert_eq!(raw(&file).expect("valid"), b"first\0\0\0late");
    }

    #[test]
    fn broken_files_are_refused() {
        let load = PT_LOAD.0;
        assert!(strip(b"#!/bin/sh").is_err());
        assert!(raw(&elf(&[])).is_err());
        assert!(raw(&elf(&[(load, 0, b"x"), (load, 1 << 40, b"y")])).is_err());
        assert!(raw(&elf(&[(load, 0, b"xxxx"), (load, 2, b"y")])).is_err());
        let mut cut = elf(&[(load, 0, b"contents")]);
        cut.truncate(64 + 56 + 3);
        assert!(strip(&cut).is_err());
        assert!(raw(&cut).is_err());
    }
}
