//! PCI: configuration space, the walk over buses, BARs, MSI-X (PCI Express Base 5.0, 7.5 and 7.7; virtio 1.2, 4.1).
//!
//! BARs that firmware left unassigned get an address in the host bridge's window. Nothing that a function says of
//! itself is trusted to be in range.

mod assign;

use super::registers::Registers;
use super::transport::{Pci, QUEUES, Transport};
use crate::board::{PciConfiguration, PciHost};
use crate::{affinity, output};
use alloc::boxed::Box;
use alloc::vec::Vec;
use assign::Window;
use embodios_arch::paging::PAGE;
use embodios_arch::{Line, PhysRange};
use pci_types::capability::PciCapability;
use pci_types::{
    CommandRegister, ConfigRegionAccess, EndpointHeader, HeaderType, PciAddress, PciHeader,
    PciPciBridgeHeader,
};

/// Vendor of virtio devices; their device ids begin at this one, and are the kind from there on (4.1.2).
const VIRTIO: u16 = 0x1af4;
const FIRST_DEVICE: u16 = 0x1040;
/// Device id of a network device that also speaks the protocol of before version 1.0 (4.1.2.1).
const TRANSITIONAL_NETWORK: u16 = 0x1000;
/// Bytes of a bus in configuration space, and of a function.
const BUS_BYTES: u64 = 1 << 20;
const FUNCTION_BYTES: u64 = 1 << 12;
/// Buses that are looked at.
const MAX_BUSES: usize = 32;
/// Capabilities of a function that are looked at: a list may bite its own tail.
const MAX_CAPABILITIES: usize = 48;
/// Bytes of an MSI-X table entry.
const ENTRY: u64 = 16;

/// Configuration space.
struct Space {
    host: PciHost,
    /// Buses that have been mapped, with their registers.
    buses: Vec<(u8, Registers)>,
}

impl Space {
    /// Makes a bus reachable; false when it is not.
    ///
    /// # Safety
    /// The host bridge's space is where `host` says, and nothing else uses it.
    unsafe fn reach(&mut self, bus: u8) -> bool {
        let PciConfiguration::Memory(space) = self.host.configuration else { return true };
        let range = PhysRange::new(space.start.0 + u64::from(bus) * BUS_BYTES, BUS_BYTES);
        if !space.contains(range) {
            return false;
        }
        // SAFETY: the caller's promise.
        match unsafe { Registers::map(range) } {
            Ok(registers) => self.buses.push((bus, registers)),
            Err(error) => log::error!("PCI bus {bus} cannot be reached: {error}"),
        }
        self.buses.last().is_some_and(|&(last, _)| last == bus)
    }

    fn function(&self, address: PciAddress) -> Option<Registers> {
        let (_, registers) = self.buses.iter().find(|&&(bus, _)| bus == address.bus())?;
        let function = u64::from(address.device()) << 3 | u64::from(address.function());
        registers.part(function * FUNCTION_BYTES, FUNCTION_BYTES)
    }
}

impl ConfigRegionAccess for Space {
    unsafe fn read(&self, address: PciAddress, offset: u16) -> u32 {
        match self.host.configuration {
            PciConfiguration::Memory(_) => {
                self.function(address).map_or(u32::MAX, |function| function.read32(offset.into()))
            }
            PciConfiguration::Ports => {
                output::board().map_or(u32::MAX, |board| board.read_pci(port_address(address, offset)))
            }
        }
    }

    unsafe fn write(&self, address: PciAddress, offset: u16, value: u32) {
        match self.host.configuration {
            PciConfiguration::Memory(_) => {
                if let Some(function) = self.function(address) {
                    function.write32(offset.into(), value);
                }
            }
            PciConfiguration::Ports => {
                if let Some(board) = output::board() {
                    board.write_pci(port_address(address, offset), value);
                }
            }
        }
    }
}

/// The word that selects a register by ports (PCI 3.0, 3.2.2.3.2).
fn port_address(address: PciAddress, offset: u16) -> u32 {
    let function = u32::from(address.device()) << 3 | u32::from(address.function());
    1 << 31 | u32::from(address.bus()) << 16 | function << 8 | u32::from(offset & 0xfc)
}

/// Finds the first virtio device of a kind; the way to it, and the id of its interrupts.
///
/// # Safety
/// `host` is this machine's host bridge, and nothing else drives what is behind it.
pub unsafe fn find(host: PciHost, kind: u32) -> Option<(Box<dyn Transport>, u32)> {
    let mut space = Space { host, buses: Vec::new() };
    let mut window = Window::new(host.window);
    let mut buses: Vec<u8> = [0].into();
    let mut next = 0;
    while let Some(&bus) = buses.get(next)
        && next < MAX_BUSES
    {
        next += 1;
        // SAFETY: the caller's promise.
        if !unsafe { space.reach(bus) } {
            continue;
        }
        // The host bridge is the first function of its bus; without one there is nothing.
        if bus == 0 && functions(&space, 0, 0) == 0 {
            return None;
        }
        for device in 0..32 {
            for function in 0..functions(&space, bus, device) {
                let address = PciAddress::new(0, bus, device, function);
                let header = PciHeader::new(address);
                if is_kind(header.id(&space), kind)
                    && let Some(endpoint) = EndpointHeader::from_header(header, &space)
                {
                    // SAFETY: the caller's promise.
                    match unsafe { open(&space, endpoint, address, &mut window) } {
                        Ok(found) => return Some(found),
                        Err(why) => log::error!("the device at PCI address {address} is not used: {why}"),
                    }
                } else if let Some(behind) = secondary(&space, address)
                    && !buses.contains(&behind)
                {
                    buses.push(behind);
                }
            }
        }
    }
    None
}

