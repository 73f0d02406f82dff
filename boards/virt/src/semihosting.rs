//! Ending an emulator's process with a status (Arm semihosting specification, SYS_EXIT_EXTENDED).

use embodios_arch::aarch64::probe;

const SYS_EXIT_EXTENDED: u64 = 0x20;
/// ADP_Stopped_ApplicationExit: the program ended by itself.
const APPLICATION_EXIT: u64 = 0x2_0026;

/// Ends the emulator with this process status; returns where none serves the call.
pub fn exit(status: u32) {
    let block = [APPLICATION_EXIT, u64::from(status)];
    // SAFETY: the call reads the two words of the block and nothing else.
    unsafe { probe::call_emulator(SYS_EXIT_EXTENDED, block.as_ptr()) };
}
