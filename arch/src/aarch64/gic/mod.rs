//! The Generic Interrupt Controller, version 2 or 3.
//!
//! Owns the choice between the two and the interrupt ids the kernel uses itself. Distributor once, on the
//! boot core; the CPU side on every core.

mod v2;
mod v3;

use super::{probe, timer};
use crate::{GicDescription, HwCpuId, PhysAddr};
use aarch64_cpu::asm::barrier;

/// Software-generated interrupt 0: another core calls.
pub(super) const IPI: u32 = 0;
/// The first of the ids reserved for "no interrupt" and such (GIC architecture, INTIDs 1020 to 1023).
const FIRST_SPECIAL: u32 = 1020;
enum Gic {
    V2(v2::GicV2),
    V3(v3::GicV3),
}

static GIC: spin::Once<Gic> = spin::Once::new();

fn gic() -> &'static Gic {
    GIC.get().expect("the board initialises the interrupt controller before the kernel starts")
}

/// Checks that a controller is where the description says.
///
/// # Errors
/// The part that is not there.
pub(super) fn check(description: GicDescription) -> Result<(), &'static str> {
    let (distributor, rest) = match description {
        GicDescription::V2 { distributor, cpu_interface } => (
            // The interface has no such register at the end; its identification is never 0.
            probe::is_gic(distributor, v2::BYTES, 1..=2),
            probe::read(PhysAddr(cpu_interface.start.0.saturating_add(v2::INTERFACE_ID)))
                .is_some_and(|id| id != 0),
        ),
        GicDescription::V3 { distributor, redistributors } => (
            probe::is_gic(distributor, v3::BYTES, 3..=4),
            redistributors.iter().flatten().all(|&region| probe::is_gic(region, v3::BYTES, 3..=4)),
        ),
    };
    match (distributor, rest) {
        (true, true) => Ok(()),
        (false, _) => Err("no interrupt controller is where firmware says"),
        (true, false) => Err("the interrupt controller's part for the cores is not where firmware says"),
    }
}

/// Sets the distributor up: nothing enabled.
///
/// # Safety
/// The description is that of this machine's controller, which nothing else drives.
pub(super) unsafe fn initialise(description: GicDescription) {
    GIC.call_once(|| match description {
        GicDescription::V2 { distributor, cpu_interface } => {
            // SAFETY: handed on.
            Gic::V2(unsafe { v2::GicV2::new(distributor, cpu_interface) })
        }
        GicDescription::V3 { distributor, redistributors } => {
            // SAFETY: handed on.
            Gic::V3(unsafe { v3::GicV3::new(distributor, redistributors) })
        }
    });
}

/// Sets up the CPU side of the calling core, whose affinity is `hardware`: IPI and timer enabled.
///
/// Panics when the controller has nothing for this core.
pub(super) fn init_core(hardware: HwCpuId) {
    match gic() {
        Gic::V2(gic) => gic.init_core(hardware, &[IPI, timer::INTERRUPT]),
        Gic::V3(gic) => gic.init_core(hardware, &[IPI, timer::INTERRUPT]),
    }
}

/// Whether the controller has a part for the core, and can send it an IPI once it is initialised.
pub(super) fn can_interrupt(hardware: HwCpuId) -> bool {
    match gic() {
        Gic::V2(_) => true,
        Gic::V3(gic) => gic.can_interrupt(hardware),
    }
}

/// Sends [`IPI`] to an initialised core.
pub(super) fn send_ipi(target: HwCpuId) {
    // Stores made before are seen by the core that is interrupted.
    barrier::dsb(barrier::ISHST);
    match gic() {
        Gic::V2(gic) => gic.send(IPI, target),
        Gic::V3(_) => v3::send(IPI, target),
    }
    barrier::isb(barrier::SY);
}

/// Routes the level-sensitive shared interrupt `number` to an initialised core and enables it.
pub fn enable_device(number: u32, target: HwCpuId) {
    match gic() {
        Gic::V2(gic) => gic.enable_device(number, target),
        Gic::V3(gic) => gic.enable_device(number, target),
    }
}

/// An interrupt that was taken and has to be ended.
pub(super) struct Acknowledged {
    /// The controller's value: on a GICv2 with the sending core in bits 12:10.
    raw: u32,
}

/// The most urgent pending interrupt, now active; `None` when it went away.
pub(super) fn acknowledge() -> Option<Acknowledged> {
    let raw = match gic() {
        Gic::V2(gic) => gic.acknowledge(),
        Gic::V3(_) => v3::acknowledge(),
    };
    let interrupt = Acknowledged { raw };
    (interrupt.number() < FIRST_SPECIAL).then_some(interrupt)
}

impl Acknowledged {
    /// Interrupt id without the sending core.
    pub(super) fn number(&self) -> u32 {
        match gic() {
            Gic::V2(_) => self.raw & 0x3ff,
            Gic::V3(_) => self.raw,
        }
    }

    /// Ends it.
    pub(super) fn end(self) {
        match gic() {
            Gic::V2(gic) => gic.end(self.raw),
            Gic::V3(_) => v3::end(self.raw),
        }
    }
}
