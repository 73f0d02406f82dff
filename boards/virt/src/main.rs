//! QEMU's `virt` machine on AArch64.
//!
//! Owns the serial port, the image's layout and contents, and the way from the entry code to the kernel.
//! Knows no policy. What the device tree means is in the library beside it.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod image;
#[cfg(target_os = "none")]
mod pl011;
#[cfg(target_os = "none")]
mod start;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is a kernel: build it with `cargo xtask build --arch aarch64`");
}
