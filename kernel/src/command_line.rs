//! The kernel's words on the command line. The engine reads its own (`model=`, `workers=`, `exec=`) from the same text.

use embodios_core_set::CoreSet;
use log::LevelFilter;

/// What the kernel takes from the command line.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// `log=error|warn|info|debug|trace`: what is printed; warnings and errors by default.
    pub log: LevelFilter,
    /// `hook.absent=N`: core `N` (dense index, not 0) is not started, as if its hardware were dead. A test hook.
    pub absent_core: Option<u32>,
    /// `housekeeping=0,2-3`: cores for the console and devices; empty when nothing was said.
    pub housekeeping: CoreSet,
}

/// Reads the kernel's words. `exec=` ends them: what follows belongs to the engine. The second value is the
/// first word of the kernel's that made no sense.
#[must_use]
pub fn parse(line: &str) -> (Options, Option<&str>) {
    let mut options = Options { log: LevelFilter::Warn, absent_core: None, housekeeping: CoreSet::new() };
    let mut bad = None;
    for word in line.split_ascii_whitespace() {
        let understood = match word.split_once('=') {
            Some(("exec", _)) => break,
            Some(("log", level)) => level.parse().map(|level| options.log = level).is_ok(),
            Some(("hook.absent", core)) => {
                options.absent_core = core.parse().ok().filter(|&core| core > 0);
                options.absent_core.is_some()
            }
            Some(("housekeeping", cores)) => cores.parse().map(|cores| options.housekeeping = cores).is_ok(),
            _ => true,
        };
        if !understood {
            bad = bad.or(Some(word));
        }
    }
    (options, bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_kernel_are_read_and_others_left() {
        let (options, bad) =
            parse("model=none log=debug hook.absent=2 housekeeping=1-2,8 exec=log=error; help");
        let housekeeping = [1, 2, 8].into_iter().collect();
        assert_eq!(options, Options { log: LevelFilter::Debug, absent_core: Some(2), housekeeping });
        assert_eq!(bad, None);
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
