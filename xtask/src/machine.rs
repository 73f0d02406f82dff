//! The emulated machine as QEMU's command line. Reads no more than the size of the module.

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::accel::Accelerator;
use crate::arch::Arch;
use crate::counting::Counting;
use crate::memory::MemorySize;
use crate::network::Network;
use crate::topology::Topology;

/// Buffer for the command line and its terminating zero in QEMU's PVH loader (`CMDLINE_BUFSIZE` of its option ROM),
/// which does not check for overflow.
const PVH_COMMAND_LINE: usize = 4096;

/// Machines that QEMU emulates and EMBODIOS boots on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MachineKind {
    /// x86_64: PC with PCI Express
    Q35,
    /// x86_64: PC with PCI (i440FX)
    Pc,
    /// x86_64: minimal machine without firmware delays
    Microvm,
    /// aarch64: QEMU's generic board
    Virt,
}

impl MachineKind {
    /// The architecture of the machine.
    pub const fn arch(self) -> Arch {
        match self {
            Self::Q35 | Self::Pc | Self::Microvm => Arch::X86_64,
            Self::Virt => Arch::Aarch64,
        }
    }

    /// The default machine of `arch`.
    pub const fn default_of(arch: Arch) -> Self {
        match arch {
            Arch::X86_64 => Self::Q35,
            Arch::Aarch64 => Self::Virt,
        }
    }

    /// Name of the machine in QEMU.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
            Self::Pc => "pc",
            Self::Microvm => "microvm",
            Self::Virt => "virt",
        }
    }

    /// Chooses the machine from the given architecture and name.
    ///
    /// # Errors
    /// When the machine is not of the given architecture.
    pub fn choose(arch: Option<Arch>, machine: Option<Self>) -> Result<Self> {
        match (arch, machine) {
            (Some(arch), Some(machine)) if machine.arch() != arch => {
                bail!("--machine {}: is a machine of {}, not of {arch}", machine.name(), machine.arch())
            }
            (_, Some(machine)) => Ok(machine),
            (arch, None) => Ok(Self::default_of(arch.unwrap_or(Arch::X86_64))),
        }
    }
}

/// Version of Arm's Generic Interrupt Controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Gic {
    /// `GICv2`, up to 8 cores
    #[value(name = "2")]
    V2,
    /// `GICv3`
    #[value(name = "3")]
    V3,
}

/// Peer of the guest's serial line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// A terminal, shared with QEMU's monitor on Ctrl-A; the guest may restart itself.
    Terminal,
    /// A program or none. A restart ends QEMU.
    Script,
}

/// Parameters of QEMU's command line.
#[derive(Clone, Copy)]
pub struct Machine<'a> {
    /// Machine to emulate.
    pub kind: MachineKind,
    /// Interrupt controller (virt only).
    pub gic: Option<Gic>,
    /// Entry at EL2 (virt only).
    pub el2: bool,
    /// CPU model; `None` for the accelerator's own.
    pub cpu: Option<&'a str>,
    /// Accelerator.
    pub accel: Accelerator,
    /// Cores.
    pub smp: &'a Topology,
    /// Memory.
    pub memory: MemorySize,
    /// Bootable kernel image.
    pub kernel: &'a Path,
    /// Module that firmware loads.
    pub module: Option<&'a Path>,
    /// The kernel's command line.
    pub command_line: &'a str,
    /// Peer of the serial line.
    pub console: Console,
    /// Instruction counting (emulation only): cores run round-robin in one thread.
    pub counting: Option<&'a Counting>,
    /// Network.
    pub network: Option<Network>,
    /// Stop before the first instruction and wait for a debugger.
    pub gdb: bool,
    /// The user's own arguments, last.
    pub extra: &'a [OsString],
}

