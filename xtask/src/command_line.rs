//! The kernel's command line: the one place where its words are written.
//!
//! Words are separated by spaces and stand in this order:
//! - `module=NAME`: firmware loaded one module, the model, and this is its name; or `model=none`:
//!   no model at all. With neither, the kernel's embedded story model serves.
//! - the words of `--append`, for the kernel and the engine to read.
//! - `exec=COMMANDS`: takes the rest of the line. The console runs the commands, which `;` separates,
//!   and powers off with an exit status.

use anyhow::{Result, ensure};

use crate::model::Model;

/// Builds the command line.
///
/// # Errors
/// When a part cannot be expressed as words: a name with spaces, control characters, `exec=` in `--append`.
pub fn build(model: &Model, append: &[String], exec: Option<&str>) -> Result<String> {
    let mut words = Vec::new();
    match model {
        Model::Embedded => {}
        Model::None => words.push("model=none".to_owned()),
        Model::File(path) => {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            ensure!(!name.is_empty(), "--model {}: the file name is not UTF-8", path.display());
            ensure!(!name.contains(' '), "--model {}: the file name contains a space", path.display());
            words.push(format!("module={name}"));
        }
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

    #[test]
    fn words_come_in_their_order() {
        let file = Model::File("/models/some.gguf".into());
        let line = build(&file, &["log=debug".into(), "a b".into()], Some(" cpus; generate Once "));
        assert_eq!(line.ok().as_deref(), Some("module=some.gguf log=debug a b exec=cpus; generate Once"));
        assert_eq!(build(&Model::None, &[], None).ok().as_deref(), Some("model=none"));
        assert_eq!(build(&Model::Embedded, &[], None).ok().as_deref(), Some(""));
    }

    #[test]
    fn what_words_cannot_carry_is_refused() {
        assert!(build(&Model::File("/models/a b.gguf".into()), &[], None).is_err());
        assert!(build(&Model::Embedded, &["x exec=y".into()], None).is_err());
        assert!(build(&Model::Embedded, &[], Some(" ")).is_err());
        assert!(build(&Model::Embedded, &[], Some("a\nb")).is_err());
    }
}
