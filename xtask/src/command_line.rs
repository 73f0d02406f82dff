//! The kernel's command line: the only writer of its words, which `embodios_abi::command_line` lists.
//!
//! Words are separated by spaces and stand in this order:
//! - `module=NAME` or `module=NAME,BYTES` for each file that firmware loaded, in their order, then `model=NAME`.
//! - `allow=power,tests`, unless `--append` says otherwise: the console may end and test the machine.
//! - `spin=5000` where each core of the guest has one of the host's, unless `--append` says otherwise.
//! - the words of `--append`, for the kernel and the engine to read.
//! - `quiet`, `flow-control`, `terminal=COLUMNS` and `keep-going`, as the boot's input and output want it.
//! - `script=NAME` for a module with commands, or `exec=COMMANDS`, which takes the rest of the line. The console runs
//!   the commands and powers off with an exit status.

use anyhow::{Result, bail, ensure};
use embodios_abi::command_line::{ALLOW, ALLOW_POWER, WORDS, Word, words};

use crate::accel::Accelerator;
use crate::host_cores;
use crate::modules::Modules;

/// Polling time of workers with a host core each: under KVM a wake-up costs as much as many polls, and polling takes
/// nothing from anyone.
const PATIENT: &str = "spin=5000";

/// Permissions of the engine in a machine booted by a person or a test.
const ALLOWED: &str = "allow=power,tests";

/// Whether each of `cores` virtual cores under `accel` has a host core to itself.
pub fn has_own_cores(accel: Accelerator, cores: u32) -> bool {
    matches!(accel, Accelerator::Kvm { .. }) && host_cores::suffice_for(cores)
}

/// Polling word for a host process of `workers` workers, which is compared with a guest: the same time.
pub fn of_process(workers: u32) -> Option<&'static str> {
    host_cores::suffice_for(workers).then_some(PATIENT)
}

/// Commands for the console.
#[derive(Clone, Copy, Debug)]
pub enum Script<'a> {
    /// Commands separated by `;`.
    Commands(&'a str),
    /// Commands in the module of this name.
    Module(&'a str),
}

/// Input and output modes of the console.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Answers stand in frames; no banner, prompt or echo.
    pub quiet: bool,
    /// Input is acknowledged.
    pub flow_control: bool,
    /// Columns of an interactive terminal.
    pub terminal: Option<u16>,
    /// The script continues after a failed command.
    pub keep_going: bool,
}

/// Builds the command line.
///
/// # Errors
/// When a part cannot be expressed as words, or a word of `--append` is unknown or belongs to an option.
pub fn build(
    modules: &Modules,
    own_cores: bool,
    append: &[String],
    manner: Manner,
    script: Option<Script<'_>>,
) -> Result<String> {
    let mut line = modules.words.clone();
    let asked = |name| append.iter().flat_map(|text| words(text)).any(|word| word.name == name);
    if !asked(ALLOW) {
        line.push(ALLOWED.to_owned());
    }
    let ends = script.is_some() || manner.flow_control && manner.terminal.is_none();
    let allows = |word: Word<'_>| {
        word.name != ALLOW || word.value.unwrap_or_default().split(',').any(|what| what == ALLOW_POWER)
    };
    if let Some(word) = append.iter().flat_map(|text| words(text)).find(|&word| ends && !allows(word)) {
        bail!(
            "--append {}: a script or piped input ends with power off, which needs allow={ALLOW_POWER}",
            word.text
        )
    }
    if own_cores && !asked("spin") {
        line.push(PATIENT.to_owned());
    }
    for text in append {
        words(text).try_for_each(|word| check(text, word.name, word.reader().is_some()))?;
        line.push(text.clone());
    }
    line.extend(manner.quiet.then(|| "quiet".to_owned()));
    line.extend(manner.flow_control.then(|| "flow-control".to_owned()));
    line.extend(manner.terminal.map(|columns| format!("terminal={columns}")));
    line.extend(manner.keep_going.then(|| "keep-going".to_owned()));
    match script {
        Some(Script::Commands(commands)) => {
            ensure!(!commands.trim().is_empty(), "--exec: the command is empty");
            line.push(format!("exec={}", commands.trim()));
        }
        Some(Script::Module(name)) => line.push(format!("script={name}")),
        None => {}
    }
    let line = line.join(" ");
    ensure!(!line.contains(char::is_control), "the kernel's command line has a control character: {line:?}");
    Ok(line)
}

