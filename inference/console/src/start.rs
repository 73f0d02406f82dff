//! Start information of the engine: the machine's description and the words of the command line.

use alloc::boxed::Box;
use alloc::vec::Vec;

use embodios_net::{Link, StackError};

use super::command::Fault;
pub use super::module::Module;
use super::script::ScriptSource;

/// Opens a network with a stack as the settings say; the second argument is the time now, in nanoseconds.
pub type OpenNetwork = fn(embodios_net::Settings, u64) -> Result<Box<dyn Link>, StackError>;

/// Start information of the engine.
#[derive(Clone, Copy, Debug)]
pub struct Start<'s> {
    /// Architecture and machine.
    pub machine: &'s str,
    /// Crashes of engines before this one.
    pub restarts: u64,
    /// Whether the engine before this one died before it had said a word.
    pub died_loading: bool,
    /// Whether the platform has named words of the command line that make no sense.
    pub has_bad_words: bool,
    /// The engine's words:
    /// - `model=NAME`: the module to load, `none` for no model; without it, the only model there is;
    /// - `kernels=NAME`: the kernels' variant (default: the fastest);
    /// - `spin=N`: microseconds of polling before a worker sleeps;
    /// - `workers=CORES`: the workers' cores; `housekeeping=CORES` is the platform's, and workers keep off those;
    /// - `ip=ADDRESS/PREFIX[,GATEWAY]`: an address of the network device; the word may stand several times; without it,
    ///   DHCP and routers are asked;
    /// - `port=N`: the port at which the machine serves;
    /// - `api-key=NAME`: the module with the keys, one a line, of which each request needs one;
    /// - `time=N`: seconds since 1970, where the machine has no clock or a wrong one;
    /// - `quiet`: no banner, prompt or echo; answers stand in frames ([`super::output`]);
    /// - `terminal=COLUMNS`: a person sits at a terminal of this width;
    /// - `flow-control`: reads of the input are acknowledged ([`super::input`]);
    /// - `keep-going`: a script goes on behind a failed command;
    /// - `script=NAME`: run the commands in this module, one a line, and power off;
    /// - `exec=COMMAND; COMMAND...`: the same for the rest of the line.
    pub command_line: &'s str,
    /// Models to choose from, JSON lines for `batch`, scripts.
    pub modules: &'s [Module],
    /// Commits a fault on purpose, where a kernel contains it.
    pub fault: Option<fn(Fault) -> !>,
    /// Opens the machine's network, where it has one.
    pub network: Option<OpenNetwork>,
    /// Seconds from 1970 to the platform's time 0, where they are known.
    pub wall_clock: Option<u64>,
    /// A random number, another one at each start; `None` where the machine has no source.
    pub seed: Option<u64>,
}

/// The engine's words of the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Values of `ip=`.
    pub addresses: Vec<&'s str>,
    /// Value of `port=`.
    pub port: Option<&'s str>,
    /// Value of `api-key=`.
    pub keys: Option<&'s str>,
    /// Value of `time=`.
    pub time: Option<&'s str>,
    /// Whether there is a `quiet`.
    pub quiet: bool,
    /// Value of `terminal=`.
    pub terminal: Option<&'s str>,
    /// Whether there is a `flow-control`.
    pub flow_control: bool,
    /// Whether there is a `keep-going`.
    pub keep_going: bool,
    /// Value of `script=` or `exec=`.
    pub script: Option<ScriptSource<'s>>,
    /// Words that are none of these, or stand there again.
    pub unknown: Vec<&'s str>,
}

impl<'s> StartOptions<'s> {
    /// Reads the words of `line`.
    pub fn parse(line: &'s str) -> Self {
        let mut options = Self::default();
        let mut rest = line.trim();
        while !rest.is_empty() {
            let (mut word, mut after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            if word.starts_with("exec=") {
                (word, after) = (rest, "");
            }
            if !options.take(word) {
                options.unknown.push(word);
            }
            rest = after.trim_start();
        }
        options
    }

    /// Takes a word; false when it is unknown or there already.
    fn take(&mut self, word: &'s str) -> bool {
        let once = |place: &mut bool| !core::mem::replace(place, true);
        let value = |place: &mut Option<&'s str>, value| place.replace(value).is_none();
        match word.split_once('=') {
            Some(("model", name)) => value(&mut self.model, name),
            Some(("kernels", name)) => value(&mut self.kernels, name),
            Some(("spin", count)) => value(&mut self.spin, count),
            Some(("workers", cores)) => value(&mut self.workers, cores),
            Some(("ip", address)) => {
                self.addresses.push(address);
                true
            }
            Some(("port", number)) => value(&mut self.port, number),
            Some(("api-key", name)) => value(&mut self.keys, name),
            Some(("time", seconds)) => value(&mut self.time, seconds),
            Some(("terminal", columns)) => value(&mut self.terminal, columns),
            Some(("housekeeping", _)) => once(&mut self.housekeeping),
            Some(("script", name)) => self.script.replace(ScriptSource::Module(name)).is_none(),
            Some(("exec", line)) => self.script.replace(ScriptSource::Line(line)).is_none(),
            None if word == "quiet" => once(&mut self.quiet),
            None if word == "flow-control" => once(&mut self.flow_control),
            None if word == "keep-going" => once(&mut self.keep_going),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exec_takes_the_rest_of_the_line() {
        let parse = StartOptions::parse;
        assert_eq!(parse(""), StartOptions::default());
        assert_eq!(
            parse(" model=a.gguf spin=0 quiet kernels=portable script=s"),
            StartOptions {
                model: Some("a.gguf"),
                kernels: Some("portable"),
                spin: Some("0"),
                quiet: true,
                script: Some(ScriptSource::Module("s")),
                ..StartOptions::default()
            }
        );
        assert_eq!(
            parse("housekeeping=0 model=none workers=1-3 keep-going exec=cpus; generate model=x exec=y"),
            StartOptions {
                model: Some("none"),
                workers: Some("1-3"),
                housekeeping: true,
                keep_going: true,
                script: Some(ScriptSource::Line("cpus; generate model=x exec=y")),
                ..StartOptions::default()
            }
        );
    }

    #[test]
    fn words_that_nobody_reads_are_kept_for_a_report() {
        let unknown = |line| StartOptions::parse(line).unknown;
        assert_eq!(unknown("moduel=a quiet=1 spin=0 lgo"), ["moduel=a", "quiet=1", "lgo"]);
        assert_eq!(unknown("model=a model=b script=s exec=x; y"), ["model=b", "exec=x; y"]);
    }
}
