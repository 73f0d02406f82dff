//! The page beside the images: command lines for QEMU, made by the code of xtask's own.

use anyhow::{Context, Result};
use embodios_abi::ExitStatus;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::{SUMS, image};
use crate::accel::Accelerator;
use crate::arch::Arch;
use crate::command_line::{self, Manner, Script};
use crate::machine::{Console, Machine, MachineKind};
use crate::memory::MemorySize;
use crate::model::Model;
use crate::modules::Modules;
use crate::process;
use crate::topology::Topology;

/// Text of the page, with placeholders.
const TEMPLATE: &str = include_str!("readme.txt");

/// Width of a command line.
const COLUMNS: usize = 100;

/// Cores of each machine.
const CORES: u32 = 2;

/// File name of the reader's model.
const MODEL: &str = "model.gguf";

/// Example command for the model.
const ASKED: &str = "generate -n 16 Once upon a time";

/// Machines whose command lines were tested by boots.
const MACHINES: [(&str, MachineKind, Accelerator); 5] = [
    ("x86_64 q35, emulated", MachineKind::Q35, Accelerator::Tcg),
    ("x86_64 q35, under KVM", MachineKind::Q35, Accelerator::Kvm { paravirtual: false }),
    ("x86_64 microvm, emulated", MachineKind::Microvm, Accelerator::Tcg),
    (
        "x86_64 microvm, under KVM: ready soonest",
        MachineKind::Microvm,
        Accelerator::Kvm { paravirtual: false },
    ),
    ("AArch64 virt, emulated", MachineKind::Virt, Accelerator::Tcg),
];

/// Text of the page, for images of `commit`.
///
/// # Errors
/// When a machine has no command line.
pub fn text(commit: &str) -> Result<String> {
    let [q35, _, _, microvm, virt] = MACHINES;
    let mut consoles = String::new();
    for (title, kind, accel) in MACHINES {
        consoles += &format!("{title}:\n\n{}\n", line(kind, accel, &Model::Embedded, None)?);
    }
    // Only its name is used, but its content is checked.
    let directory = tempfile::tempdir().context("cannot create a temporary directory")?;
    let model = directory.path().join(MODEL);
    fs::write(&model, "GGUF").with_context(|| format!("cannot write {}", model.display()))?;
    let mut commands = String::new();
    for (_, kind, accel) in [q35, microvm, virt] {
        commands += &line(kind, accel, &Model::File(model.clone()), Some(ASKED))?;
        commands.push('\n');
    }
    let status = |status: ExitStatus| status.process_status().to_string();
    let places = [
        ("{version}", env!("CARGO_PKG_VERSION").to_owned()),
        ("{commit}", commit.to_owned()),
        ("{x86_64}", image(Arch::X86_64).to_owned()),
        ("{aarch64}", image(Arch::Aarch64).to_owned()),
        ("{sums}", SUMS.to_owned()),
        ("{model}", MODEL.to_owned()),
        ("{success}", status(ExitStatus::Success)),
        ("{failure}", status(ExitStatus::Failure)),
        ("{panic}", status(ExitStatus::Panic)),
        ("{consoles}", consoles),
        ("{commands}", commands),
    ];
    Ok(places.iter().fold(TEMPLATE.to_owned(), |text, (place, value)| text.replace(place, value)))
}

/// A command line, broken into lines that a shell joins.
fn line(kind: MachineKind, accel: Accelerator, model: &Model, commands: Option<&str>) -> Result<String> {
    let nowhere = Path::new("");
    let words = Modules::gather(model, &[], nowhere)?;
    let console = if commands.is_some() { Console::Script } else { Console::Terminal };
    let terminal = commands.is_none().then_some(80);
    let manner = Manner { terminal, ..Manner::default() };
    let own_cores = accel != Accelerator::Tcg;
    let allow = ["allow=power".to_owned()];
    let command_line =
        command_line::build(&words, own_cores, &allow, manner, commands.map(Script::Commands))?;
    let machine = Machine {
        kind,
        gic: None,
        el2: false,
        cpu: None,
        accel,
        smp: &Topology::from(CORES),
        memory: MemorySize::DEFAULT,
        kernel: Path::new(image(kind.arch())),
        module: model.file().map(|_| Path::new(MODEL)),
        command_line: &command_line,
        console,
        counting: None,
        network: None,
        gdb: false,
        extra: &[],
    };
    Ok(wrapped(kind.arch().qemu(), &machine.unchecked_arguments()?))
}

/// A command broken at [`COLUMNS`]; an option stays with its value.
fn wrapped(program: &str, arguments: &[OsString]) -> String {
    let mut text = format!("    {program}");
    let mut column = text.len();
    let mut rest = arguments.iter().map(|word| process::quoted(word)).peekable();
    while let Some(mut option) = rest.next() {
        if let Some(value) = rest.next_if(|word| !word.starts_with('-')) {
            option += &format!(" {value}");
        }
        if column + 1 + option.len() + 2 > COLUMNS {
            text += " \\\n       ";
            column = 7;
        }
        text += &format!(" {option}");
        column += 1 + option.len();
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_a_shell_joins() {
        let line = line(MachineKind::Q35, Accelerator::Tcg, &Model::Embedded, None).expect("well-formed");
        let joined = line.replace(" \\\n", "");
        assert_eq!(joined.lines().count(), 1, "{line}");
        let words: Vec<&str> = joined.split_whitespace().collect();
        assert_eq!(words[..3], ["qemu-system-x86_64", "-machine", "q35"]);
        assert!(words.ends_with(&["allow=power", "terminal=80'"]), "{line}");
    }

    #[test]
    fn the_page_is_no_wider_than_a_screen() {
        let text = text("abc").expect("well-formed");
        let wide: Vec<&str> = text.lines().filter(|line| line.len() > 120).collect();
        assert!(wide.is_empty(), "{wide:?}");
        assert!(!text.contains('{'), "every place is filled: {text}");
        assert!(text.contains("-initrd model.gguf") && text.contains("module=model.gguf model=model.gguf"));
    }
}
