//! What the image carries besides the kernel: the engine program and the built-in model.

/// Bytes on a page boundary, so that they can be mapped where they are.
#[repr(C, align(4096))]
struct Paged<T>(T);

const ENGINE: &[u8] = include_bytes!(env!("EMBODIOS_ENGINE"));

/// In a section of its own, with which the linker script begins the constants, at a multiple of 2 MiB.
#[unsafe(link_section = ".engine")]
static ENGINE_FILE: Paged<[u8; ENGINE.len()]> = Paged(*include_bytes!(env!("EMBODIOS_ENGINE")));

const MODEL: &[u8] = include_bytes!("../../../inference/models/tinystory-1.3M-q8_0.gguf");

/// In a section of its own, which the linker script aligns and pads to 2 MiB.
#[unsafe(link_section = ".model")]
static MODEL_FILE: Paged<[u8; MODEL.len()]> =
    Paged(*include_bytes!("../../../inference/models/tinystory-1.3M-q8_0.gguf"));

/// The engine's ELF file.
pub fn engine() -> &'static [u8] {
    &ENGINE_FILE.0
}

/// Its GGUF file.
pub fn model() -> &'static [u8] {
    &MODEL_FILE.0
}
