//! Who joins a batch, and when: first come, first served, once pages and memory for all that a request can need are
//! there.
//!
//! A request that has to wait is looked at again when what it waits for can have come, not at every step.

use embodios_gguf::memory::{OutOfMemory, reserved};
use embodios_kernels::KV_BLOCK;
use embodios_pool::Pool;

use super::Batch;
use super::active::{Active, Buffers, Hold, Waiting};
use super::request::{Event, Failure, Finish, Outcome, Request, RequestId};
use crate::cache::{CacheError, Sequence};

/// Most requests that others pass by because they wait for a beginning.
const PASSED: usize = 64;

/// Bytes that stay free when a request joins: for its answer, and what else allocates without asking.
const SPARE: usize = 512 << 10;

/// What there is of a prompt's beginning.
enum Beginning {
    /// Another request is about to have so many whole pages of it, more than are there.
    OnItsWay { pages: usize, of: RequestId },
    /// So many pages of the request at index `of`, if any.
    There { pages: usize, of: usize },
}

impl Batch<'_> {
    /// Positions that a request can come to need: its last token is not taken any more.
    pub(super) fn positions(&self, request: &Request) -> usize {
        let made = request.limit.saturating_sub(1);
        request.prompt.len().saturating_add(made).min(self.context)
    }

    /// Lets requests join, first come first served; only one whose prompt begins like one that is still on its way
    /// lets others pass.
    pub(super) fn admit(&mut self, pool: &Pool, tell: &mut dyn FnMut(Event<'_>)) {
        let now = pool.platform().now_ns();
        let mut index = 0;
        while index < self.waiting.len().min(PASSED) && self.active.len() < self.settings.active {
            match self.waiting[index].hold {
                Hold::Memory { ended } if ended == self.ended => break,
                Hold::Beginning { of, pages } if self.is_on_its_way(of, pages) => {
                    index += 1;
                    continue;
                }
                _ => {}
            }
            self.comparisons += 1;
            let request = &self.waiting[index].request;
            let (shared, other) = match self.beginning(&request.prompt) {
                Beginning::OnItsWay { pages, of } => {
                    self.waiting[index].hold = Hold::Beginning { of, pages };
                    index += 1;
                    continue;
                }
                Beginning::There { pages, of } => (pages, of),
            };
            let positions = self.positions(request);
            let room = match self.pages.has_room(positions, shared) {
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
                    tell(Event::Finished { id, outcome });
                }
                // What others have comes back when they end.
                Ok(None) | Err(_) => {
                    self.waiting[index].hold = Hold::Memory { ended: self.ended };
                    break;
                }
            }
        }
    }

    /// All that the waiting request at `index` needs. Where nobody takes part, whose end could be waited for, what is
    /// kept for speed only makes place.
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
                self.pages.give_back();
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
        let Self { model, settings, waiting, pages, active, .. } = self;
        let buffers = Buffers::new(model, &waiting[index].request, pages.empty(), settings.chunk)?;
        let begins_as = active.get(other).map(|other| (other.sequence(), shared));
        match pages.begin(positions, begins_as) {
            Ok(sequence) => Ok((buffers, sequence)),
            Err(CacheError::OutOfMemory(error)) => Err(error),
            Err(error) => unreachable!("there was room: {error}"),
        }
    }

    /// Whether a request is still about to have so many pages.
    fn is_on_its_way(&self, of: RequestId, pages: usize) -> bool {
        self.active.iter().any(|active| active.id == of && active.position() / KV_BLOCK < pages)
    }

    /// What of a prompt's beginning another request has, or is about to have, in whole pages.
    fn beginning(&self, prompt: &[u32]) -> Beginning {
        let mut best = Beginning::There { pages: 0, of: usize::MAX };
        let (mut most, mut there, mut on_its_way) = (0, 0, RequestId(0));
        for (of, active) in self.active.iter().enumerate() {
            let other = &active.request.prompt;
            // The last token is taken in any case: its logits are wanted.
            let common = prompt[..prompt.len() - 1].iter().zip(other).take_while(|(a, b)| a == b).count();
            // What the other request passes through ahead of its choices, and what has passed.
            let coming = common.min(other.len() - 1) / KV_BLOCK;
            if coming > most {
                (most, on_its_way) = (coming, active.id);
            }
            let pages = common.min(active.position()) / KV_BLOCK;
            if pages > there {
                (there, best) = (pages, Beginning::There { pages, of });
            }
        }
        if most > there { Beginning::OnItsWay { pages: most, of: on_its_way } } else { best }
    }
}
