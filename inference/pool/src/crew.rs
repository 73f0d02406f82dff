//! All workers of a pool: what they share, and their threads' start.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::pace::Pace;
use super::queue::Queue;
use super::record::Record;
use super::team::Team;
use super::thread::start_thread;
use crate::platform::{CoreSet, Platform, PlatformError, ThreadId};
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::atomic::{AtomicU32, AtomicU64};

/// What the workers share.
pub struct Crew {
    pub pace: Pace,
    /// Each worker's core.
    pub cores: Vec<usize>,
    /// Where the whole pool meets, and then each group of it: the team of a group whose first worker is `w` has index
    /// `1 + w`.
    pub teams: Box<[Team]>,
    pub workers: Box<[Worker]>,
    /// What a dispatch costs, in nanoseconds; 0 before it is measured.
    pub dispatch_ns: AtomicU32,
}

/// What belongs to one worker and others look at.
#[derive(Default)]
#[repr(align(128))]
pub struct Worker {
    pub queue: Queue,
    pub record: Record,
    /// Number of its thread.
    thread: AtomicU64,
}

impl Crew {
    /// What workers on `cores` need; the calling thread is the first.
    pub fn new(platform: &'static dyn Platform, cores: &CoreSet, spin: u32) -> Self {
        let cores: Vec<usize> = cores.iter().collect();
        Self {
            pace: Pace::new(platform, u64::from(spin) * 1_000),
            teams: (0..=cores.len()).map(|_| Team::default()).collect(),
            workers: cores.iter().map(|_| Worker::default()).collect(),
            dispatch_ns: AtomicU32::new(0),
            cores,
        }
    }

    /// The worker that the calling thread is.
    pub fn current(&self) -> Result<usize, ThreadId> {
        let thread = self.pace.platform.current_thread();
        self.workers.iter().position(|worker| worker.thread() == thread).ok_or(thread)
    }
}

impl Worker {
    /// Its thread.
    pub fn thread(&self) -> ThreadId {
        ThreadId(self.thread.load(Relaxed))
    }

    /// Notes which thread it is.
    pub fn set_thread(&self, thread: ThreadId) {
        self.thread.store(thread.0, Relaxed);
    }
}

/// Starts the thread of worker `index`.
///
/// # Errors
/// When the platform refuses.
pub fn start_worker(crew: &Arc<Crew>, index: usize) -> Result<ThreadId, PlatformError> {
    let (own, platform) = (Arc::clone(crew), crew.pace.platform);
    start_thread(platform, &CoreSet::from_iter([crew.cores[index]]), move || {
        own.teams[0].serve(&own.pace, index, &own.workers[index].record);
    })
}
