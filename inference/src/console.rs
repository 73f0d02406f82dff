//! The console: the engine's start, then commands, from the command line or typed.
//!
//! Owns the command language and everything printed. Arithmetic, text and files belong to the modules
//! it calls; of what runs it, it knows the [`Platform`] trait only.

mod affinity;
mod answer;
mod batch;
mod bench;
mod command;
mod editor;
mod error;
mod input;
mod json;
mod keys;
mod loaded;
mod options;
mod placement;
mod report;
mod selftest;
mod start;
mod statistics;
mod workers;

use alloc::fmt::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::platform::{Platform, Power};
use crate::pool::{DEFAULT_SPIN, Pool};
use answer::Totals;
pub use command::Fault;
use command::{Command, HELP, Stats};
use editor::Editor;
use error::CommandError;
use input::Input;
use loaded::{LoadError, Loaded};
pub use start::{Module, Start};
use start::{StartOptions, script_after_restarts};
use statistics::Baseline;
use workers::Workers;

/// Shown where a command is expected.
const PROMPT: &str = "> ";

/// Runs the engine: loads the model, obeys the commands of `exec=` or of the terminal, and ends the
/// session.
pub fn run(platform: &'static dyn Platform, start: &Start<'_>) -> ! {
    let options = StartOptions::parse(start.command_line);
    let word = |name: &str, value: &str, reason: &dyn fmt::Display| CommandError::Word {
        word: format(format_args!("{name}={value}")),
        reason: format(format_args!("{reason}")),
    };
    let mut misled = Vec::new();
    let spin = options.spin.map_or(Ok(DEFAULT_SPIN), |value| {
        value.parse().map_err(|_| word("spin", value, &"not a whole number of microseconds"))
    });
    let spin = spin.unwrap_or_else(|error| {
        misled.push(error);
        DEFAULT_SPIN
    });
    let mut workers = Workers::new(platform, spin, options.housekeeping);
    if let Some(value) = options.workers {
        let cores = value.parse().map_err(|error| word("workers", value, &error));
        let assigned =
            cores.and_then(|cores| workers.assign(cores).map_err(|error| word("workers", value, &error)));
        misled.extend(assigned.err());
    }
    let mut console = Console {
        platform,
        start,
        input: Input::new(platform),
        loaded: Loaded::new(platform, start, &options),
        workers,
        totals: Totals::default(),
        baseline: Baseline::default(),
    };
    console.announce();
    misled.iter().for_each(|error| console.complain(error));
    let mut action = match options.script {
        Some(script) => console.obey_script(script, misled.is_empty()),
        None => console.obey_terminal(),
    };
    loop {
        let refusal = platform.power(action);
        console.complain(&refusal.into());
        action = console.obey_terminal();
    }
}

struct Console<'s> {
    platform: &'static dyn Platform,
    start: &'s Start<'s>,
    input: Input,
    loaded: Result<Loaded, LoadError>,
    workers: Workers,
    totals: Totals,
    baseline: Baseline,
}

