//! Rules for answers, where they can be told from the call alone.

use embodios_abi::network::{QUEUE, TRANSMIT};
use embodios_abi::{Call, Error, decode_result, layout};

use crate::{arch, calls, incarnation, wrong};

/// The highest result that is no error.
const MAX_RESULT: u64 = 1 << 63;

/// Reports an answer that the kernel must not give.
pub fn judge(number: u64, arguments: [u64; 3], result: u64) {
    if let Some(must) = must(number, arguments, decode_result(result)) {
        wrong!("call {number} with {arguments:x?} gave {:?}: {must}", decode_result(result));
    }
}

fn must(number: u64, [a, b, c]: [u64; 3], result: Result<u64, Error>) -> Option<&'static str> {
    let Some(call) = Call::from_number(number).filter(|_| number < calls::CALLS) else {
        return (result != Err(Error::Unknown)).then_some("there is no such call");
    };
    let in_time = |deadline: u64| deadline == u64::MAX || arch::counter() >= deadline;
    match (call, result) {
        (_, Ok(value)) if value >= MAX_RESULT => Some("no result is so large"),
        (Call::ConsoleWrite, Ok(count)) if count > b || b > 0 && is_foreign(a) => {
            Some("not the program's bytes")
        }
        (Call::ConsoleRead, Ok(count)) if count > 0 => Some("nobody types"),
        (Call::ThreadCreate, Ok(_)) if a != arch::thread_start as *const () as u64 || is_foreign(c) => {
            Some("neither entry nor record may be elsewhere")
        }
        (Call::ThreadExit, _) => Some("the thread has ended"),
        (Call::Sleep, Ok(_)) if !in_time(a) => Some("it slept too short"),
        (Call::Wait | Call::Wake, Ok(_)) if is_foreign(a) => Some("not the program's word"),
        (Call::Wait, Err(Error::TimedOut)) if c == u64::MAX || !in_time(c) => Some("its time is not over"),
        (Call::ThreadJoin, Err(Error::TimedOut)) if b == u64::MAX || !in_time(b) => {
            Some("its time is not over")
        }
        (Call::AffinityGet, Ok(needed)) if needed <= c && is_foreign(b) => Some("not the program's words"),
        (Call::AffinitySet, Ok(_)) if is_foreign(b) => Some("not the program's words"),
        (Call::ReserveCores, Ok(_)) if is_foreign(a) => Some("not the program's words"),
        (Call::MemoryGrant, Ok(address))
            if a == 0 || a > embodios_abi::MAX_GRANT || address < layout::HEAP =>
        {
            Some("there is no such grant")
        }
        (Call::Submit, Ok(taken)) if a > TRANSMIT || taken > QUEUE as u64 || taken > 0 && is_foreign(b) => {
            Some("there is no such queue, not so many buffers, or not the program's words")
        }
        (Call::Power | Call::TestHook, Ok(_)) => Some("there is no such action"),
        _ => None,
    }
}

/// Whether an address is certainly not the engine's.
fn is_foreign(address: u64) -> bool {
    !(layout::ENGINE_START + incarnation::PAGE..layout::ENGINE_END).contains(&address)
}
