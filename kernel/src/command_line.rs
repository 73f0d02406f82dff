//! The kernel's words on the command line. The engine reads its own (`model=`, `workers=`, `exec=`) from the same text.

use crate::board::{MAX_MMIO, MmioPlace};
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use embodios_abi::command_line::{ALLOW, ALLOW_POWER, ALLOW_TESTS, VIRTIO_MMIO, words};
use embodios_arch::{Line, PhysAddr};
use embodios_core_set::CoreSet;
use heapless::Vec;
use log::LevelFilter;
use spin::Once;

/// The kernel's options on the command line.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// `log=error|warn|info|debug|trace`: messages printed; warnings and errors by default.
    pub log: LevelFilter,
    /// `hook.absent=N`: core `N` (dense index, not 0) is not started, as if its hardware were dead. A test hook.
    pub absent_core: Option<u32>,
    /// `housekeeping=0,2-3`: cores for the console and devices; empty when nothing was said.
    pub housekeeping: CoreSet,
    /// `allow=power`: the engine may end and restart the machine.
    pub allows_power: bool,
    /// `allow=tests`: the engine may run the kernel's tests and test hooks.
    pub allows_tests: bool,
    /// `virtio_mmio.device=SIZE@ADDRESS:LINE`: places of devices.
    pub devices: Vec<MmioPlace, MAX_MMIO>,
}

impl Options {
    /// The defaults.
    const fn new() -> Self {
        Self {
            log: LevelFilter::Warn,
            absent_core: None,
            housekeeping: CoreSet::new(),
            allows_power: false,
            allows_tests: false,
            devices: Vec::new(),
        }
    }

    /// Takes a list of permissions; false when one of them is unknown.
    fn allow(&mut self, list: &str) -> bool {
        list.split(',').filter(|what| !what.is_empty()).all(|what| match what {
            ALLOW_POWER => {
                self.allows_power = true;
                true
            }
            ALLOW_TESTS => {
                self.allows_tests = true;
                true
            }
            _ => false,
        })
    }
}

static OPTIONS: Once<Options> = Once::new();

/// Whether a word of the kernel's made no sense.
static COMPLAINED: AtomicBool = AtomicBool::new(false);

/// Names a word that makes no sense. The machine goes on without it, and the engine can know.
pub fn report_bad_word(what: fmt::Arguments<'_>) {
    COMPLAINED.store(true, Ordering::Relaxed);
    log::error!("command line: {what}");
}

/// Whether there was a word to [`report_bad_word`] of.
pub fn has_complained() -> bool {
    COMPLAINED.load(Ordering::Relaxed)
}

/// Sets the machine's options, once.
pub fn set(options: Options) {
    OPTIONS.call_once(|| options);
}

/// The machine's options; those of an empty line before [`set`].
pub fn options() -> &'static Options {
    static NONE: Options = Options::new();
    OPTIONS.get().unwrap_or(&NONE)
}

/// Reads the kernel's words. `exec=` ends them: the rest belongs to the engine. The second value is the
/// first word of the kernel's that made no sense.
#[must_use]
pub fn parse(line: &str) -> (Options, Option<&str>) {
    let mut options = Options::new();
    let mut bad = None;
    for word in words(line) {
        let understood = match word.value.map(|value| (word.name, value)) {
            Some(("log", level)) => level.parse().map(|level| options.log = level).is_ok(),
            Some(("hook.absent", core)) => {
                options.absent_core = core.parse().ok().filter(|&core| core > 0);
                options.absent_core.is_some()
            }
            Some((ALLOW, list)) => options.allow(list),
            Some((VIRTIO_MMIO, place)) => {
                device(place).is_some_and(|place| options.devices.push(place).is_ok())
            }
            Some(("housekeeping", cores)) => cores.parse().map(|cores| options.housekeeping = cores).is_ok(),
            _ => true,
        };
        if !understood {
            bad = bad.or(Some(word.text));
        }
    }
    (options, bad)
}

/// Understands `SIZE@ADDRESS:LINE[:ID]` (Linux `Documentation/admin-guide/kernel-parameters.txt`). A device's registers
/// have one size here, and its number no meaning.
fn device(place: &str) -> Option<MmioPlace> {
    let mut parts = place.split_once('@')?.1.splitn(3, ':');
    let start = PhysAddr(number(parts.next()?)?);
    let number = u32::try_from(number(parts.next()?)?).ok()?;
    start
        .0
        .is_multiple_of(4)
        .then_some(MmioPlace { start, line: Line { number, active_low: false, level: false } })
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_kernel_are_read_and_others_left() {
        let (options, bad) =
            parse("model=none log=debug hook.absent=2 housekeeping=1-2,8 exec=log=error; help");
        let housekeeping = [1, 2, 8].into_iter().collect();
        let expected =
            Options { log: LevelFilter::Debug, absent_core: Some(2), housekeeping, ..Options::new() };
        assert_eq!(options, expected);
        assert_eq!(bad, None);
    }

    #[test]
    fn nothing_is_allowed_that_is_not_named() {
        let allowed = |line| {
            let (options, bad) = parse(line);
            (options.allows_power, options.allows_tests, bad)
        };
        assert_eq!(allowed("exec=allow=power"), (false, false, None));
        assert_eq!(allowed("allow=power"), (true, false, None));
        assert_eq!(allowed("allow=tests,power"), (true, true, None));
        assert_eq!(allowed("allow=tests,all"), (false, true, Some("allow=tests,all")));
        assert_eq!(allowed("allow="), (false, false, None));
    }

    #[test]
    fn devices_are_places_with_lines() {
        let (options, bad) =
            parse("virtio_mmio.device=4K@0xc0001000:5 virtio_mmio.device=512@4273991168:47:1");
        let places = options.devices.iter().map(|place| (place.start.0, place.line.number));
        assert_eq!(
            (places.collect::<std::vec::Vec<_>>(), bad),
            ([(0xc000_1000, 5), (0xfebf_ee00, 47)].into(), None)
        );
        for wrong in ["4K", "4K@x:5", "4K@0x1000", "4K@0x1001:5", "4K@0x1000:-1"] {
            let line = std::format!("virtio_mmio.device={wrong}");
            assert_eq!(parse(&line).1, Some(&*line));
        }
    }

    #[test]
    fn a_bad_value_is_named() {
        assert_eq!(parse("log=loud").1, Some("log=loud"));
        assert_eq!(parse("quiet hook.absent=0").1, Some("hook.absent=0"));
        assert_eq!(parse("housekeeping=1-x").1, Some("housekeeping=1-x"));
        assert_eq!(parse("housekeeping= log=info").1, Some("housekeeping="));
        assert_eq!(parse("").1, None);
    }
}
