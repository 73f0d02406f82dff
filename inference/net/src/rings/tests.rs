//! The rings with a device that works, and with one that lies.

use proptest::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;

use super::used::{ENTRY as USED_ENTRY, MAX_LOST};
use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// A device and the memory that it shares.
struct Device {
    available: Vec<u8>,
    used: [Vec<u8>; 2],
    receive: Vec<[u8; BUFFER_BYTES]>,
    send: Vec<[u8; BUFFER_BYTES]>,
    /// Index of the next available entry of the receiving queue.
    next: u16,
    /// Frames handed over and not sent yet.
    waiting: Vec<Outgoing>,
    sent: Vec<Vec<u8>>,
    /// Frames that a call takes.
    takes: usize,
    doorbells: usize,
}

impl Default for Device {
    fn default() -> Self {
        let entries = usize::from(BUFFERS);
        let used = || vec![0; ENTRIES + USED_ENTRY * entries];
        Self {
            available: vec![0; ENTRIES + 2 * entries],
            used: [used(), used()],
            receive: vec![[0xee; BUFFER_BYTES]; entries],
            send: vec![[0xee; BUFFER_BYTES]; entries],
            next: 0,
            waiting: Vec::new(),
            sent: Vec::new(),
            takes: usize::MAX,
            doorbells: 0,
        }
    }
}

fn get(bytes: &[u8], offset: usize) -> u16 {
    assert_eq!(offset % 2, 0);
    u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
}

fn set(bytes: &mut [u8], offset: usize, value: u16) {
    bytes[offset..offset + 2].copy_from_slice(&value.to_le_bytes());
}

impl Device {
    /// Uses a buffer of queue 0 (receiving) or 1 (sending).
    fn use_buffer(&mut self, queue: usize, buffer: u32, length: u32) {
        let ring = &mut self.used[queue];
        let index = get(ring, INDEX);
        let entry = ENTRIES + USED_ENTRY * usize::from(index % BUFFERS);
        ring[entry..entry + 4].copy_from_slice(&buffer.to_le_bytes());
        ring[entry + 4..entry + 8].copy_from_slice(&length.to_le_bytes());
        set(ring, INDEX, index.wrapping_add(1));
    }

    /// Puts a frame into the next buffer. False: there is none.
    fn receive(&mut self, frame: &[u8]) -> bool {
        if get(&self.available, INDEX) == self.next {
            return false;
        }
        let buffer = get(&self.available, ENTRIES + 2 * usize::from(self.next % BUFFERS));
        self.next = self.next.wrapping_add(1);
        let whole = &mut self.receive[usize::from(buffer)];
        whole[..HEADER].fill(0xaa);
        whole[HEADER..HEADER + frame.len()].copy_from_slice(frame);
        self.use_buffer(0, buffer.into(), (HEADER + frame.len()) as u32);
        true
    }

    /// Sends what waits.
    fn send(&mut self) {
        for Outgoing { buffer, length } in std::mem::take(&mut self.waiting) {
            let bytes = &self.send[usize::from(buffer)][..length.into()];
            assert_eq!(bytes[..HEADER], [0; HEADER]);
            self.sent.push(bytes[HEADER..].to_vec());
            self.use_buffer(1, buffer.into(), 0);
        }
    }
}

#[derive(Clone, Default)]
struct Memory(Rc<RefCell<Device>>);

impl Shared for Memory {
    fn load(&self, area: Area, offset: usize) -> u16 {
        let device = self.0.borrow();
        match area {
            Area::ReceiveAvailable => get(&device.available, offset),
            Area::ReceiveUsed => get(&device.used[0], offset),
            Area::SendUsed => get(&device.used[1], offset),
        }
    }

    fn load_wide(&self, area: Area, offset: usize) -> u32 {
        assert_eq!(offset % 4, 0);
        u32::from(self.load(area, offset)) | u32::from(self.load(area, offset + 2)) << 16
    }

