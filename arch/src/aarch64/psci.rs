//! The Power State Coordination Interface of firmware (Arm DEN0022), over the conduit the board found.

use super::{AArch64, probe};
use crate::Conduit;
use crate::contract::Architecture;
use smccc::psci::{self, Error};
use smccc::{Hvc, Smc};

/// PSCI_VERSION.
pub(super) const VERSION: u64 = 0x8400_0000;
/// What nobody's answer is: NOT_SUPPORTED.
pub(super) const INVALID: u32 = u32::MAX;

static CONDUIT: spin::Once<Option<Conduit>> = spin::Once::new();

/// Calls `$function` of the psci module through the conduit.
macro_rules! call {
    ($function:ident ( $($argument:expr),* )) => {
        match CONDUIT.get().copied().flatten() {
            Some(Conduit::Hvc) => psci::$function::<Hvc>($($argument),*),
            Some(Conduit::Smc) => psci::$function::<Smc>($($argument),*),
            None => Err(Error::NotSupported),
        }
    };
}

/// Remembers the conduit, `None` on a machine without this firmware. False where firmware does not answer by it.
pub(super) fn initialise(conduit: Option<Conduit>) -> bool {
    let answers = conduit.is_none_or(probe::answers);
    CONDUIT.call_once(|| conduit.filter(|_| answers));
    answers
}

/// CPU_ON: the core with this MPIDR affinity begins at physical address `entry`, with `context` in X0.
pub(super) fn cpu_on(affinity: u64, entry: u64, context: u64) -> Result<(), Error> {
    call!(cpu_on(affinity, entry, context))
}

/// CPU_OFF for the calling core; halts where firmware refuses.
pub(super) fn cpu_off() -> ! {
    let _refused = call!(cpu_off());
    AArch64::halt()
}

/// SYSTEM_OFF; halts where firmware refuses.
pub fn system_off() -> ! {
    let _refused = call!(system_off());
    AArch64::halt()
}

/// SYSTEM_RESET; halts where firmware refuses.
pub fn system_reset() -> ! {
    let _refused = call!(system_reset());
    AArch64::halt()
}
