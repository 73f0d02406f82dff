//! The commands `affinity` and `pin`: which thread runs where.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_pool::platform::{CoreSet, ThreadId};

use super::Console;
use super::error::CommandError;
use super::placement;

impl Console<'_> {
    /// Every thread with its cores, and what the cores are for.
    pub(super) fn affinity(&self) -> Result<String, CommandError> {
        let console = self.platform.current_thread();
        let mut text = format!("thread {console} (console): cores {}\n", self.platform.affinity(console)?);
        for (worker, thread) in self.workers.running().iter().flat_map(|pool| pool.threads()).enumerate() {
            let cores = self.platform.affinity(thread)?;
            text += &format!("thread {thread} (worker {worker}): cores {cores}\n");
        }
        text += &format!("housekeeping: {}\n", placement::housekeeping(self.platform.cores()));
        Ok(text + &self.worker_cores())
    }

    /// The cores of the workers, and why these.
    pub(super) fn worker_cores(&self) -> String {
        let state = if self.workers.running().is_some() { "running" } else { "not started" };
        format!("workers: {}, {}, {state}\n", self.workers.cores(), self.workers.choice())
    }

    /// Confines a thread to some cores.
    pub(super) fn pin(&self, thread: ThreadId, cores: &CoreSet) -> Result<(), CommandError> {
        self.platform.set_affinity(thread, cores)?;
        let cores = self.platform.affinity(thread)?;
        self.say(format_args!("thread {thread}: cores {cores}\n"));
        let workers: Vec<ThreadId> = self.workers.running().iter().flat_map(|pool| pool.threads()).collect();
        if workers.contains(&thread) && cores.len() == 1 {
            for &other in workers.iter().filter(|&&other| other != thread) {
                if self.platform.affinity(other)? == cores {
                    self.output.note(format_args!(
                        "warning: worker thread {other} is on core {cores} too: they take turns there\n"
                    ));
                }
            }
        }
        Ok(())
    }
}
