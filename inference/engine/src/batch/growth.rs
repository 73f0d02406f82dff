//! Growth: requests in decode take KV blocks as they go. Where none is left, who joined last makes place.
//!
//! A preempted request gives its blocks up and waits in front of all that have not joined. Later its prompt and what it
//! has made pass through the model again, and it goes on where it stopped, with the same bits. The request that joined
//! first always has its blocks, so that it ends, and after it the next.

use embodios_pool::Pool;

use super::Batch;
use super::admission::of_memory;
use super::request::{Event, Failure, Finish};
use super::waiting::{Hold, Preempted};

impl Batch<'_> {
    /// Takes the blocks of the next step, in the order in which requests joined.
    pub(super) fn grow(&mut self, pool: &Pool, on_event: &mut dyn FnMut(Event<'_>)) {
        let mut index = 0;
        while let Some(active) = self.active.get_mut(index) {
            let id = active.id;
            match active.grow(&mut self.blocks, 1) {
                Ok(()) => index += 1,
                Err(_) if self.active.len() > 1 => self.preempt(),
                Err(_) if self.groups.give_up(pool.workers()) => {}
                Err(error) => {
                    let finish = Finish::Failed(Failure::OutOfMemory(of_memory(error)));
                    let outcome = self.end(index, finish, pool.platform().now_ns());
                    on_event(Event::Finished { id, outcome });
                }
            }
        }
    }

    /// Takes blocks for up to `most` steps in a row, where all requests decode. None is preempted for it. Result: the
    /// steps that there are blocks for.
    pub(super) fn grow_ahead(&mut self, most: usize) -> usize {
        let Self { active, blocks, .. } = self;
        let mut steps = most;
        let lacking = |steps| active.iter().map(|active| active.lacking(steps)).sum::<usize>();
        while steps > 1 && lacking(steps) > blocks.available() {
            steps /= 2;
        }
        let room = active.iter_mut().map(|active| {
            // Where the platform's memory ends the burst does too.
            let _ = active.grow(blocks, steps);
            active.sequence().end() - active.position()
        });
        room.min().map_or(steps, |room| room.min(steps))
    }

    /// Preempts the request that joined last.
    fn preempt(&mut self) {
        let Some(mut active) = self.active.pop() else { return };
        let sequence = active.suspend(self.blocks.empty());
        self.blocks.end(sequence);
        self.gone += 1;
        self.preemptions += 1;
        self.preempted.push(Preempted { active, hold: Hold::Nothing });
    }
}
