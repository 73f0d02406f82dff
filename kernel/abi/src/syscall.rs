//! System calls: number, arguments, result.
//!
//! x86_64: `int 0x80`, number in RAX, arguments in RDI, RSI, RDX, result in RAX; all other registers
//! keep their values. AArch64: `svc #0`, number in X8, arguments in X0, X1, X2, result in X0; all
//! other registers keep their values. Vector state is never touched by the kernel.

/// System call numbers. Arguments are named in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Call {
    /// `(address, length)`: writes bytes to the console. Result: `length`.
    ConsoleWrite = 0,
    /// `(address, capacity)`: waits until input is there, copies what fits. Result: bytes copied, at
    /// least 1 unless `capacity` is 0.
    ConsoleRead = 1,
    /// `(core, entry, argument)`: starts the one thread of an idle core at `entry(argument)` with the
    /// stack of [`crate::layout::STACKS`]. Result: 0.
    ThreadStart = 2,
    /// `()`: ends the calling thread; its core idles until the next [`Call::ThreadStart`].
    ThreadExit = 3,
    /// `(address of u32, expected, deadline)`: sleeps while the word holds `expected`, until a wake or
    /// until the counter passes `deadline` (counter ticks, `u64::MAX` for none). Result: 0, also for a
    /// spurious return; [`Error::TimedOut`] past the deadline. The comparison and going to sleep
    /// are one step: a wake between them is not lost.
    Wait = 4,
    /// `(address of u32, count)`: wakes up to `count` threads waiting on the word. Result: how many.
    Wake = 5,
    /// `(bytes)`: maps that many more bytes, rounded up to [`crate::layout::LARGE_PAGE`], directly after
    /// the last grant, starting at [`crate::layout::HEAP`]. Contents are unspecified. Result: address of
    /// the first new byte.
    MemoryGrant = 6,
    /// `(query)`: one number of [`Query`].
    Query = 7,
    /// `(action, exit code)`: [`PowerAction`] with an [`crate::ExitStatus`] code. Does not return.
    Power = 8,
    /// `()`: runs the kernel's own tests and reports each on the console.
    /// Result: `passed << 32 | failed`.
    SelfTest = 9,
    /// `()`: overflows the kernel stack of the calling core on purpose. Does not return.
    OverflowKernelStack = 10,
    /// `(address, length)`: stops the engine as failed, with these bytes as its last message. Does
    /// not return; the kernel starts a fresh engine.
    Abort = 11,
}

impl Call {
    /// The call with this number.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::ConsoleWrite,
            1 => Self::ConsoleRead,
            2 => Self::ThreadStart,
            3 => Self::ThreadExit,
            4 => Self::Wait,
            5 => Self::Wake,
            6 => Self::MemoryGrant,
            7 => Self::Query,
            8 => Self::Power,
            9 => Self::SelfTest,
            10 => Self::OverflowKernelStack,
            11 => Self::Abort,
            _ => return None,
        })
    }
}

/// Numbers read with [`Call::Query`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Query {
    /// Bytes of usable memory the machine has.
    MemoryTotal = 0,
    /// Bytes not given to anyone.
    MemoryFree = 1,
    /// Bytes the engine holds through [`Call::MemoryGrant`].
    MemoryGranted = 2,
    /// Dense index of the calling core, read from the core itself.
    CurrentCore = 3,
    /// Hardware id of the calling core, read from the hardware.
    CurrentHardwareId = 4,
    /// Times any core was woken out of a wait.
    Wakeups = 5,
    /// Inter-processor interrupts sent.
    IpisSent = 6,
    /// System calls served.
    SystemCalls = 7,
    /// Interrupts taken on all cores.
    Interrupts = 8,
}

impl Query {
    /// The query with this number.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::MemoryTotal,
            1 => Self::MemoryFree,
            2 => Self::MemoryGranted,
            3 => Self::CurrentCore,
            4 => Self::CurrentHardwareId,
            5 => Self::Wakeups,
            6 => Self::IpisSent,
            7 => Self::SystemCalls,
            8 => Self::Interrupts,
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

/// Why a system call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Error {
    /// No such call, query, action or core.
    Unknown = 1,
    /// An address range that is not the engine's, not writable where it must be, or misaligned.
    BadAddress = 2,
    /// Not enough free memory.
    OutOfMemory = 3,
    /// The core already runs a thread, or is the caller's own.
    Busy = 4,
    /// The deadline passed.
    TimedOut = 5,
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
    Err(match register.wrapping_neg() {
        2 => Error::BadAddress,
        3 => Error::OutOfMemory,
        4 => Error::Busy,
        5 => Error::TimedOut,
        _ => Error::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_survive_the_register() {
        for value in [0, 1, u64::from(u32::MAX), 1 << 48] {
            assert_eq!(decode_result(encode_result(Ok(value))), Ok(value));
        }
        for error in [Error::Unknown, Error::BadAddress, Error::OutOfMemory, Error::Busy, Error::TimedOut] {
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
