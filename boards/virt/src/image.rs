//! The kernel image: its sections, and the files inside it.

use embodios_abi::command_line::BUILT_IN_MODEL;
use embodios_kernel::board::Image;
use embodios_kernel::{Module, PhysRange};

/// Starts on a page, so that it can be mapped where it lies.
#[repr(C, align(4096))]
struct Pages<T>(T);

const ENGINE: &[u8] =
    include_bytes!(env!("EMBODIOS_ENGINE", "path of the engine program; `cargo xtask build` sets it"));

/// In a section of its own, with which the linker script begins the constants, at a multiple of 2 MiB.
#[unsafe(link_section = ".engine")]
static ENGINE_FILE: Pages<[u8; ENGINE.len()]> = Pages(*include_bytes!(env!("EMBODIOS_ENGINE")));

const MODEL: &[u8] = include_bytes!("../../../inference/models/tinystory-1.3M-q8_0.gguf");

static STORY_MODEL: Pages<[u8; MODEL.len()]> =
    Pages(*include_bytes!("../../../inference/models/tinystory-1.3M-q8_0.gguf"));

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

/// From the first to the last byte.
pub fn whole() -> PhysRange {
    between(&raw const __text_start, &raw const __data_end)
}

/// The engine program, an ELF file.
pub fn engine() -> &'static [u8] {
    &ENGINE_FILE.0
}

/// The model that is always there.
pub fn story_model() -> Module<'static> {
    let bytes = &STORY_MODEL.0;
    Module {
        name: BUILT_IN_MODEL,
        range: PhysRange::new(bytes.as_ptr() as u64, bytes.len() as u64),
        padded: false,
    }
}
