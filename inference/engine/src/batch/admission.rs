//! Admission: first come, first served, once the KV blocks and the memory for all that a request can need are there.
//!
//! A waiting request is looked at again when the resource that it waits for can have come, not at every step.

use embodios_gguf::memory::{OutOfMemory, reserved};
use embodios_kernels::KV_BLOCK;
use embodios_pool::Pool;

use super::Batch;
use super::active::{Active, Buffers, Hold, Waiting};
use super::request::{Event, Failure, Finish, Outcome, Request, RequestId};
use crate::cache::{CacheError, Sequence};

/// Most waiting requests that are considered at a step: those in front may wait for a prefix.
const CONSIDERED: usize = 64;

/// Bytes that stay free when a request joins: for its answer, and what else allocates without asking.
const SPARE: usize = 512 << 10;

/// The longest prefix that a prompt shares with an active request, in whole KV blocks.
#[derive(Clone, Copy)]
enum Prefix {
    /// The request is about to compute so many, more than any has computed.
    Pending { blocks: usize, of: RequestId },
    /// The request at index `of` has computed so many; 0 where there is none.
    Computed { blocks: usize, of: usize },
}

impl Batch<'_> {
    /// Positions that a request can come to need: its last token is not taken any more.
    pub(super) fn positions(&self, request: &Request) -> usize {
        let made = request.limit.saturating_sub(1);
        request.prompt.len().saturating_add(made).min(self.context)
    }

    /// Lets requests join, first come first served; only one that waits for a pending prefix lets others pass.
    pub(super) fn admit(&mut self, pool: &Pool, on_event: &mut dyn FnMut(Event<'_>)) {
        let now = pool.platform().now_ns();
        let mut index = 0;
        while index < self.waiting.len().min(CONSIDERED) && self.active.len() < self.settings.active {
            match self.waiting[index].hold {
                Hold::Memory { ended } if ended == self.ended => break,
                Hold::Prefix { of, blocks } if self.is_pending(of, blocks) => {
                    index += 1;
                    continue;
                }
                _ => {}
            }
            self.comparisons += 1;
            let request = &self.waiting[index].request;
            let (shared, other) = match self.prefix(&request.prompt) {
                Prefix::Pending { blocks, of } => {
                    self.waiting[index].hold = Hold::Prefix { of, blocks };
                    index += 1;
                    continue;
                }
                Prefix::Computed { blocks, of } => (blocks, of),
            };
            let positions = self.positions(request);
            let room = match self.blocks.has_room(positions, shared) {
                true => self.room(pool, index, positions, shared, other).map(Some),
                false => Ok(None),
            };
            match room {
                Ok(Some((buffers, sequence))) => {
                    let Some(waiting) = self.waiting.remove(index) else { break };
                    self.active.push(Active::new(self.tokenizer, waiting, buffers, sequence, now));
                }
                Err(error) if self.active.is_empty() => {
                    let Some(waiting) = self.waiting.remove(index) else { break };
                    let finish = Finish::Failed(Failure::OutOfMemory(error));
                    let Waiting { id, request, submitted, .. } = waiting;
                    let outcome = Outcome::nothing(finish, request.prompt.len(), submitted, now);
                    on_event(Event::Finished { id, outcome });
                }
                // Memory of other requests comes back when they end.
                Ok(None) | Err(_) => {
                    self.waiting[index].hold = Hold::Memory { ended: self.ended };
                    break;
                }
            }
        }
    }

    /// Allocates what the waiting request at `index` needs. Where no request is active whose end could be waited for,
    /// memory that is kept for speed only makes place.
    fn room(
        &mut self,
        pool: &Pool,
        index: usize,
        positions: usize,
        shared: usize,
        other: usize,
    ) -> Result<(Buffers, Sequence), OutOfMemory> {
        match self.allocate(pool, index, positions, shared, other) {
            Err(_) if self.active.is_empty() => {
                self.groups.give_up(pool.workers());
                self.blocks.give_back();
                self.allocate(pool, index, positions, 0, usize::MAX)
            }
            result => result,
        }
    }

    fn allocate(
        &mut self,
        pool: &Pool,
        index: usize,
        positions: usize,
        shared: usize,
        other: usize,
    ) -> Result<(Buffers, Sequence), OutOfMemory> {
        let _spare = reserved::<u8>(SPARE, "answer")?;
        self.prepare(pool)?;
        let Self { model, settings, waiting, blocks, active, .. } = self;
        let buffers = Buffers::new(model, &waiting[index].request, blocks.empty(), settings.chunk)?;
        let prefix = active.get(other).map(|other| (other.sequence(), shared));
        match blocks.begin(positions, prefix) {
            Ok(sequence) => Ok((buffers, sequence)),
            Err(CacheError::OutOfMemory(error)) => Err(error),
            Err(error) => unreachable!("there was room: {error}"),
        }
    }

    /// Whether a request is still about to compute so many blocks.
    fn is_pending(&self, of: RequestId, blocks: usize) -> bool {
        self.active.iter().any(|active| active.id == of && active.position() / KV_BLOCK < blocks)
    }

    /// The longest prefix that `prompt` shares with an active request.
    fn prefix(&self, prompt: &[u32]) -> Prefix {
        let (mut pending, mut pending_of) = (0, RequestId(0));
        let (mut computed, mut computed_of) = (0, usize::MAX);
        for (index, active) in self.active.iter().enumerate() {
            let other = &active.request.prompt;
            // The last token is taken in any case: its logits are wanted.
            let common = prompt[..prompt.len() - 1].iter().zip(other).take_while(|(a, b)| a == b).count();
            let whole = common.min(other.len() - 1) / KV_BLOCK;
            if whole > pending {
                (pending, pending_of) = (whole, active.id);
            }
            let there = common.min(active.position()) / KV_BLOCK;
            if there > computed {
                (computed, computed_of) = (there, index);
            }
        }
        match pending > computed {
            true => Prefix::Pending { blocks: pending, of: pending_of },
            false => Prefix::Computed { blocks: computed, of: computed_of },
        }
    }
}
