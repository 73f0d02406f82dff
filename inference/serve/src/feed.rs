//! The server and a batch together: orders go to the batch, its events to the server.

use alloc::collections::BTreeMap;

use embodios_api::Token;
use embodios_engine::batch::{Batch, Event, RequestId};
use embodios_kernels::KV_BLOCK;
use embodios_pool::Pool;

use crate::figures::{CoreTimes, Figures};
use crate::jobs::{JobId, Order};
use crate::server::Server;

/// The jobs that a batch has.
#[derive(Debug, Default)]
pub struct Feed {
    jobs: BTreeMap<RequestId, JobId>,
}

impl Feed {
    /// Takes the server's orders to the batch, gives the server the figures it wants, and makes a step if there is
    /// anything to do. Result: whether there is more. To be called after each [`Server::poll`].
    pub fn step(
        &mut self,
        server: &mut Server<'_>,
        batch: &mut Batch<'_>,
        pool: &mut Pool,
        restarts: u64,
    ) -> bool {
        while let Some(order) = server.next_order() {
            self.obey(order, server, batch, pool);
        }
        if server.wants_figures() {
            server.figures(figures(batch, pool, restarts));
        }
        if batch.lengths() == (0, 0) {
            server.active(0);
            return false;
        }
        let begun = pool.platform().now_ns();
        let mut ended = 0;
        let is_busy = batch.step(pool, &mut |event| match event {
            Event::Token { id, token, log_probability, likeliest, text } => {
                if let Some(&job) = self.jobs.get(&id) {
                    server.token(job, Token { token, log_probability, likeliest, text });
                }
            }
            Event::Finished { id, outcome } => {
                ended += 1;
                if let Some(job) = self.jobs.remove(&id) {
                    server.finished(job, outcome);
                }
            }
        });
        let (_, active) = batch.lengths();
        server.stepped(pool.platform().now_ns().saturating_sub(begun), active + ended);
        server.active(active);
        is_busy
    }

    fn obey(&mut self, order: Order, server: &mut Server<'_>, batch: &mut Batch<'_>, pool: &Pool) {
        match order {
            Order::Submit { job, request } => match batch.submit(pool, request) {
                Ok(id) => {
                    self.jobs.insert(id, job);
                    server.accepted(job);
                }
                Err(refusal) => server.refused(job, &refusal),
            },
            Order::Cancel { job } => {
                let found = self.jobs.iter().find(|&(_, &other)| other == job).map(|(&id, _)| id);
                let Some(id) = found else { return };
                self.jobs.remove(&id);
                if let Some(outcome) = batch.cancel(pool, id) {
                    server.finished(job, outcome);
                }
            }
        }
    }
}

/// Figures of a batch, a pool and the platform below it.
fn figures(batch: &Batch<'_>, pool: &Pool, restarts: u64) -> Figures {
    let blocks = batch.blocks();
    let memory = pool.platform().memory();
    let cores = pool.monitor().workers().into_iter().map(|worker| CoreTimes {
        core: worker.core,
        working: worker.work.working_ns,
        waiting: worker.work.waiting_ns,
        asleep: worker.work.asleep_ns,
    });
    Figures {
        blocks_used: blocks.used() / blocks.block_bytes().max(1),
        blocks: blocks.budget() / blocks.block_bytes().max(1),
        block_positions: KV_BLOCK,
        steps: batch.steps(),
        restarts,
        cores: cores.collect(),
        memory: memory.total,
        memory_free: memory.free,
    }
}