/// Functions of a device, present or not; none where there is no device.
fn functions(space: &Space, bus: u8, device: u8) -> u8 {
    let first = PciHeader::new(PciAddress::new(0, bus, device, 0));
    match first.id(space) {
        (u16::MAX, _) => 0,
        _ if first.has_multiple_functions(space) => 8,
        _ => 1,
    }
}

/// The bus behind a bridge, as firmware numbered it.
fn secondary(space: &Space, address: PciAddress) -> Option<u8> {
    let header = PciHeader::new(address);
    if header.id(space).0 == u16::MAX || header.header_type(space) != HeaderType::PciPciBridge {
        return None;
    }
    let bridge = PciPciBridgeHeader::from_header(header, space)?;
    Some(bridge.secondary_bus_number(space)).filter(|&bus| bus > 0)
}

fn is_kind((vendor, device): (u16, u16), kind: u32) -> bool {
    let own = device.checked_sub(FIRST_DEVICE).map(u32::from);
    let transitional = (device == TRANSITIONAL_NETWORK).then_some(super::network::KIND);
    vendor == VIRTIO && own.or(transitional) == Some(kind)
}

/// A structure in a BAR (virtio 1.2, 4.1.4).
struct Structure {
    bar: u8,
    offset: u64,
    length: u64,
    /// The word behind, of a structure of doorbells: its multiplier.
    more: u32,
}

/// Opens a virtio device.
///
/// # Safety
/// As for [`find`].
unsafe fn open(
    space: &Space,
    mut endpoint: EndpointHeader,
    address: PciAddress,
    window: &mut Window,
) -> Result<(Box<dyn Transport>, u32), &'static str> {
    // Decoding is off while BARs are sized: some hypervisors end a machine whose BAR is all ones for a moment.
    endpoint.update_command(space, |command| {
        command
            - CommandRegister::MEMORY_ENABLE
            - CommandRegister::IO_ENABLE
            - CommandRegister::BUS_MASTER_ENABLE
    });
    let bars = assign::bars(space, &endpoint, address, window);
    endpoint.update_command(space, |command| {
        command | CommandRegister::MEMORY_ENABLE | CommandRegister::BUS_MASTER_ENABLE
    });
    let mut mapped: [Option<Registers>; 6] = [None; 6];
    let mut map = |bar: u8, offset: u64, length: u64| {
        let missing = "a structure lies in a BAR that has no address";
        let place = mapped.get_mut(usize::from(bar)).ok_or(missing)?;
        if place.is_none() {
            let range: PhysRange = bars[usize::from(bar)].ok_or(missing)?;
            // SAFETY: the caller's promise; the BAR is this function's.
            *place = unsafe { Registers::map(range.widen(PAGE)) }
                .ok()
                .and_then(|whole| whole.part(range.start.0 % PAGE, range.length()));
        }
        let whole = place.ok_or("its registers cannot be mapped")?;
        whole.part(offset, length).ok_or("a structure reaches out of its BAR")
    };
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
        Ok::<_, &str>((map(found.bar, found.offset, found.length)?, found.more))
    };
    let (common, _) = structure(1)?;
    let (notify, multiplier) = structure(2)?;
    let (interrupt_status, _) = structure(3)?;
    let (configuration, _) = structure(4)?;
    let core = affinity::interrupt_core().hardware;
    let board = output::board().ok_or("there is no board")?;
    let message = messages.as_ref().and_then(|_| board.message(core));
    let id = match (&mut messages, message) {
        (Some(capability), Some(message)) => {
            let entry = map(capability.table_bar(), capability.table_offset().into(), ENTRY)?;
            entry.write32(0, message.address as u32);
            entry.write32(4, (message.address >> 32) as u32);
            entry.write32(8, message.data);
            entry.write32(12, 0);
            capability.set_function_mask(false, space);
            capability.set_enabled(true, space);
            message.id
        }
        _ => {
            let line = line(space, &endpoint, address)
                .ok_or("it has no MSI-X, and its interrupt line is unknown")?;
            board.route(line, core).ok_or("no interrupt controller takes its line")?
        }
    };
    let messages = message.is_some();
    let doorbells = [0; QUEUES];
    let device = Pci { common, notify, multiplier, interrupt_status, configuration, messages, doorbells };
    Ok((Box::new(device), id))
}

/// The interrupt line of a function's pin, where the host bridge's are known.
fn line(space: &Space, endpoint: &EndpointHeader, address: PciAddress) -> Option<Line> {
    let (pin, _) = endpoint.interrupt(space);
    let lines = space.host.lines?;
    let pin = pin.checked_sub(1).filter(|&pin| pin < 4)?;
    // Pins are swizzled over slots (PCI-to-PCI Bridge 1.2, 9.1), as host bridges with four lines have them too.
    (address.bus() == 0).then(|| lines[usize::from(address.device() + pin) % 4])
}
