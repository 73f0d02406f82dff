//! Where things lie: the workspace, cargo's target directory and what xtask puts into it. Owns how files get there.

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::arch::Arch;

/// The places of one check-out.
pub struct Workspace {
    /// Directory of the workspace's `Cargo.toml`.
    pub root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Asks cargo about the workspace that this program was built from.
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

    /// What xtask makes for one architecture: stripped images and logs.
    pub fn output(&self, arch: Arch) -> PathBuf {
        self.target.join("embodios").join(arch.name())
    }

    /// Reports and plots of measurements.
    pub fn reports(&self) -> PathBuf {
        self.target.join("embodios")
    }

    /// The model that the kernel carries.
    pub fn story_model(&self) -> PathBuf {
        self.root.join("inference/models/tinystory-1.3M-q8_0.gguf")
    }

    /// The Python environment with llama.cpp.
    pub fn llama_cpp(&self) -> PathBuf {
        self.target.join("llama-cpp")
    }

    /// The cache of fetched models.
    pub fn models(&self) -> PathBuf {
        self.target.join("models")
    }
}

/// Writes a file that appears under its name only once all of it is there.
///
/// # Errors
/// Those of `write`, and when the directory cannot be written to; the old file then stays.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

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
