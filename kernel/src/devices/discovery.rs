//! The search for devices at the places that firmware, the command line or the machine's kind names.

use super::entropy::{self, Entropy};
use super::network::{self, Network};
use super::pci::Bridge;
use super::registers::Registers;
use super::transport::{Mmio, Transport};
use crate::board::{MmioPlace, Places};
use crate::memory::{MemoryError, memory};
use crate::{affinity, output};
use alloc::boxed::Box;
use alloc::vec::Vec;
use embodios_arch::paging::PAGE;
use embodios_arch::{Line, PhysRange};

/// Bytes of a virtio-mmio device's registers (virtio 1.2, 4.2.2), with the configuration of those driven here.
const MMIO_BYTES: u64 = 0x200;

/// A device by memory-mapped registers.
struct MmioDevice {
    kind: u32,
    registers: PhysRange,
    transport: Mmio,
    line: Line,
}

/// Devices that were found and not taken yet.
pub struct Discovery {
    mmio: Vec<MmioDevice>,
    bridge: Option<Bridge>,
}

impl Discovery {
    /// Looks at all places.
    ///
    /// # Safety
    /// The places are this machine's, and nothing else drives what is there.
    pub unsafe fn new(places: &Places) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self { mmio: by_mmio(places), bridge: places.pci.map(|host| Bridge::open(host)) } }
    }

    /// The first network device; it and the id of its interrupts, which are led to the first housekeeping core.
    pub fn network(&mut self) -> Option<(Network, u32)> {
        let (transport, interrupt) = self.take(network::KIND, true)?;
        Some((usable("network", Network::new(transport, &mut memory()))?, interrupt?))
    }

    /// The first entropy device, which interrupts nobody.
    pub fn entropy(&mut self) -> Option<Entropy> {
        let (transport, _) = self.take(entropy::KIND, false)?;
        usable("entropy", Entropy::new(transport, &mut memory()))
    }

    /// Takes the first device of a kind: the way to it, and the id of its interrupts where they are `routed` to the
    /// first housekeeping core.
    fn take(&mut self, kind: u32, routed: bool) -> Option<(Box<dyn Transport>, Option<u32>)> {
        while let Some(index) = self.mmio.iter().position(|device| device.kind == kind) {
            let MmioDevice { registers, transport, line, .. } = self.mmio.remove(index);
            if !routed {
                return Some((Box::new(transport), None));
            }
            let core = affinity::interrupt_core().hardware;
            if let Some(id) = output::board().and_then(|board| board.route(line, core)) {
                return Some((Box::new(transport), Some(id)));
            }
            log::error!("no interrupt controller takes line {} of the device at {registers}", line.number);
        }
        self.bridge.as_mut()?.take(kind, routed)
    }
}

/// A device that got its memory.
fn usable<T>(name: &str, device: Result<T, MemoryError>) -> Option<T> {
    device.inspect_err(|error| log::error!("the {name} device is not used: {error}")).ok()
}

/// # Safety
/// As for [`Discovery::new`].
unsafe fn by_mmio(places: &Places) -> Vec<MmioDevice> {
    let mut mapped: Option<(PhysRange, Registers)> = None;
    let mut devices = Vec::new();
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
        if let Some((kind, transport)) = whole.and_then(Mmio::find) {
            devices.push(MmioDevice { kind, registers, transport, line });
        }
    }
    devices
}
