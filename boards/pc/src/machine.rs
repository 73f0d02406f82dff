//! The machine as a whole: its name and its end.

use crate::serial::{PORT, SERIAL};
use crate::{clock, interrupts};
use core::arch::{asm, global_asm};
use embodios_abi::ExitStatus;
use embodios_arch::x86_64::{inb, outb};
use embodios_arch::{Arch, Architecture};
use embodios_kernel::output::write_all;
use embodios_kernel::{Board, Console, HwCpuId, Line, Message};

/// QEMU's `isa-debug-exit` device, as `cargo xtask` configures it.
const EXIT_PORT: u16 = 0xf4;
/// PCI configuration address and data (PCI 3.0, 3.2.2.3.2).
const PCI_ADDRESS: u16 = 0xcf8;
const PCI_DATA: u16 = 0xcfc;
/// Address of the host bridge's identification.
const HOST_BRIDGE: u32 = 0x8000_0000;
/// Keyboard controller's command port; 0xfe pulses the reset line. It reads 0xff where there is none.
const KEYBOARD: u16 = 0x64;
/// Reset control register of Intel chip sets.
const RESET_CONTROL: u16 = 0xcf9;

/// See the module.
pub struct Pc;

global_asm!(
    ".section .text.boot, \"ax\", @progbits",
    ".code32",
    ".global board_refuse",
    // Ends the machine in words, before there is anything but ports: the reason is at ESI.
    "board_refuse:",
    "mov edi, esi",
    "mov esi, offset refusal",
    "2: lodsb",
    "test al, al",
    "jz 4f",
    "mov ah, al",
    "mov dx, {port} + 5",
    "mov ecx, 100000",
    "3: in al, dx",
    "test al, 0x20",
    "loopz 3b",
    "mov dx, {port}",
    "mov al, ah",
    "out dx, al",
    "jmp 2b",
    // After the first text comes the reason, then nothing.
    "4: mov esi, edi",
    "mov edi, offset no_reason",
    "cmp byte ptr [esi], 0",
    "jnz 2b",
    "mov dx, {exit}",
    "mov eax, {status}",
    "out dx, eax",
    "5: cli",
    "hlt",
    "jmp 5b",
    "refusal: .asciz \"cannot boot: \"",
    "no_reason: .byte 0",
    ".code64",
    ".section .text",
    port = const PORT,
    exit = const EXIT_PORT,
    status = const ExitStatus::Failure.code(),
);

/// The machine's name, told by its host bridge.
pub fn name() -> &'static str {
    match read_pci(HOST_BRIDGE) {
        0x29c0_8086 => "q35",
        0x1237_8086 => "pc",
        u32::MAX => "microvm",
        _ => "pc-compatible",
    }
}

/// A word of PCI configuration space; all ones where there is no PCI, since the port floats.
fn read_pci(address: u32) -> u32 {
    // SAFETY: a load from configuration space; the ports are used one call at a time: at boot, then by the kernel.
    unsafe {
        out32(PCI_ADDRESS, address);
        in32(PCI_DATA)
    }
}

/// # Safety
/// As for [`outb`].
unsafe fn out32(port: u16, value: u32) {
    // SAFETY: the caller's promise.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack, preserves_flags)) }
}

/// # Safety
/// As for [`outb`].
unsafe fn in32(port: u16) -> u32 {
    let value;
    // SAFETY: the caller's promise.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nostack, preserves_flags)) }
    value
}

impl Board for Pc {
    fn console(&self) -> &dyn Console {
        &SERIAL
    }

    fn route(&self, line: Line, target: HwCpuId) -> Option<u32> {
        interrupts::connect(line, target)
    }

    fn message(&self, target: HwCpuId) -> Option<Message> {
        interrupts::message(target)
    }

    fn wall_clock(&self) -> Option<u64> {
        clock::read()
    }

    fn read_pci(&self, address: u32) -> u32 {
        read_pci(address)
    }

    fn write_pci(&self, address: u32, value: u32) {
        // SAFETY: the kernel drives the function whose register it is.
        unsafe {
            out32(PCI_ADDRESS, address);
            out32(PCI_DATA, value);
        }
    }

    fn power_off(&self, status: ExitStatus) -> ! {
        // SAFETY: ends the emulator; on a machine without the device nothing listens there.
        unsafe { out32(EXIT_PORT, status.code()) }
        write_all(&SERIAL, b"it is now safe to switch off\r\n");
        Arch::halt()
    }

    fn reboot(&self) -> ! {
        // SAFETY: resets the machine, one way or the other.
        unsafe {
            if inb(KEYBOARD) != 0xff {
                outb(KEYBOARD, 0xfe);
            }
            outb(RESET_CONTROL, 6);
            // Without either device: a fault with no descriptors to deliver it resets the processor.
            let nothing = [0u16; 5];
            asm!("lidt [{}]", "ud2", in(reg) &nothing, options(noreturn))
        }
    }
}