    fn store(&mut self, offset: usize, value: u16) {
        set(&mut self.0.borrow_mut().available, offset, value);
    }

    fn fence(&self) {}

    fn read(&self, buffer: u16, start: usize, bytes: &mut [u8]) {
        let whole = &self.0.borrow().receive[usize::from(buffer)];
        bytes.copy_from_slice(&whole[start..start + bytes.len()]);
    }

    fn write(&mut self, buffer: u16, start: usize, bytes: &[u8]) {
        let mut device = self.0.borrow_mut();
        let whole = &mut device.send[usize::from(buffer)];
        whole[start..start + bytes.len()].copy_from_slice(bytes);
    }

    fn submit(&mut self, frames: &[Outgoing]) -> usize {
        let mut device = self.0.borrow_mut();
        let taken = frames.len().min(device.takes);
        device.waiting.extend_from_slice(&frames[..taken]);
        taken
    }

    fn doorbell(&mut self) {
        self.0.borrow_mut().doorbells += 1;
    }
}

fn rings() -> (Memory, Rings<Memory>) {
    let memory = Memory::default();
    (memory.clone(), Rings::new(memory, MAC, 1500))
}

fn frame(number: u32, bytes: usize) -> Vec<u8> {
    number.to_le_bytes().into_iter().cycle().take(bytes).collect()
}

#[test]
fn all_buffers_are_the_devices_at_first_and_again_after_a_reset() {
    let (memory, mut rings) = rings();
    for _ in 0..2 {
        assert_eq!(get(&memory.0.borrow().available, INDEX), BUFFERS);
        assert_eq!(memory.0.borrow().doorbells, 1);
        let mut buffers: Vec<u16> = (0..usize::from(BUFFERS))
            .map(|entry| get(&memory.0.borrow().available, ENTRIES + 2 * entry))
            .collect();
        buffers.sort_unstable();
        assert_eq!(buffers, (0..BUFFERS).collect::<Vec<u16>>());
        *memory.0.borrow_mut() = Device::default();
        rings.restart();
    }
}

#[test]
fn indices_go_round_beyond_65536_both_ways() {
    let (memory, mut rings) = rings();
    let mut buffer = [0; 1514];
    for number in 0..70_000u32 {
        let bytes = 14 + number as usize % 1500;
        let sent = frame(number, bytes);
        assert!(memory.0.borrow_mut().receive(&sent));
        assert_eq!(rings.receive(&mut buffer), Some(bytes));
        assert_eq!(buffer[..bytes], sent);
        assert_eq!(rings.receive(&mut buffer), None);
        assert!(rings.room());
        rings.send(&sent);
        rings.flush();
        memory.0.borrow_mut().send();
        assert_eq!(memory.0.borrow_mut().sent.pop(), Some(sent));
    }
    let figures = RingFigures { received: 70_000, sent: 70_000, batches: 70_000, ..rings.figures() };
    assert_eq!((rings.figures(), rings.broken()), (figures, None));
    assert_eq!(figures.wrong_buffers + figures.wrong_lengths + figures.not_taken, 0);
}

#[test]
fn a_full_ring_is_received_and_sent_in_order() {
    let (memory, mut rings) = rings();
    for number in 0..u32::from(BUFFERS) {
        assert!(memory.0.borrow_mut().receive(&frame(number, 60)));
    }
    assert!(!memory.0.borrow_mut().receive(&frame(BUFFERS.into(), 60)));
    let mut buffer = [0; 1514];
    for number in 0..u32::from(BUFFERS) {
        assert_eq!(rings.receive(&mut buffer), Some(60));
        assert_eq!(buffer[..60], frame(number, 60));
        rings.send(&frame(number, 60));
    }
    // With no buffer left, the batch is handed over, but the device has not sent it.
    assert!(!rings.room());
    rings.send(&frame(BUFFERS.into(), 60));
    memory.0.borrow_mut().send();
    assert!(rings.room());
    let sent = std::mem::take(&mut memory.0.borrow_mut().sent);
    assert_eq!(sent, (0..u32::from(BUFFERS)).map(|number| frame(number, 60)).collect::<Vec<_>>());
    assert_eq!((rings.figures().batches, rings.figures().sent), (1, BUFFERS.into()));
}

