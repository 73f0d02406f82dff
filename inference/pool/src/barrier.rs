//! The barrier of a team: its members wait for each other inside a job.
//!
//! The last to arrive releases the others. No member arrives for the next round before all have left this one: the
//! count is back at 0 before the epoch advances, and a member that has not seen the advance has not left.

use super::epoch::Epoch;
use super::record::{Record, Work};
use super::wait_policy::WaitPolicy;
use crate::sync::atomic::AtomicU32;
use crate::sync::atomic::Ordering::SeqCst;

/// A reusable barrier.
#[repr(align(128))]
#[derive(Default)]
pub struct Barrier {
    /// Members that have arrived in this round.
    arrived: AtomicU32,
    /// Number of the round.
    epoch: Epoch,
}

impl Barrier {
    /// Returns when all `members` have called this: writes of each before it are seen by all after. The last to arrive
    /// calls `on_release` while no other member runs.
    pub fn wait(&self, policy: &WaitPolicy, members: u32, record: &Record, on_release: impl FnOnce()) {
        let seen = self.epoch.number();
        if self.arrived.fetch_add(1, SeqCst) + 1 == members {
            self.arrived.store(0, SeqCst);
            on_release();
            let wakeups_sent = self.epoch.advance(policy, members - 1);
            if wakeups_sent > 0 {
                record.add(&Work { wakeups_sent, ..Work::default() });
            }
        } else {
            let since = policy.platform.now_ns();
            let working_ns = record.settle(since);
            let waited = self.epoch.wait(policy, seen, since);
            let waiting_ns = record.settle(policy.platform.now_ns()).saturating_sub(waited.asleep_ns);
            record.add(&Work { working_ns, waiting_ns, ..waited });
        }
    }
}
