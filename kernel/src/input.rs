//! Bytes typed at the console, from the interrupt that brings them to the thread that reads them.

use crate::board::Console;
use crate::scheduler::{self, Context, Reason, Scheduler};
use crate::{affinity, output, per_cpu};
use embodios_arch::UserContext;
use heapless::Deque;
use spin::{Mutex, Once};

/// Bytes kept for a reader that is busy; a pasted page fits.
const CAPACITY: usize = 4096;

struct Input {
    bytes: Deque<u8, CAPACITY>,
    lost: u64,
}

static INPUT: Mutex<Input> = Mutex::new(Input { bytes: Deque::new(), lost: 0 });

/// Leads the console's interrupt to the first housekeeping core; no other core takes a device interrupt. Done for the
/// first reader: some hypervisors need milliseconds for it, and until then the device keeps what comes.
fn listen() {
    static LISTENING: Once<()> = Once::new();
    LISTENING.call_once(|| {
        let first = affinity::housekeeping().iter().next().and_then(|core| per_cpu::online().nth(core));
        let core = first.unwrap_or_else(per_cpu::this);
        if let Some(board) = output::board() {
            board.console().enable_interrupt(core.cpu, core.hardware);
        }
    });
}

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
    scheduler::change(Scheduler::wake_readers);
}

/// Gives up to `capacity` bytes of input to `take`, at least one; the number. Where there is none, the calling thread,
/// whose registers are `context`, waits and makes its call again.
pub fn read(context: &Context, capacity: usize, mut take: impl FnMut(usize, u8)) -> usize {
    if capacity == 0 {
        return 0;
    }
    listen();
    let mut again = context.clone();
    again.repeat_call();
    let (count, lost) = scheduler::block_unless(&again, Reason::Input, None, |_| {
        let mut input = INPUT.lock();
        let mut count = 0;
        while count < capacity
            && let Some(byte) = input.bytes.pop_front()
        {
            take(count, byte);
            count += 1;
        }
        (count > 0).then(|| (count, core::mem::take(&mut input.lost)))
    });
    if lost > 0 {
        log::warn!("console input came faster than it was read: {lost} bytes are lost");
    }
    count
}
