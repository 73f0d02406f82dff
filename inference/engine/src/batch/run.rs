//! Requests run to their ends: a single one, or a closed list.

use alloc::vec::Vec;

use embodios_pool::Pool;

use super::{Batch, Event, Finish, Outcome, Refusal, Request};

impl Batch<'_> {
    /// Runs a request to its end, beside those that the batch has.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn run_one(
        &mut self,
        pool: &mut Pool,
        request: Request,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Outcome, Refusal> {
        let wanted = self.submit(pool, request)?;
        let mut result = None;
        while result.is_none() {
            self.step(pool, &mut |event| match event {
                Event::Finished { id, outcome } if id == wanted => result = Some(outcome),
                event => on_event(event),
            });
        }
        Ok(result.expect("the loop ends with it"))
    }

    /// Runs a list of requests to their ends. Result: their outcomes, in order.
    pub fn run(&mut self, pool: &mut Pool, requests: impl IntoIterator<Item = Request>) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut places = Vec::new();
        for request in requests {
            let now = pool.platform().now_ns();
            let place = outcomes.len();
            outcomes.push(None);
            let prompt_tokens = request.prompt.len();
            match self.submit(pool, request) {
                Ok(id) => places.push((id, place)),
                Err(refusal) => {
                    outcomes[place] =
                        Some(Outcome::nothing(Finish::Refused(refusal), prompt_tokens, now, now))
                }
            }
        }
        let mut on_event = |event: Event<'_>| {
            if let Event::Finished { id, outcome } = event
                && let Ok(index) = places.binary_search_by_key(&id, |&(id, _)| id)
            {
                outcomes[places[index].1] = Some(outcome);
            }
        };
        while self.long_step(pool, &mut on_event) {}
        outcomes.into_iter().flatten().collect()
    }
}
