//! The state that all workers of a pool share, and the start of their threads.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::queue::Queue;
use super::record::Record;
use super::team::Team;
use super::thread::start_thread;
use super::wait_policy::WaitPolicy;
use crate::platform::{CoreSet, Platform, PlatformError, ThreadId};
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::atomic::{AtomicU32, AtomicU64};

/// The shared state.
pub struct Shared {
    pub policy: WaitPolicy,
    /// Each worker's core.
    pub cores: Vec<usize>,
    /// The team of the whole pool, then those of groups: that of a group whose first worker is `w` has index `1 + w`.
    pub teams: Box<[Team]>,
    pub workers: Box<[Worker]>,
    /// Cost of a dispatch, in nanoseconds; 0 before it is measured.
    pub dispatch_ns: AtomicU32,
}

/// One worker's state that others read.
#[derive(Default)]
#[repr(align(128))]
pub struct Worker {
    pub queue: Queue,
    pub record: Record,
    /// Number of its thread.
    thread: AtomicU64,
}

impl Shared {
    /// The state of workers on `cores`; the calling thread is the first.
    pub fn new(platform: &'static dyn Platform, cores: &CoreSet, spin: u32) -> Self {
        let cores: Vec<usize> = cores.iter().collect();
        Self {
            policy: WaitPolicy::new(platform, u64::from(spin) * 1_000),
            teams: (0..=cores.len()).map(|_| Team::default()).collect(),
            workers: cores.iter().map(|_| Worker::default()).collect(),
            dispatch_ns: AtomicU32::new(0),
            cores,
        }
    }

    /// The calling thread's worker index.
    pub fn current(&self) -> Result<usize, ThreadId> {
        let thread = self.policy.platform.current_thread();
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
pub fn start_worker(shared: &Arc<Shared>, index: usize) -> Result<ThreadId, PlatformError> {
    let (own, platform) = (Arc::clone(shared), shared.policy.platform);
    start_thread(platform, &CoreSet::from_iter([shared.cores[index]]), move || {
        own.teams[0].serve(&own.policy, index, &own.workers[index].record);
    })
}
