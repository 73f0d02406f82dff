//! Ending an emulator's process with a status (Arm semihosting specification, SYS_EXIT_EXTENDED).
//!
//! Where nobody serves semihosting, its instruction is undefined; the exception handler then returns
//! [`ABSENT`] from [`call`].

use core::arch::naked_asm;

const SYS_EXIT_EXTENDED: u64 = 0x20;
/// ADP_Stopped_ApplicationExit: the program ended by itself.
const APPLICATION_EXIT: u64 = 0x2_0026;

/// What a call returns where nobody serves it.
pub(super) const ABSENT: u64 = u64::MAX;

/// Ends the emulator with this process status; returns where there is none.
pub fn exit(status: u32) {
    let block = [APPLICATION_EXIT, u64::from(status)];
    // SAFETY: the call reads the two words of the block and nothing else.
    unsafe { call(SYS_EXIT_EXTENDED, &block) };
}

/// Address of the instruction that calls.
pub(super) fn instruction() -> u64 {
    call as *const () as u64
}

#[unsafe(naked)]
unsafe extern "C" fn call(operation: u64, block: &[u64; 2]) -> u64 {
    naked_asm!("hlt #0xf000", "ret")
}
