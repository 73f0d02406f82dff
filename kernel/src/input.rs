//! Bytes typed at the console, from the interrupt that brings them to the thread that reads them.
//!
//! Owns the meaning of Ctrl-C to the kernel: each is counted where the engine sees it, and a second one within a second
//! ends the engine, also one that loops. Bytes for which there is no room stay in the device. A read ends behind a
//! line, so that the lines behind it are the next engine's if this one crashes on it.

use crate::board::Console;
use crate::engine::signals;
use crate::scheduler::{self, Context, Reason, Scheduler};
use crate::time::Instant;
use crate::{affinity, engine, kprintln, output, per_cpu};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use embodios_arch::UserContext;
use heapless::Deque;
use spin::{Mutex, Once};

/// Bytes kept for a reader that is busy; a pasted page fits.
const CAPACITY: usize = 4096;
/// Ctrl-C, and Ctrl-D.
const INTERRUPT: u8 = 3;
const END_OF_INPUT: u8 = 4;
/// Two of them within this time end the engine.
const TWICE: Duration = Duration::from_secs(1);

/// Whether nothing that belongs to the same line follows: line ends, Ctrl-C, Ctrl-D.
const fn ends_line(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | INTERRUPT | END_OF_INPUT)
}

struct Input {
    bytes: Deque<u8, CAPACITY>,
    /// Time of the last Ctrl-C that was the first of two.
    interrupted: Option<Instant>,
    /// Whether an engine has read the beginning of a line, and not its end.
    begun: bool,
}

static INPUT: Mutex<Input> = Mutex::new(Input::new());
/// Whether the engine is to end, as was typed.
static END: AtomicBool = AtomicBool::new(false);

impl Input {
    const fn new() -> Self {
        Self { bytes: Deque::new(), interrupted: None, begun: false }
    }

    /// Takes the device's bytes, as far as there is room; true when Ctrl-C came twice. Bytes typed before that are
    /// forgotten.
    fn fill(&mut self, console: &dyn Console) -> bool {
        let mut ends = false;
        while !self.bytes.is_full()
            && let Some(byte) = console.read()
        {
            // There is room.
            let _ = self.bytes.push_back(byte);
            if byte == INTERRUPT {
                signals::interrupt();
                let now = Instant::now();
                if self.interrupted.take().is_some_and(|last| now <= last + TWICE) {
                    self.bytes.clear();
                    self.begun = false;
                    ends = true;
                } else {
                    self.interrupted = Some(now);
                }
            }
        }
        ends
    }

    /// Gives up to `capacity` bytes of one line to `take`; the number.
    fn give(&mut self, capacity: usize, take: &mut impl FnMut(usize, u8)) -> usize {
        let mut count = 0;
        while count < capacity
            && let Some(byte) = self.bytes.pop_front()
        {
            take(count, byte);
            count += 1;
            self.begun = !ends_line(byte);
            if !self.begun {
                break;
            }
        }
        count
    }

    /// Drops the rest of a line of which a crashed engine has read the beginning, as far as it has come.
    fn forget_begun_line(&mut self) {
        while self.begun
            && let Some(byte) = self.bytes.pop_front()
        {
            self.begun = !ends_line(byte);
        }
        self.begun = false;
    }
}

/// Leads the console's interrupt to the first housekeeping core; no other core takes a device interrupt. Done for the
/// first reader: some hypervisors need milliseconds for it, and until then the device keeps the bytes.
fn listen() {
    static LISTENING: Once<()> = Once::new();
    LISTENING.call_once(|| {
        let core = affinity::interrupt_core();
        if let Some(board) = output::board() {
            board.console().enable_interrupt(core.cpu, core.hardware);
        }
    });
}

/// Takes the device's bytes. For the device's interrupt.
pub fn receive(console: &dyn Console) {
    fill(&mut INPUT.lock(), console);
    scheduler::change(Scheduler::wake_readers);
}

/// Takes the device's bytes, and has the calling core [`obey`] before it goes on.
fn fill(input: &mut Input, console: &dyn Console) {
    if input.fill(console) {
        END.store(true, Ordering::Release);
        per_cpu::this().need_resched.store(true, Ordering::Release);
    }
}

