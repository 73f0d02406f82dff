//! Calls of firmware (Arm DEN0028, SMC Calling Convention) by the conduit that the board found.

use super::probe;
use crate::Conduit;
use smccc::{Call, Hvc, Smc};

static CONDUIT: spin::Once<Option<Conduit>> = spin::Once::new();

/// Firmware, for the functions of crate `smccc`. Answers "not supported" where there is none, or before
/// [`super::initialise`].
pub struct Firmware;

impl Call for Firmware {
    fn call32(function: u32, arguments: [u32; 7]) -> [u32; 8] {
        match conduit() {
            Some(Conduit::Hvc) => Hvc::call32(function, arguments),
            Some(Conduit::Smc) => Smc::call32(function, arguments),
            None => [u32::MAX; 8],
        }
    }

    fn call64(function: u32, arguments: [u64; 17]) -> [u64; 18] {
        match conduit() {
            Some(Conduit::Hvc) => Hvc::call64(function, arguments),
            Some(Conduit::Smc) => Smc::call64(function, arguments),
            None => [u64::MAX; 18],
        }
    }
}

fn conduit() -> Option<Conduit> {
    CONDUIT.get().copied().flatten()
}

/// Remembers the conduit, `None` on a machine without this firmware. False where firmware does not answer by it.
pub(super) fn initialise(conduit: Option<Conduit>) -> bool {
    let answers = conduit.is_none_or(probe::answers);
    CONDUIT.call_once(|| conduit.filter(|_| answers));
    answers
}
