//! Implementations of the system calls. Checks come first; nothing the engine passes is trusted.

use crate::memory::memory;
use crate::scheduler::{self, Context, Reason, Scheduler, ThreadId};
use crate::{
    affinity, command_line, devices, engine, input, kprintln, output, per_cpu, power, selftest, user,
};
use core::mem::MaybeUninit;
use embodios_abi::{
    Call, Error, Hook, MAX_MESSAGE, PRIORITIES, PowerAction, Query, ThreadRecord, encode_result,
};
use embodios_arch::{Arch, Architecture, UserContext};

/// Most bytes that one call writes to the console or reads from it: a core that serves a call takes no interrupts.
const PIECE: u64 = 512;

/// Serves a call of the thread whose registers are `context`, and puts the result there. Does not return when the
/// thread does not go on at once.
pub fn dispatch(context: &mut Context, number: u64, arguments: [u64; 3]) {
    let this = per_cpu::this();
    scheduler::finish_move(this);
    this.statistics.update(|counts| counts.system_calls.add(1));
    let result = match Call::from_number(number) {
        Some(call) => serve(context, call, arguments),
        None => Err(Error::Unknown),
    };
    context.set_result(encode_result(result));
    scheduler::exit_to_user_work(this, context);
}

fn serve(context: &mut Context, call: Call, [a, b, c]: [u64; 3]) -> Result<u64, Error> {
    match call {
        Call::ConsoleWrite => {
            let bytes = user::Bytes::new(a, b.min(PIECE))?;
            engine::has_spoken();
            Ok(output::try_write(bytes.copy(&mut [MaybeUninit::uninit(); PIECE as usize])) as u64)
        }
        Call::ConsoleRead => {
            let mut buffer = user::Buffer::new(a, b.min(PIECE))?;
            Ok(input::read(context, buffer.length(), |index, byte| buffer.put(index, byte)) as u64)
        }
        Call::ThreadCreate => create_thread(a, b, c),
        Call::ThreadExit => scheduler::exit(),
        Call::ThreadJoin => join_thread(context, ThreadId(a), deadline(b)),
        Call::Yield => {
            context.set_result(encode_result(Ok(0)));
            scheduler::yield_now(context);
            Ok(0)
        }
        Call::Sleep => {
            if Arch::counter() < a {
                scheduler::block(context, Reason::Sleep, deadline(a));
            }
            Ok(0)
        }
        Call::Wait => wait(context, a, b as u32, deadline(c)),
        Call::Wake => {
            let _checked = user::word(a)?;
            let woken = scheduler::change(|scheduler| scheduler.wake(a, b));
            per_cpu::this().statistics.update(|counts| counts.wakeups_sent.add(woken));
            Ok(woken)
        }
        Call::AffinitySet => {
            let cores = affinity::read(b, c)?;
            context.set_result(encode_result(Ok(0)));
            counted(scheduler::set_affinity(context, ThreadId(a), cores)).map(|()| 0)
        }
        Call::AffinityGet => get_affinity(ThreadId(a), b, c),
        Call::PrioritySet => {
            let priority = priority(b)?;
            let id = ThreadId(a);
            scheduler::change(|scheduler| scheduler.set_priority(id, priority)).map(|()| 0)
        }
        Call::ReserveCores => {
            let cores = affinity::read(a, b)?;
            scheduler::change(|scheduler| scheduler.reserve(cores)).map(|()| 0)
        }
        Call::ReleaseCores => {
            scheduler::change(Scheduler::release);
            Ok(0)
        }
        Call::MemoryGrant => {
            let core = per_cpu::this().cpu.index();
            counted(scheduler::change(|scheduler| scheduler.check_use(core)))?;
            engine::with(|engine| engine.grant(a)).and_then(Result::ok).ok_or(Error::OutOfMemory)
        }
        Call::Query => Query::from_number(a).map(answer).ok_or(Error::Unknown),
        Call::Power if !command_line::options().allows_power => Err(Error::NotAllowed),
        Call::SelfTest | Call::TestHook if !command_line::options().allows_tests => Err(Error::NotAllowed),
        Call::Power => match a {
            a if a == PowerAction::Off as u64 => power::off(b),
            a if a == PowerAction::Reboot as u64 => power::reboot(),
            _ => Err(Error::Unknown),
        },
        Call::SelfTest => {
            let (passed, failed) = selftest::run().ok_or(Error::Busy)?;
            Ok(u64::from(passed) << 32 | u64::from(failed))
        }
        Call::TestHook => match Hook::from_number(a).ok_or(Error::Unknown)? {
            Hook::OverflowStack => Ok(selftest::overflow_stack(0)),
            Hook::BadReturn => context.spoil().then_some(0).ok_or(Error::Unknown),
            Hook::NonMaskable => Arch::send_nmi(Arch::hardware_id()).then_some(0).ok_or(Error::Unknown),
        },
        Call::Abort => abort(a, b),
        Call::Submit => devices::submit(a, b, c),
    }
}

