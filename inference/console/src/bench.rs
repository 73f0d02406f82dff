//! The command `bench WHAT`: measurements that the engine makes of itself, by [`embodios_bench`]. Owns the choice of
//! model and workers for a bench, and the output of its figures.

mod options;

use alloc::format;

use embodios_bench::{Pools, Report, Subject, batch, jitter, scaling, switch};
use embodios_pool::Pool;

use super::Console;
use super::error::CommandError;
use super::loaded::Loaded;
use super::workers::Workers;
pub use options::Bench;
use options::What;

impl Console<'_> {
    /// Measures, and prints the figures.
    ///
    /// # Errors
    /// When there is no model or no memory, or bits that must be equal are not.
    pub(super) fn bench(&mut self, Bench { json, what }: &Bench<'_>) -> Result<(), CommandError> {
        let output = self.output;
        let mut show = |figures: &dyn Report| match json {
            true => output.say(&format!("{}\n", figures.json())),
            false => output.say(&figures.text()),
        };
        match what {
            What::Batch { workers, options } => {
                let (loaded, pool) = self.loaded_and_pool(*workers)?;
                show(&batch::measure(loaded.subject(), pool, options)?);
            }
            What::Jitter { workers, steps } => {
                let (loaded, pool) = self.loaded_and_pool(*workers)?;
                show(&jitter::measure(loaded.subject(), pool, *steps)?);
            }
            What::Scaling(options) => {
                let subject = self.loaded.as_ref()?.subject();
                scaling::measure(subject, &mut self.workers, options, &mut show)?;
            }
            What::Switch { rounds } => switch::measure(self.platform, *rounds, &mut show)?,
        }
        Ok(())
    }
}

impl Loaded {
    /// The subject of a measurement.
    const fn subject(&self) -> Subject<'_> {
        let Self { name, model, tokenizer, kernels, .. } = self;
        Subject { name, model, tokenizer, kernels: *kernels }
    }
}

impl Pools for Workers {
    type Error = CommandError;

    fn most(&self) -> usize {
        self.cores().len()
    }

    fn pool(&mut self, workers: Option<usize>) -> Result<&mut Pool, CommandError> {
        self.pool(workers)
    }
}
