//! Bytes typed at the console, from the interrupt that brings them to the thread that reads them.

use crate::board::Console;
use crate::per_cpu;
use crate::thread;
use core::sync::atomic::{AtomicU32, Ordering};
use embodios_arch::{Arch, Architecture};
use heapless::Deque;
use spin::Mutex;

/// Bytes kept for a reader that is busy; a pasted page fits.
const CAPACITY: usize = 4096;

struct Input {
    bytes: Deque<u8, CAPACITY>,
    lost: u64,
}

static INPUT: Mutex<Input> = Mutex::new(Input { bytes: Deque::new(), lost: 0 });
/// Dense index of the core whose thread waits for input, or [`NOBODY`].
static READER: AtomicU32 = AtomicU32::new(NOBODY);
const NOBODY: u32 = u32::MAX;

/// Takes what the device has. For the device's interrupt.
pub fn receive(console: &dyn Console) {
    {
        let mut input = INPUT.lock();
        while let Some(byte) = console.read() {
            if input.bytes.push_back(byte).is_err() {
                input.lost += 1;
            }
        }
    }
    if let Some(reader) = per_cpu::all().get(READER.load(Ordering::Acquire) as usize)
        && reader.cpu != per_cpu::this().cpu
    {
        reader.interrupt();
    }
}

/// Waits for input and gives up to `capacity` bytes of it to `take`, at least one; the number.
pub fn read(capacity: usize, mut take: impl FnMut(usize, u8)) -> usize {
    if capacity == 0 {
        return 0;
    }
    READER.store(per_cpu::this().cpu.0, Ordering::Release);
    loop {
        thread::leave_if_stopping();
        let mut input = INPUT.lock();
        let mut count = 0;
        while count < capacity
            && let Some(byte) = input.bytes.pop_front()
        {
            take(count, byte);
            count += 1;
        }
        let lost = core::mem::take(&mut input.lost);
        drop(input);
        if lost > 0 {
            log::warn!("console input came faster than it was read: {lost} bytes are lost");
        }
        if count > 0 {
            READER.store(NOBODY, Ordering::Release);
            return count;
        }
        Arch::wait_for_interrupt();
    }
}
