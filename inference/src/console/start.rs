//! What the engine is started with: the machine's description and the words of the command line.

use super::command::{Command, Fault};

/// A file that is there from the start.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// Its name, without directory.
    pub name: &'static str,
    /// Its contents.
    pub bytes: &'static [u8],
}

/// What the engine is started with.
#[derive(Clone, Copy, Debug)]
pub struct Start<'s> {
    /// Architecture and machine.
    pub machine: &'s str,
    /// How often an engine has crashed before this one.
    pub restarts: u64,
    /// Whether the engine before this one died before it had said a word.
    pub died_loading: bool,
    /// Words for whom they concern; the engine's are `model=NAME` (`none` for no model; default: the first
    /// module that is not called `.jsonl`), `kernels=NAME` (default: the fastest), `spin=N` (microseconds before a worker sleeps),
    /// `workers=CORES` (where workers sit) and, last, `exec=COMMAND; COMMAND...`. `housekeeping=` is the platform's;
    /// where it stands, workers keep off those cores.
    pub command_line: &'s str,
    /// Models to choose from, and JSON lines for `batch`.
    pub modules: &'s [Module],
    /// Commits a fault on purpose, where a kernel contains it.
    pub fault: Option<fn(Fault) -> !>,
}

/// The engine's words of the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartOptions<'s> {
    /// Value of `model=`.
    pub model: Option<&'s str>,
    /// Value of `kernels=`.
    pub kernels: Option<&'s str>,
    /// Value of `spin=`.
    pub spin: Option<&'s str>,
    /// Value of `workers=`.
    pub workers: Option<&'s str>,
    /// Whether there is a `housekeeping=`.
    pub housekeeping: bool,
    /// Value of `exec=`: the rest of the line.
    pub script: Option<&'s str>,
}

impl<'s> StartOptions<'s> {
    /// Reads the engine's words and passes over all others.
    pub fn parse(line: &'s str) -> Self {
        let mut options = Self::default();
        let mut rest = line.trim();
        while !rest.is_empty() {
            if let Some(script) = rest.strip_prefix("exec=") {
                options.script = Some(script);
                break;
            }
            let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            if let Some(name) = word.strip_prefix("model=") {
                options.model = Some(name);
            } else if let Some(name) = word.strip_prefix("kernels=") {
                options.kernels = Some(name);
            } else if let Some(count) = word.strip_prefix("spin=") {
                options.spin = Some(count);
            } else if let Some(cores) = word.strip_prefix("workers=") {
                options.workers = Some(cores);
            } else if word.starts_with("housekeeping=") {
                options.housekeeping = true;
            }
            rest = after.trim_start();
        }
        options
    }
}

/// The commands of a script.
pub fn commands(script: &str) -> impl Iterator<Item = &str> {
    script.split(';').map(str::trim).filter(|command| !command.is_empty())
}

/// What is left of a script after `restarts` crashes: each `crash` command accounts for one, and the
/// script goes on behind it. `None` when there were more crashes than it asked for.
pub fn script_after_restarts(script: &str, restarts: u64) -> Option<impl Iterator<Item = &str>> {
    let mut rest = commands(script);
    for _ in 0..restarts {
        rest.find(|line| matches!(Command::parse(line), Ok(Command::Crash { .. })))?;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn exec_takes_the_rest_of_the_line() {
        let parse = StartOptions::parse;
        assert_eq!(parse(""), StartOptions::default());
        assert_eq!(
            parse(" log=debug model=a.gguf spin=0 kernels=portable"),
            StartOptions {
                model: Some("a.gguf"),
                kernels: Some("portable"),
                spin: Some("0"),
                ..StartOptions::default()
            }
        );
        assert_eq!(
            parse("housekeeping=0 model=none workers=1-3 exec=cpus; generate model=x exec=y"),
            StartOptions {
                model: Some("none"),
                workers: Some("1-3"),
                housekeeping: true,
                script: Some("cpus; generate model=x exec=y"),
                ..StartOptions::default()
            }
        );
    }

    #[test]
    fn a_script_goes_on_behind_the_crash_it_asked_for() {
        let rest = |restarts| {
            script_after_restarts("mem; crash null ;; cpus; crash panic; ids crash null", restarts)
                .map(Iterator::collect::<Vec<_>>)
        };
        assert_eq!(rest(0).map(|rest| rest.len()), Some(5));
        assert_eq!(rest(1).unwrap(), ["cpus", "crash panic", "ids crash null"]);
        assert_eq!(rest(2).unwrap(), ["ids crash null"]);
        assert_eq!(rest(3), None);
    }
}
