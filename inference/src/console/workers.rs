//! The worker pool, started when it is first needed, and again when another number of workers is.

use crate::platform::{CoreSet, Platform, PlatformError};
use crate::pool::{Pool, Settings};

/// At most one pool at a time: a core has one thread.
pub struct Workers {
    platform: &'static dyn Platform,
    spin: u32,
    pool: Option<Pool>,
}

impl Workers {
    /// No pool yet; its workers will look for `spin` microseconds before they sleep.
    pub const fn new(platform: &'static dyn Platform, spin: u32) -> Self {
        Self { platform, spin, pool: None }
    }

    /// Number of cores that a worker can run on.
    pub fn available(&self) -> usize {
        self.platform.cores().iter().filter(|core| core.online).count()
    }

    /// Number of workers now, counting the caller.
    pub fn running(&self) -> usize {
        self.pool.as_ref().map_or(1, Pool::workers)
    }

    /// A pool of `count` workers, by default one on every core.
    ///
    /// # Errors
    /// When there are not that many cores.
    pub fn pool(&mut self, count: Option<usize>) -> Result<&mut Pool, PlatformError> {
        let count = count.unwrap_or_else(|| self.available());
        let pool = match self.pool.take().filter(|pool| pool.workers() == count) {
            Some(pool) => pool,
            None => self.start(count, self.spin)?,
        };
        Ok(self.pool.insert(pool))
    }

    /// A pool of `count` workers that sleep at once when there is nothing to do.
    ///
    /// # Errors
    /// When there are not that many cores.
    pub fn sleeping_pool(&mut self, count: usize) -> Result<Pool, PlatformError> {
        self.pool = None;
        self.start(count, 0)
    }

    fn start(&self, count: usize, spin: u32) -> Result<Pool, PlatformError> {
        Pool::start(self.platform, &CoreSet::first(count), Settings { spin })
    }
}
