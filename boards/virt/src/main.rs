//! QEMU's `virt` machine on AArch64.
//!
//! Owns the entry, the serial port, the image's layout, the machine's end, and the way to the kernel. Knows no
//! policy. The meaning of the device tree is in `boards/fdt`.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod image;
#[cfg(target_os = "none")]
mod pl011;
#[cfg(target_os = "none")]
mod pl031;
#[cfg(target_os = "none")]
mod semihosting;
#[cfg(target_os = "none")]
mod start;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is a kernel: build it with `cargo xtask build --arch aarch64`");
}
