//! Deterministic mode: the same split every time, reserved cores, and a budget for every job.

use core::hint::black_box;

use super::{Mode, Pool, PoolError};
use crate::platform::CoreSet;

/// Bytes of each worker's stack that are touched beforehand.
const STACK: usize = 32 << 10;

/// Settings of deterministic mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deterministic {
    /// Nanoseconds from a job's hand-out to its join; longer ones are counted.
    pub budget_ns: u64,
    /// Workers never sleep between two jobs.
    pub spin: bool,
}

impl Default for Deterministic {
    fn default() -> Self {
        Self { budget_ns: 500_000, spin: false }
    }
}

impl Pool {
    /// Calls `body` with the pool in deterministic mode: [`Mode::Static`] only and always on all workers, whose cores
    /// are reserved, so that the platform refuses and counts disturbances (see
    /// [`crate::platform::Platform::reserve_cores`]), `body`'s own allocations included; their stacks touched; jobs
    /// over the budget counted. All is as before when it returns, however that happens.
    ///
    /// # Errors
    /// When the platform does not reserve the cores; [`PoolError::InGroup`] in a group.
    pub fn deterministic<R>(
        &mut self,
        settings: Deterministic,
        body: impl FnOnce(&mut Self) -> R,
    ) -> Result<R, PoolError> {
        if self.pinned.is_none() {
            return Err(PoolError::InGroup);
        }
        let restore = Restore {
            mode: self.mode,
            budget_ns: self.budget_ns,
            fixed: self.fixed,
            spin_ns: self.shared.policy.spin_ns(),
            pool: self,
        };
        let pool = &mut *restore.pool;
        if !restore.fixed {
            pool.platform().reserve_cores(&pool.cores().iter().copied().collect::<CoreSet>())?;
        }
        (pool.mode, pool.budget_ns, pool.fixed) = (Mode::Static, u64::MAX, true);
        if settings.spin {
            pool.shared.policy.set_spin_ns(u64::MAX);
        }
        pool.run(&|_| touch_stack());
        pool.budget_ns = settings.budget_ns;
        Ok(body(pool))
    }
}

/// Makes the memory below the stack pointer present.
#[inline(never)]
fn touch_stack() {
    black_box(&mut [0u8; STACK]);
}

/// Ends deterministic mode.
struct Restore<'p> {
    pool: &'p mut Pool,
    mode: Mode,
    budget_ns: u64,
    fixed: bool,
    spin_ns: u64,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        let Self { pool, mode, budget_ns, fixed, spin_ns } = self;
        if pool.fixed && !*fixed {
            pool.platform().release_cores();
        }
        (pool.mode, pool.budget_ns, pool.fixed) = (*mode, *budget_ns, *fixed);
        pool.shared.policy.set_spin_ns(*spin_ns);
    }
}
