//! Package managers: the packages of each tool and the commands that install them. Pure.

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::arch::Arch;
use crate::process;

/// A program from the system's packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The emulator for one architecture.
    Qemu(Arch),
    /// Python's package installer, for downloading models.
    Pip,
    /// Node.js, for the page's test.
    Node,
    /// Its package installer.
    Npm,
    /// A browser.
    Chromium,
}

/// Variable with the browser's path.
pub const CHROMIUM: &str = "CHROMIUM";

/// The browser, whatever it is called here.
pub fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os(CHROMIUM).map(PathBuf::from);
    let names = ["chromium", "chromium-browser", "google-chrome"];
    named.or_else(|| names.into_iter().find_map(process::find_program))
}

impl Tool {
    /// Whether the tool is installed.
    pub fn is_present(self) -> bool {
        match self {
            Self::Qemu(arch) => process::find_program(arch.qemu()).is_some(),
            Self::Node => process::find_program("node").is_some(),
            Self::Npm => process::find_program("npm").is_some(),
            Self::Chromium => chromium().is_some(),
            // Many Pythons lack the module, so only running it is proof.
            Self::Pip => Command::new("python3")
                .args(["-m", "pip", "--version"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success()),
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Qemu(arch) => write!(f, "QEMU for {arch} ({})", arch.qemu()),
            Self::Pip => f.write_str("pip for Python 3"),
            Self::Node => f.write_str("Node.js"),
            Self::Npm => f.write_str("npm"),
            Self::Chromium => write!(f, "Chromium (or {CHROMIUM}, with the path of a browser like it)"),
        }
    }
}

/// A package manager that xtask knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// Debian, Ubuntu.
    Apt,
    /// Fedora.
    Dnf,
    /// Arch Linux.
    Pacman,
    /// Homebrew.
    Brew,
}

impl Manager {
    /// Finds the first manager that is installed.
    pub fn find(present: impl Fn(&str) -> bool) -> Option<Self> {
        [Self::Apt, Self::Dnf, Self::Pacman, Self::Brew]
            .into_iter()
            .find(|manager| present(manager.program()))
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
            Self::Pacman => "pacman",
            Self::Brew => "brew",
        }
    }

    const fn package(self, tool: Tool) -> &'static str {
        match (self, tool) {
            (Self::Apt | Self::Pacman, Tool::Qemu(Arch::X86_64)) => "qemu-system-x86",
            (Self::Apt, Tool::Qemu(Arch::Aarch64)) => "qemu-system-arm",
            (Self::Dnf, Tool::Qemu(Arch::X86_64)) => "qemu-system-x86-core",
            (Self::Dnf, Tool::Qemu(Arch::Aarch64)) => "qemu-system-aarch64-core",
            (Self::Pacman, Tool::Qemu(Arch::Aarch64)) => "qemu-system-aarch64",
            (Self::Brew, Tool::Qemu(_)) => "qemu",
            (Self::Apt | Self::Dnf, Tool::Pip) => "python3-pip",
            (Self::Pacman, Tool::Pip) => "python-pip",
            (Self::Brew, Tool::Pip) => "python",
            (Self::Apt | Self::Dnf | Self::Pacman, Tool::Node) => "nodejs",
            (Self::Brew, Tool::Node | Tool::Npm) => "node",
            (Self::Apt | Self::Dnf | Self::Pacman, Tool::Npm) => "npm",
            (_, Tool::Chromium) => "chromium",
        }
    }

    /// Commands that install `tool`, in order. Homebrew refuses to run as root, so it never gets `sudo`.
    pub fn install(self, tool: Tool, sudo: bool) -> Vec<Vec<&'static str>> {
        let commands: &[&[&str]] = match self {
            // Without its recommendations: they pull in a graphical QEMU that may conflict with an installed one.
            Self::Apt => &[&["apt-get", "update"], &["apt-get", "install", "-y", "--no-install-recommends"]],
            Self::Dnf => &[&["dnf", "install", "-y"]],
            Self::Pacman => &[&["pacman", "-S", "--needed", "--noconfirm"]],
            Self::Brew => &[&["brew", "install"]],
        };
        let mut commands: Vec<Vec<&str>> = commands.iter().map(|words| words.to_vec()).collect();
        if let Some(install) = commands.last_mut() {
            install.push(self.package(tool));
        }
        if sudo && self != Self::Brew {
            for words in &mut commands {
                words.insert(0, "sudo");
            }
        }
        commands
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(manager: Manager, tool: Tool, sudo: bool) -> String {
        manager.install(tool, sudo).iter().map(|words| words.join(" ")).collect::<Vec<_>>().join(" && ")
    }

    #[test]
    fn each_manager_has_its_own_words() {
        let x86 = Tool::Qemu(Arch::X86_64);
        let arm = Tool::Qemu(Arch::Aarch64);
        assert_eq!(
            line(Manager::Apt, x86, true),
            "sudo apt-get update && sudo apt-get install -y --no-install-recommends qemu-system-x86"
        );
        assert_eq!(
            line(Manager::Apt, arm, false),
            "apt-get update && apt-get install -y --no-install-recommends qemu-system-arm"
        );
        assert_eq!(line(Manager::Dnf, arm, true), "sudo dnf install -y qemu-system-aarch64-core");
        assert_eq!(line(Manager::Pacman, x86, false), "pacman -S --needed --noconfirm qemu-system-x86");
        assert_eq!(line(Manager::Brew, arm, true), "brew install qemu");
        assert_eq!(line(Manager::Dnf, Tool::Pip, true), "sudo dnf install -y python3-pip");
    }

    #[test]
    fn the_first_manager_found_serves() {
        assert_eq!(Manager::find(|program| program == "dnf" || program == "brew"), Some(Manager::Dnf));
        assert_eq!(Manager::find(|_| true), Some(Manager::Apt));
        assert_eq!(Manager::find(|_| false), None);
    }
}
