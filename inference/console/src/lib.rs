//! The console: the engine's start, then commands, from the command line or typed.
//!
//! Owns the command language and everything printed. Arithmetic, text and files belong to the modules it calls; of the
//! system below, it knows the [`Platform`] trait only.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod affinity;
mod answer;
mod batch;
mod bench;
mod chat;
mod command;
mod editor;
mod error;
mod input;
mod json;
mod keys;
mod loaded;
mod module;
mod options;
mod output;
mod placement;
mod report;
mod script;
mod selftest;
mod serve;
mod start;
mod statistics;
mod typing;
mod workers;

use alloc::boxed::Box;
use alloc::fmt::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use embodios_pool::platform::{Platform, Power};
use embodios_pool::{DEFAULT_SPIN, Pool};
use embodios_serve::Clock;
use embodios_text::terminal::Line;

use answer::Totals;
use chat::Conversation;
pub use command::Fault;
use command::{Command, NAMES, Stats, help_on};
use editor::{Editor, Entered, LINE_LIMIT};
use error::CommandError;
use input::Input;
use loaded::{LoadError, Loaded};
use output::Output;
use script::ScriptSource;
use serve::Service;
use start::StartOptions;
pub use start::{Module, OpenNetwork, Start};
use statistics::Baseline;
use workers::Workers;

/// Shown where a command is expected.
const PROMPT: &str = "> ";

/// Sequences that have a terminal tell pasted text from typed text, and that end this (xterm's bracketed paste).
const PASTE: [&str; 2] = ["\x1b[?2004h", "\x1b[?2004l"];

/// Said of commands behind a failure.
const NOT_RUN: &str = "the commands behind that are not run; keep-going on the command line runs them";

/// Runs the engine: loads the model, obeys the commands of a script or of the terminal, and ends the session.
pub fn run(platform: &'static dyn Platform, start: &Start<'_>) -> ! {
    let options = StartOptions::parse(start.command_line);
    let word = |word: &str, reason: &dyn fmt::Display| CommandError::Word {
        word: word.into(),
        reason: format(format_args!("{reason}")),
    };
    let valued = |name: &str, value: &str| format(format_args!("{name}={value}"));
    let mut errors: Vec<CommandError> =
        options.unknown.iter().map(|unknown| word(unknown, &"unknown, or there twice")).collect();
    let spin = options.spin.map_or(Ok(DEFAULT_SPIN), |value| {
        value.parse().map_err(|_| word(&valued("spin", value), &"not a whole number of microseconds"))
    });
    let spin = spin.unwrap_or_else(|error| {
        errors.push(error);
        DEFAULT_SPIN
    });
    let mut workers = Workers::new(platform, spin, options.housekeeping);
    if let Some(value) = options.workers {
        let wrong = |reason: &dyn fmt::Display| word(&valued("workers", value), reason);
        let cores = value.parse().map_err(|error| wrong(&error));
        let assigned = cores.and_then(|cores| workers.assign(cores).map_err(|error| wrong(&error)));
        errors.extend(assigned.err());
    }
    let columns = options
        .terminal
        .map(|value| value.parse().map_err(|_| word(&valued("terminal", value), &"not a number of columns")));
    let columns = columns.transpose().unwrap_or_else(|error| {
        errors.push(error);
        None
    });
    let time = options.time.map(|value| {
        value.parse().map_err(|_| word(&valued("time", value), &"not a number of seconds since 1970"))
    });
    let wall_clock = time.transpose().unwrap_or_else(|error| {
        errors.push(error);
        None
    });
    // Asked once: a system call takes some 0.2 ms where a hypervisor emulates the kernel's instructions.
    let memory = platform.memory();
    let mut console = Console {
        platform,
        start,
        output: Output::new(platform, options.quiet),
        input: Input::new(platform, options.flow_control),
        columns,
        is_piped: options.flow_control && columns.is_none(),
        // For as long as the engine runs: served requests borrow it.
        loaded: Loaded::new(platform, start, &options, memory.free)
            .map(|loaded| &*Box::leak(Box::new(loaded))),
        service: None,
        conversation: Conversation::default(),
        workers,
        wall_clock: wall_clock.or(start.wall_clock),
        totals: Totals::default(),
        baseline: Baseline::default(),
    };
    console.print_banner(memory.total);
    errors.iter().for_each(|error| console.print_error(error));
    // A model that is not wanted is no failure until a command needs it.
    let no_model = console.loaded.as_ref().err().filter(|error| !matches!(error, LoadError::NotWanted));
    if let Some(error) = no_model.filter(|_| options.quiet) {
        console.print_error(&error.into());
    }
    let mut well = errors.is_empty() && no_model.is_none() && !start.has_bad_words;
    if let Err(error) = console.serve(&options) {
        console.print_error(&error);
        well = false;
    }
    let mut refused = None;
    let mut action = match &options.script {
        Some(script) if well || options.keep_going => console.obey_script(script, well, options.keep_going),
        Some(_) => {
            console.output.note(format_args!("{NOT_RUN}\n"));
            Power::Off { success: false }
        }
        None => console.obey_terminal(well),
    };
    loop {
        let refusal = platform.power(action);
        // An input that has ended says so to every reader.
        if refused.replace(action) != Some(action) {
            console.print_error(&refusal.into());
        }
        action = console.obey_terminal(false);
    }
}

