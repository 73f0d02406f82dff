//! A device for tests, which keeps to the protocol as far as it is told to.

use super::{DeviceError, Rings, Transport};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a device does with its driver.
#[derive(Default)]
pub struct Manners {
    pub offered: u64,
    /// Status bits that it never shows, and those that it always does.
    pub hides: u8,
    pub sticks: u8,
    pub entries: u16,
    /// Word that it writes into the first buffer of a queue when it is notified, and the length that it then says.
    pub answers: Option<(u64, u32)>,
}

/// A device that notes what it is told.
pub struct Fake {
    manners: Manners,
    status: AtomicU16,
    pub chosen: Arc<AtomicU64>,
    pub notified: Arc<AtomicU64>,
    pub queues: Arc<Mutex<Vec<Rings>>>,
    /// Looks at its status that a reset still takes. Until then it writes into the first buffer of every queue.
    pub lag: Arc<AtomicU64>,
}

impl Fake {
    pub fn new(manners: Manners) -> Self {
        let (chosen, notified) = <(Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        Self {
            manners,
            status: AtomicU16::new(0),
            chosen,
            notified,
            queues: Arc::default(),
            lag: Arc::default(),
        }
    }

    fn queues(&self) -> MutexGuard<'_, Vec<Rings>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a device that is not reset yet may do at any time.
    fn write(&self) {
        for rings in self.queues().iter() {
            // SAFETY: a table in the memory of a test, and the first of the buffers that it names.
            unsafe { (*(rings.descriptors as *const u64) as *mut u64).write_volatile(u64::MAX) };
        }
    }

    fn answer(&self, queue: u16) {
        let Some((word, length)) = self.manners.answers else { return };
        let rings = self.queues()[usize::from(queue)];
        // SAFETY: the driver's memory, which is a test's.
        unsafe {
            let [buffer, _] = *(rings.descriptors as *const [u64; 2]);
            (buffer as *mut u64).write_volatile(word);
            ((rings.used + 8) as *mut u32).write_volatile(length);
            (*((rings.used + 2) as *const AtomicU16)).fetch_add(1, Ordering::Release);
        }
    }
}

impl Transport for Fake {
    fn offered(&self, word: u32) -> u32 {
        (self.manners.offered >> (32 * word)) as u32
    }

    fn choose(&self, word: u32, bits: u32) {
        self.chosen.fetch_or(u64::from(bits) << (32 * word), Ordering::Relaxed);
    }

    fn status(&self) -> u8 {
        if self.lag.load(Ordering::Relaxed) > 0 {
            self.lag.fetch_sub(1, Ordering::Relaxed);
            self.write();
            return 1;
        }
        self.status.load(Ordering::Relaxed) as u8 & !self.manners.hides | self.manners.sticks
    }

    fn set_status(&self, status: u8) {
        self.status.store(status.into(), Ordering::Relaxed);
    }

    fn set_queue(&mut self, queue: u16, entries: u16, rings: Rings, _: bool) -> Result<(), DeviceError> {
        if self.manners.entries < entries {
            return Err(DeviceError::ShortQueue { queue, entries: self.manners.entries.into() });
        }
        self.queues().push(rings);
        Ok(())
    }

    fn notify(&self, queue: u16) {
        self.notified.fetch_add(1 << (32 * queue), Ordering::Relaxed);
        self.answer(queue);
    }

    fn acknowledge(&self) {}

    fn configuration(&self, offset: u64) -> u8 {
        0x50 + offset as u8
    }
}
