//! The scheduler's decisions, without hardware.

use super::placement::Move;
use super::state::{Scheduler, max_threads};
use super::thread::{Context, Reason, State, ThreadId};
use embodios_abi::{Error, encode_result};
use embodios_arch::host::Program;
use embodios_arch::{UserContext, UserStart, VirtAddr};
use embodios_core_set::CoreSet;
use proptest::prelude::*;
use std::vec::Vec;

const QUANTUM: u64 = 10;

fn machine(cores: usize) -> Scheduler {
    let mut scheduler = Scheduler::new();
    scheduler.add_cores(cores);
    (0..cores).for_each(|core| scheduler.set_online(core));
    scheduler
}

/// The context of a thread that is never entered.
fn context() -> Context {
    let program: Program = |_| unreachable!("it does not run");
    Context::new(&UserStart { entry: VirtAddr(program as usize as u64), stack_top: VirtAddr(0), argument: 0 })
}

fn create(scheduler: &mut Scheduler, priority: u8, cores: &[usize]) -> ThreadId {
    let slot = scheduler.take_slot().expect("few threads");
    scheduler.create(slot, context(), priority, cores.iter().copied().collect(), 0)
}

fn pick(scheduler: &mut Scheduler, core: usize, now: u64) -> Option<ThreadId> {
    let slot = scheduler.pick(core, now, QUANTUM)?;
    Some(scheduler.thread(slot).id)
}

fn pending_ipis(scheduler: &mut Scheduler) -> Vec<usize> {
    core::mem::take(&mut scheduler.pending_ipis).iter().collect()
}

fn result(scheduler: &Scheduler, id: ThreadId) -> Option<u64> {
    scheduler.thread(scheduler.slot_of(id)).context.result
}

#[test]
fn idle_cores_are_told_and_threads_spread() {
    let mut scheduler = machine(3);
    let threads: Vec<_> = (0..4).map(|_| create(&mut scheduler, 5, &[0, 1, 2])).collect();
    assert_eq!(pending_ipis(&mut scheduler), [0, 1, 2]);
    let running: Vec<_> = (0..3).map(|core| pick(&mut scheduler, core, 0)).collect();
    assert!(threads[..3].iter().all(|&id| running.contains(&Some(id))));
    assert_eq!(scheduler.ready, 1, "the fourth waits");
    scheduler.exit(2);
    assert_eq!(pick(&mut scheduler, 2, 0), Some(threads[3]), "an idle core takes it, wherever it waits");
}

#[test]
fn a_pinned_thread_is_not_stolen() {
    let mut scheduler = machine(2);
    let first = create(&mut scheduler, 5, &[0]);
    create(&mut scheduler, 5, &[0]);
    assert_eq!(pick(&mut scheduler, 0, 0), Some(first));
    assert_eq!(pick(&mut scheduler, 1, 0), None);
}

#[test]
fn quanta_pass_in_turn_and_only_among_equals() {
    let mut scheduler = machine(1);
    let (a, b) = (create(&mut scheduler, 5, &[0]), create(&mut scheduler, 5, &[0]));
    assert_eq!(pick(&mut scheduler, 0, 0), Some(a));
    assert_eq!(scheduler.timer(0), Some(QUANTUM));
    assert!(scheduler.may_stay(0, QUANTUM - 1, QUANTUM));
    assert!(!scheduler.may_stay(0, QUANTUM, QUANTUM));
    scheduler.preempted(0);
    assert_eq!(pick(&mut scheduler, 0, QUANTUM), Some(b));
    scheduler.exit(0);
    assert_eq!(pick(&mut scheduler, 0, 20), Some(a));
    assert!(scheduler.thread(scheduler.slot_of(a)).vectors_saved);
    assert_eq!(scheduler.timer(0), None, "alone it has no tick");
    create(&mut scheduler, 4, &[0]);
    assert!(scheduler.may_stay(0, 1000, QUANTUM), "a lower priority waits");
    assert_eq!(scheduler.timer(0), None);
    pending_ipis(&mut scheduler);
    let high = create(&mut scheduler, 6, &[0]);
    assert_eq!(pending_ipis(&mut scheduler), [0]);
    assert!(!scheduler.may_stay(0, 1001, QUANTUM), "a higher one does not");
    scheduler.preempted(0);
    assert_eq!(pick(&mut scheduler, 0, 1001), Some(high));
}

