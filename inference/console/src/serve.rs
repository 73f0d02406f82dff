//! Serving: requests that come by the network join the console's batch.
//!
//! Two threads share the [`Desk`]: the console's, which owns the batch and turns to the desk between two steps, and one
//! on a housekeeping core, which serves connections while no step ends. Whoever has the desk moves frames and answers;
//! only the console's thread computes.

mod desk;
mod open;
mod reader;
mod session;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use embodios_engine::batch::{Batch, Event, Outcome, Refusal, Request};
use embodios_pool::Pool;
use embodios_pool::platform::{NEVER, Platform};
use embodios_serve::{Feed, SECOND};

use desk::Desk;
pub use open::ServeError;
pub use reader::{READ, Reader};

/// Nanoseconds after a look of the console's thread, in which the other one leaves the desk to it.
const BUSY: u64 = 50_000_000;

/// Nanoseconds that requests have to come to their ends when the machine goes off.
const DRAIN: u64 = 30 * SECOND;

/// Nanoseconds between two looks at whether answers have left.
const PAUSE: u64 = 5_000_000;

/// Served requests and the batch that they join.
pub struct Service {
    shared: Arc<Shared>,
    batch: Batch<'static>,
    feed: Feed,
    restarts: u64,
}

/// What both threads have.
struct Shared {
    platform: &'static dyn Platform,
    desk: spin::Mutex<Desk>,
    /// Changes when the console's thread has something to do; its waiters are woken.
    doorbell: Arc<AtomicU32>,
    /// The network's word: changes when something has arrived.
    event: &'static AtomicU32,
    /// Until then the console's thread turns to the desk by itself.
    busy_until: AtomicU64,
}

impl Shared {
    /// Runs `f` at the desk. Who holds it never waits for long, but may have lost its core.
    fn at_desk<T>(&self, f: impl FnOnce(&mut Desk) -> T) -> T {
        loop {
            if let Some(mut desk) = self.desk.try_lock() {
                return f(&mut desk);
            }
            self.platform.yield_now();
        }
    }

    /// Serves connections while the console's thread does not, for good.
    fn attend(&self) {
        loop {
            let seen = self.event.load(Ordering::Acquire);
            let now = self.platform.now_ns();
            let busy_until = self.busy_until.load(Ordering::Acquire);
            let deadline = if now < busy_until {
                busy_until
            } else {
                let (deadline, has_work) = self.at_desk(|desk| {
                    desk.turn(now);
                    (desk.deadline(), desk.has_work())
                });
                if has_work {
                    self.ring();
                }
                deadline
            };
            self.platform.wait(self.event, seen, deadline);
        }
    }

    /// Calls the console's thread.
    fn ring(&self) {
        self.doorbell.fetch_add(1, Ordering::Release);
        self.platform.wake(&self.doorbell, u32::MAX);
    }
}

impl Service {
    /// Looks after connections and makes a step, if there is anything to do. Events of requests that are the console's
    /// own go to `on_event`. Result: whether there was.
    pub fn turn(&mut self, pool: &mut Pool, on_event: &mut dyn FnMut(Event<'_>)) -> bool {
        let Self { shared, batch, feed, restarts } = self;
        let now = shared.platform.now_ns();
        shared.busy_until.store(now + BUSY, Ordering::Release);
        shared.at_desk(|desk| {
            desk.listen(false);
            desk.turn(now);
            feed.exchange(&mut desk.server, batch, pool, *restarts);
            desk.turn(now);
        });
        // Ctrl-C is for what the console does itself.
        pool.acknowledge(shared.platform.interrupts());
        feed.step(batch, pool, on_event)
    }

    /// Lets the other thread have the desk while there is nothing to do. Result: whether something has come up since.
    fn rest(&self) -> bool {
        let missed = self.shared.at_desk(|desk| desk.listen(true) || desk.has_work());
        self.shared.busy_until.store(0, Ordering::Release);
        // It may sleep past a deadline that has come up since.
        self.shared.event.fetch_add(1, Ordering::Release);
        self.shared.platform.wake(self.shared.event, 1);
        missed
    }

    /// Serves until `reader` has something or a wait was over. Result: false once a client has had the machine drained.
    pub fn serve_beside(&mut self, pool: &mut Pool, reader: &Reader) -> bool {
        let seen = self.shared.doorbell.load(Ordering::Acquire);
        let had_work = self.turn(pool, &mut |_| {});
        if had_work || reader.is_ready() {
            return true;
        }
        if self.is_drained() {
            return false;
        }
        if !self.rest() && !reader.is_ready() {
            self.shared.platform.wait(&self.shared.doorbell, seen, NEVER);
        }
        true
    }

    /// The word that changes when there may be something to do.
    pub fn doorbell(&self) -> Arc<AtomicU32> {
        self.shared.doorbell.clone()
    }

    /// What there is to say: the addresses, where they have changed.
    pub fn news(&self) -> Option<alloc::string::String> {
        self.shared.at_desk(|desk| desk.news.take())
    }

    /// Runs a request of the console's own to its end, beside those of others, until `stop` says that it shall end.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn run_one(
        &mut self,
        pool: &mut Pool,
        request: Request,
        stop: &dyn Fn() -> bool,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Outcome, Refusal> {
        let id = self.batch.submit(pool, request)?;
        let mut result = None;
        while result.is_none() {
            if stop()
                && let Some(outcome) = self.batch.cancel(pool, id)
            {
                return Ok(outcome);
            }
            self.turn(pool, &mut |event| match event {
                Event::Finished { outcome, .. } => result = Some(outcome),
                event => on_event(event),
            });
        }
        Ok(result.expect("the loop ends with it"))
    }

    /// Takes no more requests, and serves those taken to their ends, until `stop` or for [`DRAIN`].
    pub fn drain(&mut self, pool: &mut Pool, stop: &dyn Fn() -> bool) {
        let platform = self.shared.platform;
        let end = platform.now_ns() + DRAIN;
        self.shared.at_desk(|desk| desk.server.drain());
        while !self.is_drained() && platform.now_ns() < end && !stop() {
            let seen = self.shared.doorbell.load(Ordering::Acquire);
            if !self.turn(pool, &mut |_| {}) {
                platform.wait(&self.shared.doorbell, seen, platform.now_ns() + PAUSE);
            }
        }
    }

    /// See [`Desk::is_drained`].
    fn is_drained(&self) -> bool {
        self.shared.at_desk(Desk::is_drained)
    }
}
