//! Which cores do what: the command line's word on it, and sets of cores as they cross the border.
//!
//! The engine and the command line count online cores from 0; the kernel's own index differs where a core did not
//! start.

use crate::command_line::Options;
use crate::per_cpu;
use crate::user;
use embodios_abi::{CoreFlags, Error};
use embodios_core_set::{CoreSet, MAX_CORES};
use spin::Once;

/// The two sets of the command line, by engine index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// `housekeeping=`: cores that take the console, devices and their interrupts. Never empty.
    pub housekeeping: CoreSet,
    /// `workers=`: cores for workers; empty when nothing was said.
    pub workers: CoreSet,
}

static ROLES: Once<Roles> = Once::new();

impl Roles {
    /// What the command line wants, on a machine with `online` cores. A set that names a core that is not there is
    /// reported to `complain` and not followed.
    pub fn new(options: &Options, online: usize, mut complain: impl FnMut(&str, &CoreSet)) -> Self {
        let all = CoreSet::first(online);
        let mut take = |name, wanted: &CoreSet, otherwise| {
            if wanted.is_empty() {
                otherwise
            } else if wanted.is_subset(&all) {
                wanted.clone()
            } else {
                complain(name, &wanted.difference(&all));
                otherwise
            }
        };
        Self {
            housekeeping: take("housekeeping", &options.housekeeping, CoreSet::first(1)),
            workers: take("workers", &options.workers, CoreSet::new()),
        }
    }

    /// [`CoreFlags`] of a core, by engine index.
    #[must_use]
    pub fn flags(&self, core: usize) -> u32 {
        let flag = |set: &CoreSet, flag| if set.contains(core) { flag } else { 0 };
        flag(&self.housekeeping, CoreFlags::HOUSEKEEPING) | flag(&self.workers, CoreFlags::WORKER)
    }
}

/// Settles the roles, once all cores that come have come.
pub fn settle(options: &Options) -> &'static Roles {
    ROLES.call_once(|| {
        let online = per_cpu::online().count();
        Roles::new(options, online, |name, absent| {
            log::error!(
                "command line: `{name}=` names core {absent}, but cores 0-{} are online; going on without this word",
                online - 1
            );
        })
    })
}

/// The roles.
///
/// Panics before [`settle`].
#[must_use]
pub fn roles() -> &'static Roles {
    ROLES.get().expect("roles are settled before the engine starts")
}

/// A set in the engine's words, by the kernel's index.
///
/// # Errors
/// [`Error::Offline`] when a core of it is none of the engine's.
pub fn to_kernel(set: &CoreSet) -> Result<CoreSet, Error> {
    let online: alloc::vec::Vec<usize> = per_cpu::online().map(|core| core.cpu.index()).collect();
    let mut found = CoreSet::new();
    for core in set.iter() {
        found.insert(*online.get(core).ok_or(Error::Offline)?);
    }
    Ok(found)
}

/// The reverse of [`to_kernel`].
#[must_use]
pub fn to_engine(set: &CoreSet) -> CoreSet {
    let online = per_cpu::online().enumerate();
    online.filter(|(_, core)| set.contains(core.cpu.index())).map(|(index, _)| index).collect()
}

/// Reads a set that the engine passes as `count` words at `address`; by the kernel's index.
///
/// # Errors
/// [`Error::BadAddress`], [`Error::Offline`].
pub fn read(address: u64, count: u64) -> Result<CoreSet, Error> {
    if count > (MAX_CORES / 64) as u64 {
        return Err(Error::Offline);
    }
    let words = user::words(address, count)?;
    to_kernel(&CoreSet::from_words(&words).ok_or(Error::Offline)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_line;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    #[test]
    fn sets_that_name_absent_cores_are_reported_and_not_followed() {
        for (line, housekeeping, workers, complaints) in [
            ("", "0", "none", &[][..]),
            ("workers=1-3 housekeeping=0,2", "0,2", "1-3", &[]),
            ("workers=1-9", "0", "none", &["workers 4-9"]),
            ("housekeeping=4", "0", "none", &["housekeeping 4"]),
        ] {
            let mut heard: Vec<String> = Vec::new();
            let options = command_line::parse(line).0;
            let roles = Roles::new(&options, 4, |name, absent| heard.push(alloc::format!("{name} {absent}")));
            assert_eq!(roles.housekeeping.to_string(), housekeeping, "{line}");
            assert_eq!(roles.workers.to_string(), workers, "{line}");
            assert_eq!(heard, complaints, "{line}");
        }
    }
}
