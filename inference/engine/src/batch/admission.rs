//! Admission: first come, first served, once the KV blocks of a request's text and its buffers are there. Requests that
//! were preempted come before all others.
//!
//! A waiting request is looked at again when the resource that it waits for can have come, not at every step.

use embodios_gguf::memory::OutOfMemory;
use embodios_kernels::KV_BLOCK;
use embodios_pool::Pool;

use super::Batch;
use super::active::Active;
use super::buffers::Buffers;
use super::request::{Event, Failure, Finish, Outcome, Request};
use super::text::Text;
use super::waiting::{Hold, Preempted, Waiting};
use crate::cache::{CacheError, Sequence};

/// Most waiting requests that are considered at a step: those in front may wait for a prefix.
const CONSIDERED: usize = 64;

impl Batch<'_> {
    /// Positions that a request can come to need: its last token is not taken any more.
    pub(super) fn positions(&self, request: &Request) -> usize {
        let made = request.limit.saturating_sub(1);
        request.prompt.len().saturating_add(made).min(self.context)
    }

    /// Lets requests join, first come first served; only one that waits for a pending prefix lets others pass.
    pub(super) fn admit(&mut self, pool: &Pool, on_event: &mut dyn FnMut(Event<'_>)) {
        self.resume(pool, on_event);
        let now = pool.platform().now_ns();
        let mut index = 0;
        while self.preempted.is_empty()
            && self.active.len() < self.settings.active
            && index < self.waiting.len().min(CONSIDERED)
        {
            if !self.waits(self.waiting[index].hold) {
                let request = &self.waiting[index].request;
                let text = Text { prompt: &request.prompt, made: &[] };
                let hold = self.look(text, self.positions(request));
                self.waiting[index].hold = hold;
                self.comparisons += 1;
            }
            match self.waiting[index].hold {
                Hold::Nothing => {}
                Hold::Prefix { .. } => {
                    index += 1;
                    continue;
                }
                Hold::Memory { .. } => break,
            }
            let Some(mut waiting) = self.waiting.remove(index) else { break };
            match self.allocate(pool, &waiting.request) {
                Ok((buffers, sequence)) => {
                    self.looked_for += waiting.request.prompt.len() as u64;
                    self.found += sequence.position() as u64;
                    self.active.push(Active::new(self.tokenizer, waiting, buffers, sequence, now));
                }
                Err(error) if self.active.is_empty() => {
                    let Waiting { id, request, submitted, .. } = waiting;
                    let finish = Finish::Failed(Failure::OutOfMemory(error));
                    let outcome = Outcome::nothing(finish, request.prompt.len(), submitted, now);
                    on_event(Event::Finished { id, outcome });
                }
                // Memory of other requests comes back when they end.
                Err(_) => {
                    waiting.hold = Hold::Memory { gone: self.gone };
                    self.waiting.insert(index, waiting);
                    break;
                }
            }
        }
    }

    /// Lets preempted requests join again, the one preempted last first: it had joined before the others.
    fn resume(&mut self, pool: &Pool, on_event: &mut dyn FnMut(Event<'_>)) {
        while let Some(Preempted { mut active, mut hold }) = self.preempted.pop() {
            let context = self.positions(&active.request);
            if !self.waits(hold) {
                hold = self.look(active.text(), context);
                self.comparisons += 1;
            }
            if hold != Hold::Nothing {
                return self.preempted.push(Preempted { active, hold });
            }
            match self.begin(pool, context, active.text()) {
                Ok(sequence) => {
                    active.resume(sequence);
                    self.active.push(active);
                }
                Err(error) if self.active.is_empty() => {
                    let (id, finish) = (active.id, Finish::Failed(Failure::OutOfMemory(error)));
                    let outcome = self.over(active, finish, pool.platform().now_ns());
                    on_event(Event::Finished { id, outcome });
                }
                Err(_) => {
                    let hold = Hold::Memory { gone: self.gone };
                    return self.preempted.push(Preempted { active, hold });
                }
            }
        }
    }

    /// Whether the resource that a request waits for cannot have come.
    fn waits(&self, hold: Hold) -> bool {
        match hold {
            Hold::Nothing => false,
            Hold::Prefix { of, blocks } => {
                self.active.iter().any(|active| active.id == of && active.position() / KV_BLOCK < blocks)
            }
            Hold::Memory { gone } => gone == self.gone,
        }
    }

    /// The resource that is missing for a request with `text`, which may come to have `context` positions, to join.
    /// After that there must be a block more for each request that is going to grow, so that none is preempted at once.
    fn look(&self, text: Text<'_>, context: usize) -> Hold {
        let found = self.blocks.find(text.blocks());
        let common = self.active.iter().map(|active| (active.prefill().common_blocks(text), active.id));
        if let Some((blocks, of)) = common.max_by_key(|&(blocks, _)| blocks)
            && blocks > found.blocks
        {
            return Hold::Prefix { of, blocks };
        }
        let own = text.len().div_ceil(KV_BLOCK);
        let grows = |active: &&Active<'_>| active.sequence().end() < active.sequence().context();
        let growing = self.active.iter().filter(grows).count() + usize::from(own * KV_BLOCK < context);
        let has_room = own - found.used + growing <= self.blocks.available();
        if has_room { Hold::Nothing } else { Hold::Memory { gone: self.gone } }
    }

    /// Allocates what a request needs to join.
    fn allocate(&mut self, pool: &Pool, request: &Request) -> Result<(Buffers, Sequence), OutOfMemory> {
        let buffers = self.room(pool, |batch| {
            let _spare = batch.blocks.reserve_spare()?;
            batch.prepare(pool)?;
            Buffers::new(batch.model, request, batch.blocks.empty(), batch.settings.chunk)
        })?;
        let text = Text { prompt: &request.prompt, made: &[] };
        Ok((buffers, self.begin(pool, self.positions(request), text)?))
    }

    /// Allocates by `allocate`, which takes no block. Memory that is kept for speed only makes place: blocks that no
    /// request has, and the groups' where no request is active whose end could be waited for.
    pub(super) fn room<R>(
        &mut self,
        pool: &Pool,
        mut allocate: impl FnMut(&mut Self) -> Result<R, OutOfMemory>,
    ) -> Result<R, OutOfMemory> {
        loop {
            match allocate(self) {
                Err(error) if self.blocks.release(error.bytes) => {}
                Err(_) if self.active.is_empty() && self.groups.give_up(pool.workers()) => {}
                result => return result,
            }
        }
    }

    /// Begins a sequence for `text`, with the longest prefix of it that is there.
    fn begin(&mut self, pool: &Pool, context: usize, text: Text<'_>) -> Result<Sequence, OutOfMemory> {
        loop {
            match self.blocks.begin(context, text.len(), text.blocks()) {
                Err(_) if self.active.is_empty() && self.groups.give_up(pool.workers()) => {}
                result => return result.map_err(of_memory),
            }
        }
    }
}

/// The reason that a request gets no blocks for which the budget has room.
pub(super) fn of_memory(error: CacheError) -> OutOfMemory {
    match error {
        CacheError::OutOfMemory(error) => error,
        error => unreachable!("there was room: {error}"),
    }
}