#[test]
fn wakes_go_to_the_first_who_waits_on_the_word() {
    let mut scheduler = machine(3);
    let threads: Vec<_> = (0..3).map(|core| create(&mut scheduler, 5, &[core])).collect();
    for (core, word) in [(2, 64), (0, 64), (1, 128)] {
        assert_eq!(pick(&mut scheduler, core, 0), Some(threads[core]));
        scheduler.block(core, context(), Reason::Word(word), None);
    }
    pending_ipis(&mut scheduler);
    assert_eq!(scheduler.wake(64, 1), 1);
    assert_eq!(pending_ipis(&mut scheduler), [2], "it waited first");
    assert_eq!(result(&scheduler, threads[2]), Some(0));
    assert_eq!(scheduler.wake(64, u64::MAX), 1);
    assert_eq!(scheduler.wake(64, u64::MAX), 0);
    assert_eq!(scheduler.thread(scheduler.slot_of(threads[1])).state, State::Blocked(Reason::Word(128)));
}

#[test]
fn deadlines_end_waits() {
    let mut scheduler = machine(1);
    let (sleeper, waiter) = (create(&mut scheduler, 5, &[0]), create(&mut scheduler, 5, &[0]));
    pick(&mut scheduler, 0, 0);
    scheduler.block(0, context(), Reason::Sleep, Some(30));
    pick(&mut scheduler, 0, 0);
    scheduler.block(0, context(), Reason::Word(4), Some(20));
    assert_eq!(scheduler.timer(0), Some(20));
    scheduler.expire(0, 19);
    assert_eq!(pick(&mut scheduler, 0, 19), None);
    scheduler.expire(0, 30);
    assert_eq!(scheduler.timer(0), None);
    assert_eq!(result(&scheduler, waiter), Some(encode_result(Err(Error::TimedOut))));
    assert_eq!(result(&scheduler, sleeper), Some(0));
    assert_eq!(scheduler.wake(4, 1), 0, "it waits no more");
}

#[test]
fn a_sleeping_thread_takes_its_deadline_along() {
    let mut scheduler = machine(2);
    let thread = create(&mut scheduler, 5, &[0]);
    pick(&mut scheduler, 0, 0);
    scheduler.block(0, context(), Reason::Sleep, Some(30));
    pending_ipis(&mut scheduler);
    assert_eq!(scheduler.set_affinity(0, thread, CoreSet::from_iter([1])), Ok(Move::Done));
    assert_eq!((scheduler.timer(0), scheduler.timer(1)), (None, Some(30)));
    assert_eq!(pending_ipis(&mut scheduler), [1], "to set its timer");
    scheduler.expire(1, 30);
    assert_eq!((pick(&mut scheduler, 0, 30), pick(&mut scheduler, 1, 30)), (None, Some(thread)));
}

#[test]
fn who_moves_a_running_thread_waits_until_it_has_left() {
    let mut scheduler = machine(3);
    let (mover, moved) = (create(&mut scheduler, 5, &[0]), create(&mut scheduler, 5, &[1]));
    assert_eq!((pick(&mut scheduler, 0, 0), pick(&mut scheduler, 1, 0)), (Some(mover), Some(moved)));
    pending_ipis(&mut scheduler);
    assert_eq!(scheduler.set_affinity(0, moved, CoreSet::from_iter([2])), Ok(Move::Running));
    scheduler.block(0, context(), Reason::Migration(moved), None);
    assert_eq!(pending_ipis(&mut scheduler), [1]);
    assert_eq!(pick(&mut scheduler, 0, 0), None);
    assert!(!scheduler.may_stay(1, 0, QUANTUM));
    scheduler.preempted(1);
    assert_eq!(pending_ipis(&mut scheduler), [0, 2]);
    assert_eq!(pick(&mut scheduler, 0, 0), Some(mover));
    assert_eq!(result(&scheduler, mover), Some(0));
    assert_eq!((pick(&mut scheduler, 1, 0), pick(&mut scheduler, 2, 0)), (None, Some(moved)));
    assert_eq!(scheduler.set_affinity(0, mover, CoreSet::from_iter([1])), Ok(Move::Caller));
}

#[test]
fn who_moves_a_thread_is_overruled_by_one_who_lets_it_stay() {
    let mut scheduler = machine(2);
    let (mover, moved) = (create(&mut scheduler, 5, &[0]), create(&mut scheduler, 5, &[1]));
    assert_eq!((pick(&mut scheduler, 0, 0), pick(&mut scheduler, 1, 0)), (Some(mover), Some(moved)));
    assert_eq!(scheduler.set_affinity(0, moved, CoreSet::from_iter([0])), Ok(Move::Running));
    scheduler.block(0, context(), Reason::Migration(moved), None);
    assert_eq!(scheduler.set_affinity(1, moved, CoreSet::from_iter([1])), Ok(Move::Done));
    assert_eq!(pick(&mut scheduler, 0, 0), Some(mover));
}

