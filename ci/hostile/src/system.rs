//! System calls, words on the console, and the panic handler.

use core::fmt::{self, Write};
use core::panic::PanicInfo;

use embodios_abi::{Call, Error, ExitStatus, PowerAction, Query, decode_result};

use crate::arch;

/// Bytes of a line that are kept.
const LINE: usize = 480;

/// Makes any call; the result register.
pub fn raw(number: u64, arguments: [u64; 3]) -> u64 {
    // SAFETY: memory that this program lives on is not passed for the kernel to write to.
    unsafe { arch::system_call(number, arguments) }
}

/// Makes a call; its result.
pub fn call(call: Call, arguments: [u64; 3]) -> Result<u64, Error> {
    decode_result(raw(call as u64, arguments))
}

/// A number that the kernel knows.
pub fn query(query: Query) -> u64 {
    call(Call::Query, [query as u64, 0, 0]).unwrap_or(u64::MAX)
}

/// Ends the machine.
pub fn power_off(status: ExitStatus) -> ! {
    let result = call(Call::Power, [PowerAction::Off as u64, status.code().into(), 0]);
    panic!("the kernel does not end the machine: {result:?}")
}

/// Ends this incarnation with a message.
pub fn abort(message: &[u8]) -> ! {
    loop {
        let _ = call(Call::Abort, [message.as_ptr() as u64, message.len() as u64, 0]);
    }
}

/// Writes all bytes, however few the console takes at once.
pub fn write(mut bytes: &[u8]) {
    while let Ok(count) = call(Call::ConsoleWrite, [bytes.as_ptr() as u64, bytes.len() as u64, 0]) {
        let Some(rest) = bytes.get(count as usize..).filter(|rest| !rest.is_empty()) else { break };
        bytes = rest;
        if count == 0 {
            let _ = call(Call::Yield, [0; 3]);
        }
    }
}

/// Text in place, cut off where it is full.
pub struct Line {
    text: [u8; LINE],
    length: usize,
}

impl Line {
    /// A line that begins on its own, whatever else is on the console.
    pub fn new(text: fmt::Arguments<'_>) -> Self {
        let mut line = Self { text: [0; LINE], length: 0 };
        // A line never fails.
        let _ = write!(line, "\n{text}\n");
        line
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let count = text.len().min(LINE - self.length);
        self.text[self.length..self.length + count].copy_from_slice(&text.as_bytes()[..count]);
        self.length += count;
        Ok(())
    }
}

/// Says a line.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::system::write($crate::system::Line::new(format_args!($($argument)*)).bytes())
    };
}

/// Reports a fault of the kernel.
#[macro_export]
macro_rules! wrong {
    ($($argument:tt)*) => {
        $crate::say!("WRONG: {}", format_args!($($argument)*))
    };
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    abort(Line::new(format_args!("WRONG: {info}")).bytes())
}
