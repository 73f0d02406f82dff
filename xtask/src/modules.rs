//! The files that firmware hands to the kernel, and the words that name them there (`kernel/src/modules.rs`).
//!
//! QEMU loads one file. Several are joined into one, each from a page on.

use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::model::Model;
use crate::workspace;

/// Where a file may begin within a module.
const PAGE: u64 = 4096;

/// What QEMU loads and the kernel is told.
#[derive(Debug, PartialEq, Eq)]
pub struct Modules {
    /// The file to load.
    pub file: Option<PathBuf>,
    /// Words of the kernel's command line.
    pub words: Vec<String>,
}

impl Modules {
    /// The model's file and no other.
    ///
    /// # Errors
    /// When its name cannot be a word of the command line.
    pub fn of(model: &Model) -> Result<Self> {
        let words = match model {
            Model::Embedded => Vec::new(),
            Model::None => vec!["model=none".to_owned()],
            Model::File(path) => vec![format!("module={}", name(path)?)],
        };
        Ok(Self { file: model.file().map(Path::to_owned), words })
    }

    /// The model's file and `further` ones, which are joined in the file `joined` if they are several.
    ///
    /// # Errors
    /// When a name cannot be a word of the command line, or a file cannot be read or written.
    pub fn gather(model: &Model, further: &[PathBuf], joined: &Path) -> Result<Self> {
        let mut modules = Self::of(model)?;
        let files: Vec<&Path> =
            model.file().into_iter().chain(further.iter().map(PathBuf::as_path)).collect();
        let mut words = Vec::new();
        for file in &files {
            let size = file.metadata().with_context(|| format!("cannot read {}", file.display()))?.len();
            ensure!(size > 0, "{}: the file is empty", file.display());
            words.push(format!("module={},{size}", name(file)?));
        }
        match files.as_slice() {
            [] | [_] if further.is_empty() => {}
            [only] => {
                modules.file = Some((*only).to_owned());
                modules.words.push(format!("module={}", name(only)?));
            }
            _ => {
                join(&files, joined)?;
                modules.words.retain(|word| !word.starts_with("module="));
                modules.words.append(&mut words);
                modules.file = Some(joined.to_owned());
            }
        }
        Ok(modules)
    }
}

/// The file's name as a word.
fn name(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let shown = path.display();
    ensure!(!name.is_empty(), "{shown}: the file name is not UTF-8");
    let bad = name.chars().find(|&character| character == ' ' || character == ',');
    ensure!(bad.is_none(), "{shown}: the file name contains a space or a comma");
    Ok(name)
}

fn join(files: &[&Path], joined: &Path) -> Result<()> {
    workspace::replace_file(joined, |output| {
        for path in files {
            let end = output.stream_position()?;
            output.seek(SeekFrom::Start(end.next_multiple_of(PAGE)))?;
            let cannot = || format!("cannot copy {} to {}", path.display(), joined.display());
            let mut file = File::open(path).with_context(cannot)?;
            io::copy(&mut file, output).with_context(cannot)?;
        }
        Ok(output.flush()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_model_alone_is_its_own_module() {
        let file = Model::File("/models/some.gguf".into());
        let modules = Modules::of(&file).expect("a good name");
        assert_eq!(modules.file.as_deref(), Some(Path::new("/models/some.gguf")));
        assert_eq!(modules.words, ["module=some.gguf"]);
        let words = |model| Modules::of(&model).expect("no name").words;
        assert_eq!((words(Model::None), words(Model::Embedded)), (vec!["model=none".to_owned()], vec![]));
        for bad in ["/models/a b.gguf", "/models/a,5"] {
            assert!(Modules::of(&Model::File(bad.into())).is_err(), "{bad}");
        }
    }

    #[test]
    fn several_files_lie_on_pages_of_their_own() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = |name: &str, bytes: &[u8]| {
            let path = directory.path().join(name);
            fs::write(&path, bytes).expect("it is writable");
            path
        };
        let (model, lines) = (file("a.gguf", &[1; 5000]), file("b.jsonl", b"{}\n"));
        let joined = directory.path().join("modules");
        let gather = |model, further: &[PathBuf]| Modules::gather(&model, further, &joined);
        let both = gather(Model::File(model.clone()), std::slice::from_ref(&lines)).expect("good files");
        assert_eq!(both.words, ["module=a.gguf,5000", "module=b.jsonl,3"]);
        let bytes = fs::read(both.file.expect("joined")).expect("written");
        assert_eq!((&bytes[..5000], &bytes[8192..]), (&[1; 5000][..], &b"{}\n"[..]));
        assert!(bytes[5000..8192].iter().all(|&byte| byte == 0));
        let one = gather(Model::Embedded, std::slice::from_ref(&lines)).expect("a good file");
        assert_eq!((one.file, one.words), (Some(lines.clone()), vec!["module=b.jsonl".to_owned()]));
        let none = gather(Model::None, &[lines]).expect("a good file");
        assert_eq!(none.words, ["model=none", "module=b.jsonl"]);
        assert_eq!(gather(Model::File(model), &[]).expect("a good file").words, ["module=a.gguf"]);
        assert!(gather(Model::Embedded, &[file("empty", b"")]).is_err());
        assert!(gather(Model::Embedded, &[directory.path().join("missing")]).is_err());
    }
}