/// The words of a command line that the console does not know.
pub fn unknown_words(line: &str) -> Vec<&str> {
    StartOptions::parse(line).unknown
}

struct Console<'s> {
    platform: &'static dyn Platform,
    start: &'s Start<'s>,
    output: Output,
    input: Input,
    /// The width of the terminal, where a person is known to sit at one.
    columns: Option<usize>,
    /// Whether the input is a program's.
    is_piped: bool,
    loaded: Result<&'static Loaded, LoadError>,
    service: Option<Service>,
    /// What `chat` keeps.
    conversation: Conversation,
    workers: Workers,
    /// Seconds from 1970 to the platform's time 0, where they are known.
    wall_clock: Option<u64>,
    totals: Totals,
    baseline: Baseline,
}

impl Console<'_> {
    /// Seconds since 1970.
    fn unix_time(&self) -> Option<u64> {
        Clock::at(self.platform.now_ns(), self.wall_clock).unix
    }

    /// Says what was asked for.
    fn say(&self, text: fmt::Arguments<'_>) {
        self.output.say(&format(text));
    }

    fn print_banner(&self, memory: u64) {
        if self.output.is_quiet() {
            return;
        }
        let model = match &self.loaded {
            Ok(loaded) => loaded.summary(),
            Err(error) => format(format_args!("none: {}", Line(&error.to_string()))),
        };
        // Few bytes on purpose: each costs 10 µs and more on some serial lines.
        let banner = if self.start.restarts == 0 { self.banner(memory) } else { String::new() };
        let milliseconds = self.platform.now_ns() as f64 / 1e6;
        self.output.note(format_args!("{banner}model {model}\nconsole after {milliseconds:.1} ms\n"));
    }

    fn banner(&self, memory: u64) -> String {
        let (cores, megabytes) = (self.platform.cores(), memory >> 20);
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

    /// Runs the commands of `script` and powers off: with success if all went well, what came before included. A
    /// failed one ends it, unless it shall `keep_going`.
    fn obey_script(&mut self, script: &ScriptSource<'_>, mut success: bool, keep_going: bool) -> Power {
        let commands = match script.commands(self.start.modules) {
            Ok(commands) => commands,
            Err(error) => {
                self.print_error(&error.into());
                return Power::Off { success: false };
            }
        };
        let restarts = self.start.restarts;
        let Some(rest) = script::after_restarts(&commands, restarts) else {
            self.print_error(&CommandError::Crashed { restarts, script: format(format_args!("{script}")) });
            return Power::Off { success: false };
        };
        for (index, line) in rest.iter().enumerate() {
            if !self.output.is_quiet() {
                self.output.note(format_args!("{PROMPT}{line}\n"));
            }
            match self.obey(line) {
                Ok(None) => {}
                Ok(Some(Power::Off { .. })) => break,
                Ok(Some(Power::Reboot)) => return Power::Reboot,
                Err(error) => {
                    self.print_error(&error);
                    success = false;
                    if !keep_going || matches!(error, CommandError::Interrupted) {
                        if index + 1 < rest.len() {
                            self.output.note(format_args!("{NOT_RUN}\n"));
                        }
                        break;
                    }
                }
            }
        }
        Power::Off { success }
    }

    /// Runs what is typed until that ends the session, or the input ends: with success, unless a program sends it
    /// and not all has gone `well`, of this engine and those before.
    fn obey_terminal(&mut self, well: bool) -> Power {
        let mut success = !self.is_piped || well && self.start.restarts == 0;
        let mut editor = Editor::new(PROMPT, &NAMES, self.columns);
        let paste = if self.columns.is_some() { PASTE } else { ["", ""] };
        loop {
            let screen = format(format_args!("{}{PROMPT}", paste[0]));
            let entered = self.read_command(&mut editor, screen);
            self.echo(paste[1]);
            let result = match entered {
                Some(Entered::Line(line)) if !line.trim().is_empty() => self.obey(&line),
                Some(Entered::Line(_) | Entered::Interrupt) => continue,
                Some(Entered::TooLong) => Err(CommandError::LongLine(LINE_LIMIT)),
                Some(Entered::End) | None => return Power::Off { success },
            };
            match result {
                Ok(None) => {}
                Ok(Some(Power::Off { .. })) => return Power::Off { success },
                Ok(Some(Power::Reboot)) => return Power::Reboot,
                Err(error) => {
                    self.print_error(&error);
                    success = !self.is_piped;
                }
            }
        }
    }

    /// Shows a person what they type.
    fn echo(&self, screen: &str) {
        if !self.output.is_quiet() && !screen.is_empty() {
            self.platform.write(screen.as_bytes());
        }
    }

    /// Runs one command, until an interrupt. Result: how the session ends, if it shall.
    fn obey(&mut self, line: &str) -> Result<Option<Power>, CommandError> {
        self.workers.acknowledge(self.input.acknowledged());
        let result = self.execute(line);
        if self.input.take_interrupt() { Err(CommandError::Interrupted) } else { result }
    }

    fn print_error(&self, error: &CommandError) {
        let advice = error.advice(self.platform.memory());
        self.output.note(format_args!("error: {}{advice}\n", Line(&error.to_string())));
    }

    /// Runs one command. Result: how the session ends, if it shall.
    fn execute(&mut self, line: &str) -> Result<Option<Power>, CommandError> {
        match Command::parse(line)? {
            Command::Generate { options, text } => self.generate(&options, text)?,
            Command::Chat(turn) => self.chat(turn)?,
            Command::Hash { json, options, text } => self.hash(json, &options, text)?,
            Command::Ids { text } => self.ids(text)?,
            Command::Batch { json, source } => self.batch(json, &source)?,
            Command::Bench(bench) => self.bench(&bench)?,
            // A request that failed is an answer like others to a program.
            Command::Json { task } => {
                let tally = self.json(task)?;
                self.totals.add_batch(&tally);
            }
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
            Command::PowerOff => {
                self.drain()?;
                return Ok(Some(Power::Off { success: true }));
            }
            Command::Help(command) => self.say(format_args!("{}", help_on(command))),
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

    fn loaded_and_pool(
        &mut self,
        cores: Option<usize>,
    ) -> Result<(&'static Loaded, &mut Pool), CommandError> {
        Ok((*self.loaded.as_ref()?, self.workers.pool(cores)?))
    }
}
