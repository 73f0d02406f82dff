//! The server's jobs in a batch: orders go to the batch, its events to the server.
//!
//! A step needs no server, so that another thread may serve connections meanwhile.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_api::Token;
use embodios_engine::batch::{Batch, Event, Outcome, RequestId};
use embodios_kernels::KV_BLOCK;
use embodios_pool::Pool;

use crate::figures::{CoreTimes, Figures};
use crate::jobs::{JobId, Order};
use crate::server::Server;

/// The jobs that a batch has, and what the last step made of them.
#[derive(Debug, Default)]
pub struct Feed {
    jobs: BTreeMap<RequestId, JobId>,
    made: Vec<(JobId, Made)>,
    /// Time of the last step, and its requests.
    step: Option<(u64, usize)>,
}

/// An event of a job, on its way to the server.
#[derive(Debug)]
enum Made {
    Token { token: u32, log_probability: Option<f32>, likeliest: Vec<(u32, f32)>, text: String },
    End(Outcome),
}

impl Feed {
    /// Hands the events of the last step on, takes the server's orders to the batch, and gives it the figures that it
    /// wants.
    pub fn exchange(
        &mut self,
        server: &mut Server<'_>,
        batch: &mut Batch<'_>,
        pool: &mut Pool,
        restarts: u64,
    ) {
        for (job, made) in self.made.drain(..) {
            match made {
                Made::Token { token, log_probability, likeliest, text } => {
                    server.token(job, Token { token, log_probability, likeliest: &likeliest, text: &text });
                }
                Made::End(outcome) => server.finished(job, outcome),
            }
        }
        if let Some((nanoseconds, requests)) = self.step.take() {
            server.stepped(nanoseconds, requests);
        }
        while let Some(order) = server.next_order() {
            self.obey(order, server, batch, pool);
        }
        server.active(batch.lengths().1);
        if server.wants_figures() {
            server.figures(figures(batch, pool, restarts));
        }
    }

    /// Makes a step of the batch, if there is anything to do. Events of requests that are not the server's go to
    /// `others`. Result: whether there was.
    pub fn step(
        &mut self,
        batch: &mut Batch<'_>,
        pool: &mut Pool,
        others: &mut dyn FnMut(Event<'_>),
    ) -> bool {
        if batch.lengths() == (0, 0) {
            return false;
        }
        let begun = pool.platform().now_ns();
        let mut ended = 0;
        let Self { jobs, made, .. } = self;
        batch.step(pool, &mut |event| match event {
            Event::Token { id, token, log_probability, likeliest, text } if jobs.contains_key(&id) => {
                let (likeliest, text) = (likeliest.to_vec(), text.into());
                made.push((jobs[&id], Made::Token { token, log_probability, likeliest, text }));
            }
            Event::Finished { id, outcome } if jobs.contains_key(&id) => {
                ended += 1;
                if let Some(job) = jobs.remove(&id) {
                    made.push((job, Made::End(outcome)));
                }
            }
            event => others(event),
        });
        let requests = batch.lengths().1 + ended;
        self.step = Some((pool.platform().now_ns().saturating_sub(begun), requests));
        true
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
    let (prefix_queries, prefix_hits) = batch.prefix_tokens();
    let memory = pool.platform().memory();
    let cores = pool.monitor().workers().into_iter().map(|worker| CoreTimes {
        core: worker.core,
        working: worker.work.working_ns,
        waiting: worker.work.waiting_ns,
        asleep: worker.work.asleep_ns,
    });
    Figures {
        blocks_used: blocks.used() / blocks.block_bytes().max(1),
        blocks_retained: blocks.retained() / blocks.block_bytes().max(1),
        blocks: blocks.budget() / blocks.block_bytes().max(1),
        block_positions: KV_BLOCK,
        prefix_queries,
        prefix_hits,
        preemptions: batch.preemptions(),
        steps: batch.steps(),
        restarts,
        cores: cores.collect(),
        memory: memory.total,
        memory_free: memory.free,
        engine_used: memory.engine.saturating_sub(memory.idle),
        block_bytes: blocks.bytes() as u64,
    }
}
