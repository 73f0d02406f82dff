//! The PVH boot protocol: its entry, and the start information that it hands over (Xen,
//! `xen/include/public/arch-x86/hvm/start_info.h`).

mod entry;

use core::ffi::CStr;
use embodios_kernel::PhysRange;

const MAGIC: u32 = 0x336e_c578;
/// Memory map entries of this type are usable memory.
const USABLE: u32 = 1;

/// `struct hvm_start_info`, version 1. Packed because not every loader aligns it; it has no padding anyway.
#[repr(C, packed)]
pub struct StartInfo {
    magic: u32,
    version: u32,
    _flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    _reserved: u32,
}

/// `struct hvm_modlist_entry`.
#[repr(C)]
struct ModuleEntry {
    address: u64,
    size: u64,
    _command_line: u64,
    _reserved: u64,
}

/// `struct hvm_memmap_table_entry`.
#[repr(C)]
struct MemoryEntry {
    address: u64,
    size: u64,
    kind: u32,
    _reserved: u32,
}

impl StartInfo {
    /// The start information at `address`; `None` when the loader did not speak PVH version 1.
    ///
    /// # Safety
    /// `address` is the loader's, and low memory is mapped at its own addresses and stays as it is.
    pub unsafe fn at(address: u32) -> Option<&'static Self> {
        let info = address as *const Self;
        if info.is_null() {
            return None;
        }
        // SAFETY: mapped and left alone by the caller's promise; the type is packed, so any address is aligned.
        let info = unsafe { &*info };
        (info.magic == MAGIC && info.version >= 1).then_some(info)
    }

    /// The ranges of this structure and its lists.
    pub fn ranges(&self) -> [PhysRange; 4] {
        [
            PhysRange::new(self as *const Self as u64, size_of::<Self>() as u64),
            PhysRange::new(self.modules, u64::from(self.module_count) * size_of::<ModuleEntry>() as u64),
            PhysRange::new(
                self.memory_map,
                u64::from(self.memory_map_entries) * size_of::<MemoryEntry>() as u64,
            ),
            PhysRange::new(self.command_line, self.command_line_bytes().len() as u64 + 1),
        ]
    }

    /// Physical address of the ACPI root pointer; 0 on a machine without ACPI.
    pub const fn rsdp(&self) -> u64 {
        self.rsdp
    }

    /// The command line as it came.
    pub fn command_line_bytes(&self) -> &'static [u8] {
        if self.command_line == 0 {
            return &[];
        }
        // SAFETY: the loader put a NUL-terminated string there (protocol), which is reserved in the boot information.
        unsafe { CStr::from_ptr(self.command_line as *const core::ffi::c_char) }.to_bytes()
    }

    /// Usable memory.
    pub fn memory(&self) -> impl Iterator<Item = PhysRange> {
        // SAFETY: the loader put that many entries there (protocol).
        let entries = unsafe { list::<MemoryEntry>(self.memory_map, self.memory_map_entries) };
        entries.filter(|entry| entry.kind == USABLE).map(|entry| PhysRange::new(entry.address, entry.size))
    }

    /// Files the loader brought.
    pub fn modules(&self) -> impl Iterator<Item = PhysRange> {
        // SAFETY: the loader put that many entries there (protocol).
        let entries = unsafe { list::<ModuleEntry>(self.modules, self.module_count) };
        entries.map(|entry| PhysRange::new(entry.address, entry.size))
    }
}

/// # Safety
/// `count` values of `T` lie at `address`, mapped, and stay as they are.
unsafe fn list<T>(address: u64, count: u32) -> impl Iterator<Item = T> {
    let count = if address == 0 { 0 } else { count as usize };
    // SAFETY: the caller's promise. QEMU's microvm puts the lists at any address, hence no slice.
    (0..count).map(move |index| unsafe { (address as *const T).add(index).read_unaligned() })
}