impl Machine<'_> {
    /// Arguments for `qemu-system-*`.
    ///
    /// # Errors
    /// When options contradict each other, the module does not fit the memory, or the command line does not fit its
    /// loader.
    pub fn arguments(&self) -> Result<Vec<OsString>> {
        let arguments = self.unchecked_arguments()?;
        if let Some(module) = self.module {
            self.memory.check_module(self.kind.arch(), self.smp.cores(), module)?;
        }
        Ok(arguments)
    }

    /// Arguments for a module that does not exist yet.
    ///
    /// # Errors
    /// As [`Self::arguments`], except those of the module.
    pub fn unchecked_arguments(&self) -> Result<Vec<OsString>> {
        let mut list = Arguments::default();
        list.pair("-machine", self.machine()?);
        list.pair("-cpu", self.cpu());
        list.pair("-accel", self.accelerator()?);
        list.pair("-smp", self.smp.to_string());
        list.pair("-m", self.memory.to_string());
        // Threads with names, by which `host_cores` finds the virtual cores'.
        list.words(&["-name", "embodios,debug-threads=on"]);
        list.words(&["-nodefaults", "-no-user-config", "-display", "none"]);
        match self.console {
            Console::Terminal => list.pair("-serial", "mon:stdio"),
            Console::Script => list.words(&["-monitor", "none", "-serial", "stdio", "-no-reboot"]),
        }
        // How the kernel's exit status reaches the process (`embodios_abi::ExitStatus`).
        match self.kind.arch() {
            Arch::X86_64 => list.pair("-device", "isa-debug-exit,iobase=0xf4,iosize=4"),
            Arch::Aarch64 => list.pair("-semihosting-config", "enable=on,target=native"),
        }
        if let Some(counting) = self.counting {
            list.pair("-plugin", counting.argument());
            if counting.repeats {
                list.pair("-icount", "shift=0,sleep=off");
            }
        }
        if self.gdb {
            list.words(&["-gdb", "tcp:127.0.0.1:1234", "-S"]);
        }
        if let Some(network) = self.network {
            list.0.extend(network.arguments(self.kind).into_iter().map(OsString::from));
        }
        list.pair("-kernel", self.kernel);
        if let Some(module) = self.module {
            list.pair("-initrd", module);
        }
        if !self.command_line.is_empty() {
            let (length, arch) = (self.command_line.len(), self.kind.arch());
            ensure!(
                arch != Arch::X86_64 || length < PVH_COMMAND_LINE,
                "the kernel's command line has {length} bytes, QEMU hands {arch} up to {} \
                 (--script FILE may be longer): {:.40}...",
                PVH_COMMAND_LINE - 1,
                self.command_line,
            );
            list.pair("-append", self.command_line);
        }
        list.0.extend_from_slice(self.extra);
        Ok(list.0)
    }

    fn machine(&self) -> Result<String> {
        let mut machine = self.kind.name().to_owned();
        if self.kind == MachineKind::Microvm {
            // By default it has a clock only where it is emulated.
            machine.push_str(",rtc=on");
        }
        machine.push_str(self.network.map_or("", |network| network.machine(self.kind)));
        if self.kind != MachineKind::Virt {
            ensure!(self.gic.is_none(), "--gic: {machine} has no GIC, --machine virt does");
            ensure!(!self.el2, "--el2: {machine} has no exception levels, --machine virt does");
            return Ok(machine);
        }
        match self.gic.unwrap_or(Gic::V3) {
            Gic::V2 => {
                ensure!(self.smp.cores() <= 8, "--gic 2: serves up to 8 cores, not {}", self.smp.cores());
                machine.push_str(",gic-version=2");
            }
            Gic::V3 => machine.push_str(",gic-version=3"),
        }
        if self.el2 {
            ensure!(self.accel == Accelerator::Tcg, "--el2: needs --accel tcg");
            machine.push_str(",virtualization=on");
        }
        Ok(machine)
    }

    fn accelerator(&self) -> Result<&'static str> {
        match (self.accel, self.counting) {
            (Accelerator::Tcg, None) => Ok("tcg,thread=multi"),
            (Accelerator::Tcg, Some(_)) => Ok("tcg,thread=single"),
            (Accelerator::Kvm { .. }, None) => Ok("kvm"),
            (Accelerator::Kvm { .. }, Some(_)) => {
                bail!("instructions are counted by emulation only, not under KVM")
            }
        }
    }

    fn cpu(&self) -> &str {
        match (self.cpu, self.accel) {
            (Some(cpu), _) => cpu,
            (None, Accelerator::Tcg) => "max",
            (None, Accelerator::Kvm { paravirtual: false }) => "host",
            // QEMU sets IA32_ARCH_CAPABILITIES where the host has it; kvm_pvm refuses the write and QEMU aborts.
            (None, Accelerator::Kvm { paravirtual: true }) => "host,-arch-capabilities",
        }
    }
}

