//! Remains of an incarnation in its memory and its registers, and the look for those of an earlier one.

use embodios_abi::layout;

use crate::{arch, incarnation, wrong};

/// Upper half of the words that incarnations leave; the lower half is the incarnation's number.
const PATTERN: u64 = 0x6a09_e667;

/// Bytes of the stack below the stack pointer that the program itself may have written to before it looks.
const IN_USE: u64 = 0x8000;

/// The word of this incarnation.
pub fn word() -> u64 {
    PATTERN << 32 | incarnation::number() & u64::from(u32::MAX)
}

/// Words from an earlier incarnation among `words`, of which the first is said.
fn look(place: &str, words: impl Iterator<Item = u64>) {
    let mut found = words.filter(|word| word >> 32 == PATTERN);
    if let Some(word) = found.next() {
        let others = found.count();
        wrong!("{place} holds {word:#x} of an earlier incarnation, and {others} others");
    }
}

/// Looks at the registers with which the first thread began.
pub fn look_at_registers(registers: &[u64; arch::REGISTER_WORDS]) {
    look("a register", registers.iter().copied());
}

/// Looks at all of thread 0's stack below the part in use.
pub fn look_at_stack() {
    let bottom = layout::STACKS + layout::STACK_STRIDE - layout::STACK_SIZE;
    look("a fresh stack", memory(bottom, layout::STACK_SIZE - IN_USE));
}

/// Looks at memory that was just granted.
pub fn look_at(address: u64, length: u64) {
    look("granted memory", memory(address, length));
}

/// Fills memory with the word of this incarnation.
pub fn leave(address: u64, length: u64) {
    let word = word();
    for at in (address..address + length).step_by(8) {
        // SAFETY: the memory is the program's, and nothing else is in it.
        unsafe { (at as *mut u64).write_volatile(word) }
    }
}

/// Fills the calling thread's stack below the part in use.
pub fn leave_on_stack() {
    let local = 0u64;
    let top = &raw const local as u64 & !7;
    let window = (top - layout::STACKS) / layout::STACK_STRIDE * layout::STACK_STRIDE;
    let bottom = layout::STACKS + window + layout::STACK_STRIDE - layout::STACK_SIZE;
    leave(bottom, (top - bottom).saturating_sub(IN_USE));
}

fn memory(address: u64, length: u64) -> impl Iterator<Item = u64> {
    // SAFETY: the memory is the program's; every value of a word is one.
    (address..address + length).step_by(8).map(|at| unsafe { (at as *const u64).read_volatile() })
}
