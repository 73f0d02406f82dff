//! Blocking and waking: on a word (a futex), until a deadline, for a thread's end, for input.
//!
//! No wake-up is lost: comparing the word and registering happen under the lock that a waker takes.

use super::state::Scheduler;
use super::thread::{Context, Reason, State};
use embodios_abi::{Error, encode_result};
use embodios_arch::UserContext;

impl Scheduler {
    /// Takes the thread of a core off it until something wakes it, at the latest when the counter shows `deadline`.
    /// It goes on with `context`.
    pub fn block(&mut self, core: usize, context: Context, reason: Reason, deadline: Option<u64>) {
        let Some(slot) = self.leave(core) else { return };
        let thread = self.thread_mut(slot);
        thread.context = context;
        thread.state = State::Blocked(reason);
        thread.deadline = deadline;
        let home = thread.core;
        if deadline.is_some() {
            self.keep_deadline(home, slot);
            if home != core {
                self.request_resched(home);
            }
        }
        if let Reason::Word(_) = reason {
            self.links.push(&mut self.waiting, slot);
        }
    }

    /// Has a core look after the deadline of a thread, which has one.
    pub(super) fn keep_deadline(&mut self, core: usize, slot: usize) {
        let deadline = |slot: usize| self.thread(slot).deadline;
        let earlier = |&other: &usize| deadline(other) <= deadline(slot);
        let place = self.deadline_links.backwards(&self.cores[core].deadlines).find(earlier);
        self.deadline_links.insert_after(&mut self.cores[core].deadlines, place, slot);
    }

    /// Has a core look after it no longer.
    pub(super) fn drop_deadline(&mut self, core: usize, slot: usize) {
        self.deadline_links.remove(&mut self.cores[core].deadlines, slot);
    }

    /// Ends a thread's wait.
    pub(super) fn unblock(&mut self, slot: usize) {
        let thread = self.thread_mut(slot);
        thread.woken = true;
        let (home, state) = (thread.core, thread.state);
        if thread.deadline.take().is_some() {
            self.drop_deadline(home, slot);
        }
        if let State::Blocked(Reason::Word(_)) = state {
            self.links.remove(&mut self.waiting, slot);
        }
        self.make_ready(slot);
    }

    /// Wakes up to `limit` threads that wait on the word at `address`, the first to wait first; their number.
    pub fn wake(&mut self, address: u64, limit: u64) -> u64 {
        let mut woken = 0;
        let mut next = self.waiting.first();
        while let Some(slot) = next
            && woken < limit
        {
            next = self.links.next(slot);
            if self.thread(slot).state == State::Blocked(Reason::Word(address)) {
                self.thread_mut(slot).context.set_result(encode_result(Ok(0)));
                self.unblock(slot);
                woken += 1;
            }
        }
        woken
    }

    /// Wakes the threads that wait for input: they ask again.
    pub fn wake_readers(&mut self) {
        let mut from = 0;
        while let Some(slot) = self.find_from(from, |thread| thread.state == State::Blocked(Reason::Input)) {
            self.unblock(slot);
            from = slot + 1;
        }
    }

    /// Ends the waits of a core whose deadlines have passed.
    pub fn expire(&mut self, core: usize, now: u64) {
        while let Some(slot) = self.cores[core].deadlines.first()
            && self.thread(slot).deadline.is_some_and(|deadline| deadline <= now)
        {
            let thread = self.thread_mut(slot);
            let result = match thread.state {
                State::Blocked(Reason::Sleep) => Ok(0),
                _ => Err(Error::TimedOut),
            };
            thread.context.set_result(encode_result(result));
            self.unblock(slot);
        }
    }

    /// Counter value at which a core has to look at its part again without being asked; `None`: never.
    #[must_use]
    pub fn timer(&self, core: usize) -> Option<u64> {
        let core = &self.cores[core];
        let deadline = core.deadlines.first().and_then(|slot| self.thread(slot).deadline);
        [deadline, core.quantum_end].into_iter().flatten().min()
    }
}