/// Ends the engine with a message of which the kernel shows the beginning, as text.
fn abort(address: u64, length: u64) -> ! {
    let mut buffer = [MaybeUninit::uninit(); MAX_MESSAGE];
    let message = match user::Bytes::new(address, length.min(MAX_MESSAGE as u64)) {
        Ok(bytes) => bytes.copy(&mut buffer),
        Err(_) => b"(its message is not its own)",
    };
    engine::restart(engine::End::Crash, || {
        kprintln!("engine failed on core {}:", per_cpu::this().cpu);
        output::write_text(message);
        output::write(b"\n");
    })
}

fn answer(query: Query) -> u64 {
    match query {
        Query::MemoryTotal => memory().total(),
        Query::MemoryFree => memory().free_bytes(),
        Query::MemoryGranted => engine::with(|engine| engine.granted()).unwrap_or(0),
        Query::CurrentHardwareId => Arch::hardware_id().0,
        Query::CurrentThread => scheduler::current_thread().map_or(0, |id| id.0),
    }
}

fn priority(number: u64) -> Result<u8, Error> {
    if number < PRIORITIES { Ok(number as u8) } else { Err(Error::Unknown) }
}

fn deadline(ticks: u64) -> Option<u64> {
    (ticks != u64::MAX).then_some(ticks)
}

fn create_thread(entry: u64, argument: u64, record: u64) -> Result<u64, Error> {
    let entry = user::code(entry)?;
    let words = user::Words::new(record, (size_of::<ThreadRecord>() / 8) as u64)?;
    let mut words = words.iter();
    let (Some(wanted), Some(address), Some(count)) = (words.next(), words.next(), words.next()) else {
        return Err(Error::BadAddress);
    };
    let priority = priority(wanted)?;
    let cores = affinity::read(address, count)?;
    counted(scheduler::change(|scheduler| scheduler.check(&cores)))?;
    engine::create_thread(entry, argument, priority, cores).map(|id| id.0)
}

fn join_thread(context: &Context, id: ThreadId, deadline: Option<u64>) -> Result<u64, Error> {
    if scheduler::current_thread() == Some(id) {
        return Err(Error::NoSuchThread);
    }
    scheduler::block_unless(context, Reason::Join(id), deadline, |scheduler| match scheduler.find(id) {
        Ok(_) if deadline.is_some_and(|deadline| deadline <= Arch::counter()) => Some(Err(Error::TimedOut)),
        Ok(_) => None,
        Err(_) if scheduler.has_ended(id) => Some(Ok(0)),
        Err(error) => Some(Err(error)),
    })
}

fn wait(context: &Context, address: u64, expected: u32, deadline: Option<u64>) -> Result<u64, Error> {
    let load = user::word(address)?;
    scheduler::block_unless(context, Reason::Word(address), deadline, |_| {
        if load() != expected {
            return Some(Ok(0));
        }
        deadline.filter(|&deadline| deadline <= Arch::counter()).map(|_| Err(Error::TimedOut))
    })
}

fn get_affinity(id: ThreadId, address: u64, count: u64) -> Result<u64, Error> {
    let cores = scheduler::change(|scheduler| {
        scheduler.find(id).map(|slot| scheduler.thread(slot).affinity.clone())
    })?;
    let cores = affinity::to_engine(&cores);
    let words = cores.words();
    let needed = words.len() as u64;
    if needed <= count {
        let mut buffer = user::Buffer::new(address, 8 * needed)?;
        let bytes = words.iter().flat_map(|word| word.to_le_bytes());
        bytes.enumerate().for_each(|(index, byte)| buffer.put(index, byte));
    }
    Ok(needed)
}

/// Counts a refusal because of a reservation, at the calling core.
fn counted(result: Result<(), Error>) -> Result<(), Error> {
    if result == Err(Error::Reserved) {
        per_cpu::this().statistics.update(|counts| counts.refused_allocations.add(1));
    }
    result
}
