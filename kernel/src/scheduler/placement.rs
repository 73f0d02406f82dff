//! Placement of threads on cores: affinity, reservations, idle cores that take a share.

use super::state::Scheduler;
use super::thread::{Reason, State, ThreadId};
use embodios_abi::Error;
use embodios_core_set::CoreSet;

/// Work left after a change of affinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Nothing.
    Done,
    /// The caller itself runs where it no longer may.
    Caller,
    /// The thread still runs where it no longer may; the core has been told.
    Running,
}

impl Scheduler {
    /// The core for a ready thread: its own if that is idle, else an idle one, else the least busy one, its own
    /// first.
    pub(super) fn place(&self, slot: usize) -> usize {
        let thread = self.thread(slot);
        let load = |core: usize| {
            let part = &self.cores[core];
            part.queue.len() + usize::from(part.current.is_some())
        };
        if load(thread.core) == 0 {
            return thread.core;
        }
        let allowed =
            thread.affinity.iter().filter(|&core| core == thread.core || !self.reserved.contains(core));
        allowed.min_by_key(|&core| (load(core), core != thread.core)).unwrap_or(thread.core)
    }

    /// A thread that waits for another core and may run on this one, which is idle: of the highest priority.
    pub(super) fn find_elsewhere(&self, core: usize) -> Option<usize> {
        if self.reserved.contains(core) {
            return None;
        }
        let mut priorities = self.cores.iter().fold(0, |all, part| all | part.queue.priorities());
        while priorities != 0 {
            let priority = 31 - priorities.leading_zeros() as u8;
            let wanted = |&slot: &usize| self.thread(slot).affinity.contains(core);
            let found =
                self.cores.iter().find_map(|part| part.queue.iter(&self.links, priority).find(wanted));
            if found.is_some() {
                return found;
            }
            priorities &= !(1 << priority);
        }
        None
    }

    /// Checks that threads may be confined to `cores`.
    ///
    /// # Errors
    /// [`Error::NoCores`], [`Error::Offline`], [`Error::Reserved`].
    pub fn check(&self, cores: &CoreSet) -> Result<(), Error> {
        self.check_online(cores)?;
        cores.iter().try_for_each(|core| self.check_use(core))
    }

    fn check_online(&self, cores: &CoreSet) -> Result<(), Error> {
        match cores {
            cores if cores.is_empty() => Err(Error::NoCores),
            cores if !cores.is_subset(&self.online) => Err(Error::Offline),
            _ => Ok(()),
        }
    }

    /// Checks that a core is not reserved.
    ///
    /// # Errors
    /// [`Error::Reserved`].
    pub fn check_use(&self, core: usize) -> Result<(), Error> {
        if self.reserved.contains(core) { Err(Error::Reserved) } else { Ok(()) }
    }

    /// Confines a thread to `cores`, which have been checked. `caller` is the core that asks.
    ///
    /// # Errors
    /// [`Error::NoSuchThread`].
    pub fn set_affinity(&mut self, caller: usize, id: ThreadId, cores: CoreSet) -> Result<Move, Error> {
        let slot = self.find(id)?;
        let thread = self.thread_mut(slot);
        let (old, state) = (thread.core, thread.state);
        let stays = cores.contains(old);
        let first = cores.iter().next().unwrap_or(old);
        thread.affinity = cores;
        if stays {
            // An earlier call that waits for it to leave has been overruled.
            self.wake_all(Reason::Migration(id));
            return Ok(Move::Done);
        }
        match state {
            State::Running if old == caller => return Ok(Move::Caller),
            State::Running => {
                self.request_resched(old);
                return Ok(Move::Running);
            }
            State::Ready => {
                self.unqueue(slot);
                self.thread_mut(slot).core = first;
                self.make_ready(slot);
            }
            State::Blocked(_) => {
                let thread = self.thread_mut(slot);
                thread.core = first;
                if thread.deadline.is_some() {
                    self.drop_deadline(old, slot);
                    self.keep_deadline(first, slot);
                    self.request_resched(first);
                }
            }
        }
        Ok(Move::Done)
    }

    /// Sets a thread's priority.
    ///
    /// # Errors
    /// [`Error::NoSuchThread`].
    pub fn set_priority(&mut self, id: ThreadId, priority: u8) -> Result<(), Error> {
        let slot = self.find(id)?;
        match self.thread(slot).state {
            State::Ready => {
                self.unqueue(slot);
                self.thread_mut(slot).priority = priority;
                self.make_ready(slot);
            }
            State::Running => {
                let thread = self.thread_mut(slot);
                thread.priority = priority;
                let core = thread.core;
                self.request_resched(core);
            }
            State::Blocked(_) => self.thread_mut(slot).priority = priority,
        }
        Ok(())
    }

    /// Keeps `cores` for the threads on them. Replaces an earlier reservation.
    ///
    /// # Errors
    /// [`Error::NoCores`], [`Error::Offline`].
    pub fn reserve(&mut self, cores: CoreSet) -> Result<(), Error> {
        self.check_online(&cores)?;
        self.reserved = cores;
        Ok(())
    }

    /// Keeps no core any more.
    pub fn release(&mut self) {
        self.reserved = CoreSet::new();
    }
}
