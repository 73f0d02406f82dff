//! Links the program as the engine is linked, at the engine's place in the address space.

use embodios_abi::layout;
use std::env;

fn main() {
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let script = format!("{here}/../../inference/machine/link.ld");
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-arg-bins=-T{script}");
    println!("cargo:rustc-link-arg-bins=--defsym=IMAGE={:#x}", layout::IMAGE);
}
