//! Paths of the workspace, cargo's target directory and xtask's files in it. Owns how files are written there.

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::NamedTempFile;

use crate::arch::Arch;

/// Paths of one check-out.
pub struct Workspace {
    /// Directory of the workspace's `Cargo.toml`.
    pub root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Finds the workspace that this program was built from, by cargo.
    ///
    /// # Errors
    /// When cargo cannot read it.
    pub fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let metadata = MetadataCommand::new()
            .manifest_path(&manifest)
            .no_deps()
            .exec()
            .with_context(|| format!("cargo cannot read {}", manifest.display()))?;
        Ok(Self {
            root: metadata.workspace_root.into_std_path_buf(),
            target: metadata.target_directory.into_std_path_buf(),
        })
    }

    /// Cargo, started in the workspace's root.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        command
    }

    /// Directory of one architecture's stripped images and logs.
    pub fn output(&self, arch: Arch) -> PathBuf {
        self.target.join("embodios").join(arch.name())
    }

    /// Cargo's directory for the kernel with the hostile program.
    pub fn hostile(&self) -> PathBuf {
        self.target.join("hostile")
    }

    /// Cargo's directory for the kernel with the quick engine.
    pub fn quick(&self) -> PathBuf {
        self.target.join("quick")
    }

    /// Directory of reports and plots.
    pub fn reports(&self) -> PathBuf {
        self.target.join("embodios")
    }

    /// Directory of a release.
    pub fn dist(&self) -> PathBuf {
        self.target.join("dist")
    }

    /// File of the embedded model.
    pub fn story_model(&self) -> PathBuf {
        self.root.join("inference/models/tinystory-1.3M-q8_0.gguf")
    }

    /// The cache of fetched models.
    pub fn models(&self) -> PathBuf {
        self.target.join("models")
    }
}

/// Writes a file that appears under its name only once it is complete.
///
/// # Errors
/// Errors of `write`, and when the directory cannot be written to; the old file then stays.
pub fn replace_file(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let directory = path.parent().with_context(cannot)?;
    fs::create_dir_all(directory).with_context(cannot)?;
    let mut builder = tempfile::Builder::new();
    let readable = builder.permissions(Permissions::from_mode(0o666));
    let mut file = readable.tempfile_in(directory).with_context(cannot)?;
    write(file.as_file_mut())?;
    file.persist(path).with_context(cannot)?;
    Ok(())
}

/// Creates a temporary file in `directory`, deleted on drop. Files left by killed processes are deleted first, by the
/// process id in their names.
///
/// # Errors
/// When the directory cannot be written to.
pub fn temporary(directory: &Path, purpose: &str) -> Result<NamedTempFile> {
    let cannot = || format!("cannot write to {}", directory.display());
    fs::create_dir_all(directory).with_context(cannot)?;
    for entry in fs::read_dir(directory).with_context(cannot)?.flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix(purpose)?.strip_prefix('-')?.split_once('-'));
        let owner = owner.and_then(|(owner, _)| owner.parse().ok()).and_then(Pid::from_raw);
        if owner.is_some_and(|owner| test_kill_process(owner) == Err(Errno::SRCH)) {
            // Another process may delete it first.
            let _ = fs::remove_file(entry.path());
        }
    }
    let prefix = format!("{purpose}-{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempfile_in(directory).with_context(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn files_of_the_dead_are_cleared_away() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // Waited for, so that its process id is free.
        let mut child = Command::new("true").spawn().expect("it starts");
        child.wait().expect("it ends");
        let left = directory.path().join(format!("modules-{}-abc", child.id()));
        let other = directory.path().join("modules");
        for path in [&left, &other] {
            fs::write(path, "").expect("it is writable");
        }
        let one = temporary(directory.path(), "modules").expect("it is writable");
        let two = temporary(directory.path(), "modules").expect("it is writable");
        assert!(!left.exists() && other.exists() && one.path().exists() && one.path() != two.path());
    }

    #[test]
    fn a_broken_write_leaves_the_old_file() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("new").join("file");
        replace_file(&path, |file| Ok(file.write_all(b"old")?)).expect("it is writable");
        let broken = replace_file(&path, |file| {
            file.write_all(b"half")?;
            anyhow::bail!("no more")
        });
        assert!(broken.is_err());
        assert_eq!(fs::read(&path).expect("it is there"), b"old");
        assert_eq!(fs::read_dir(path.parent().expect("new")).expect("readable").count(), 1);
    }
}