#[test]
fn joins_end_with_the_thread_and_numbers_are_not_used_again() {
    let mut scheduler = machine(2);
    let (joiner, joined) = (create(&mut scheduler, 5, &[0]), create(&mut scheduler, 5, &[1]));
    assert_eq!((pick(&mut scheduler, 0, 0), pick(&mut scheduler, 1, 0)), (Some(joiner), Some(joined)));
    scheduler.block(0, context(), Reason::Join(joined), None);
    assert!(!scheduler.has_ended(joined));
    scheduler.exit(1);
    assert_eq!(pick(&mut scheduler, 0, 0), Some(joiner));
    assert!(scheduler.has_ended(joined) && scheduler.find(joined) == Err(Error::NoSuchThread));
    let next = create(&mut scheduler, 5, &[1]);
    assert!(
        next != joined && scheduler.slot_of(next) == scheduler.slot_of(joined) && !scheduler.has_ended(next)
    );
    assert!(!scheduler.has_ended(ThreadId(u64::MAX)), "no thread ever had this number");
    for _ in 2..max_threads(2) {
        create(&mut scheduler, 0, &[0]);
    }
    assert_eq!(scheduler.take_slot(), Err(Error::TooManyThreads));
}

#[test]
fn reserved_cores_keep_their_threads_and_take_no_others() {
    let mut scheduler = machine(3);
    let (tenant, other) = (create(&mut scheduler, 5, &[1, 2]), create(&mut scheduler, 5, &[0, 1, 2]));
    assert_eq!((pick(&mut scheduler, 1, 0), pick(&mut scheduler, 0, 0)), (Some(tenant), Some(other)));
    let set = CoreSet::from_iter([1, 2]);
    assert_eq!(scheduler.reserve(CoreSet::new()), Err(Error::NoCores));
    assert_eq!(scheduler.reserve(CoreSet::from_iter([3])), Err(Error::Offline));
    assert_eq!(scheduler.reserve(set.clone()), Ok(()));
    assert_eq!(scheduler.check(&CoreSet::from_iter([0, 2])), Err(Error::Reserved));
    assert_eq!(scheduler.check(&CoreSet::from_iter([0])), Ok(()));
    scheduler.block(1, context(), Reason::Word(4), None);
    scheduler.preempted(0);
    assert_eq!((pick(&mut scheduler, 1, 0), pick(&mut scheduler, 2, 0)), (None, None));
    scheduler.wake(4, 1);
    assert_eq!((pick(&mut scheduler, 2, 0), pick(&mut scheduler, 1, 0)), (None, Some(tenant)));
    scheduler.release();
    assert_eq!(pick(&mut scheduler, 2, 0), Some(other));
}

#[test]
fn stopping_lets_no_thread_begin() {
    let mut scheduler = machine(2);
    let thread = create(&mut scheduler, 5, &[0]);
    pick(&mut scheduler, 0, 0);
    create(&mut scheduler, 5, &[1]);
    scheduler.stop();
    assert_eq!((pick(&mut scheduler, 1, 0), scheduler.still_running(1)), (None, Some(0)));
    scheduler.abandon(0);
    assert_eq!(scheduler.still_running(1), None);
    scheduler.clear();
    assert!(scheduler.has_ended(thread));
    assert_eq!((pick(&mut scheduler, 0, 0), pick(&mut scheduler, 1, 0)), (None, None));
}

#[derive(Clone, Debug)]
enum Step {
    Create(u8, u8),
    Run(usize),
    Wait(usize, u64),
    Sleep(usize, u64),
    Wake(u64),
    Confine(usize, u8),
    Exit(usize),
    Preempt(usize),
    Prioritise(usize, u8),
}

const CORES: usize = 4;

fn step() -> impl Strategy<Value = Step> {
    let (core, set, thread) = (0..CORES, 1u8..16, 0usize..12);
    prop_oneof![
        (0u8..32, set.clone()).prop_map(|(priority, set)| Step::Create(priority, set)),
        core.clone().prop_map(Step::Run),
        core.clone().prop_map(Step::Run),
        (core.clone(), 0u64..3).prop_map(|(core, word)| Step::Wait(core, word)),
        (core.clone(), 0u64..50).prop_map(|(core, span)| Step::Sleep(core, span)),
        (0u64..3).prop_map(Step::Wake),
        (thread.clone(), set).prop_map(|(thread, set)| Step::Confine(thread, set)),
        core.clone().prop_map(Step::Exit),
        core.prop_map(Step::Preempt),
        (thread, 0u8..32).prop_map(|(thread, priority)| Step::Prioritise(thread, priority)),
    ]
}

