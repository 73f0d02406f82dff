//! PCI: configuration space, and the walk over buses (PCI Express Base 5.0, 7.5; virtio 1.2, 4.1).
//!
//! BARs that firmware left unassigned get an address in the host bridge's window (`assign`). Nothing that a function
//! says of itself is trusted to be in range (`function`).

mod assign;
mod function;

use super::registers::Registers;
use super::transport::Transport;
use super::{entropy, network};
use crate::board::{PciConfiguration, PciHost};
use crate::output;
use alloc::boxed::Box;
use alloc::vec::Vec;
use assign::Window;
use embodios_arch::PhysRange;
use function::Function;
use pci_types::{ConfigRegionAccess, HeaderType, PciAddress, PciHeader, PciPciBridgeHeader};

/// Vendor of virtio devices; their device ids begin at this one, and are the kind from there on (4.1.2).
const VIRTIO: u16 = 0x1af4;
const FIRST_DEVICE: u16 = 0x1040;
/// Device ids of those that also speak the protocol of before version 1.0, and their kinds (4.1.2.1).
const TRANSITIONAL: [(u16, u32); 2] = [(0x1000, network::KIND), (0x1005, entropy::KIND)];
/// Bytes of a bus in configuration space, and of a function.
const BUS_BYTES: u64 = 1 << 20;
const FUNCTION_BYTES: u64 = 1 << 12;
/// Buses that are looked at.
const MAX_BUSES: usize = 32;

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

/// The virtio functions behind a host bridge.
pub struct Bridge {
    space: Space,
    window: Window,
    /// Their places, and their vendor and device ids.
    functions: Vec<(PciAddress, (u16, u16))>,
}

impl Bridge {
    /// Looks through the buses.
    ///
    /// # Safety
    /// `host` is this machine's host bridge, and nothing else drives what is behind it.
    pub unsafe fn open(host: PciHost) -> Self {
        let window = Window::new(host.window);
        let mut space = Space { host, buses: Vec::new() };
        let mut buses: Vec<u8> = [0].into();
        let (mut found, mut next) = (Vec::new(), 0);
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
                break;
            }
            for device in 0..32 {
                for function in 0..functions(&space, bus, device) {
                    let address = PciAddress::new(0, bus, device, function);
                    let id = PciHeader::new(address).id(&space);
                    if id.0 == VIRTIO {
                        found.push((address, id));
                    } else if let Some(behind) = secondary(&space, address)
                        && !buses.contains(&behind)
                    {
                        buses.push(behind);
                    }
                }
            }
        }
        Self { space, window, functions: found }
    }

    /// Takes the first virtio device of a kind: the way to it, and the id of its interrupts where they are `routed` to
    /// the first housekeeping core.
    pub fn take(&mut self, kind: u32, routed: bool) -> Option<(Box<dyn Transport>, Option<u32>)> {
        while let Some(index) = self.functions.iter().position(|&(_, (_, device))| is_kind(device, kind)) {
            let (address, _) = self.functions.remove(index);
            // SAFETY: nothing else drives what is behind the bridge (`open`'s caller), and this function was not
            // opened before.
            match unsafe { self.device(address, routed) } {
                Ok(device) => return Some(device),
                Err(why) => log::error!("the device at PCI address {address} is not used: {why}"),
            }
        }
        None
    }

    /// # Safety
    /// Nothing drives the function at `address`.
    unsafe fn device(
        &mut self,
        address: PciAddress,
        routed: bool,
    ) -> Result<(Box<dyn Transport>, Option<u32>), &'static str> {
        let Self { space, window, .. } = self;
        // SAFETY: the caller's promise.
        let mut function = unsafe { Function::open(space, address, window) }?;
        let interrupt = if routed { Some(function.route(space)?) } else { None };
        Ok((Box::new(function.device), interrupt))
    }
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

/// Whether virtio's device id `device` is of a kind.
fn is_kind(device: u16, kind: u32) -> bool {
    let own = device.checked_sub(FIRST_DEVICE).map(u32::from);
    let transitional = TRANSITIONAL.iter().find(|&&(id, _)| id == device).map(|&(_, kind)| kind);
    own.or(transitional) == Some(kind)
}