/// Has the next engine begin with a line. For the end of one.
pub fn begin_anew() {
    INPUT.lock().forget_begun_line();
}

/// Ends the engine if that was typed. Called where a core holds nothing: before it
/// goes on with its thread, or without one.
pub fn obey() {
    // Every core looks often, so it is only read where nothing was asked for.
    if END.load(Ordering::Relaxed) && END.swap(false, Ordering::AcqRel) {
        engine::restart(engine::End::Asked, || kprintln!("engine ended from the console: Ctrl-C twice"))
    }
}

/// Gives up to `capacity` bytes of a line of input to `take`, at least one; the number. Where there is none, the
/// calling thread, whose registers are `context`, waits and makes its call again.
pub fn read(context: &Context, capacity: usize, mut take: impl FnMut(usize, u8)) -> usize {
    listen();
    if capacity == 0 {
        return 0;
    }
    let mut again = context.clone();
    again.repeat_call();
    scheduler::block_unless(&again, Reason::Input, None, |_| {
        let mut input = INPUT.lock();
        // Bytes that the device kept for want of room or, before the first call, of an interrupt.
        if let Some(board) = output::board() {
            fill(&mut input, board.console());
        }
        // Bytes behind two Ctrl-Cs are the next engine's.
        let count = if END.load(Ordering::Relaxed) { 0 } else { input.give(capacity, &mut take) };
        (count > 0).then_some(count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use embodios_arch::{CpuId, HwCpuId};
    use std::collections::VecDeque;
    use std::vec::Vec;

    struct Line(Mutex<VecDeque<u8>>);

    impl Console for Line {
        fn write(&self, bytes: &[u8]) -> usize {
            bytes.len()
        }
        fn read(&self) -> Option<u8> {
            self.0.lock().pop_front()
        }
        fn enable_interrupt(&self, _: CpuId, _: HwCpuId) {}
    }

    #[test]
    fn what_has_no_room_stays_in_the_device() {
        let sent: Vec<u8> = (0..3 * CAPACITY).map(|i| b'a' + (i % 26) as u8).collect();
        let line = Line(Mutex::new(sent.iter().copied().collect()));
        let mut input = Input::new();
        let mut read = Vec::new();
        while read.len() < sent.len() {
            assert!(!input.fill(&line));
            assert!(input.bytes.is_full() || line.0.lock().is_empty());
            read.extend(core::iter::from_fn(|| input.bytes.pop_front()).take(1000));
        }
        assert_eq!(read, sent);
    }

    #[test]
    fn a_second_interrupt_ends_the_engine_and_what_follows_is_the_next_ones() {
        let line = Line(Mutex::new([b'a', INTERRUPT, b'b'].into()));
        let mut input = Input::new();
        assert!(!input.fill(&line));
        line.0.lock().extend([INTERRUPT, b'c', INTERRUPT]);
        assert!(input.fill(&line));
        // A third one is the first of another two.
        assert_eq!(input.bytes.iter().copied().collect::<Vec<_>>(), [b'c', INTERRUPT]);
        line.0.lock().push_back(INTERRUPT);
        assert!(input.fill(&line) && input.bytes.is_empty());
    }

    #[test]
    fn an_engine_reads_no_more_than_a_line_and_its_rest_is_not_the_next_ones() {
        let line = Line(Mutex::new(b"ids a\nmem\rids long\nmem\n".iter().copied().collect()));
        let mut input = Input::new();
        assert!(!input.fill(&line));
        let read = |input: &mut Input, capacity| {
            let mut bytes = Vec::new();
            input.give(capacity, &mut |_, byte| bytes.push(byte));
            bytes
        };
        assert_eq!(read(&mut input, 64), b"ids a\n");
        input.forget_begun_line();
        assert_eq!(read(&mut input, 64), b"mem\r");
        assert_eq!(read(&mut input, 5), b"ids l");
        input.forget_begun_line();
        assert_eq!(read(&mut input, 64), b"mem\n");
        assert_eq!(read(&mut input, 64), b"");
    }
}
