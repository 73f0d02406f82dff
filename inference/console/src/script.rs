//! A script: commands that are there from the start, those of `exec=` or the lines of a module.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::command::Command;
use super::module::{self, Module, ModuleError};

/// Place of the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptSource<'s> {
    /// In the command line, with `;` between them.
    Line(&'s str),
    /// In the module of this name, one a line.
    Module(&'s str),
}

/// Reason that there are no commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptError {
    /// There is none.
    Empty,
    /// A quotation mark without its second.
    OpenQuotation,
    /// A module that does not serve.
    Module(ModuleError),
    /// A line that is not UTF-8: its number.
    Line(usize),
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "there is no command to run"),
            Self::OpenQuotation => write!(f, "a quotation mark is not closed (a single one is written \\\")"),
            Self::Module(error) => error.fmt(f),
            Self::Line(number) => write!(f, "line {number} is not UTF-8"),
        }
    }
}

impl ScriptSource<'_> {
    /// The commands, in their order.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub fn commands(&self, modules: &[Module]) -> Result<Vec<String>, ScriptError> {
        let commands = match self {
            Self::Line(line) => divide(line),
            Self::Module(name) => {
                lines(module::text(modules, name, "commands").map_err(ScriptError::Module)?)
            }
        }?;
        if commands.is_empty() { Err(ScriptError::Empty) } else { Ok(commands) }
    }
}

impl fmt::Display for ScriptSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => line.fmt(f),
            Self::Module(name) => write!(f, "module {name}"),
        }
    }
}

/// Rest of a script after `restarts` crashes: each `crash` command accounts for one, and the script goes on behind it.
/// `None` when there were more crashes than it asked for.
pub fn after_restarts(commands: &[String], restarts: u64) -> Option<&[String]> {
    let mut rest = commands;
    for _ in 0..restarts {
        let crash = |line: &String| matches!(Command::parse(line), Ok(Command::Crash { .. }));
        rest = &rest[rest.iter().position(crash)? + 1..];
    }
    Some(rest)
}

/// Divides a line at each `;` that stands neither between quotation marks nor behind a backslash. The marks stay; the
/// backslash before a `;` or a mark outside of them goes.
fn divide(line: &str) -> Result<Vec<String>, ScriptError> {
    let mut commands = Vec::from([String::new()]);
    let mut quoted = false;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        // There is always a last one.
        let Some(command) = commands.last_mut() else { break };
        match character {
            '\\' => match characters.next() {
                Some(next @ (';' | '"')) if !quoted => command.push(next),
                next => command.extend([character].into_iter().chain(next)),
            },
            ';' if !quoted => commands.push(String::new()),
            _ => {
                quoted ^= character == '"';
                command.push(character);
            }
        }
    }
    match quoted {
        true => Err(ScriptError::OpenQuotation),
        false => Ok(commands.iter().map(|command| trimmed(command)).filter(|c| !c.is_empty()).collect()),
    }
}

/// The lines that hold a command; a line that begins with `#` is a comment.
fn lines(bytes: &[u8]) -> Result<Vec<String>, ScriptError> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let text =
        |(number, line)| core::str::from_utf8(line).map(trimmed).map_err(|_| ScriptError::Line(number));
    let lines = (1..).zip(bytes.split(|&byte| byte == b'\n')).map(text);
    let holds = |line: &String| !line.is_empty() && !line.starts_with('#');
    lines.filter(|line| line.as_ref().map_or(true, holds)).collect()
}

fn trimmed(text: &str) -> String {
    text.trim().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_divided_outside_quotations() {
        let divided = |line| ScriptSource::Line(line).commands(&[]);
        let commands = |list: &[&str]| Ok(list.iter().map(|&command| command.into()).collect());
        assert_eq!(divided("mem;; cpus ; "), commands(&["mem", "cpus"]));
        assert_eq!(
            divided(r#"generate -x "a; \"b\"" c; mem"#),
            commands(&[r#"generate -x "a; \"b\"" c"#, "mem"])
        );
        assert_eq!(divided(r#"ids a\; b \" c\n\\"#), commands(&[r#"ids a; b " c\n\\"#]));
        for open in ["ids \"a; mem", r#"ids "a\"; mem"#] {
            assert_eq!(divided(open), Err(ScriptError::OpenQuotation), "{open}");
        }
    }

    #[test]
    fn a_module_has_a_command_a_line() {
        let bytes = "\u{feff}# first\r\nids a; \"b\r\n\n  mem".as_bytes();
        let modules = [Module { name: "s", bytes }, Module { name: "bad", bytes: b"mem\n\xff\n" }];
        let commands = |name| ScriptSource::Module(name).commands(&modules);
        assert_eq!(commands("s"), Ok(Vec::from(["ids a; \"b".into(), "mem".into()])));
        assert_eq!(commands("bad"), Err(ScriptError::Line(2)));
        assert!(matches!(commands("none"), Err(ScriptError::Module(ModuleError::Missing { .. }))));
    }

    #[test]
    fn it_goes_on_behind_the_crash_it_asked_for() {
        let commands = divide("mem; crash null ;; cpus; crash panic; ids crash null").unwrap();
        let rest = |restarts| after_restarts(&commands, restarts);
        assert_eq!(rest(0).map(<[_]>::len), Some(5));
        assert_eq!(rest(1).unwrap(), ["cpus", "crash panic", "ids crash null"]);
        assert_eq!(rest(2).unwrap(), ["ids crash null"]);
        assert_eq!(rest(3), None);
    }
}
