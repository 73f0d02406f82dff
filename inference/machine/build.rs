//! Links the engine for its place in the address space. On any other target (host tests) there is
//! nothing to place.

use std::env;

use embodios_abi::layout;

fn main() {
    println!("cargo:rerun-if-changed=link.ld");
    if env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("musl") {
        let directory = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        println!("cargo:rustc-link-arg-bins=-T{directory}/link.ld");
        println!("cargo:rustc-link-arg-bins=--defsym=IMAGE={:#x}", layout::IMAGE);
    }
}
