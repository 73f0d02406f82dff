//! Modules: the files that firmware hands to the kernel, and the words that name them there
//! (`kernel/src/modules.rs`).
//!
//! QEMU loads one file. Several are joined in a temporary file, each aligned to a page.

use anyhow::{Context, Result, ensure};
use embodios_abi::command_line::{BUILT_IN_MODEL, MAX_MODULES};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tempfile::TempPath;

use crate::model::Model;
use crate::workspace;

/// Alignment of files within a module.
const PAGE: u64 = 4096;

/// Maximum number of files: the kernel has one slot for its own model.
const MOST: usize = MAX_MODULES - 1;

/// Magic bytes of a GGUF file.
const GGUF: &[u8] = b"GGUF";

/// Bytes at the start of a file that are searched for a zero, which text does not have.
const LOOK: u64 = 8192;

/// The module file and the words that describe it.
#[derive(Debug, Default)]
pub struct Modules {
    /// The file to load.
    pub file: Option<Loaded>,
    /// Words of the kernel's command line.
    pub words: Vec<String>,
}

/// A file that QEMU loads.
#[derive(Debug)]
pub enum Loaded {
    /// A file given by the user.
    Given(PathBuf),
    /// Several files joined in a temporary one, deleted on drop.
    Joined(TempPath),
}

impl Loaded {
    /// Path of the file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Joined(path) => path,
        }
    }
}

impl Modules {
    /// Collects the model's file and `further` ones; several are joined in a new file in `directory`. The words name
    /// the model to the engine, which takes no other for it.
    ///
    /// # Errors
    /// When a name cannot be a word of the command line or stands for two files, a file is neither a model nor text,
    /// cannot be read or written, or there are more than the kernel has room for.
    pub fn gather(model: &Model, further: &[PathBuf], directory: &Path) -> Result<Self> {
        let files: Vec<&Path> =
            model.file().into_iter().chain(further.iter().map(PathBuf::as_path)).collect();
        ensure!(
            files.len() <= MOST,
            "{} files for the engine: the kernel has room for {MOST} beside its own model",
            files.len()
        );
        let mut names: Vec<&str> = Vec::new();
        // Firmware's modules come first, so a file of its name would replace the kernel's own model.
        names.extend((*model == Model::Embedded).then_some(BUILT_IN_MODEL));
        let mut words = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let (name, shown) = (name(file)?, file.display());
            ensure!(!names.contains(&name), "{shown}: another file for the engine has the name {name} too");
            names.push(name);
            let size = file.metadata().with_context(|| format!("cannot read {shown}"))?.len();
            ensure!(size > 0, "{shown}: the file is empty");
            check_content(file)?;
            let last = index + 1 == files.len();
            words.push(if last { format!("module={name}") } else { format!("module={name},{size}") });
        }
        words.push(match model {
            Model::Embedded => format!("model={BUILT_IN_MODEL}"),
            Model::None => "model=none".to_owned(),
            Model::File(path) => format!("model={}", name(path)?),
        });
        let file = match files.as_slice() {
            [] => None,
            [only] => Some(Loaded::Given((*only).to_owned())),
            _ => Some(Loaded::Joined(join(&files, directory)?)),
        };
        Ok(Self { file, words })
    }
}

/// The file's name as a word of the command line.
fn name(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let shown = path.display();
    ensure!(!name.is_empty(), "{shown}: the file name is not UTF-8");
    let bad = name.chars().find(|&character| character.is_whitespace() || character == ',');
    ensure!(bad.is_none(), "{shown}: the file name contains white space or a comma");
    ensure!(name != "none", "{shown}: `none` names no file to the engine; give the file another name");
    Ok(name)
}

/// Refuses a file that is neither a model nor text, before the boot; the engine uses the same marks.
fn check_content(path: &Path) -> Result<()> {
    let shown = path.display();
    let mut start = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    file.take(LOOK).read_to_end(&mut start).with_context(|| format!("cannot read {shown}"))?;
    let known = start.starts_with(GGUF) || !start.contains(&0);
    ensure!(known, "{shown}: neither a model (GGUF) nor text (JSON lines, or commands)");
    Ok(())
}

