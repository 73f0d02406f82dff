//! System calls: number, arguments, result.
//!
//! x86_64: `int 0x80`, number in RAX, arguments in RDI, RSI, RDX, result in RAX. AArch64: `svc #0`, number in X8,
//! arguments in X0, X1, X2, result in X0. All other general registers keep their values.
//!
//! Vector registers keep theirs too, except over calls marked *blocking*: those may let another thread run, and the
//! kernel saves vector state only when a thread loses its core against its will. Before a blocking call the
//! floating-point control registers hold the values that a thread starts with.
//!
//! Cores are named by the engine's index, threads by the number that [`Call::ThreadCreate`] returned. A set of cores
//! is an array of words, core `c` being bit `c % 64` of word `c / 64`. Deadlines are in ticks of the counter,
//! `u64::MAX` for none.

use crate::Span;
use bytemuck::{Pod, Zeroable};

/// Priorities of threads: 0, the lowest, to one below this.
pub const PRIORITIES: u64 = 32;

/// Most bytes of one [`Call::MemoryGrant`]: no call keeps its core for long.
pub const MAX_GRANT: u64 = 8 << 20;

/// Most bytes of an [`Call::Abort`]'s message that are printed.
pub const MAX_MESSAGE: usize = 512;

/// Parameters of a new thread, for [`Call::ThreadCreate`].
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct ThreadRecord {
    /// Below [`PRIORITIES`].
    pub priority: u64,
    /// Words of the set of cores that it may run on.
    pub cores: Span,
}

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// System call numbers. Arguments are named in order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u64)]
        pub enum Call {
            $($(#[$doc])* $name = $number,)*
        }

        impl Call {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The call with this number.
            #[must_use]
            pub const fn from_number(number: u64) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

calls! {
    /// `(address, length)`: writes bytes to the console, as many as it takes at once. Result: their number, which
    /// may be 0.
    ConsoleWrite = 0,
    /// `(address, capacity)`, blocking: waits until input is there, copies as much as fits, and no more than the rest
    /// of a line, so that the next line is the next engine's if this one crashes on it. Result: bytes copied, at least
    /// 1 unless `capacity` is 0. From the first call on Ctrl-C is counted.
    ConsoleRead = 1,
    /// `(entry, argument, address of a ThreadRecord)`: a new thread begins at `entry(argument)` on a stack of
    /// [`crate::layout::STACKS`]. Result: its number.
    ThreadCreate = 2,
    /// `()`: ends the calling thread.
    ThreadExit = 3,
    /// `(thread, deadline)`, blocking: waits until the thread is gone; at once if it is already. Result: 0.
    ThreadJoin = 4,
    /// `()`, blocking: lets other threads of this core run that have at least the caller's priority. Result: 0.
    Yield = 5,
    /// `(deadline)`, blocking: sleeps until then. Result: 0.
    Sleep = 6,
    /// `(address of u32, expected, deadline)`, blocking: sleeps while the word holds `expected`, until a wake or
    /// until the deadline. Result: 0, also for a spurious return; [`Error::TimedOut`] past the deadline. The
    /// comparison and going to sleep are one step: a wake between them is not lost.
    Wait = 7,
    /// `(address of u32, count)`: wakes up to `count` threads waiting on the word, the first to wait first.
    /// Result: their number.
    Wake = 8,
    /// `(thread, address of words, count)`, blocking: confines a thread to a set of cores. When the call returns, the
    /// thread runs inside the set or not at all. Result: 0.
    AffinitySet = 9,
    /// `(thread, address of words, count)`: writes a thread's set of cores. Result: words that the set needs; more
    /// than `count` if it did not fit.
    AffinityGet = 10,
    /// `(thread, priority)`: sets a thread's priority. Result: 0.
    PrioritySet = 11,
    /// `(address of words, count)`: keeps cores for the threads that are on them. Until [`Call::ReleaseCores`],
    /// [`Call::MemoryGrant`] from them, and threads created for or confined to a set with one of them, are refused
    /// and counted. Replaces an earlier reservation. Result: 0.
    ReserveCores = 12,
    /// `()`: ends the reservation. Result: 0.
    ReleaseCores = 13,
    /// `(bytes)`: maps that many more bytes, at most [`MAX_GRANT`], rounded up to [`crate::layout::LARGE_PAGE`],
    /// directly after the last grant, starting at [`crate::layout::HEAP`]. They hold nothing of an earlier engine and
    /// are unspecified else. Result: address of the first new byte.
    MemoryGrant = 14,
    /// `(query)`: one number of [`Query`].
    Query = 15,
    /// `(action, exit code)`: [`PowerAction`] with an [`crate::ExitStatus`] code, where the command line allows it.
    /// Does not return.
    Power = 16,
    /// `()`: runs the kernel's own tests and reports each on the console, where the command line allows it and no
    /// other core runs them now. Result: `passed << 32 | failed`.
    SelfTest = 17,
    /// `(hook)`: commits a [`Hook`], where the command line allows it.
    TestHook = 18,
    /// `(address, length)`: stops the engine as failed, with these bytes, as far as [`MAX_MESSAGE`] reaches, as its
    /// last message. Does not return; the kernel starts a fresh engine.
    Abort = 19,
    /// `(queue, address of words, count)`: hands buffers of a device's queue over, each named by a word. Of
    /// [`crate::network::TRANSMIT`], [`crate::network::encode_buffer`] makes the words, and no more are taken than the
    /// device has room for; of [`crate::network::RECEIVE`], whose buffers the engine makes available itself, `count` is
    /// 0 and the device is told to look. Result: number of words taken.
    Submit = 20,
}

/// Numbers read with [`Call::Query`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Query {
    /// Bytes of usable memory the machine has.
    MemoryTotal = 0,
    /// Bytes of free memory.
    MemoryFree = 1,
    /// Bytes the engine holds through [`Call::MemoryGrant`].
    MemoryGranted = 2,
    /// Hardware id of the calling core, read from the hardware.
    CurrentHardwareId = 3,
    /// Number of the calling thread.
    CurrentThread = 4,
}

impl Query {
    /// The query with this number.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::MemoryTotal,
            1 => Self::MemoryFree,
            2 => Self::MemoryGranted,
            3 => Self::CurrentHardwareId,
            4 => Self::CurrentThread,
            _ => return None,
        })
    }
}

