//! The network device of the machine: memory that the kernel shares, and one system call.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU16, AtomicU32, Ordering, fence};

use embodios_abi::NetworkInfo;
use embodios_abi::network::{BUFFER, QUEUE, RECEIVE, TRANSMIT, encode_buffer};
use embodios_console::OpenNetwork;
use embodios_net::{
    Address, Area, BUFFER_BYTES, BUFFERS, Link, Network, Outgoing, Rings, Settings, Shared, Stack, StackError,
};
use spin::Once;

use crate::system;

// Both sides have the same buffers, though neither knows the other.
const _: () = assert!(BUFFERS as usize == QUEUE && BUFFER_BYTES == BUFFER);

/// Bytes of the largest IP packet: Ethernet's.
const MTU: usize = 1500;

/// The device's record.
static DEVICE: Once<&'static NetworkInfo> = Once::new();

/// Takes note of the machine's device, whose record is the kernel's. Result: the function that opens it.
pub fn init(device: Option<&'static NetworkInfo>) -> Option<OpenNetwork> {
    device.map(|device| {
        DEVICE.call_once(|| device);
        open as OpenNetwork
    })
}

/// The rings and buffers of a device.
struct Memory(&'static NetworkInfo);

impl Memory {
    fn area(&self, area: Area) -> usize {
        let address = match area {
            Area::ReceiveAvailable => self.0.receive_available,
            Area::ReceiveUsed => self.0.receive_used,
            Area::SendUsed => self.0.transmit_used,
        };
        address as usize
    }

    /// A byte of a buffer, counted over both queues.
    fn byte(&self, buffer: usize, start: usize) -> *mut u8 {
        (self.0.buffers as usize + buffer * BUFFER + start) as *mut u8
    }
}

impl Shared for Memory {
    fn load(&self, area: Area, offset: usize) -> u16 {
        let word = (self.area(area) + offset) as *mut u16;
        // SAFETY: a word inside a ring (trait), which stays mapped for good and which the device may write at any time;
        // it is only loaded from.
        unsafe { AtomicU16::from_ptr(word) }.load(Ordering::Acquire)
    }

    fn load_wide(&self, area: Area, offset: usize) -> u32 {
        let word = (self.area(area) + offset) as *mut u32;
        // SAFETY: as in `load`.
        unsafe { AtomicU32::from_ptr(word) }.load(Ordering::Relaxed)
    }

    fn store(&mut self, offset: usize, value: u16) {
        let word = (self.area(Area::ReceiveAvailable) + offset) as *mut u16;
        // SAFETY: as in `load`; this ring is the engine's to write.
        unsafe { AtomicU16::from_ptr(word) }.store(value, Ordering::Release);
    }

    fn fence(&self) {
        fence(Ordering::SeqCst);
    }

    fn read(&self, buffer: u16, start: usize, bytes: &mut [u8]) {
        // SAFETY: inside a buffer of receive (trait) that the device has given back. One that writes there all the same
        // spoils these bytes and nothing else: they are no more trusted than the frame.
        unsafe { self.byte(buffer.into(), start).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) }
    }

    fn write(&mut self, buffer: u16, start: usize, bytes: &[u8]) {
        let target = self.byte(QUEUE + usize::from(buffer), start);
        // SAFETY: inside a buffer of transmit (trait), which lie behind those of receive, and that the device has not.
        unsafe { target.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
    }

    fn submit(&mut self, frames: &[Outgoing]) -> usize {
        let mut words = [0; QUEUE];
        let count = frames.len().min(QUEUE);
        for (word, frame) in words.iter_mut().zip(frames) {
            *word = encode_buffer(frame.buffer.into(), frame.length.into());
        }
        system::submit(TRANSMIT, &words[..count]).map_or(0, |taken| taken as usize)
    }

    fn doorbell(&mut self) {
        // A device that is gone receives no more.
        let _ = system::submit(RECEIVE, &[]);
    }
}

/// A TCP/IP stack on the device.
struct Wire {
    stack: Stack<Rings<Memory>>,
    event: &'static AtomicU32,
}

/// Opens the machine's network, which it has.
fn open(settings: Settings, now: u64) -> Result<Box<dyn Link>, StackError> {
    let device = DEVICE.get().expect("`init` has handed this function out with it");
    // SAFETY: the kernel's address of a live word that stays mapped, writable, for good; both sides use it as an
    // atomic.
    let event = unsafe { AtomicU32::from_ptr(device.event as *mut u32) };
    let mac = device.mac.first_chunk().copied().unwrap_or_default();
    let stack = Stack::new(Rings::new(Memory(device), mac, MTU), settings, now)?;
    Ok(Box::new(Wire { stack, event }))
}

impl Link for Wire {
    fn network(&mut self) -> &mut dyn Network {
        // Only the kernel resets it: for the next engine.
        if let Some(broken) = self.stack.frames().broken() {
            panic!("the network device is broken: {broken}");
        }
        &mut self.stack
    }

    fn event(&self) -> &'static AtomicU32 {
        self.event
    }

    fn listen(&mut self, on: bool) -> bool {
        self.stack.frames().interrupts(on)
    }

    fn new_addresses(&mut self) -> Option<Vec<Address>> {
        self.stack.addresses_changed().then(|| self.stack.addresses().to_vec())
    }
}
