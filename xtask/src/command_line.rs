//! The kernel's command line: the one place where its words are written.
//!
//! Words are separated by spaces and stand in this order:
//! - `module=NAME` or `module=NAME,BYTES` for each file that firmware loaded, in their order; `model=none` for no model
//!   at all. With neither, the kernel's embedded story model serves.
//! - `spin=5000` where each core of the guest has one of the host's, unless `--append` says otherwise.
//! - the words of `--append`, for the kernel and the engine to read.
//! - `exec=COMMANDS`: takes the rest of the line. The console runs the commands, which `;` separates,
//!   and powers off with an exit status.

use anyhow::{Result, ensure};

use crate::accel::Accelerator;
use crate::host_cores;
use crate::modules::Modules;

/// How long workers look for work that have a core of the host each: to wake one costs under KVM what many looks do, and
/// looking takes nothing from anybody.
const PATIENT: &str = "spin=5000";

/// Whether each of `cores` cores that `accel` executes has one of the host's to itself.
pub fn has_own_cores(accel: Accelerator, cores: u32) -> bool {
    matches!(accel, Accelerator::Kvm { .. }) && host_cores::suffice_for(cores)
}

/// The word for a process of so many workers on this host, which is compared with a guest: it looks as long.
pub fn of_process(workers: u32) -> Option<&'static str> {
    host_cores::suffice_for(workers).then_some(PATIENT)
}

/// Builds the command line.
///
/// # Errors
/// When a part cannot be expressed as words: control characters, `exec=` in `--append`.
pub fn build(modules: &Modules, own_cores: bool, append: &[String], exec: Option<&str>) -> Result<String> {
    let mut words = modules.words.clone();
    let mut asked = append.iter().flat_map(|text| text.split(' '));
    if own_cores && !asked.any(|word| word.starts_with("spin=")) {
        words.push(PATIENT.to_owned());
    }
    for text in append {
        ensure!(
            !text.split(' ').any(|word| word.starts_with("exec=")),
            "--append {text}: commands are given with --exec"
        );
        words.push(text.clone());
    }
    if let Some(commands) = exec {
        ensure!(!commands.trim().is_empty(), "--exec: there is no command");
        words.push(format!("exec={}", commands.trim()));
    }
    let line = words.join(" ");
    ensure!(!line.contains(char::is_control), "the kernel's command line has a control character: {line:?}");
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(words: &[&str]) -> Modules {
        Modules { file: None, words: words.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn words_come_in_their_order() {
        let modules = named(&["module=some.gguf,9", "module=b"]);
        let line = build(&modules, false, &["log=debug".into(), "a b".into()], Some(" cpus; generate Once "));
        let expected = "module=some.gguf,9 module=b log=debug a b exec=cpus; generate Once";
        assert_eq!(line.ok().as_deref(), Some(expected));
        assert_eq!(build(&named(&[]), false, &[], None).ok().as_deref(), Some(""));
        assert_eq!(build(&named(&[]), true, &["a".into()], None).ok().as_deref(), Some("spin=5000 a"));
        assert_eq!(build(&named(&[]), true, &["a spin=0".into()], None).ok().as_deref(), Some("a spin=0"));
    }

    #[test]
    fn what_words_cannot_carry_is_refused() {
        assert!(build(&named(&["module=a\nb"]), false, &[], None).is_err());
        assert!(build(&named(&[]), false, &["x exec=y".into()], None).is_err());
        assert!(build(&named(&[]), false, &[], Some(" ")).is_err());
        assert!(build(&named(&[]), false, &[], Some("a\nb")).is_err());
    }
}
