//! The housekeeping cores, and sets of cores as system calls pass them.
//!
//! The engine and the command line count online cores from 0; the kernel's own index differs where a core did not
//! start.

use crate::command_line::{self, Options};
use crate::per_cpu::{self, PerCpu};
use crate::sync::shared;
use crate::user;
use alloc::vec::Vec;
use embodios_abi::Error;
use embodios_core_set::{CoreSet, MAX_CORES};
use spin::Once;

/// Cores that take the console, devices and their interrupts, by engine index. Never empty.
static HOUSEKEEPING: Once<CoreSet> = Once::new();

/// The housekeeping cores of a machine with `online` cores: `wanted` ones, by default core 0.
///
/// # Errors
/// The cores of `wanted` that are not there.
fn choose(wanted: &CoreSet, online: usize) -> Result<CoreSet, CoreSet> {
    let absent = wanted.difference(&CoreSet::first(online));
    match wanted {
        _ if !absent.is_empty() => Err(absent),
        wanted if wanted.is_empty() => Ok(CoreSet::first(1)),
        wanted => Ok(wanted.clone()),
    }
}

shared!(ONLINE: Once<Vec<usize>> = Once::new());

/// The kernel's index of every core of the engine's, as of the first call.
fn online() -> &'static [usize] {
    ONLINE.call_once(|| per_cpu::online().map(|core| core.cpu.index()).collect())
}

/// Numbers the cores for the engine and chooses the housekeeping ones, once all cores that come have come.
pub fn init(options: &Options) {
    let online = online().len();
    HOUSEKEEPING.call_once(|| {
        choose(&options.housekeeping, online).unwrap_or_else(|absent| {
            command_line::report_bad_word(format_args!(
                "`housekeeping={}` names core {absent}, but of {online} cores the last is {}; core 0 serves instead",
                options.housekeeping,
                online - 1
            ));
            CoreSet::first(1)
        })
    });
}

/// The housekeeping cores.
///
/// Panics before [`init`].
#[must_use]
pub fn housekeeping() -> &'static CoreSet {
    HOUSEKEEPING.get().expect("chosen before devices are routed and the engine starts")
}

/// The core that takes the interrupts of the console and of devices: the first housekeeping one.
///
/// Panics before [`init`].
#[must_use]
pub fn interrupt_core() -> &'static PerCpu {
    let first = housekeeping().iter().next().and_then(|core| per_cpu::online().nth(core));
    first.unwrap_or_else(per_cpu::this)
}

/// A set in the engine's words, by the kernel's index.
///
/// # Errors
/// [`Error::Offline`] when a core of it is none of the engine's.
pub fn to_kernel(set: &CoreSet) -> Result<CoreSet, Error> {
    set.iter().map(|core| online().get(core).copied()).collect::<Option<CoreSet>>().ok_or(Error::Offline)
}

/// The reverse of [`to_kernel`].
#[must_use]
pub fn to_engine(set: &CoreSet) -> CoreSet {
    online().iter().enumerate().filter(|(_, core)| set.contains(**core)).map(|(index, _)| index).collect()
}

/// Reads a set that the engine passes as `count` words at `address`; by the kernel's index.
///
/// # Errors
/// [`Error::BadAddress`], [`Error::Offline`].
pub fn read(address: u64, count: u64) -> Result<CoreSet, Error> {
    if count > (MAX_CORES / 64) as u64 {
        return Err(Error::Offline);
    }
    let mut set = CoreSet::new();
    for (index, mut word) in user::Words::new(address, count)?.iter().enumerate() {
        while word != 0 {
            let core = 64 * index + word.trailing_zeros() as usize;
            // No longer set than the machine has cores.
            set.insert(*online().get(core).ok_or(Error::Offline)?);
            word &= word - 1;
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_cores_do_not_keep_house() {
        let set = |text: &str| text.parse::<CoreSet>().expect("a set");
        assert_eq!(choose(&CoreSet::new(), 4), Ok(set("0")));
        assert_eq!(choose(&set("1,3"), 4), Ok(set("1,3")));
        assert_eq!(choose(&set("3-5"), 4), Err(set("4-5")));
    }
}
