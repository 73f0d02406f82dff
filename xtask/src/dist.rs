//! `cargo xtask dist`: a release in one directory: the image of every board, a page on how to boot them without
//! xtask, and the checksums of both.

mod readme;

use anyhow::{Context, Result};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::acceptance::provenance;
use crate::arch::Arch;
use crate::build;
use crate::digest;
use crate::workspace::{self, Workspace};

/// Name of the page.
const README: &str = "README.txt";

/// Name of the checksum file, which `sha256sum -c` reads.
const SUMS: &str = "SHA256SUMS";

/// Builds the images and writes all files to `out`.
///
/// # Errors
/// When an image does not build, or a file cannot be read or written.
pub fn run(workspace: &Workspace, out: Option<PathBuf>) -> Result<u8> {
    let directory = out.unwrap_or_else(|| workspace.dist());
    let mut images = Vec::new();
    for arch in Arch::ALL {
        let path = build::build(workspace, arch)?.image;
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        images.push((image(arch), bytes));
    }
    for name in fill(&directory, images, &provenance::commit(workspace))? {
        println!("{}", directory.join(name).display());
    }
    Ok(0)
}

/// File name of an architecture's image.
const fn image(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "embodios-x86_64-pc",
        Arch::Aarch64 => "embodios-aarch64-virt",
    }
}

/// Writes the images, the page and the checksums. Returns their names.
fn fill(directory: &Path, images: Vec<(&'static str, Vec<u8>)>, commit: &str) -> Result<Vec<&'static str>> {
    let mut files = images;
    files.push((README, readme::text(commit)?.into_bytes()));
    let write = |name: &str, bytes: &[u8]| {
        workspace::replace_file(&directory.join(name), |file| Ok(file.write_all(bytes)?))
    };
    let mut sums = String::new();
    for (name, bytes) in &files {
        write(name, bytes)?;
        sums += &format!("{}  {name}\n", digest::of_file(&directory.join(name))?);
    }
    write(SUMS, sums.as_bytes())?;
    Ok(files.into_iter().map(|(name, _)| name).chain([SUMS]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;
    use std::process::Command;

    /// A directory with all files, and their names.
    fn filled() -> (tempfile::TempDir, Vec<&'static str>) {
        let directory = tempfile::tempdir().expect("a directory");
        let images = Arch::ALL.map(|arch| (image(arch), arch.name().as_bytes().to_vec())).into();
        let names = fill(directory.path(), images, "abc").expect("it is writable");
        (directory, names)
    }

    #[test]
    fn every_file_is_there_and_has_its_sum() {
        let (directory, mut names) = filled();
        let sums = fs::read_to_string(directory.path().join(SUMS)).expect("it is there");
        let mut listed = vec![SUMS];
        for line in sums.lines() {
            let (sum, name) = line.split_once("  ").expect("a sum and a name");
            assert_eq!(sum, digest::of_file(&directory.path().join(name)).expect("it is there"), "{name}");
            listed.push(name);
        }
        let entries = fs::read_dir(directory.path()).expect("it is there");
        let mut found: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        for list in [&mut listed, &mut names] {
            list.sort_unstable();
        }
        found.sort_unstable();
        assert_eq!((&listed, &found), (&names, &names.iter().map(ToString::to_string).collect()));
    }

    #[test]
    fn sums_are_as_the_usual_tool_reads_them() {
        let (directory, _) = filled();
        let check = || {
            let mut check = Command::new("sha256sum");
            check.args(["-c", SUMS]).current_dir(directory.path()).output().expect("it starts").status
        };
        // Not every system has it.
        if process::find_program("sha256sum").is_some() {
            assert!(check().success());
            fs::write(directory.path().join(README), "other").expect("it is writable");
            assert!(!check().success());
        }
    }

    #[test]
    fn the_page_boots_the_images() {
        let (directory, names) = filled();
        let page = fs::read_to_string(directory.path().join(README)).expect("it is there");
        let kernels: Vec<&str> =
            page.split("-kernel ").skip(1).filter_map(|rest| rest.split_whitespace().next()).collect();
        assert!(kernels.iter().all(|kernel| names.contains(kernel)), "{kernels:?}");
        assert!(Arch::ALL.iter().all(|&arch| kernels.contains(&image(arch))), "{kernels:?}");
        assert!(page.contains(&format!("sha256sum -c {SUMS}")) && page.contains("commit abc"), "{page}");
    }
}
