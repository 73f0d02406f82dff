//! Hands the linker this board's memory layout.

fn main() {
    let directory = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo::rustc-link-arg-bins=-T{directory}/link.ld");
    println!("cargo::rustc-link-arg-bins=--no-dynamic-linker");
    println!("cargo::rerun-if-changed=link.ld");
}
