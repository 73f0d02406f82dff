//! `cargo xtask tidy`: rules of the tree that no compiler checks.
//!
//! Owns the rules: dependencies between our crates and inside the engine, line width, file heads, image size, number of
//! system calls. A rule that is in the way is changed here, where the change is seen.

mod modules;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand};
use std::fs;
use std::path::{Path, PathBuf};

use crate::arch::Arch;
use crate::build::Built;
use crate::workspace::Workspace;

/// Crates, and those of ours that each may depend on. Tests may use more.
const EDGES: [(&str, &[&str]); 29] = [
    ("embodios-core-set", &[]),
    ("embodios-seqlock", &[]),
    ("embodios-abi", &["seqlock"]),
    ("embodios-arch", &[]),
    ("embodios-kernel", &["abi", "arch", "core-set"]),
    ("embodios-acpi", &["arch"]),
    ("embodios-fdt", &["arch", "kernel"]),
    ("embodios-payload", &["abi", "kernel"]),
    ("embodios-board-pc", &["abi", "acpi", "arch", "kernel", "payload"]),
    ("embodios-board-virt", &["abi", "arch", "fdt", "kernel", "payload"]),
    ("embodios-gguf", &[]),
    ("embodios-fixtures", &[]),
    ("embodios-text", &["gguf"]),
    ("embodios-kernels", &["gguf"]),
    ("embodios-pool", &["core-set", "gguf", "seqlock"]),
    ("embodios-net", &[]),
    ("embodios-http", &[]),
    ("embodios-host", &["net", "pool"]),
    ("embodios-engine", &["gguf", "kernels", "pool", "text"]),
    ("embodios-api", &["engine", "text"]),
    ("embodios-serve", &["api", "engine", "http", "kernels", "net", "pool"]),
    ("embodios-bench", &["engine", "kernels", "pool", "text"]),
    ("embodios-checks", &["engine", "gguf", "kernels", "pool", "text"]),
    (
        "embodios-console",
        &["api", "bench", "checks", "engine", "gguf", "kernels", "net", "pool", "serve", "text"],
    ),
    (
        "embodios-programs",
        &["api", "console", "engine", "gguf", "host", "kernels", "net", "pool", "serve", "text"],
    ),
    ("embodios-machine", &["abi", "console", "net", "pool"]),
    ("embodios-hostile", &["abi"]),
    ("embodios-instructions", &["abi"]),
    ("xtask", &["abi", "gguf"]),
];

/// Prefix of our crates' names.
const OURS: &str = "embodios-";

/// Maximum width of a line of code, comments and strings included.
const COLUMNS: usize = 120;

/// Maximum bytes of a kernel image with engine and built-in model: today's size and a fiftieth.
const IMAGE_BYTES: u64 = 6_520_000;

/// Maximum number of system calls.
const SYSTEM_CALLS: usize = 21;

/// Directories without sources of ours.
const FOREIGN: [&str; 2] = ["target", ".git"];

/// Broken rules of source files and crates.
///
/// # Errors
/// When a file cannot be read.
pub fn faults(workspace: &Workspace) -> Result<Vec<String>> {
    let mut faults = edges(&workspace.root.join("Cargo.toml"))?;
    let mut files = Vec::new();
    collect(&workspace.root, &mut files)?;
    for path in files {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.strip_prefix(&workspace.root).unwrap_or(&path).display().to_string();
        faults.extend(of_file(&name, &text));
    }
    let calls = embodios_abi::Call::ALL.len();
    if calls > SYSTEM_CALLS {
        faults.push(format!("kernel/abi: {calls} system calls, at most {SYSTEM_CALLS}"));
    }
    Ok(faults)
}

/// Broken rule of a built image's size, if any.
///
/// # Errors
/// When it cannot be read.
pub fn size(arch: Arch, built: &Built) -> Result<Option<String>> {
    let image = &built.image;
    let bytes = fs::metadata(image).with_context(|| format!("cannot read {}", image.display()))?.len();
    Ok((bytes > IMAGE_BYTES).then(|| format!("{arch}: image of {bytes} bytes, at most {IMAGE_BYTES}")))
}

/// Broken rules of dependencies: those not in the list, and crates not in it.
fn edges(manifest: &Path) -> Result<Vec<String>> {
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec()?;
    let mut faults = Vec::new();
    for package in &metadata.packages {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name.as_str()) else {
            faults.push(format!("{}: not in the list of crates and their dependencies", package.name));
            continue;
        };
        let used = package.dependencies.iter().filter(|one| one.kind == DependencyKind::Normal);
        let ours = used.filter_map(|one| one.name.strip_prefix(OURS));
        faults.extend(
            ours.filter(|name| !allowed.contains(name))
                .map(|name| format!("{}: must not depend on {OURS}{name}", package.name)),
        );
    }
    Ok(faults)
}

/// Broken rules of a source file.
fn of_file(name: &str, text: &str) -> Vec<String> {
    let wide = |(number, line): (usize, &str)| {
        let columns = line.chars().count();
        (columns > COLUMNS).then(|| format!("{name}:{number}: {columns} columns, at most {COLUMNS}"))
    };
    let mut faults: Vec<String> = (1..).zip(text.lines()).filter_map(wide).collect();
    if !text.starts_with("//! ") {
        faults.push(format!("{name}: the first line is no `//!` head"));
    }
    faults.extend(modules::faults(name, text));
    faults
}

/// Collects all Rust source files below `directory`.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type()?.is_dir() {
            if !FOREIGN.iter().any(|foreign| name == *foreign) {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_keeps_its_rules() {
        let workspace = Workspace::find().expect("the tests run in it");
        assert_eq!(faults(&workspace).expect("the files are there"), Vec::<String>::new());
    }

    #[test]
    fn a_wide_line_and_a_file_without_a_head_are_found() {
        assert!(of_file("a.rs", "//! A head.\n").is_empty());
        let faults = of_file("a.rs", &format!("use b;\n// {}\n", "x".repeat(COLUMNS)));
        let expected = ["a.rs:2: 123 columns", "a.rs: the first line"];
        assert_eq!(faults.len(), 2);
        assert!(
            faults.iter().zip(expected).all(|(fault, expected)| fault.starts_with(expected)),
            "{faults:?}"
        );
    }

    #[test]
    fn a_dependency_upwards_is_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            fs::create_dir_all(directory.path().join(name).join("src")).expect("a directory");
            fs::write(directory.path().join(name).join("Cargo.toml"), text).expect("a file");
            fs::write(directory.path().join(name).join("src/lib.rs"), "").expect("a file");
        };
        let manifest =
            |name: &str, more: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.0.0\"\n{more}");
        write("gguf", &manifest("embodios-gguf", "[dependencies]\nembodios-text = { path = \"../text\" }\n"));
        write("text", &manifest("embodios-text", "[workspace]\n"));
        let path = directory.path().join("gguf/Cargo.toml");
        let faults = edges(&path).expect("cargo reads it");
        assert_eq!(faults, ["embodios-gguf: must not depend on embodios-text"]);
    }
}
