//! Reads, writes and jumps to memory that is not the program's, or is its own only in another way.

use core::fmt;

use embodios_abi::layout;

use crate::{arch, death, incarnation};

/// The kind of an access.
#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
    Execute,
}

/// An access to a place.
#[derive(Clone, Copy)]
pub struct Attack {
    access: Access,
    place: &'static str,
    address: u64,
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match self.access {
            Access::Read => "read",
            Access::Write => "write",
            Access::Execute => "execute",
        };
        write!(f, "{access} {}", self.place)
    }
}

/// A word of the program's data.
static mut DATA: u64 = 0;
/// A word of the program's constants.
static CONSTANT: u64 = 0x1234_5678_9abc_def0;

/// Places that are nobody's or the kernel's: nothing may be done there.
fn foreign() -> [(&'static str, u64); 20] {
    let module = incarnation::module();
    [
        ("address 0", 0),
        ("address 8", 8),
        ("page 1", incarnation::PAGE),
        ("the end of the kernel's map", layout::ENGINE_START - 8),
        ("the engine's first page", layout::ENGINE_START),
        ("below the image", layout::IMAGE - 8),
        ("above the information", layout::INFO + (layout::SIGNALS - layout::INFO) / 2),
        ("below the stack", layout::STACKS + layout::STACK_STRIDE - layout::STACK_SIZE - 8),
        ("above the vector registers", layout::STACKS + layout::VECTOR_STATE_SIZE),
        ("another thread's stack", layout::STACKS + 2 * layout::STACK_STRIDE - 8),
        ("the heap before a grant", layout::HEAP),
        ("behind the modules", layout::ENGINE_END - 8),
        ("behind the first module's pages", module.address + (module.count | 0x1f_ffff) + 1),
        ("the kernel's stacks", layout::ENGINE_END),
        ("the first core's stack", layout::ENGINE_END + 0x1_fff0),
        ("the end of the lower half", (1 << 47) - 8),
        ("a non-canonical address", 1 << 47),
        ("the upper half", 0xffff_8000_0000_0000),
        ("the last word", u64::MAX - 7),
        ("a tagged address", 0x5a00_0080_0000_0000),
    ]
}

/// The program's own, which it may not write.
fn constants() -> [(&'static str, u64); 7] {
    [
        ("own code", arch::thread_start as *const () as u64),
        ("own constants", &raw const CONSTANT as u64),
        ("the information", layout::INFO),
        ("the signals", layout::SIGNALS),
        ("the statistics", layout::STATISTICS),
        ("the vector code", layout::VECTOR_CODE),
        ("a module", incarnation::module().address),
    ]
}

/// The program's own, which it may not execute.
fn data() -> [(&'static str, u64); 8] {
    [
        ("own constants", &raw const CONSTANT as u64),
        ("own data", &raw const DATA as u64),
        ("the information", layout::INFO),
        ("the signals", layout::SIGNALS),
        ("the statistics", layout::STATISTICS),
        ("a module", incarnation::module().address),
        ("own stack", layout::STACKS + layout::STACK_STRIDE - layout::STACK_SIZE),
        ("own vector registers", layout::STACKS),
    ]
}

fn all() -> impl Iterator<Item = Attack> {
    let on = |access| move |(place, address)| Attack { access, place, address };
    let foreign_ones = [Access::Read, Access::Write, Access::Execute];
    let foreign_ones = foreign_ones
        .into_iter()
        .flat_map(move |access| arch::FOREIGN.into_iter().chain(foreign()).map(on(access)));
    foreign_ones
        .chain(constants().into_iter().map(on(Access::Write)))
        .chain(data().into_iter().map(on(Access::Execute)))
}

/// Number of attacks.
pub fn count() -> usize {
    all().count()
}

/// One of them.
pub fn attack(index: usize) -> Option<Attack> {
    all().nth(index)
}

/// Makes it.
pub fn make(attack: Attack) -> super::Found {
    match attack.access {
        Access::Read => death::read(attack.address),
        Access::Write => death::write(attack.address),
        Access::Execute => death::execute(attack.address),
    }
    None
}