#[test]
fn frames_that_the_kernel_does_not_take_give_their_buffers_back() {
    let (memory, mut rings) = rings();
    memory.0.borrow_mut().takes = 1;
    for number in 0..1000 {
        assert!(rings.room());
        rings.send(&frame(number, 60));
        rings.send(&frame(number, 60));
        rings.flush();
        memory.0.borrow_mut().send();
    }
    assert_eq!((rings.figures().sent, rings.figures().not_taken), (1000, 1000));
}

#[test]
fn the_doorbell_rings_only_for_a_device_that_wants_it() {
    let (memory, mut rings) = rings();
    let mut buffer = [0; 1514];
    rings.flush();
    assert_eq!(memory.0.borrow().doorbells, 1);
    for (flags, doorbells) in [(QUIET, 1), (0, 2)] {
        set(&mut memory.0.borrow_mut().used[0], FLAGS, flags);
        assert!(memory.0.borrow_mut().receive(&frame(1, 60)));
        assert_eq!(rings.receive(&mut buffer), Some(60));
        rings.flush();
        assert_eq!(memory.0.borrow().doorbells, doorbells);
    }
}

#[test]
fn a_frame_that_came_before_interrupts_were_on_is_seen() {
    let (memory, mut rings) = rings();
    assert!(!rings.interrupts(false));
    assert_eq!(get(&memory.0.borrow().available, FLAGS), QUIET);
    assert!(memory.0.borrow_mut().receive(&frame(1, 60)));
    assert!(rings.interrupts(true));
    assert_eq!(get(&memory.0.borrow().available, FLAGS), 0);
    rings.receive(&mut [0; 1514]);
    assert!(!rings.interrupts(true));
}

#[test]
fn wrong_lengths_are_skipped_and_their_buffers_used_again() {
    let (memory, mut rings) = rings();
    let mut buffer = [0; 1514];
    for round in 0..1000 {
        for length in [0, 11, 12, 2049, u32::MAX, 12 + 1515] {
            assert!(memory.0.borrow_mut().receive(&frame(round, 60)));
            let ring = &mut memory.0.borrow_mut().used[0];
            let entry = ENTRIES + USED_ENTRY * usize::from(get(ring, INDEX).wrapping_sub(1) % BUFFERS);
            ring[entry + 4..entry + 8].copy_from_slice(&length.to_le_bytes());
        }
        assert!(memory.0.borrow_mut().receive(&frame(round, 60)));
        assert_eq!(rings.receive(&mut buffer), Some(60));
        assert_eq!(buffer[..60], frame(round, 60));
    }
    assert_eq!((rings.figures().wrong_lengths, rings.broken()), (6000, None));
}

#[test]
fn wrong_buffers_are_skipped_until_there_are_too_many() {
    let (memory, mut rings) = rings();
    let mut buffer = [0; 1514];
    assert!(memory.0.borrow_mut().receive(&frame(1, 60)));
    assert_eq!(rings.receive(&mut buffer), Some(60));
    for wrong in 0..u32::from(MAX_LOST) {
        assert_eq!(rings.broken(), None);
        // Beyond the ring.
        memory.0.borrow_mut().next += 1;
        memory.0.borrow_mut().use_buffer(0, u32::from(BUFFERS) + 65_536 * wrong, 72);
        assert!(memory.0.borrow_mut().receive(&frame(wrong, 60)));
        assert_eq!(rings.receive(&mut buffer), Some(60));
        assert_eq!(buffer[..60], frame(wrong, 60));
    }
    memory.0.borrow_mut().use_buffer(0, BUFFERS.into(), 72);
    assert_eq!(rings.receive(&mut buffer), None);
    assert_eq!(rings.broken(), Some(Broken::Buffers(Area::ReceiveUsed)));
    assert_eq!(rings.figures().wrong_buffers, MAX_LOST.into());
    assert!(!rings.room());
}