fn take(scheduler: &mut Scheduler, step: &Step, threads: &mut Vec<ThreadId>, now: u64) {
    let set = |bits: u8| CoreSet::from_words(&[bits.into()]).expect("a small set");
    match *step {
        Step::Create(priority, bits) => {
            let slot = scheduler.take_slot().expect("few threads");
            threads.push(scheduler.create(slot, context(), priority, set(bits), now as usize % CORES));
        }
        Step::Run(core) => {
            scheduler.expire(core, now);
            if scheduler.cores[core].current.is_none() {
                scheduler.pick(core, now, QUANTUM);
            } else if !scheduler.may_stay(core, now, QUANTUM) {
                scheduler.preempted(core);
            }
        }
        Step::Wait(core, word) => scheduler.block(core, context(), Reason::Word(word), None),
        Step::Sleep(core, span) => scheduler.block(core, context(), Reason::Sleep, Some(now + span)),
        Step::Wake(word) => drop(scheduler.wake(word, 1)),
        Step::Confine(thread, bits) => {
            if let Some(&id) = threads.get(thread) {
                let _ = scheduler.set_affinity(0, id, set(bits));
            }
        }
        Step::Exit(core) => scheduler.exit(core),
        Step::Preempt(core) => scheduler.preempted(core),
        Step::Prioritise(thread, priority) => {
            if let Some(&id) = threads.get(thread) {
                let _ = scheduler.set_priority(id, priority);
            }
        }
    }
}

proptest! {
    /// Any steps in any order: no thread is lost, doubled or where it may not be, and an idle core that looks finds a
    /// waiting one.
    #[test]
    fn every_thread_is_in_one_place(steps in prop::collection::vec(step(), 1..120)) {
        let mut scheduler = machine(CORES);
        let mut threads = Vec::new();
        for (now, step) in steps.iter().enumerate() {
            take(&mut scheduler, step, &mut threads, now as u64);
            let mut queued = 0;
            for &id in threads.iter().filter(|id| !scheduler.has_ended(**id)) {
                let slot = scheduler.slot_of(id);
                let thread = scheduler.thread(slot);
                let runs = (0..CORES).filter(|&core| scheduler.cores[core].current == Some(slot)).count();
                let is_queued = |core: &usize| {
                    let queue = &scheduler.cores[*core].queue;
                    queue.iter(&scheduler.links, thread.priority).any(|other| other == slot)
                };
                let queues: Vec<usize> = (0..CORES).filter(is_queued).collect();
                queued += queues.len();
                let waits = scheduler.links.iter(&scheduler.waiting).filter(|&other| other == slot).count();
                match thread.state {
                    State::Running => prop_assert_eq!((runs, queues.len(), waits), (1, 0, 0)),
                    State::Ready => {
                        prop_assert_eq!((runs, &queues[..], waits), (0, &[thread.core][..], 0));
                        prop_assert!(thread.affinity.contains(thread.core));
                    }
                    State::Blocked(reason) => {
                        let on_word = matches!(reason, Reason::Word(_));
                        prop_assert_eq!((runs, queues.len(), waits), (0, 0, usize::from(on_word)));
                        prop_assert!(thread.affinity.contains(thread.core));
                    }
                }
                let timed = scheduler.cores.iter().flat_map(|core| scheduler.deadline_links.iter(&core.deadlines));
                let timed = timed.filter(|&other| other == slot).count();
                prop_assert_eq!(timed, usize::from(thread.deadline.is_some()));
            }
            prop_assert_eq!(queued, scheduler.ready);
            for core in &scheduler.cores {
                let deadlines = scheduler.deadline_links.iter(&core.deadlines);
                prop_assert!(deadlines.is_sorted_by_key(|slot| scheduler.thread(slot).deadline));
            }
        }
        for core in 0..CORES {
            let idle = scheduler.cores[core].current.is_none();
            let waits = |thread: &super::thread::Thread| {
                thread.state == State::Ready && thread.affinity.contains(core)
            };
            let expected = idle && scheduler.find_from(0, waits).is_some();
            prop_assert!(!expected || scheduler.pick(core, 1000, QUANTUM).is_some());
        }
    }
}