/// Refuses a word of `--append` that is unknown or that an option gives.
fn check(text: &str, name: &str, known: bool) -> Result<()> {
    let option = match name {
        "model" | "module" | "script" | "exec" | "quiet" | "keep-going" => name,
        "flow-control" | "terminal" => bail!("--append {text}: `{name}` is set by xtask itself"),
        _ if known => return Ok(()),
        _ => {
            let names: Vec<&str> = WORDS.iter().map(|&(name, _)| name).collect();
            bail!("--append {text}: unknown word `{name}`; known words: {}", names.join(", "))
        }
    };
    bail!("--append {text}: `{name}` is given by the option --{option}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_piped_input_need_allow_power() {
        let allow = |list: &str| [format!("allow={list}")];
        let script = Some(Script::Commands("mem"));
        let piped = Manner { flow_control: true, ..PLAIN };
        let refusal = build(&named(&[]), false, &allow("tests"), PLAIN, script).expect_err("no power");
        assert!(refusal.to_string().starts_with("--append allow=tests: "), "{refusal}");
        assert!(build(&named(&[]), false, &allow(""), piped, None).is_err());
        assert!(build(&named(&[]), false, &allow("tests,power"), piped, script).is_ok());
        assert!(build(&named(&[]), false, &allow(""), Manner { terminal: Some(80), ..piped }, None).is_ok());
    }

    const PLAIN: Manner = Manner { quiet: false, flow_control: false, terminal: None, keep_going: false };

    fn named(words: &[&str]) -> Modules {
        Modules { words: words.iter().map(ToString::to_string).collect(), ..Modules::default() }
    }

    #[test]
    fn words_come_in_their_order() {
        let modules = named(&["module=some.gguf,9", "module=b"]);
        let script = Some(Script::Commands(" cpus; generate Once "));
        let append = ["log=debug".into(), "spin=1 workers=0".into()];
        let line = build(
            &modules,
            true,
            &append,
            Manner { quiet: true, flow_control: true, terminal: Some(80), keep_going: true },
            script,
        );
        let expected = "module=some.gguf,9 module=b allow=power,tests log=debug spin=1 workers=0 quiet flow-control \
                        terminal=80 keep-going exec=cpus; generate Once";
        assert_eq!(line.ok().as_deref(), Some(expected));
        let line = |own_cores, script| build(&named(&[]), own_cores, &[], PLAIN, script).ok();
        assert_eq!(line(false, None).as_deref(), Some("allow=power,tests"));
        assert_eq!(
            line(true, Some(Script::Module("s"))).as_deref(),
            Some("allow=power,tests spin=5000 script=s")
        );
        let asked = build(&named(&[]), false, &["allow=".into()], PLAIN, None);
        assert_eq!(asked.ok().as_deref(), Some("allow="));
    }

    #[test]
    fn control_characters_and_empty_scripts_are_refused() {
        let exec = |commands| Some(Script::Commands(commands));
        assert!(build(&named(&["module=a\nb"]), false, &[], PLAIN, None).is_err());
        assert!(build(&named(&[]), false, &[], PLAIN, exec(" ")).is_err());
        assert!(build(&named(&[]), false, &[], PLAIN, exec("a\nb")).is_err());
    }

    #[test]
    fn unknown_words_are_refused_by_name() {
        let refused = |text: &str| {
            let error = build(&named(&[]), false, &[text.to_owned()], PLAIN, None);
            error.expect_err("a bad word").to_string()
        };
        assert!(refused("spin=0 lgo=info").contains("unknown word `lgo`; known words: allow, log, "));
        assert!(refused("x exec=y").contains("`x`"));
        assert!(refused("model=other.gguf").contains("`model` is given by the option --model"));
        assert!(refused("exec=log=y").contains("--exec"));
    }
}