/// First argument of [`Call::Power`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum PowerAction {
    /// End the machine.
    Off = 0,
    /// Start it again.
    Reboot = 1,
}

/// Fault injection by [`Call::TestHook`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Hook {
    /// Overflows the kernel stack of the calling core, which ends the machine.
    OverflowStack = 0,
    /// Returns to a state that the processor refuses, which ends the engine. [`Error::Unknown`] where there is none.
    BadReturn = 1,
    /// Interrupts the calling core by a non-maskable interrupt, which ends the machine. [`Error::Unknown`] where there
    /// is none.
    NonMaskable = 2,
}

impl Hook {
    /// The hook with this number.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::OverflowStack,
            1 => Self::BadReturn,
            2 => Self::NonMaskable,
            _ => return None,
        })
    }
}

/// The reason for the refusal of a system call. A refused call has had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Error {
    /// No such call, query, action or priority.
    Unknown = 1,
    /// An address range that is not the engine's, not writable where it must be, or misaligned.
    BadAddress = 2,
    /// Not enough free memory.
    OutOfMemory = 3,
    /// The deadline passed.
    TimedOut = 4,
    /// A set of cores without a core.
    NoCores = 5,
    /// A set with a core that does not exist or is not online.
    Offline = 6,
    /// No thread has this number; for [`Call::ThreadJoin`], none ever had, or it is the caller's own.
    NoSuchThread = 7,
    /// [`crate::EngineInfo::max_threads`] exist.
    TooManyThreads = 8,
    /// A core is kept: see [`Call::ReserveCores`].
    Reserved = 9,
    /// The command line does not allow it: see [`crate::command_line::ALLOW`].
    NotAllowed = 10,
    /// Another core does it now.
    Busy = 11,
    /// There is no such device, queue or buffer, or not so many bytes in it.
    NoSuchBuffer = 12,
}

impl Error {
    const ALL: [Self; 12] = [
        Self::Unknown,
        Self::BadAddress,
        Self::OutOfMemory,
        Self::TimedOut,
        Self::NoCores,
        Self::Offline,
        Self::NoSuchThread,
        Self::TooManyThreads,
        Self::Reserved,
        Self::NotAllowed,
        Self::Busy,
        Self::NoSuchBuffer,
    ];
}

/// Results above this are errors: the negated number of [`Error`] in two's complement.
const FIRST_ERROR: u64 = (-4095i64) as u64;

/// Packs a result into the one register it travels in.
#[must_use]
pub const fn encode_result(result: Result<u64, Error>) -> u64 {
    match result {
        Ok(value) => {
            debug_assert!(value < FIRST_ERROR);
            value
        }
        Err(error) => (error as u64).wrapping_neg(),
    }
}

/// Unpacks a result register.
///
/// # Errors
/// The [`Error`] the kernel answered with; an unknown number reads as [`Error::Unknown`].
pub const fn decode_result(register: u64) -> Result<u64, Error> {
    if register < FIRST_ERROR {
        return Ok(register);
    }
    let number = register.wrapping_neg() as usize;
    Err(if number <= Error::ALL.len() { Error::ALL[number - 1] } else { Error::Unknown })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_survive_the_register() {
        for value in [0, 1, u64::from(u32::MAX), 1 << 48] {
            assert_eq!(decode_result(encode_result(Ok(value))), Ok(value));
        }
        for error in Error::ALL {
            assert_eq!(decode_result(encode_result(Err(error))), Err(error));
        }
    }

    #[test]
    fn numbers_name_their_calls() {
        for number in 0..64 {
            if let Some(call) = Call::from_number(number) {
                assert_eq!(call as u64, number);
            }
            if let Some(query) = Query::from_number(number) {
                assert_eq!(query as u64, number);
            }
        }
    }
}
