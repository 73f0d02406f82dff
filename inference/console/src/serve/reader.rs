//! The console's input on a thread of its own, which waits for it while the console's thread waits for requests too.
//!
//! It reads when it is asked to, and no further: bytes that it had not handed on would be lost with the engine.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use embodios_pool::platform::{NEVER, Platform, PlatformError};
use embodios_pool::start_thread;

use crate::placement::housekeeping;

/// Bytes of a read.
pub const READ: usize = 64;

/// States: nothing was asked for; bytes are wanted; bytes are there.
const IDLE: u32 = 0;
const WANTED: u32 = 1;
const THERE: u32 = 2;

/// A thread that reads.
pub struct Reader {
    platform: &'static dyn Platform,
    state: AtomicU32,
    bytes: spin::Mutex<([u8; READ], usize)>,
    /// Changes when bytes are there; its waiters are woken.
    doorbell: Arc<AtomicU32>,
}

impl Reader {
    /// Starts the thread, on housekeeping cores.
    ///
    /// # Errors
    /// When the platform refuses.
    pub fn start(
        platform: &'static dyn Platform,
        doorbell: Arc<AtomicU32>,
    ) -> Result<Arc<Self>, PlatformError> {
        let (state, bytes) = (AtomicU32::new(IDLE), spin::Mutex::new(([0; READ], 0)));
        let reader = Arc::new(Self { platform, state, bytes, doorbell });
        let own = reader.clone();
        start_thread(platform, &housekeeping(platform.cores()), move || own.read())?;
        Ok(reader)
    }

    fn read(&self) {
        loop {
            let state = self.state.load(Ordering::Acquire);
            if state != WANTED {
                self.platform.wait(&self.state, state, NEVER);
                continue;
            }
            let mut buffer = [0; READ];
            let count = self.platform.read(&mut buffer);
            *self.bytes.lock() = (buffer, count);
            self.state.store(THERE, Ordering::Release);
            self.doorbell.fetch_add(1, Ordering::Release);
            self.platform.wake(&self.doorbell, u32::MAX);
        }
    }

    /// Asks for bytes, if that has not been done.
    pub fn ask(&self) {
        if self.state.compare_exchange(IDLE, WANTED, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.platform.wake(&self.state, 1);
        }
    }

    /// Whether bytes are there, or the end of the input.
    pub fn is_ready(&self) -> bool {
        self.state.load(Ordering::Acquire) == THERE
    }

    /// Waits until bytes are there that were asked for.
    pub fn wait_until_ready(&self) {
        loop {
            let seen = self.doorbell.load(Ordering::Acquire);
            if self.is_ready() {
                return;
            }
            self.platform.wait(&self.doorbell, seen, NEVER);
        }
    }

    /// Copies the bytes that are there; their number, 0 at the end of the input.
    pub fn take(&self, buffer: &mut [u8; READ]) -> usize {
        let (bytes, count) = *self.bytes.lock();
        *buffer = bytes;
        self.state.store(IDLE, Ordering::Release);
        count
    }
}
