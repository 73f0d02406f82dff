//! The kernel image: the sections as link.ld lays them out.

use embodios_kernel::PhysRange;
use embodios_kernel::board::Image;

unsafe extern "C" {
    // Symbols of link.ld; their addresses are their values.
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_start: u8;
    static __rodata_end: u8;
    static __data_start: u8;
    static __data_end: u8;
}

fn between(start: *const u8, end: *const u8) -> PhysRange {
    PhysRange::new(start as u64, end as u64 - start as u64)
}

/// The parts with their own access rights.
pub fn sections() -> Image {
    Image {
        text: between(&raw const __text_start, &raw const __text_end),
        rodata: between(&raw const __rodata_start, &raw const __rodata_end),
        data: between(&raw const __data_start, &raw const __data_end),
    }
}

/// The image from the first to the last byte.
pub fn whole() -> PhysRange {
    between(&raw const __text_start, &raw const __data_end)
}
