//! Many incarnations: each looks for remains of the former one, takes what it gets, and dies in the next way in the
//! middle of the next call of the other cores. Numbers: `incarnations`, and `full`, every how many incarnations one
//! takes all there is.

use embodios_abi::{Call, ExitStatus, layout};

use crate::death::{self, WAYS, Way};
use crate::threads::{self, Job};
use crate::{arch, calls, incarnation, remains, storm, system};

/// Priority of threads that only hold memory: the first thread, at 16, has its core when it wants it.
const BACKGROUND: u64 = 3;

/// Runs one incarnation.
pub fn run(registers: &[u64; arch::REGISTER_WORDS]) -> ! {
    incarnation::begin();
    remains::look_at_registers(registers);
    remains::look_at_stack();
    let number = incarnation::number();
    if number >= incarnation::option("incarnations", 100) {
        system::power_off(ExitStatus::Success);
    }
    let is_full = number.is_multiple_of(incarnation::option("full", 50));
    let is_alone = matches!(way(), Way::NoThreadLeft);
    let threads = if is_full { incarnation::info().max_threads } else { 4 };
    let others = (1..threads).filter(|_| !is_alone);
    let marks = others.map(|index| threads::start(Job::Mark, 0, index % incarnation::cores(), BACKGROUND));
    threads::await_started(marks.take_while(Result::is_ok).count() as u64);
    for _ in 0..if is_full { u64::MAX } else { number % 3 } {
        let Ok(address) = system::call(Call::MemoryGrant, [layout::LARGE_PAGE, 0, 0]) else { break };
        remains::look_at(address, layout::LARGE_PAGE);
        remains::leave(address, layout::LARGE_PAGE);
    }
    if !is_full && !is_alone {
        let call = number % calls::CALLS;
        let busy = (1..incarnation::cores())
            .filter(|&core| threads::start(Job::Call, call, core, 16).is_ok())
            .count();
        storm::await_arrived(busy as u64);
    }
    remains::leave_on_stack();
    arch::call_with_vectors(remains::word(), last_act)
}

/// The way in which this incarnation ends: in as many incarnations as there are calls and ways, each way meets each
/// call.
fn way() -> Way {
    let index = incarnation::number() + incarnation::number() / calls::CALLS;
    WAYS[(index % WAYS.len() as u64) as usize]
}

/// Dies with the pattern in the vector registers.
extern "C" fn last_act() -> ! {
    death::die(way())
}
