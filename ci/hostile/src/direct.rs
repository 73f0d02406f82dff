//! Direct attacks: an instruction or an access, each in an incarnation of its own.
//!
//! An incarnation says the attack's name and makes it. The kernel's report is the outcome: a fault, or this
//! program's own last message, which says that nothing happened or names the finding. `expected/` holds them all.

mod memory;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as machine;
#[cfg(target_arch = "x86_64")]
use x86_64 as machine;

use core::fmt;

use embodios_abi::{Call, ExitStatus, layout};

use crate::{arch, incarnation, say, system};

/// The finding of an attack, if it went through and there is something to find.
type Found = Option<u64>;

/// Name and function of an attack.
type Attack = (&'static str, fn() -> Found);

/// Calls with the stack at an address that no architecture lets the program write.
const STACKS: &[Attack] = &[
    ("a call with the stack at 0", call_at::<0>),
    ("a call with the stack at 1", call_at::<1>),
    ("a call with the stack in the kernel", call_at::<{ arch::KERNEL }>),
    ("a call with the stack on the kernel's stack", call_at::<{ layout::ENGINE_END + 0x1_0000 }>),
    ("a call with the stack at the end", call_at::<{ u64::MAX }>),
];

/// A call with this stack pointer.
fn call_at<const POINTER: u64>() -> Found {
    arch::call_without_stack(Call::Query as u64, POINTER);
    None
}

/// Makes this incarnation's attack. Number: `first`, the first one.
pub fn run() -> ! {
    let index = incarnation::number() + incarnation::option("first", 0);
    if let Some(attack) = memory::attack(index as usize) {
        make(attack, || memory::make(attack))
    }
    let index = index as usize - memory::count();
    if let Some(vector) = machine::software_interrupt(index) {
        make(format_args!("int {vector:#x}"), || machine::interrupt(vector))
    }
    let lists = machine::lists();
    match lists.iter().copied().flatten().chain(STACKS).nth(index - machine::SOFTWARE_INTERRUPTS) {
        Some((name, attack)) => make(name, attack),
        None => system::power_off(ExitStatus::Success),
    }
}

/// Makes one attack; whatever happens, the incarnation ends.
fn make(name: impl fmt::Display, attack: impl Fn() -> Found) -> ! {
    say!("attack: {name}");
    match attack() {
        None => system::abort(b"no harm"),
        Some(value) => {
            let line = system::Line::new(format_args!("finds {value:#x}"));
            system::abort(line.bytes().trim_ascii())
        }
    }
}
