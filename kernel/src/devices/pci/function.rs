//! A virtio function: its structures in BARs, and its interrupts (PCI Express Base 5.0, 7.7; virtio 1.2, 4.1).

use super::Space;
use super::assign::{self, Window};
use crate::devices::registers::Registers;
use crate::devices::transport::{Pci, QUEUES};
use crate::{affinity, output};
use embodios_arch::paging::PAGE;
use embodios_arch::{Line, PhysRange};
use pci_types::capability::{MsixCapability, PciCapability};
use pci_types::{CommandRegister, ConfigRegionAccess, EndpointHeader, PciAddress, PciHeader};

/// Capabilities of a function that are looked at: a list may bite its own tail.
const MAX_CAPABILITIES: usize = 48;
/// Bytes of an MSI-X table entry.
const ENTRY: u64 = 16;

/// A structure in a BAR (virtio 1.2, 4.1.4).
struct Structure {
    bar: u8,
    offset: u64,
    length: u64,
    /// The word behind, of a structure of doorbells: its multiplier.
    more: u32,
}

/// The BARs of a function, mapped when a structure in them is.
struct Bars {
    places: [Option<PhysRange>; 6],
    mapped: [Option<Registers>; 6],
}

impl Bars {
    /// Registers in a BAR.
    fn map(&mut self, bar: u8, offset: u64, length: u64) -> Result<Registers, &'static str> {
        let missing = "a structure lies in a BAR that has no address";
        let mapped = self.mapped.get_mut(usize::from(bar)).ok_or(missing)?;
        if mapped.is_none() {
            let range: PhysRange = self.places[usize::from(bar)].ok_or(missing)?;
            // SAFETY: the BAR is this function's, which nothing else drives (`Function::open`).
            *mapped = unsafe { Registers::map(range.widen(PAGE)) }
                .ok()
                .and_then(|whole| whole.part(range.start.0 % PAGE, range.length()));
        }
        let whole = mapped.ok_or("its registers cannot be mapped")?;
        whole.part(offset, length).ok_or("a structure reaches out of its BAR")
    }
}

/// An open function, which interrupts nobody.
pub struct Function {
    pub device: Pci,
    endpoint: EndpointHeader,
    address: PciAddress,
    /// Its messages, and the first entry of their table.
    messages: Option<(MsixCapability, Registers)>,
}

impl Function {
    /// Opens the function at `address`.
    ///
    /// # Errors
    /// What it lacks.
    ///
    /// # Safety
    /// It is a virtio function, and nothing else drives it.
    pub unsafe fn open(
        space: &Space,
        address: PciAddress,
        window: &mut Window,
    ) -> Result<Self, &'static str> {
        let header = PciHeader::new(address);
        let mut endpoint = EndpointHeader::from_header(header, space).ok_or("it is no endpoint")?;
        // Decoding is off while BARs are sized: some hypervisors end a machine whose BAR is all ones for a moment.
        endpoint.update_command(space, |command| {
            let off = CommandRegister::MEMORY_ENABLE
                | CommandRegister::IO_ENABLE
                | CommandRegister::BUS_MASTER_ENABLE;
            (command - off) | CommandRegister::INTERRUPT_DISABLE
        });
        let places = assign::bars(space, &endpoint, address, window);
        endpoint.update_command(space, |command| {
            command | CommandRegister::MEMORY_ENABLE | CommandRegister::BUS_MASTER_ENABLE
        });
        let mut bars = Bars { places, mapped: [None; 6] };
        let (mut structures, mut messages) = ([const { None::<Structure> }; 5], None);
        for capability in endpoint.capabilities(space).take(MAX_CAPABILITIES) {
            match capability {
                PciCapability::Vendor(place) => {
                    // SAFETY: a capability's words lie in the function's configuration space.
                    let word = |index: u16| unsafe { space.read(address, place.offset + 4 * index) };
                    let kind = (word(0) >> 24) as usize;
                    if let Some(structure @ None) = structures.get_mut(kind) {
                        *structure = Some(Structure {
                            bar: word(1) as u8,
                            offset: word(2).into(),
                            length: word(3).into(),
                            more: if kind == 2 { word(4) } else { 0 },
                        });
                    }
                }
                PciCapability::MsiX(capability) => messages = Some(capability),
                _ => {}
            }
        }
        let mut structure = |kind: usize| {
            let found = structures[kind].as_ref().ok_or("it lacks a structure of virtio 1.0")?;
            Ok::<_, &str>((bars.map(found.bar, found.offset, found.length)?, found.more))
        };
        let (common, _) = structure(1)?;
        let (notify, multiplier) = structure(2)?;
        let (interrupt_status, _) = structure(3)?;
        // Not every kind of device has a configuration of its own (4.1.4.6).
        let configuration = structure(4).map_or(Registers::NONE, |(configuration, _)| configuration);
        let messages = messages.and_then(|capability| {
            let entry = bars.map(capability.table_bar(), capability.table_offset().into(), ENTRY).ok()?;
            Some((capability, entry))
        });
        let doorbells = [0; QUEUES];
        let device =
            Pci { common, notify, multiplier, interrupt_status, configuration, messages: false, doorbells };
        Ok(Self { device, endpoint, address, messages })
    }

    /// Leads its interrupts to the first housekeeping core, by a message where it has those; their id.
    ///
    /// # Errors
    /// Why they cannot be led.
    pub fn route(&mut self, space: &Space) -> Result<u32, &'static str> {
        let core = affinity::interrupt_core().hardware;
        let board = output::board().ok_or("there is no board")?;
        if let Some((capability, entry)) = &mut self.messages
            && let Some(message) = board.message(core)
        {
            entry.write32(0, message.address as u32);
            entry.write32(4, (message.address >> 32) as u32);
            entry.write32(8, message.data);
            entry.write32(12, 0);
            capability.set_function_mask(false, space);
            capability.set_enabled(true, space);
            self.device.messages = true;
            return Ok(message.id);
        }
        let line =
            self.line(space).ok_or("it has no MSI-X that serves, and its interrupt line is unknown")?;
        let id = board.route(line, core).ok_or("no interrupt controller takes its line")?;
        self.endpoint.update_command(space, |command| command - CommandRegister::INTERRUPT_DISABLE);
        Ok(id)
    }

    /// The line of its pin, where the host bridge's are known.
    fn line(&self, space: &Space) -> Option<Line> {
        let (pin, _) = self.endpoint.interrupt(space);
        let lines = space.host.lines?;
        let pin = pin.checked_sub(1).filter(|&pin| pin < 4)?;
        // Pins are swizzled over slots (PCI-to-PCI Bridge 1.2, 9.1), as host bridges with four lines have them too.
        (self.address.bus() == 0).then(|| lines[usize::from(self.address.device() + pin) % 4])
    }
}
