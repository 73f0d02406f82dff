//! Model files that several tests read.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod build;
pub mod run;
pub mod tiny;

use std::path::PathBuf;

/// The story model.
pub const STORY: &[u8] = include_bytes!("../../models/tinystory-1.3M-q8_0.gguf");

/// SmolLM2-135M-Instruct Q4_1: the file `EMBODIOS_SMOLLM2` names, else the one that
/// `cargo xtask model fetch smollm2-135m` leaves.
pub fn smollm2() -> Vec<u8> {
    let path = std::env::var_os("EMBODIOS_SMOLLM2").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/models/smollm2-135m.gguf")),
        PathBuf::from,
    );
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
