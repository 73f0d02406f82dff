//! The host's threads: starting, joining, and where each may run.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{Builder, JoinHandle};
use std::vec::Vec;

use embodios_pool::platform::{CoreSet, PlatformError, ThreadId};
use rustix::thread::{CpuSet, Pid, gettid, sched_getcpu, sched_setaffinity};

/// All threads that the platform knows, by their Linux number.
#[derive(Debug)]
pub struct Threads {
    /// The processor that each core is; empty where cores are only names.
    processors: Vec<usize>,
    online: CoreSet,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    threads: HashMap<ThreadId, Thread>,
    reserved: CoreSet,
}

#[derive(Debug, Default)]
struct Thread {
    /// Until it is joined; `None` for a thread that the platform did not start.
    handle: Option<JoinHandle<()>>,
    cores: CoreSet,
}

std::thread_local! {
    static CURRENT: ThreadId = ThreadId(gettid().as_raw_nonzero().get().unsigned_abs().into());
}

/// The thread that runs this.
pub fn current() -> ThreadId {
    CURRENT.with(|&thread| thread)
}

impl Threads {
    pub fn new(processors: Vec<usize>, online: CoreSet) -> Self {
        Self { processors, online, state: Mutex::default() }
    }

    /// A panic elsewhere leaves the state whole: every change is one insertion or removal.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn start(
        &self,
        cores: &CoreSet,
        entry: extern "C" fn(usize),
        argument: usize,
    ) -> Result<ThreadId, PlatformError> {
        self.check(&self.state(), cores, &CoreSet::new())?;
        let confinement = self.confinement(cores);
        let (send, receive) = mpsc::sync_channel(1);
        let (go, gone) = mpsc::sync_channel(1);
        let body = move || {
            let pinned = confinement.map_or(Ok(()), |set| sched_setaffinity(None, &set));
            let told = send.send(pinned.map(|()| current()));
            // It runs only after the platform knows it.
            if told.is_ok() && gone.recv().is_ok() {
                entry(argument);
            }
        };
        let handle = Builder::new().spawn(body).map_err(|_| PlatformError::OutOfMemory)?;
        let Ok(Ok(thread)) = receive.recv() else {
            return Err(cores.iter().next().map_or(PlatformError::NoCores, PlatformError::Offline));
        };
        self.state().threads.insert(thread, Thread { handle: Some(handle), cores: cores.clone() });
        // The thread waits for it.
        let _ = go.send(());
        Ok(thread)
    }

    pub fn join(&self, thread: ThreadId) -> Result<(), PlatformError> {
        let handle = self.state().threads.get_mut(&thread).and_then(|known| known.handle.take());
        // A thread's panic has been reported by the thread.
        let _ = handle.ok_or(PlatformError::NoSuchThread(thread))?.join();
        self.state().threads.remove(&thread);
        Ok(())
    }

    pub fn set_affinity(&self, thread: ThreadId, cores: &CoreSet) -> Result<(), PlatformError> {
        let mut state = self.state();
        let now = state.threads.get(&thread).map(|known| known.cores.clone()).unwrap_or_default();
        self.check(&state, cores, &now)?;
        let no_such = PlatformError::NoSuchThread(thread);
        let raw = i32::try_from(thread.0).ok().and_then(Pid::from_raw).ok_or(no_such)?;
        match self.confinement(cores) {
            Some(set) => sched_setaffinity(Some(raw), &set).map_err(|_| no_such)?,
            // Cores are only names: what counts is whether the thread exists.
            None => drop(rustix::thread::sched_getaffinity(Some(raw)).map_err(|_| no_such)?),
        }
        state.threads.entry(thread).or_default().cores = cores.clone();
        Ok(())
    }

    pub fn affinity(&self, thread: ThreadId) -> Result<CoreSet, PlatformError> {
        match self.state().threads.get(&thread) {
            Some(known) => Ok(known.cores.clone()),
            None if thread == current() => Ok(self.online.clone()),
            None => Err(PlatformError::NoSuchThread(thread)),
        }
    }

    pub fn reserve(&self, cores: &CoreSet) -> Result<(), PlatformError> {
        let mut state = self.state();
        self.check(&state, cores, &CoreSet::new())?;
        state.reserved = cores.clone();
        Ok(())
    }

    pub fn release(&self) {
        self.state().reserved = CoreSet::new();
    }

    /// The core that runs this: the processor's own answer, or where cores are names the first that this thread
    /// may run on.
    pub fn current_core(&self) -> usize {
        if self.processors.is_empty() {
            let state = self.state();
            return state.threads.get(&current()).and_then(|known| known.cores.iter().next()).unwrap_or(0);
        }
        let processor = sched_getcpu();
        self.processors.iter().position(|&other| other == processor).unwrap_or(0)
    }

    /// The processor that `core` is, and the threads that may run only there.
    pub fn on_core(&self, core: usize) -> (Option<usize>, Vec<ThreadId>) {
        let state = self.state();
        let only = |known: &Thread| known.cores.iter().eq([core]);
        let threads = state.threads.iter().filter(|(_, known)| only(known)).map(|(&thread, _)| thread);
        (self.processors.get(core).copied(), threads.collect())
    }

    /// Refuses a set that is empty, or holds a core that is offline, or reserved and not among `own`.
    fn check(&self, state: &State, cores: &CoreSet, own: &CoreSet) -> Result<(), PlatformError> {
        if cores.is_empty() {
            return Err(PlatformError::NoCores);
        }
        if let Some(core) = cores.difference(&self.online).iter().next() {
            return Err(PlatformError::Offline(core));
        }
        match cores.intersection(&state.reserved).difference(own).iter().next() {
            Some(core) => Err(PlatformError::Reserved(core)),
            None => Ok(()),
        }
    }

    /// The processors that `cores` are; `None` where cores are only names.
    fn confinement(&self, cores: &CoreSet) -> Option<CpuSet> {
        (!self.processors.is_empty()).then(|| {
            let mut set = CpuSet::new();
            cores.iter().for_each(|core| set.set(self.processors[core]));
            set
        })
    }
}
