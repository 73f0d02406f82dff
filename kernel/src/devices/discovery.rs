//! The search for devices at the places that firmware, the command line or the machine's kind names.

use super::network::{KIND, Network};
use super::pci;
use super::registers::Registers;
use super::transport::{Mmio, Transport};
use crate::board::{MmioPlace, Places};
use crate::memory::memory;
use crate::{affinity, output};
use alloc::boxed::Box;
use embodios_arch::PhysRange;
use embodios_arch::paging::PAGE;

/// Bytes of a virtio-mmio device's registers (virtio 1.2, 4.2.2), with the configuration of those driven here.
const MMIO_BYTES: u64 = 0x200;

/// Finds the first network device; it and the id of its interrupts, which are led to the first housekeeping core.
///
/// # Safety
/// The places are this machine's, and nothing else drives what is there.
pub unsafe fn network(places: &Places) -> Option<(Network, u32)> {
    // SAFETY: handed on.
    let (transport, interrupt) = unsafe { by_mmio(places, KIND).or_else(|| pci::find(places.pci?, KIND)) }?;
    match Network::new(transport, &mut memory()) {
        Ok(network) => Some((network, interrupt)),
        Err(error) => {
            log::error!("the network device is not used: {error}");
            None
        }
    }
}

/// # Safety
/// As for [`network`].
unsafe fn by_mmio(places: &Places, kind: u32) -> Option<(Box<dyn Transport>, u32)> {
    let mut mapped: Option<(PhysRange, Registers)> = None;
    for &MmioPlace { start, line } in &places.mmio {
        let registers = PhysRange::new(start.0, MMIO_BYTES);
        // Places share pages, and often all lie in a row.
        let whole = match mapped {
            Some((range, whole)) if range.contains(registers) => {
                whole.part(start.0 - range.start.0, MMIO_BYTES)
            }
            _ => {
                let range = registers.widen(PAGE);
                // SAFETY: the caller's promise.
                match unsafe { Registers::map(range) } {
                    Ok(whole) => {
                        mapped = Some((range, whole));
                        whole.part(start.0 - range.start.0, MMIO_BYTES)
                    }
                    Err(error) => {
                        log::error!("registers at {registers} cannot be reached: {error}");
                        None
                    }
                }
            }
        };
        let Some((found, transport)) = whole.and_then(Mmio::find) else { continue };
        if found != kind {
            continue;
        }
        let core = affinity::interrupt_core();
        match output::board().and_then(|board| board.route(line, core.hardware)) {
            Some(id) => return Some((Box::new(transport), id)),
            None => {
                log::error!("no interrupt controller takes line {} of the device at {registers}", line.number)
            }
        }
    }
    None
}
