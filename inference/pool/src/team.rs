//! Fork and join: one caller hands a job to the other members of its team and waits for them.
//!
//! A fork touches shared memory only: members poll for a bounded time and then sleep on a futex word,
//! so that an idle core halts.
//!
//! No wake-up is lost, as [`epoch`](super::epoch) says; the way back (`busy` and `caller_sleeps`) is the same with the
//! roles exchanged.

use core::cell::UnsafeCell;

use super::barrier::Barrier;
use super::caught::Caught;
use super::epoch::Epoch;
use super::record::{Record, Work};
use super::wait_policy::WaitPolicy;
use crate::platform::NEVER;
use crate::sync::atomic::Ordering::SeqCst;
use crate::sync::atomic::{AtomicBool, AtomicU32};

/// A job: called once by every member, with its index in the team.
pub type Job<'a> = &'a (dyn Fn(usize) + Sync);

/// The caller's order to the members.
#[derive(Clone, Copy)]
struct Order {
    /// `None` ends the service.
    job: Option<Job<'static>>,
    /// Time of its hand-out, in nanoseconds.
    begun: u64,
}

/// A fork-join team. The caller's words and the members' lie in different cache lines.
#[derive(Default)]
pub struct Team {
    call: Call,
    back: Back,
    /// The members' barrier inside a job.
    pub barrier: Barrier,
    /// Panics of the current job.
    pub caught: Caught,
}

#[repr(align(128))]
struct Call {
    /// Number of the current job.
    epoch: Epoch,
    order: UnsafeCell<Order>,
}

impl Default for Call {
    fn default() -> Self {
        Self { epoch: Epoch::default(), order: UnsafeCell::new(Order { job: None, begun: 0 }) }
    }
}

#[repr(align(128))]
#[derive(Default)]
struct Back {
    /// Members still at the current job; the caller's futex word.
    busy: AtomicU32,
    /// The caller is about to wait for `busy` to change, or does.
    caller_sleeps: AtomicBool,
}

// SAFETY: all but `order` is `Sync`. `order` is written by the caller only while no member is busy, and read by
// members only between the change of `epoch` and their decrement of `busy`, both of which order the accesses. A
// job itself is `Sync`.
unsafe impl Sync for Call {}
// SAFETY: as above; a job may be called from any thread.
unsafe impl Send for Call {}

impl Team {
    /// Makes the team ready for members that come to [`Self::serve`] afresh. No member may be serving.
    pub fn renew(&self) {
        self.call.epoch.reset();
    }

    /// Gives `job` to `others` members, all that serve. The result waits for them when dropped, also while a
    /// panic unwinds, so that the job outlives its use.
    ///
    /// # Safety
    /// One thread at a time, and only after the last [`Forked`] was dropped or joined.
    pub unsafe fn fork<'a>(
        &'a self,
        policy: &'a WaitPolicy,
        others: u32,
        begun: u64,
        job: Option<Job<'a>>,
    ) -> Forked<'a> {
        let mut forked = Forked { team: self, policy, sent: 0, joined: others == 0 };
        if others > 0 {
            // SAFETY: only the lifetime changes; `Forked` ends no earlier than the last use, and borrows the job.
            let job = unsafe { core::mem::transmute::<Option<Job<'a>>, Option<Job<'static>>>(job) };
            debug_assert_eq!(self.back.busy.load(SeqCst), 0, "one job at a time");
            // SAFETY: no member is busy: the last `Forked` has waited.
            unsafe { *self.call.order.get() = Order { job, begun } };
            self.back.busy.store(others, SeqCst);
            forked.sent = self.call.epoch.advance(policy, others);
        }
        forked
    }

    /// Takes every job once, as member `index`, until the caller ends the service.
    pub fn serve(&self, policy: &WaitPolicy, index: usize, record: &Record) {
        let Call { epoch, order } = &self.call;
        let mut seen = 0;
        let mut since = policy.platform.now_ns();
        // Inside a job, the time until now was work on that job.
        let mut work = Work { working_ns: record.settle(since), ..Work::default() };
        loop {
            let waited = epoch.wait(policy, seen, since);
            seen = seen.wrapping_add(1);
            // SAFETY: the epoch changed, and the caller leaves the order alone until `busy` is 0.
            let Order { job, begun } = unsafe { *order.get() };
            work.waiting_ns = record.settle(begun).saturating_sub(waited.asleep_ns);
            (work.asleep_ns, work.wakeups_received) = (waited.asleep_ns, waited.wakeups_received);
            if let Some(job) = job {
                self.caught.run(index, || job(index));
                since = policy.platform.now_ns();
                work.working_ns += record.settle(since);
                work.dispatches = 1;
            }
            record.add(&core::mem::take(&mut work));
            if self.back.busy.fetch_sub(1, SeqCst) == 1 && self.back.caller_sleeps.load(SeqCst) {
                policy.platform.wake(&self.back.busy, 1);
                // Counted with the next job: this one is over.
                work.wakeups_sent = 1;
            }
            if job.is_none() {
                return;
            }
        }
    }
}

/// A job that runs. Waits for its end when dropped.
pub struct Forked<'a> {
    team: &'a Team,
    policy: &'a WaitPolicy,
    /// Wake-ups that the hand-out took.
    sent: u64,
    joined: bool,
}

impl Forked<'_> {
    /// Waits for the others, last polled at `since`. Result: time asleep and wake-ups.
    pub fn join(mut self, since: u64) -> Work {
        let mut work = self.wait(since);
        work.wakeups_sent = self.sent;
        work
    }

    fn wait(&mut self, since: u64) -> Work {
        let mut work = Work::default();
        if self.joined {
            return work;
        }
        self.joined = true;
        let (Back { busy, caller_sleeps }, policy) = (&self.team.back, self.policy);
        if policy.spin_until(since, || busy.load(SeqCst) == 0) {
            return work;
        }
        let asleep = policy.platform.now_ns();
        caller_sleeps.store(true, SeqCst);
        loop {
            match busy.load(SeqCst) {
                0 => break,
                still => policy.platform.wait(busy, still, NEVER),
            }
            work.wakeups_received = 1;
        }
        caller_sleeps.store(false, SeqCst);
        work.asleep_ns = policy.platform.now_ns().saturating_sub(asleep);
        work
    }
}

impl Drop for Forked<'_> {
    fn drop(&mut self) {
        let since = self.policy.platform.now_ns();
        self.wait(since);
    }
}