#[test]
fn a_buffer_used_twice_is_received_once() {
    let (memory, mut rings) = rings();
    let mut buffer = [0; 1514];
    assert!(memory.0.borrow_mut().receive(&frame(1, 60)));
    let named = u32::from(get(&memory.0.borrow().available, ENTRIES));
    memory.0.borrow_mut().use_buffer(0, named, 72);
    assert_eq!(rings.receive(&mut buffer), Some(60));
    // By now it is the device's again, so that naming it is right.
    assert_eq!(rings.receive(&mut buffer), Some(60));
    rings.send(&frame(1, 60));
    rings.flush();
    memory.0.borrow_mut().send();
    memory.0.borrow_mut().use_buffer(1, 0, 0);
    for _ in 0..256 {
        rings.room();
        rings.send(&frame(1, 60));
    }
    // More used than given.
    let index = Broken::Index { area: Area::SendUsed, used: 2, given: 1 };
    assert_eq!(rings.broken(), Some(index));
    assert_eq!(index.to_string(), "sending queue: 2 buffers used of 1 given");
}

/// What a device does next.
#[derive(Clone, Debug)]
enum Act {
    Receive(u8),
    Send,
    Use(usize, u32, u32),
    Index(usize, u16),
    Flags(usize, u16),
    Poll,
}

fn act() -> impl Strategy<Value = Act> {
    let buffer = prop_oneof![0u32..256, Just(256), any::<u32>()];
    let length = prop_oneof![0u32..80, 2000u32..2100, any::<u32>()];
    prop_oneof![
        4 => any::<u8>().prop_map(Act::Receive),
        4 => Just(Act::Send),
        2 => (0usize..2, buffer, length).prop_map(|(queue, buffer, length)| Act::Use(queue, buffer, length)),
        1 => (0usize..2, prop_oneof![0u16..3, any::<u16>()]).prop_map(|(queue, step)| Act::Index(queue, step)),
        1 => (0usize..2, any::<u16>()).prop_map(|(queue, flags)| Act::Flags(queue, flags)),
        4 => Just(Act::Poll),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    /// The fake memory panics at any access out of range.
    #[test]
    fn a_device_that_lies_is_outlived(acts in prop::collection::vec(act(), 0..200)) {
        let (memory, mut rings) = rings();
        let mut buffer = [0; 1514];
        for act in acts {
            match act {
                Act::Receive(bytes) => drop(memory.0.borrow_mut().receive(&frame(7, bytes.into()))),
                Act::Send => memory.0.borrow_mut().send(),
                Act::Use(queue, buffer, length) => memory.0.borrow_mut().use_buffer(queue, buffer, length),
                Act::Index(queue, step) => {
                    let ring = &mut memory.0.borrow_mut().used[queue];
                    let index = get(ring, INDEX).wrapping_add(step);
                    set(ring, INDEX, index);
                }
                Act::Flags(queue, flags) => set(&mut memory.0.borrow_mut().used[queue], FLAGS, flags),
                Act::Poll => {
                    let mut frames = 0;
                    while let Some(bytes) = rings.receive(&mut buffer) {
                        prop_assert!((1..=1514).contains(&bytes));
                        frames += 1;
                        prop_assert!(frames <= 256);
                    }
                    for _ in 0..10 {
                        rings.send(&buffer[..60]);
                    }
                    rings.flush();
                }
            }
        }
        // After a reset it works again.
        *memory.0.borrow_mut() = Device::default();
        rings.restart();
        prop_assert!(memory.0.borrow_mut().receive(&frame(7, 60)));
        prop_assert_eq!(rings.receive(&mut buffer), Some(60));
    }
}