/// A list of arguments under construction.
#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn pair(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.0.push(name.into());
        self.0.push(value.as_ref().to_owned());
    }

    fn words(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(OsString::from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(change: impl FnOnce(&mut Machine)) -> Result<String> {
        let smp: Topology = "4".parse().expect("a number");
        line_with(&smp, change)
    }

    fn line_with(smp: &Topology, change: impl FnOnce(&mut Machine)) -> Result<String> {
        let mut machine = Machine {
            kind: MachineKind::Q35,
            gic: None,
            el2: false,
            cpu: None,
            accel: Accelerator::Tcg,
            smp,
            memory: MemorySize::DEFAULT,
            kernel: Path::new("kernel"),
            module: None,
            command_line: "",
            console: Console::Script,
            counting: None,
            network: None,
            gdb: false,
            extra: &[],
        };
        change(&mut machine);
        let words = machine.arguments()?;
        Ok(words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_pc_exits_through_its_debug_port() {
        assert_eq!(
            line(|_| {}).expect("valid"),
            "-machine q35 -cpu max -accel tcg,thread=multi -smp 4 -m 512M -name embodios,debug-threads=on \
             -nodefaults -no-user-config -display none -monitor none -serial stdio -no-reboot \
             -device isa-debug-exit,iobase=0xf4,iosize=4 -kernel kernel"
        );
    }

    #[test]
    fn a_board_gets_module_words_and_terminal() {
        let line = line(|machine| {
            machine.kind = MachineKind::Virt;
            machine.gic = Some(Gic::V2);
            machine.el2 = true;
            machine.module = Some(Path::new("Cargo.toml"));
            machine.command_line = "module=Cargo.toml";
            machine.console = Console::Terminal;
            machine.gdb = true;
        });
        assert_eq!(
            line.expect("valid"),
            "-machine virt,gic-version=2,virtualization=on -cpu max -accel tcg,thread=multi -smp 4 -m 512M \
             -name embodios,debug-threads=on -nodefaults -no-user-config -display none -serial mon:stdio \
             -semihosting-config enable=on,target=native -gdb tcp:127.0.0.1:1234 -S \
             -kernel kernel -initrd Cargo.toml -append module=Cargo.toml"
        );
    }

    #[test]
    fn a_command_line_fits_what_loads_it() {
        let with = |kind, length| {
            let text: &str = "x".repeat(length).leak();
            line(|machine| (machine.kind, machine.command_line) = (kind, text))
        };
        assert!(with(MachineKind::Microvm, 4095).is_ok());
        let refused = with(MachineKind::Microvm, 4096).expect_err("a zero follows");
        assert!(
            refused.to_string().contains("4096 bytes, QEMU hands x86_64 up to 4095 (--script"),
            "{refused}"
        );
        assert!(with(MachineKind::Virt, 4096).is_ok());
    }

    #[test]
    fn kvm_takes_the_host_processor() {
        let kvm = |paravirtual| line(|machine| machine.accel = Accelerator::Kvm { paravirtual });
        assert!(kvm(false).expect("valid").contains("-cpu host -accel kvm"));
        assert!(kvm(true).expect("valid").contains("-cpu host,-arch-capabilities -accel kvm"));
        let named = line(|machine| {
            machine.accel = Accelerator::Kvm { paravirtual: true };
            machine.cpu = Some("qemu64");
        });
        assert!(named.expect("valid").contains("-cpu qemu64 -accel kvm"));
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(line(|machine| machine.gic = Some(Gic::V3)).is_err());
        assert!(line(|machine| machine.el2 = true).is_err());
        let smp: Topology = "9".parse().expect("a number");
        let gic2 = |machine: &mut Machine| {
            machine.kind = MachineKind::Virt;
            machine.gic = Some(Gic::V2);
        };
        assert!(line_with(&smp, gic2).is_err());
        assert!(MachineKind::choose(Some(Arch::Aarch64), Some(MachineKind::Pc)).is_err());
    }

    #[test]
    fn a_machine_names_its_architecture() {
        let choose = |arch, machine| MachineKind::choose(arch, machine).expect("valid");
        assert_eq!(choose(None, Some(MachineKind::Virt)), MachineKind::Virt);
        assert_eq!(choose(None, None), MachineKind::Q35);
        assert_eq!(choose(Some(Arch::Aarch64), None), MachineKind::Virt);
        assert_eq!(choose(Some(Arch::X86_64), Some(MachineKind::Microvm)), MachineKind::Microvm);
    }
}
