//! Ways of devices' interrupts to a core: lines by I/O APICs, messages by the local APIC.

use core::sync::atomic::{AtomicU8, Ordering};
use embodios_acpi::{IoApic, MAX_IO_APICS};
use embodios_arch::x86_64::{DEVICE_VECTORS, LOCAL_APIC, route};
use embodios_kernel::{HwCpuId, Line, Message};
use heapless::Vec;
use spin::Once;

static IO_APICS: Once<Vec<IoApic, MAX_IO_APICS>> = Once::new();

/// Vectors of [`DEVICE_VECTORS`] that have been given away.
static GIVEN: AtomicU8 = AtomicU8::new(0);

/// Remembers the controllers, once.
pub fn init(io_apics: Vec<IoApic, MAX_IO_APICS>) {
    IO_APICS.call_once(|| io_apics);
}

/// Leads `line` to a core; its vector. `None` where no controller takes it, or all vectors are given away.
pub fn connect(line: Line, target: HwCpuId) -> Option<u32> {
    let vector = vector()?;
    let leads = |controller: &IoApic| {
        // SAFETY: firmware names the controller, the kernel mapped it as a device, and only this call uses it: at boot
        // and for the console's first reader, which come one after the other.
        unsafe { route(controller.registers, controller.first_line, line, vector, target) }
    };
    IO_APICS.get()?.iter().any(leads).then_some(vector.into())
}

/// A message to a core (SDM volume 3, 11.11: physical destination, fixed delivery, edge). `None` where its id does not
/// fit, or all vectors are given away.
pub fn message(target: HwCpuId) -> Option<Message> {
    let target = u8::try_from(target.0).ok()?;
    let vector = vector()?;
    Some(Message {
        address: LOCAL_APIC.0 & 0xfff0_0000 | u64::from(target) << 12,
        data: vector.into(),
        id: vector.into(),
    })
}

fn vector() -> Option<u8> {
    let vector = DEVICE_VECTORS.start() + GIVEN.fetch_add(1, Ordering::Relaxed);
    DEVICE_VECTORS.contains(&vector).then_some(vector)
}
