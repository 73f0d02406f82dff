//! The PC board: QEMU's q35, pc and microvm, entered by PVH.
//!
//! Names the machine's devices (16550 serial line, exit device, I/O APIC), turns firmware's words into a
//! [`BootInfo`] and calls the kernel. Knows no policy.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod clock;
#[cfg(target_os = "none")]
mod interrupts;
#[cfg(target_os = "none")]
mod machine;
#[cfg(target_os = "none")]
mod places;
#[cfg(target_os = "none")]
mod pvh;
#[cfg(target_os = "none")]
mod serial;
#[cfg(target_os = "none")]
mod start;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is a kernel: build it with `cargo xtask build --arch x86_64`");
}