fn join(files: &[&Path], directory: &Path) -> Result<TempPath> {
    let (mut output, joined) = workspace::temporary(directory, "modules")?.into_parts();
    for path in files {
        let end = output.stream_position()?;
        output.seek(SeekFrom::Start(end.next_multiple_of(PAGE)))?;
        let cannot = || format!("cannot copy {} to {}", path.display(), joined.display());
        let mut file = File::open(path).with_context(cannot)?;
        io::copy(&mut file, &mut output).with_context(cannot)?;
    }
    output.flush()?;
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A temporary directory of files.
    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a temporary directory"))
        }

        fn with(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.path().join(name);
            fs::write(&path, bytes).expect("it is writable");
            path
        }

        fn gather(&self, model: Model, further: &[PathBuf]) -> Result<Modules> {
            Modules::gather(&model, further, self.0.path())
        }
    }

    #[test]
    fn the_model_asked_for_is_named() {
        let files = Files::new();
        let words = |model| files.gather(model, &[]).expect("a good name").words;
        assert_eq!(words(Model::None), ["model=none"]);
        assert_eq!(words(Model::Embedded), [format!("model={BUILT_IN_MODEL}")]);
        let some = files.with("some.gguf", b"GGUF");
        let modules = files.gather(Model::File(some.clone()), &[]).expect("a good file");
        assert_eq!(modules.file.as_ref().map(Loaded::path), Some(some.as_path()));
        assert_eq!(modules.words, ["module=some.gguf", "model=some.gguf"]);
        // A further model is one to choose at the console, not the one in use.
        let beside = files.gather(Model::Embedded, std::slice::from_ref(&some)).expect("a good file");
        assert_eq!(beside.words, ["module=some.gguf".to_owned(), format!("model={BUILT_IN_MODEL}")]);
    }

    #[test]
    fn files_are_refused_by_name() {
        let files = Files::new();
        let refused = |further: &[PathBuf], reason: &str| {
            let error = files.gather(Model::Embedded, further).expect_err(reason).to_string();
            assert!(error.contains(reason), "{error}");
        };
        for name in ["a b", "a,5", "a\u{a0}b"] {
            refused(&[files.with(name, b"x")], "white space or a comma");
        }
        refused(&[files.with("none", b"x")], "another name");
        refused(&[files.with("empty", b"")], "the file is empty");
        refused(&[files.0.path().join("missing")], "cannot read");
        refused(
            &[files.with("image.png", b"\x89PNG\r\n\x1a\n\0\0")],
            "image.png: neither a model (GGUF) nor text",
        );
        refused(&[files.with(BUILT_IN_MODEL, b"GGUF")], "another file for the engine has the name");
        let same = files.with("same", b"x");
        refused(&[same.clone(), same], "another file for the engine has the name same too");
        let many: Vec<PathBuf> = (0..=MOST).map(|number| files.with(&format!("m{number}"), b"x")).collect();
        refused(&many, "8 files for the engine: the kernel has room for 7 beside its own model");
        assert!(files.gather(Model::Embedded, &many[1..]).is_ok());
    }

    #[test]
    fn several_files_lie_on_pages_of_their_own() {
        let files = Files::new();
        let model = files.with("a.gguf", &[b"GGUF".as_slice(), &[1; 4996]].concat());
        let lines = files.with("b.jsonl", b"{}\n");
        let both = files.gather(Model::File(model), std::slice::from_ref(&lines)).expect("good files");
        assert_eq!(both.words, ["module=a.gguf,5000", "module=b.jsonl", "model=a.gguf"]);
        let bytes = fs::read(both.file.as_ref().expect("joined").path()).expect("written");
        assert_eq!((&bytes[4..5000], &bytes[8192..]), (&[1; 4996][..], &b"{}\n"[..]));
        assert!(bytes[5000..8192].iter().all(|&byte| byte == 0));
        let one = files.gather(Model::None, std::slice::from_ref(&lines)).expect("a good file");
        assert_eq!(one.file.as_ref().map(Loaded::path), Some(lines.as_path()));
        assert_eq!(one.words, ["module=b.jsonl", "model=none"]);
    }

    #[test]
    fn two_boots_share_no_file() {
        let files = Files::new();
        let two = [files.with("a", b"x"), files.with("b", b"y")];
        let boot = || files.gather(Model::Embedded, &two).expect("good files");
        let (one, other) = (boot(), boot());
        let path = |boot: &Modules| boot.file.as_ref().expect("joined").path().to_owned();
        assert_ne!(path(&one), path(&other));
        let path = path(&one);
        assert!(path.is_file());
        drop(one);
        assert!(!path.exists(), "it goes with its boot");
    }
}
