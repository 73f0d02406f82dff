//! The worker pool: on which cores, started when it is first needed, moved when other cores are wanted.

use super::error::CommandError;
use super::placement;
use crate::platform::{CoreSet, Platform, PlatformError};
use crate::pool::{Pool, Settings};

/// The pool and its place.
pub struct Workers {
    platform: &'static dyn Platform,
    settings: Settings,
    /// The cores that workers may have.
    cores: CoreSet,
    /// Whether somebody chose these cores.
    chosen: bool,
    pool: Option<Pool>,
}

impl Workers {
    /// No pool yet. Its workers will look for `spin` microseconds before they sleep, and sit on one core of each physical
    /// one, housekeeping cores left out if these shall be kept `apart`.
    pub fn new(platform: &'static dyn Platform, spin: u32, apart: bool) -> Self {
        let settings = Settings { spin, ..Settings::default() };
        let cores = placement::automatic(platform.cores(), apart);
        Self { platform, settings, cores, chosen: false, pool: None }
    }

    /// The cores that workers may have.
    pub const fn cores(&self) -> &CoreSet {
        &self.cores
    }

    /// How these cores came to be chosen.
    pub const fn choice(&self) -> &'static str {
        if self.chosen { "as asked" } else { "one a physical core, the fastest class first" }
    }

    /// The pool, if it has been started.
    pub const fn running(&self) -> Option<&Pool> {
        self.pool.as_ref()
    }

    /// The same, to change it.
    pub const fn running_mut(&mut self) -> Option<&mut Pool> {
        self.pool.as_mut()
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
        match &mut self.pool {
            Some(pool) => pool.resize(&cores)?,
            None if cores.is_empty() => return Err(PlatformError::NoCores.into()),
            None => {}
        }
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
        let pool = match self.pool.take() {
            None => Pool::start(self.platform, cores, self.settings)?,
            Some(mut pool) => {
                let moved = match pool.cores().iter().copied().eq(cores.iter()) {
                    true => Ok(()),
                    false => pool.resize(cores),
                };
                if let Err(error) = moved {
                    self.pool = Some(pool);
                    return Err(error.into());
                }
                pool
            }
        };
        Ok(self.pool.insert(pool))
    }

    /// A pool on every core that workers may have, whose workers sleep at once when there is nothing to do.
    ///
    /// # Errors
    /// When the platform refuses.
    pub fn sleeping_pool(&mut self) -> Result<Pool, PlatformError> {
        self.pool = None;
        Pool::start(self.platform, &self.cores, Settings { spin: 0, ..self.settings })
    }
}
