//! The running thread of each core and the next one, as pure state: no hardware, no lock, so that host tests reach all
//! of it.
//!
//! A change that concerns another core notes it in `pending_ipis`; the hardware layer (`mod.rs`) interrupts those
//! cores.

use super::list::{Links, List};
use super::run_queue::RunQueue;
use super::thread::{Context, Reason, State, Thread, ThreadId};
use alloc::vec::Vec;
use embodios_abi::{Error, encode_result};
use embodios_arch::UserContext;
use embodios_core_set::CoreSet;

/// Threads that a machine with `cores` cores may have at the same time: a pool for every core while the one before it
/// ends, and some for tests.
#[must_use]
pub const fn max_threads(cores: usize) -> usize {
    if cores < 64 { 256 } else { 4 * cores }
}

/// One core's part.
#[derive(Debug)]
pub struct Core {
    /// Slot of the thread that runs.
    pub current: Option<usize>,
    /// Those that wait for it.
    pub queue: RunQueue,
    /// Blocked threads with a deadline that belong here, the first deadline first.
    pub deadlines: List,
    /// Counter value from which the running thread has to share; `None` while none of its priority waits. The only
    /// reason for a tick.
    pub quantum_end: Option<u64>,
}

impl Core {
    fn new() -> Self {
        Self { current: None, queue: RunQueue::default(), deadlines: List::EMPTY, quantum_end: None }
    }
}

#[derive(Default)]
struct Slot {
    /// Threads that had this slot before.
    generation: u64,
    /// Whether it is given to a thread that is being made.
    taken: bool,
    thread: Option<Thread>,
}

/// All threads and cores.
pub struct Scheduler {
    /// Those that have had a thread. Room for all was made at boot.
    slots: Vec<Slot>,
    /// Limit of their number.
    limit: usize,
    /// Links of run queues, and of threads that wait on a word: none does both.
    pub(super) links: Links,
    /// Links of threads with a deadline.
    pub(super) deadline_links: Links,
    pub(super) cores: Vec<Core>,
    /// Cores that take threads.
    pub(super) online: CoreSet,
    /// Cores that are kept for the threads on them.
    pub(super) reserved: CoreSet,
    /// Blocked on a word, the first to wait first.
    pub(super) waiting: List,
    /// Cores that have to look at their part again.
    pub pending_ipis: CoreSet,
    /// Threads in run queues.
    pub(super) ready: usize,
    /// Whether no thread is to run.
    stopping: bool,
}