impl Console<'_> {
    fn say(&self, text: fmt::Arguments<'_>) {
        self.platform.write(format(text).as_bytes());
    }

    fn announce(&self) {
        let model = match &self.loaded {
            Ok(loaded) => loaded.summary(),
            Err(error) => format(format_args!("none: {error}")),
        };
        // Few bytes on purpose: each costs 10 µs and more on some serial lines.
        let banner = if self.start.restarts == 0 { self.banner() } else { String::new() };
        let milliseconds = self.platform.now_ns() as f64 / 1e6;
        self.say(format_args!("{banner}model {model}\nconsole after {milliseconds:.1} ms\n"));
    }

    fn banner(&self) -> String {
        let (cores, megabytes) = (self.platform.cores(), self.platform.memory().total >> 20);
        let online = || cores.iter().filter(|core| core.online);
        let ids: Vec<String> = online().map(|core| format(format_args!("{:#x}", core.hardware_id))).collect();
        format(format_args!(
            "EMBODIOS {} on {}, {megabytes} MiB\ncores: {} of {} online ({})\n",
            env!("CARGO_PKG_VERSION"),
            self.start.machine,
            online().count(),
            cores.len(),
            ids.join(" "),
        ))
    }

    /// Runs every command of `script`, also after a failed one, and powers off: with success if all went well, this
    /// included.
    fn obey_script(&mut self, script: &str, mut success: bool) -> Power {
        let Some(lines) = script_after_restarts(script, self.start.restarts) else {
            let restarts = self.start.restarts;
            self.complain(&CommandError::Crashed { restarts, script: script.into() });
            return Power::Off { success: false };
        };
        for line in lines {
            self.say(format_args!("{PROMPT}{line}\n"));
            match self.execute(line) {
                Ok(None) => {}
                Ok(Some(Power::Off { .. })) => break,
                Ok(Some(Power::Reboot)) => return Power::Reboot,
                Err(error) => {
                    self.complain(&error);
                    success = false;
                }
            }
        }
        Power::Off { success }
    }

    /// Runs what is typed until that ends the session, or the input ends.
    fn obey_terminal(&mut self) -> Power {
        let mut editor = Editor::new(PROMPT);
        while let Some(line) = self.read_line(&mut editor) {
            if line.trim().is_empty() {
                continue;
            }
            match self.execute(&line) {
                Ok(None) => {}
                Ok(Some(action)) => return action,
                Err(error) => self.complain(&error),
            }
        }
        Power::Off { success: true }
    }

    fn read_line(&mut self, editor: &mut Editor) -> Option<String> {
        let mut screen = String::from(PROMPT);
        loop {
            if self.input.is_empty() {
                self.platform.write(screen.as_bytes());
                screen.clear();
            }
            let bytes = self.input.wait();
            if bytes.is_empty() {
                return None;
            }
            let (count, line) = editor.feed(bytes, &mut screen);
            self.input.take(count);
            if line.is_some() {
                self.platform.write(screen.as_bytes());
                return line;
            }
        }
    }

    fn complain(&self, error: &CommandError) {
        self.say(format_args!("error: {error}\n"));
    }

    /// Runs one command. Result: how the session ends, if it shall.
    fn execute(&mut self, line: &str) -> Result<Option<Power>, CommandError> {
        match Command::parse(line)? {
            Command::Generate { options, text } => self.generate(&options, text)?,
            Command::Chat { options, text } => self.chat(&options, text)?,
            Command::Hash { options, text } => self.hash(&options, text)?,
            Command::Ids { text } => self.ids(text)?,
            Command::Batch { json, source } => self.batch(json, &source)?,
            Command::Bench(bench) => self.bench(&bench)?,
            Command::Json { task } => self.json(task)?,
            Command::Model => self.say(format_args!("model {}", self.loaded.as_ref()?.description())),
            Command::Cpus => {
                let cpus = report::cpus(self.platform, self.workers.cores());
                self.say(format_args!("{cpus}{}", self.worker_cores()));
            }
            Command::Mem => self.say(format_args!("{}", report::mem(self.platform))),
            Command::Stats(Stats::Text) => self.say(format_args!("{}", self.statistics())),
            Command::Stats(Stats::Json) => self.say(format_args!("{}", self.statistics_json())),
            Command::Stats(Stats::Reset) => self.reset_statistics(),
            Command::Affinity => self.say(format_args!("{}", self.affinity()?)),
            Command::Workers(cores) => {
                self.workers.assign(cores)?;
                self.say(format_args!("{}", self.worker_cores()));
            }
            Command::Pin { thread, cores } => self.pin(thread, &cores)?,
            Command::Test { wakes, batches } => self.test(wakes, batches)?,
            Command::Crash { fault, core } => self.crash(fault, core)?,
            Command::Reboot => return Ok(Some(Power::Reboot)),
            Command::PowerOff => return Ok(Some(Power::Off { success: true })),
            Command::Help => self.say(format_args!("{HELP}")),
        }
        Ok(None)
    }

    /// Commits a fault on `core`, in the middle of a job of all workers.
    fn crash(&mut self, fault: Fault, core: usize) -> Result<(), CommandError> {
        let commit = self.start.fault.ok_or(CommandError::NoFaults)?;
        if core == self.platform.current_core() {
            commit(fault);
        }
        let pool = self.workers.pool(None)?;
        let Some(victim) = pool.cores().iter().position(|&own| own == core) else {
            return Err(CommandError::NoWorker { core, cores: self.workers.cores().clone() });
        };
        pool.run(&|worker| {
            if worker == victim {
                commit(fault);
            }
        });
        Ok(())
    }

    fn loaded_and_pool(&mut self, cores: Option<usize>) -> Result<(&Loaded, &mut Pool), CommandError> {
        Ok((self.loaded.as_ref()?, self.workers.pool(cores)?))
    }
}
