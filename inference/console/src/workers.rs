//! The worker pool: on which cores, started when it is first needed, moved when other cores are wanted.

use alloc::vec::Vec;

use embodios_pool::platform::{CoreSet, Platform, PlatformError};
use embodios_pool::{Monitor, Pool, PoolSettings, WorkerStatistics};

use super::error::CommandError;
use super::placement;

/// The pool and its place.
pub struct Workers {
    platform: &'static dyn Platform,
    settings: PoolSettings,
    /// The cores that workers may have.
    cores: CoreSet,
    /// Whether these cores were asked for.
    chosen: bool,
    pool: Option<Pool>,
    /// Interrupts that have had their effect: the pool's work stops at later ones.
    acknowledged: u32,
    /// The work of earlier pools' workers, by core.
    earlier: Vec<WorkerStatistics>,
}

impl Workers {
    /// No pool yet. Its workers will poll for `spin` microseconds before they sleep, and sit on one core of each
    /// physical one, housekeeping cores left out if these shall be kept `apart`.
    pub fn new(platform: &'static dyn Platform, spin: u32, apart: bool) -> Self {
        let settings = PoolSettings { spin, ..PoolSettings::default() };
        let cores = placement::automatic(platform.cores(), apart);
        Self { platform, settings, cores, chosen: false, pool: None, acknowledged: 0, earlier: Vec::new() }
    }

    /// The cores that workers may have.
    pub const fn cores(&self) -> &CoreSet {
        &self.cores
    }

    /// The reason for these cores.
    pub const fn choice(&self) -> &'static str {
        if self.chosen { "as asked" } else { "one a physical core, the fastest class first" }
    }

    /// The pool, if it has been started.
    pub const fn running(&self) -> Option<&Pool> {
        self.pool.as_ref()
    }

    /// Puts workers on `cores` from now on; a pool that is there is moved at once.
    ///
    /// # Errors
    /// When there is no core, or one that is not online; then nothing changes.
    pub fn assign(&mut self, cores: CoreSet) -> Result<(), CommandError> {
        let all = self.platform.cores();
        if let Some(core) = cores.iter().find(|&core| !all.get(core).is_some_and(|core| core.online)) {
            return Err(PlatformError::Offline(core).into());
        }
        let before = self.pool.as_ref().map(Pool::monitor);
        match &mut self.pool {
            Some(pool) => {
                pool.resize(&cores)?;
                pool.acknowledge(self.acknowledged);
            }
            None if cores.is_empty() => return Err(PlatformError::NoCores.into()),
            None => {}
        }
        self.keep(before);
        (self.cores, self.chosen) = (cores, true);
        Ok(())
    }

    /// A pool of `count` workers, by default one on each core that workers may have.
    ///
    /// # Errors
    /// When there are not that many cores.
    pub fn pool(&mut self, count: Option<usize>) -> Result<&mut Pool, CommandError> {
        let cores = match count {
            None => self.cores.clone(),
            Some(count) => placement::first(self.platform.cores(), &self.cores, count)
                .ok_or_else(|| CommandError::TooFewCores { wanted: count, cores: self.cores.clone() })?,
        };
        self.pool_on(&cores)
    }

    /// A pool on exactly these cores.
    ///
    /// # Errors
    /// When there is no core, or one that is not online.
    pub fn pool_on(&mut self, cores: &CoreSet) -> Result<&mut Pool, CommandError> {
        let before = self.pool.as_ref().map(Pool::monitor);
        let mut moved = false;
        let pool = match self.pool.take() {
            None => Pool::start(self.platform, cores, self.settings)?,
            Some(mut pool) => {
                moved = !pool.cores().iter().copied().eq(cores.iter());
                if let Err(error) = if moved { pool.resize(cores) } else { Ok(()) } {
                    self.pool = Some(pool);
                    return Err(error.into());
                }
                pool
            }
        };
        self.keep(before.filter(|_| moved));
        pool.acknowledge(self.acknowledged);
        Ok(self.pool.insert(pool))
    }

    /// Acknowledges so many interrupts.
    pub fn acknowledge(&mut self, interrupts: u32) {
        self.acknowledged = interrupts;
        if let Some(pool) = &self.pool {
            pool.acknowledge(interrupts);
        }
    }

    /// Adds the work of a pool that has been moved or ended.
    fn keep(&mut self, pool: Option<Monitor>) {
        for WorkerStatistics { core, work } in pool.iter().flat_map(Monitor::workers) {
            match self.earlier.iter_mut().find(|earlier| earlier.core == core) {
                Some(earlier) => earlier.work = earlier.work.and(&work),
                None => self.earlier.push(WorkerStatistics { core, work }),
            }
        }
    }

    /// The work on each core since the last reset, that of earlier pools included: the present workers first.
    pub fn statistics(&self) -> Vec<WorkerStatistics> {
        let mut all: Vec<WorkerStatistics> =
            self.pool.iter().flat_map(|pool| pool.monitor().workers()).collect();
        for earlier in &self.earlier {
            match all.iter_mut().find(|now| now.core == earlier.core) {
                Some(now) => now.work = now.work.and(&earlier.work),
                None => all.push(*earlier),
            }
        }
        all
    }

    /// Begins the statistics anew.
    pub fn reset_statistics(&mut self) {
        self.earlier.clear();
        if let Some(pool) = &mut self.pool {
            pool.reset_statistics();
        }
    }

    /// A pool on every core that workers may have, whose workers sleep at once when there is nothing to do.
    ///
    /// # Errors
    /// When the platform refuses.
    pub fn sleeping_pool(&mut self) -> Result<Pool, PlatformError> {
        let before = self.pool.take().map(|pool| pool.monitor());
        self.keep(before);
        Pool::start(self.platform, &self.cores, PoolSettings { spin: 0, ..self.settings })
    }
}