impl Scheduler {
    /// No core, no thread.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            slots: Vec::new(),
            limit: 0,
            links: Links::none(),
            deadline_links: Links::none(),
            cores: Vec::new(),
            online: CoreSet::new(),
            reserved: CoreSet::new(),
            waiting: List::EMPTY,
            pending_ipis: CoreSet::new(),
            ready: 0,
            stopping: false,
        }
    }

    /// Makes room for cores `0..count`, none of them online, and for their threads.
    pub fn add_cores(&mut self, count: usize) {
        self.limit = max_threads(count);
        self.cores.resize_with(count, Core::new);
        self.slots.reserve_exact(self.limit);
        (self.links, self.deadline_links) = (Links::with_room(self.limit), Links::with_room(self.limit));
    }

    /// Lets a core take threads.
    pub fn set_online(&mut self, core: usize) {
        self.online.insert(core);
    }

    /// Takes a slot for a thread to be made.
    ///
    /// # Errors
    /// [`Error::TooManyThreads`].
    pub fn take_slot(&mut self) -> Result<usize, Error> {
        let free = |slot: &Slot| slot.thread.is_none() && !slot.taken;
        let slot = self.slots.iter().position(free).unwrap_or(self.slots.len());
        if slot == self.limit {
            return Err(Error::TooManyThreads);
        }
        if slot == self.slots.len() {
            self.slots.push(Slot::default());
            self.links.add();
            self.deadline_links.add();
        }
        self.slots[slot].taken = true;
        Ok(slot)
    }

    /// Whether there is a thread, or one that is being made.
    #[must_use]
    pub fn has_threads(&self) -> bool {
        self.slots.iter().any(|slot| slot.thread.is_some() || slot.taken)
    }

    /// Gives a slot back for which there is no thread after all.
    pub fn return_slot(&mut self, slot: usize) {
        self.slots[slot].taken = false;
    }

    /// Makes a thread in a slot from [`Self::take_slot`], ready to run, near core `near` if it may be.
    pub fn create(
        &mut self,
        slot: usize,
        context: Context,
        priority: u8,
        affinity: CoreSet,
        near: usize,
    ) -> ThreadId {
        let core = if affinity.contains(near) { near } else { affinity.iter().next().unwrap_or(near) };
        let id = self.number(slot);
        self.slots[slot].taken = false;
        self.slots[slot].thread = Some(Thread {
            id,
            priority,
            affinity,
            state: State::Running,
            core,
            ran_on: None,
            deadline: None,
            woken: false,
            vectors_saved: false,
            context,
        });
        self.make_ready(slot);
        id
    }

    /// The slot of a thread.
    ///
    /// # Errors
    /// [`Error::NoSuchThread`].
    pub fn find(&self, id: ThreadId) -> Result<usize, Error> {
        let slot = self.slot_of(id);
        let thread = self.slots.get(slot).and_then(|slot| slot.thread.as_ref());
        thread.filter(|thread| thread.id == id).map(|_| slot).ok_or(Error::NoSuchThread)
    }

    /// Whether the number was some thread's that is gone.
    #[must_use]
    pub fn has_ended(&self, id: ThreadId) -> bool {
        let slot = self.slot_of(id);
        slot < self.slots.len() && id.0 < self.number(slot).0
    }

    /// The number of the thread that has a slot, or will have it next.
    fn number(&self, slot: usize) -> ThreadId {
        ThreadId(slot as u64 + self.slots[slot].generation * self.limit as u64)
    }

    /// The slot that a number belongs to, whether or not a thread has it.
    pub(super) const fn slot_of(&self, id: ThreadId) -> usize {
        (id.0 % self.limit as u64) as usize
    }

    /// The thread in a slot.
    ///
    /// Panics when there is none: slots come from this state itself.
    #[must_use]
    pub fn thread(&self, slot: usize) -> &Thread {
        self.slots[slot].thread.as_ref().expect("a slot in use has a thread")
    }

    /// As [`Self::thread`].
    pub fn thread_mut(&mut self, slot: usize) -> &mut Thread {
        self.slots[slot].thread.as_mut().expect("a slot in use has a thread")
    }

    /// The slot of the thread that runs on a core.
    #[must_use]
    pub fn slot_on(&self, core: usize) -> Option<usize> {
        self.cores[core].current
    }

    /// The thread that runs on a core.
    pub fn current(&mut self, core: usize) -> Option<&mut Thread> {
        let slot = self.cores[core].current?;
        Some(self.thread_mut(slot))
    }

    /// The next thread from slot `from` on that `wanted` wants.
    pub(super) fn find_from(&self, from: usize, wanted: impl Fn(&Thread) -> bool) -> Option<usize> {
        let rest = self.slots.iter().enumerate().skip(from);
        rest.filter(|(_, slot)| slot.thread.as_ref().is_some_and(&wanted)).map(|(slot, _)| slot).next()
    }

    /// Has a core look at its part again.
    pub(super) fn request_resched(&mut self, core: usize) {
        self.pending_ipis.insert(core);
    }

    /// Puts a thread that is in no queue into one.
    pub(super) fn make_ready(&mut self, slot: usize) {
        let core = self.place(slot);
        let thread = self.thread_mut(slot);
        (thread.state, thread.core) = (State::Ready, core);
        let priority = thread.priority;
        let Core { current, queue, quantum_end, .. } = &mut self.cores[core];
        queue.push(&mut self.links, priority, slot);
        self.ready += 1;
        let (current, has_quantum) = (*current, quantum_end.is_some());
        let concerned = current.is_none_or(|current| {
            let running = self.thread(current).priority;
            priority > running || priority == running && !has_quantum
        });
        if concerned {
            self.request_resched(core);
        }
    }

    /// Takes a ready thread out of its queue.
    pub(super) fn unqueue(&mut self, slot: usize) {
        let Thread { core, priority, .. } = *self.thread(slot);
        self.cores[core].queue.remove(&mut self.links, priority, slot);
        self.ready -= 1;
    }

    /// The next thread for a core, which is without one; it is the core's from now on. `quantum` is the time slice
    /// of threads of one priority.
    pub fn pick(&mut self, core: usize, now: u64, quantum: u64) -> Option<usize> {
        if self.stopping || self.ready == 0 {
            return None;
        }
        let slot = self.cores[core].queue.first().or_else(|| self.find_elsewhere(core))?;
        self.unqueue(slot);
        let thread = self.thread_mut(slot);
        (thread.state, thread.core) = (State::Running, core);
        let priority = thread.priority;
        let this = &mut self.cores[core];
        this.current = Some(slot);
        this.quantum_end = (this.queue.highest() == Some(priority)).then(|| now + quantum);
        Some(slot)
    }

    /// Whether the thread that runs on a core may go on. If not, the hardware layer saves it and calls
    /// [`Self::preempted`].
    pub fn may_stay(&mut self, core: usize, now: u64, quantum: u64) -> bool {
        let Some(slot) = self.cores[core].current else { return false };
        let thread = self.thread(slot);
        let (priority, allowed) = (thread.priority, thread.affinity.contains(core));
        let this = &mut self.cores[core];
        let rival = this.queue.highest();
        this.quantum_end = match this.quantum_end {
            _ if rival != Some(priority) => None,
            None => Some(now + quantum),
            running => running,
        };
        let has_time = this.quantum_end.is_none_or(|end| now < end);
        allowed && has_time && rival.is_none_or(|rival| rival <= priority)
    }

    /// Whether the running thread's quantum is over.
    #[must_use]
    pub fn quantum_is_over(&self, core: usize, now: u64) -> bool {
        self.cores[core].quantum_end.is_some_and(|end| end <= now)
    }

    /// The thread of a core has lost it; its registers, vector registers included, are saved.
    pub fn preempted(&mut self, core: usize) {
        if let Some(slot) = self.cores[core].current {
            self.thread_mut(slot).vectors_saved = true;
            self.give_way(core);
        }
    }

    /// The thread of a core lets others run; it stays ready.
    pub fn give_way(&mut self, core: usize) {
        if let Some(slot) = self.leave(core) {
            self.make_ready(slot);
        }
    }

    /// Whether a thread of at least the running one's priority waits for the core.
    #[must_use]
    pub fn has_rival(&self, core: usize) -> bool {
        let Core { current, queue, .. } = &self.cores[core];
        current.is_some_and(|slot| queue.highest() >= Some(self.thread(slot).priority))
    }

    /// Takes the running thread off its core. Threads that waited for it to go are woken.
    pub(super) fn leave(&mut self, core: usize) -> Option<usize> {
        let slot = self.cores[core].current.take()?;
        self.cores[core].quantum_end = None;
        let thread = self.thread_mut(slot);
        thread.ran_on = Some(core);
        if !thread.affinity.contains(core) {
            thread.core = thread.affinity.iter().next().unwrap_or(core);
            let id = thread.id;
            self.wake_all(Reason::Migration(id));
        }
        Some(slot)
    }

    /// Ends the thread of a core.
    pub fn exit(&mut self, core: usize) {
        let Some(slot) = self.leave(core) else { return };
        let id = self.thread(slot).id;
        self.slots[slot].thread = None;
        self.slots[slot].generation += 1;
        self.wake_all(Reason::Join(id));
        self.wake_all(Reason::Migration(id));
    }

    /// Ends the wait of all threads that are blocked for this one reason, as successful.
    pub(super) fn wake_all(&mut self, reason: Reason) {
        let mut from = 0;
        while let Some(slot) = self.find_from(from, |thread| thread.state == State::Blocked(reason)) {
            self.thread_mut(slot).context.set_result(encode_result(Ok(0)));
            self.unblock(slot);
            from = slot + 1;
        }
    }

    /// Lets no thread begin to run from now on, and has cores leave theirs.
    pub fn stop(&mut self) {
        self.stopping = true;
        self.pending_ipis = self.online.clone();
    }

    /// Whether threads are to be left.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Leaves the thread of a core for good: it never runs again.
    pub fn abandon(&mut self, core: usize) {
        self.cores[core].current = None;
    }

    /// A core other than `this` that still has a thread.
    #[must_use]
    pub fn still_running(&self, this: usize) -> Option<usize> {
        (0..self.cores.len()).find(|&core| core != this && self.cores[core].current.is_some())
    }

    /// Forgets all threads and lets new ones run.
    pub fn clear(&mut self) {
        for slot in &mut self.slots {
            slot.generation += u64::from(slot.thread.take().is_some());
            slot.taken = false;
        }
        self.links.clear();
        self.deadline_links.clear();
        self.cores.iter_mut().for_each(|core| *core = Core::new());
        self.waiting = List::EMPTY;
        self.reserved = CoreSet::new();
        (self.ready, self.stopping) = (0, false);
    }
}
