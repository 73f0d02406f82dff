//! Who joins a batch, and when: first come, first served, once pages for all that a request can need are there.

use super::Batch;
use super::active::{Active, Waiting};
use super::request::{Event, Failure, Finish, Outcome, Request};
use crate::cache::{CacheError, PAGE};
use crate::memory::OutOfMemory;
use crate::pool::Pool;
use crate::session::CHUNK;

/// What there is of a prompt's beginning.
enum Beginning {
    /// Another request is about to have it, or more of it than is there.
    OnItsWay,
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
        while index < self.waiting.len() && self.active.len() < self.settings.active {
            let request = &self.waiting[index].request;
            let (shared, other) = match self.beginning(&request.prompt) {
                Beginning::OnItsWay => {
                    index += 1;
                    continue;
                }
                Beginning::There { pages, of } => (pages, of),
            };
            let positions = self.positions(request);
            if !self.pages.has_room(positions, shared) {
                break;
            }
            let Some(waiting) = self.waiting.remove(index) else { break };
            let (id, prompt_tokens, submitted) =
                (waiting.id, waiting.request.prompt.len(), waiting.submitted);
            if let Err(error) = self.join(pool, waiting, positions, shared, other, now) {
                let finish = Finish::Failed(Failure::OutOfMemory(error));
                let outcome = Outcome::nothing(finish, prompt_tokens, submitted, now);
                tell(Event::Finished { id, outcome });
            }
        }
    }

    fn join(
        &mut self,
        pool: &Pool,
        waiting: Waiting,
        positions: usize,
        shared: usize,
        other: usize,
        now: u64,
    ) -> Result<(), OutOfMemory> {
        self.prepare(pool)?;
        let Self { model, tokenizer, pages, active, .. } = self;
        let mut new = Active::new(model, tokenizer, waiting, pages.empty(), CHUNK)?;
        let begins_as = active.get(other).map(|other| (other.sequence(), shared));
        match pages.begin(positions, begins_as) {
            Ok(sequence) => new.begin(sequence, now),
            Err(CacheError::OutOfMemory(error)) => return Err(error),
            Err(error) => unreachable!("there was room: {error}"),
        }
        active.push(new);
        Ok(())
    }

    /// What of a prompt's beginning another request has, or is about to have, in whole pages.
    fn beginning(&self, prompt: &[u32]) -> Beginning {
        let mut best = Beginning::There { pages: 0, of: usize::MAX };
        let (mut most, mut there) = (0, 0);
        for (of, active) in self.active.iter().enumerate() {
            let other = &active.request.prompt;
            // The last token is taken for itself: its logits are wanted.
            let common = prompt[..prompt.len() - 1].iter().zip(other).take_while(|(a, b)| a == b).count();
            // What the other request passes through ahead of its choices, and what has passed.
            most = most.max(common.min(other.len() - 1) / PAGE);
            let pages = common.min(active.position()) / PAGE;
            if pages > there {
                (there, best) = (pages, Beginning::There { pages, of });
            }
        }
        if most > there { Beginning::OnItsWay } else { best }
    }
}
