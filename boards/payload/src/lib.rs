//! The payload of every kernel image: the engine program and the built-in model.
//!
//! A board's linker script puts `.engine` at a multiple of 2 MiB, and `.model` at a page or at a multiple of 2 MiB.
#![no_std]
// The build of a board says where the engine lies; for the host there is nothing to carry.
#![cfg(target_os = "none")]

use embodios_abi::command_line::BUILT_IN_MODEL;
use embodios_kernel::{Module, PhysRange};

/// Bytes on a page boundary, so that they can be mapped where they are.
#[repr(C, align(4096))]
struct Paged<T>(T);

const ENGINE: &[u8] =
    include_bytes!(env!("EMBODIOS_ENGINE", "path of the engine program; `cargo xtask build` sets it"));

#[unsafe(link_section = ".engine")]
static ENGINE_FILE: Paged<[u8; ENGINE.len()]> = Paged(*include_bytes!(env!("EMBODIOS_ENGINE")));

const MODEL: &[u8] = include_bytes!("../../../inference/models/tinystory-1.3M-q8_0.gguf");

#[unsafe(link_section = ".model")]
static MODEL_FILE: Paged<[u8; MODEL.len()]> =
    Paged(*include_bytes!("../../../inference/models/tinystory-1.3M-q8_0.gguf"));

/// The engine's ELF file.
#[must_use]
pub fn engine() -> &'static [u8] {
    &ENGINE_FILE.0
}

/// The model that is always there. `padded` says that the linker script begins `.model` at a multiple of 2 MiB and puts
/// nothing behind it in its last 2 MiB, so that it is mapped in large pages without a copy of its edges. That takes no
/// room in an ELF file, whose loader zeroes it; a raw image would have to hold the zeroes.
#[must_use]
pub fn model(padded: bool) -> Module<'static> {
    let bytes = &MODEL_FILE.0;
    let range = PhysRange::new(bytes.as_ptr() as u64, bytes.len() as u64);
    Module { name: BUILT_IN_MODEL, range, padded }
}
