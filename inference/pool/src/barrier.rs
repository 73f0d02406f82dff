//! Where the members of a team wait for each other inside a job.
//!
//! The last to come lets the others go. Nobody comes to a meeting before all have left the one before: the count is
//! back at 0 before the epoch moves on, and who has not seen that has not left.

use super::epoch::Epoch;
use super::pace::Pace;
use super::record::{Record, Work};
use crate::sync::atomic::AtomicU32;
use crate::sync::atomic::Ordering::SeqCst;

/// A meeting place.
#[repr(align(128))]
#[derive(Default)]
pub struct Barrier {
    /// Members that have come to the current meeting.
    arrived: AtomicU32,
    /// Number of the meeting.
    epoch: Epoch,
}

impl Barrier {
    /// Returns when all `members` have called this: what each wrote before is seen by all after. The last to come calls
    /// `all_met` while nobody else is at work.
    pub fn meet(&self, pace: &Pace, members: u32, record: &Record, all_met: impl FnOnce()) {
        let seen = self.epoch.number();
        if self.arrived.fetch_add(1, SeqCst) + 1 == members {
            self.arrived.store(0, SeqCst);
            all_met();
            let wakeups_sent = self.epoch.advance(pace, members - 1);
            if wakeups_sent > 0 {
                record.add(&Work { wakeups_sent, ..Work::default() });
            }
        } else {
            let since = pace.platform.now_ns();
            let working_ns = record.settle(since);
            let waited = self.epoch.wait(pace, seen, since);
            let waiting_ns = record.settle(pace.platform.now_ns()).saturating_sub(waited.asleep_ns);
            record.add(&Work { working_ns, waiting_ns, ..waited });
        }
    }
}
