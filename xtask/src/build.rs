//! Builds of one architecture: the engine first, then the board that embeds it.

use anyhow::{Context, Result, ensure};
use cargo_metadata::camino::Utf8PathBuf;
use cargo_metadata::{Artifact, Message, TargetKind};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::arch::Arch;
use crate::image;
use crate::process::{self, End};
use crate::setup;
use crate::workspace::{self, Workspace};

/// A program that a kernel carries as its engine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The inference engine, optimised as a whole.
    Engine,
    /// The inference engine, crate by crate: an incremental build takes seconds. It computes the same bits, and its
    /// banner says `quick build`.
    Quick,
    /// The hostile program, which attacks the kernel.
    Hostile,
}

impl Program {
    const fn package(self) -> &'static str {
        match self {
            Self::Engine | Self::Quick => "embodios-machine",
            Self::Hostile => "embodios-hostile",
        }
    }

    /// Directory of the bootable files.
    fn output(self, workspace: &Workspace, arch: Arch) -> PathBuf {
        match self {
            Self::Engine => workspace.output(arch),
            Self::Quick => workspace.output(arch).join(QUICK),
            Self::Hostile => workspace.output(arch).join("hostile"),
        }
    }
}

/// Cargo's profile of [`Program::Quick`], and the variable that names it to the program's build.
const QUICK: &str = "quick";
const PROFILE_VARIABLE: &str = "EMBODIOS_PROFILE";

/// Package of the instruction-counting plugin.
const PLUGIN_PACKAGE: &str = "embodios-instructions";

/// Variable with the path of the stripped engine, for the board's build.
const ENGINE_VARIABLE: &str = "EMBODIOS_ENGINE";

/// The files of one built architecture.
pub struct Built {
    /// Bootable image.
    pub image: PathBuf,
    /// The kernel with symbols and line numbers.
    pub kernel: PathBuf,
    /// The engine with symbols and line numbers.
    pub engine: PathBuf,
}

/// Builds engine and kernel for release.
///
/// # Errors
/// When a target is missing, a package does not compile or its output is not bootable.
pub fn build(workspace: &Workspace, arch: Arch) -> Result<Built> {
    build_with(workspace, arch, Program::Engine)
}

/// As [`build`], with `program` in the engine's place.
///
/// # Errors
/// As [`build`].
pub fn build_with(workspace: &Workspace, arch: Arch, program: Program) -> Result<Built> {
    setup::rust_targets(workspace, &[arch])?;
    let (engine, stripped_engine) = build_program(workspace, arch, program)?;
    let mut command = board_command(workspace, "build", arch, &stripped_engine);
    // A target directory for each program: with another engine embedded, cargo would rebuild the kernel each time.
    match program {
        Program::Engine => {}
        Program::Quick => drop(command.arg("--target-dir").arg(workspace.quick())),
        Program::Hostile => drop(command.arg("--target-dir").arg(workspace.hostile())),
    }
    let kernel = executable(&mut command, arch.board_package())?;
    let elf = read(&kernel)?;
    let image = match arch {
        Arch::X86_64 => image::strip(&elf),
        Arch::Aarch64 => image::raw(&elf),
    };
    let bytes = image.with_context(|| kernel.display().to_string())?;
    let image = program.output(workspace, arch).join("kernel");
    write_if_changed(&image, &bytes)?;
    Ok(Built { image, kernel, engine })
}

/// Builds only the program. Returns the file with symbols and the stripped one.
///
/// # Errors
/// As [`build`].
pub fn build_program(workspace: &Workspace, arch: Arch, program: Program) -> Result<(PathBuf, PathBuf)> {
    let mut command = program_command(workspace, "build", arch, program);
    let engine = executable(&mut command, program.package())?;
    let bytes = image::strip(&read(&engine)?).with_context(|| engine.display().to_string())?;
    let stripped = program.output(workspace, arch).join("engine");
    write_if_changed(&stripped, &bytes)?;
    Ok((engine, stripped))
}

/// Builds one of the programs that run on the host (`inference/programs`).
///
/// # Errors
/// When it does not compile.
pub fn host_program(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let mut command = workspace.cargo();
    command.args(["build", "--release", "--package", "embodios-programs"]);
    executable(command.args(["--bin", name]), name)
}

/// Builds a program for this host as the host tests are built, and returns its path.
///
/// # Errors
/// When the build fails.
pub fn quick_host_program(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let mut command = workspace.cargo();
    command.args(["build", "--profile", "quick", "--package", "embodios-programs"]);
    executable(command.args(["--bin", name]), name)
}

/// Builds the instruction-counting plugin for QEMU, for its plugin API 1, or 3 and later.
///
/// # Errors
/// When it does not compile.
pub fn plugin(workspace: &Workspace, later: bool) -> Result<PathBuf> {
    let mut command = workspace.cargo();
    command.args(["build", "--release", "--package", PLUGIN_PACKAGE]);
    if later {
        command.args(["--features", "api-3"]);
    }
    let library = |artifact: Artifact| {
        let is_library = artifact.target.kind.contains(&TargetKind::CDyLib);
        artifact.filenames.into_iter().next().filter(|_| is_library)
    };
    artifact(&mut command, PLUGIN_PACKAGE, library)
}

/// Command `cargo SUBCOMMAND` on a program.
pub fn program_command(workspace: &Workspace, subcommand: &str, arch: Arch, program: Program) -> Command {
    let mut command = bare_metal(workspace, subcommand, program.package(), arch.engine_target());
    if program == Program::Quick {
        command.args(["--profile", QUICK]).env(PROFILE_VARIABLE, QUICK);
    } else {
        command.arg("--release").env_remove(PROFILE_VARIABLE);
    }
    command
}

/// Command `cargo SUBCOMMAND` on the board with the given engine embedded.
pub fn board_command(workspace: &Workspace, subcommand: &str, arch: Arch, engine: &Path) -> Command {
    let mut command = bare_metal(workspace, subcommand, arch.board_package(), arch.kernel_target());
    command.arg("--release").env(ENGINE_VARIABLE, engine);
    command
}

fn bare_metal(workspace: &Workspace, subcommand: &str, package: &str, target: &str) -> Command {
    let mut command = workspace.cargo();
    command.args([subcommand, "--package", package, "--target", target]);
    // Both variables replace the flags of .cargo/config.toml, without which the result does not boot.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}

/// Runs a cargo build and returns the built program `name`.
fn executable(command: &mut Command, name: &str) -> Result<PathBuf> {
    artifact(command, name, |artifact| artifact.executable.filter(|_| artifact.target.name == name))
}

/// Runs a cargo build of `name` and returns the first artifact that `pick` accepts.
fn artifact(
    command: &mut Command,
    name: &str,
    pick: impl Fn(Artifact) -> Option<Utf8PathBuf>,
) -> Result<PathBuf> {
    command.arg("--message-format=json-render-diagnostics");
    let mut messages = Vec::new();
    let end = process::stream(command, None, &mut |bytes| messages.write_all(bytes))?;
    ensure!(matches!(end, End::Exited(status) if status.success()), "{name} does not build");
    for message in Message::parse_stream(messages.as_slice()) {
        if let Message::CompilerArtifact(artifact) = message.context("cargo's messages cannot be read")?
            && let Some(path) = pick(artifact)
        {
            return Ok(path.into_std_path_buf());
        }
    }
    anyhow::bail!("cargo built no artifact {name}")
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Replaces a file in one step, or leaves it as it is: a new time stamp would make cargo build its users again.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    workspace::replace_file(path, |file| {
        file.write_all(bytes).with_context(|| format!("cannot write {}", path.display()))
    })
}
