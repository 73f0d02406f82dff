//! Addresses of BARs: firmware's, or else the next free ones of the host bridge's window.

use embodios_arch::PhysRange;
use pci_types::{Bar, ConfigRegionAccess, EndpointHeader, PciAddress};

/// First BAR in configuration space.
const BAR_0: u16 = 0x10;
/// Largest BAR that is given an address: registers are a few KiB.
const LARGEST: u64 = 16 << 20;

/// Addresses that the host bridge leads to its functions, and that firmware gave to none.
pub struct Window {
    free: PhysRange,
}

impl Window {
    /// All of `range`; nothing where firmware assigns addresses itself.
    pub fn new(range: Option<PhysRange>) -> Self {
        Self { free: range.unwrap_or(PhysRange::new(0, 0)) }
    }

    /// The next `size` bytes, a power of two, at a multiple of it.
    fn take(&mut self, size: u64) -> Option<PhysRange> {
        let start = self.free.start.0.checked_next_multiple_of(size)?;
        let range = PhysRange::new(start, size);
        let fits = size <= LARGEST && self.free.contains(range) && range.length() == size;
        fits.then(|| {
            self.free.start = range.end;
            range
        })
    }
}

/// The memory BARs of a function, whose decoding is off, each with an address as far as there is one.
pub fn bars(
    space: &impl ConfigRegionAccess,
    endpoint: &EndpointHeader,
    address: PciAddress,
    window: &mut Window,
) -> [Option<PhysRange>; 6] {
    let mut bars = [None; 6];
    let mut slot = 0u8;
    while slot < 6 {
        let this = slot;
        slot += 1;
        let register = BAR_0 + 4 * u16::from(this);
        // SAFETY: BARs are registers of every endpoint.
        let kind = unsafe { space.read(address, register) } & 0b111;
        // I/O ports are not used here, and the other kinds are reserved.
        if kind != 0b000 && kind != 0b100 {
            continue;
        }
        let (start, size, wide) = match endpoint.bar(this, space) {
            Some(Bar::Memory32 { address, size, .. }) => (u64::from(address), u64::from(size), false),
            Some(Bar::Memory64 { address, size, .. }) => (address, size, true),
            _ => continue,
        };
        slot += u8::from(wide);
        let unassigned = start == 0 || start == u64::from(u32::MAX) & !(size - 1) || start == !(size - 1);
        if !unassigned {
            bars[usize::from(this)] = Some(PhysRange::new(start, size));
        } else if let Some(range) = window.take(size) {
            // SAFETY: as above; the window's addresses lead to this bridge and to no other function.
            unsafe {
                space.write(address, register, range.start.0 as u32);
                if wide {
                    space.write(address, register + 4, (range.start.0 >> 32) as u32);
                }
            }
            bars[usize::from(this)] = Some(range);
        }
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;
    use std::vec::Vec;

    /// A function's BARs: size mask, and what is written.
    struct Function(RefCell<[(u32, u32); 6]>);

    impl ConfigRegionAccess for Function {
        unsafe fn read(&self, _: PciAddress, offset: u16) -> u32 {
            match offset {
                0x08 => 0x0200_0000,
                BAR_0..0x28 => {
                    let (mask, value) = self.0.borrow()[usize::from(offset - BAR_0) / 4];
                    value & mask | if mask & 1 == 0 && mask != 0 { mask & 0b110 } else { mask & 1 }
                }
                _ => 0,
            }
        }

        unsafe fn write(&self, _: PciAddress, offset: u16, value: u32) {
            if let BAR_0..0x28 = offset {
                self.0.borrow_mut()[usize::from(offset - BAR_0) / 4].1 = value;
            }
        }
    }

    #[test]
    fn bars_without_an_address_get_one_and_others_keep_theirs() {
        let function = Function(RefCell::new([
            // 32 bytes of I/O, 4 KiB at an address, 16 KiB of 64 bits without one, 64 KiB without one.
            (0xffff_ffe1, 0xc000),
            (0xffff_f000, 0xfebc_0000),
            (0xffff_c000 | 0b100, 0),
            (0xffff_fff8, 0),
            (0xffff_0000, u32::MAX),
            (0, 0),
        ]));
        let address = PciAddress::new(0, 0, 3, 0);
        let header = pci_types::PciHeader::new(address);
        let endpoint = EndpointHeader::from_header(header, &function).expect("an endpoint");
        let mut window = Window::new(Some(PhysRange::new(0xe000_1000, 0x3_0000)));
        let found: Vec<_> = bars(&function, &endpoint, address, &mut window).into_iter().flatten().collect();
        let expected = [
            PhysRange::new(0xfebc_0000, 0x1000),
            PhysRange::new(0xe000_4000, 0x4000),
            PhysRange::new(0xe001_0000, 0x1_0000),
        ];
        assert_eq!(found, expected);
        assert_eq!(function.0.borrow()[2].1, 0xe000_4000);
        assert!(window.take(0x2_0000).is_none() && window.take(0x1_0000).is_some());
    }
}
