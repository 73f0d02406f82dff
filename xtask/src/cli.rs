//! The command line: commands and options. Owns no behaviour beyond parsing.

mod attack;
mod bench;
mod guest;
mod page;
mod serve;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::accel::AccelChoice;
use crate::arch::Arch;
use crate::machine::{Gic, MachineKind};
use crate::memory::MemorySize;
use crate::topology::Topology;
pub use attack::{AbuseOptions, AttackMode, AttackOptions};
pub use bench::{
    BatchBenchOptions, BatchLengths, BenchCommand, BenchMachine, Contender, EngineBenchOptions,
    GuestBenchOptions, JitterBenchOptions, PoolBenchOptions, ScalingBenchOptions, ServeBenchOptions,
    SwitchBenchOptions,
};
pub use guest::GuestOptions;
pub use page::PageOptions;
pub use serve::{FleetOptions, ServeOptions, ServedGuestOptions};

/// Builds, boots, tests and checks EMBODIOS.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
pub struct Cli {
    /// Install what is missing (Rust targets, QEMU) without asking
    #[arg(long, short, global = true)]
    pub yes: bool,
    /// Command
    #[command(subcommand)]
    pub command: Command,
}

/// Commands of xtask.
#[derive(Subcommand)]
pub enum Command {
    /// Build and boot in QEMU, into the console or through a script of commands
    Qemu(QemuOptions),
    /// Build and boot a guest that serves the OpenAI API and a page, until Ctrl-C
    Serve(ServeOptions),
    /// Boot several guests that serve, behind HAProxy, until Ctrl-C
    Fleet(FleetOptions),
    /// Build engine and kernel, ready to boot
    Build {
        /// Only this architecture
        #[arg(long)]
        arch: Option<Arch>,
    },
    /// Build a release: the images, their checksums, and command lines that boot them without xtask
    Dist {
        /// Directory of the release [default: target/dist]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Run the host tests and the tests inside the kernel; ends with `N passed, N failed`
    Test(TestOptions),
    /// Test the server's page in a browser, and take pictures of it
    Page(PageOptions),
    /// Test the API of booted guests by the list of what clients expect, and write the results to docs/api.md
    ApiList(ApiListOptions),
    /// Attack the kernel with a hostile program in the engine's place; fails when the kernel does not hold
    Attack(AttackOptions),
    /// Abuse a guest that serves with damaged requests and misbehaving clients; fails when it does not hold
    Abuse(AbuseOptions),
    /// Measure the six acceptance criteria against their thresholds; fails when one is missed
    Acceptance(AcceptanceOptions),
    /// Measure the engine's speed
    Bench {
        /// Bench
        #[command(subcommand)]
        command: BenchCommand,
    },
    /// Run the engine for a program, on the host or in a guest: JSON lines in, JSON lines out
    Engine(EngineOptions),
    /// Compare the bits of the logits over host and guests, numbers of cores, kernels and divisions of the prompt
    Bits(BitsOptions),
    /// Scan the x86_64 kernel for instructions that must not run in ring 0
    Scan,
    /// Lint everything on every target; warnings are errors
    Clippy,
    /// Format all Rust code
    Fmt {
        /// Check only, and report unformatted code
        #[arg(long)]
        check: bool,
    },
    /// Check the rules of the tree: dependencies between crates, line widths, file heads, number of system calls
    Tidy,
    /// Run all checks of continuous integration: fmt --check, tidy, clippy, image sizes, test
    Ci(TestOptions),
    /// List and fetch language models
    Model {
        /// Model command
        #[command(subcommand)]
        command: ModelCommand,
    },
}

/// Commands on models.
#[derive(Subcommand)]
pub enum ModelCommand {
    /// List the known models and whether each is in the cache
    List,
    /// Download a model into the cache and check it
    Fetch {
        /// Name as `list` shows it
        name: String,
    },
}

/// Options of `cargo xtask acceptance`.
#[derive(Args)]
pub struct AcceptanceOptions {
    /// Only guests of this architecture
    #[arg(long)]
    pub arch: Option<Arch>,
    /// Model whose batches and steps are measured: a name of `cargo xtask model list` or a GGUF file
    #[arg(long, default_value = "tinystory", value_name = "NAME|PATH")]
    pub model: String,
    /// Core counts to boot with; other machines are booted with the counts among these
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16", value_name = "LIST")]
    pub smp: Vec<Topology>,
    /// Rounds of the timed benches, interleaved with their references; medians are judged
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub rounds: u32,
    /// JSON report [default: acceptance.json in target/embodios]
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Markdown report [default: acceptance.md in target/embodios]
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// End a boot that takes longer than this many seconds, as failed
    #[arg(long, value_parser = seconds, default_value = "600", value_name = "SECONDS")]
    pub timeout: Duration,
}

/// Options of `cargo xtask engine`.
#[derive(Args)]
pub struct EngineOptions {
    /// Task for each line
    pub task: EngineTask,
    /// Model: a name of `cargo xtask model list` or a GGUF file
    #[arg(long, default_value = "tinystory", value_name = "NAME|PATH")]
    pub model: String,
    /// Number of threads on the host
    #[arg(long, default_value = "2", value_parser = threads, value_name = "N")]
    pub threads: usize,
    /// Answer in a booted kernel of this architecture instead of on the host
    #[arg(long, value_name = "ARCH", conflicts_with = "threads")]
    pub guest: Option<Arch>,
    /// Machine to emulate [default: q35 on x86_64, virt on aarch64]
    #[arg(long, requires = "guest")]
    pub machine: Option<MachineKind>,
    /// Accelerator of QEMU
    #[arg(long, default_value = "auto", requires = "guest")]
    pub accel: AccelChoice,
    /// Cores of the guest
    #[arg(long, default_value = "2", value_name = "N|TOPOLOGY", requires = "guest")]
    pub smp: Topology,
    /// Memory of the guest: a number with M or G
    #[arg(long, default_value_t = MemorySize::DEFAULT, value_name = "SIZE", requires = "guest")]
    pub memory: MemorySize,
    /// End a guest that still runs after this many seconds, as failed
    #[arg(long, value_parser = seconds, default_value = "3600", value_name = "SECONDS", requires = "guest")]
    pub timeout: Duration,
}

/// The engine's task for a JSON object on a line of standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineTask {
    /// {text, parse_special, add_begin} to {ids, left_out}
    Tokenize,
    /// {ids} to {text}
    Detokenize,
    /// {text or ids, parse_special, positions: "last" or "all"} to {ids, logits}
    Logits,
    /// {text or ids, parse_special, tokens, temperature, top_k, top_p, seed, stop, ignore_end, logprobs} to
    /// {ids, text, stop, prompt_ids, logprobs}
    Generate,
    /// {messages, answer, reply, tokens, ...} to {rendered, ids, reply}
    Chat,
    /// All lines in one batch, each {text, ids or messages, tokens, ...} to {line, ids, text, stop, ...} as it ends
    Batch,
}

impl EngineTask {
    /// Name of the task to the engine.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tokenize => "tokenize",
            Self::Detokenize => "detokenize",
            Self::Logits => "logits",
            Self::Generate => "generate",
            Self::Chat => "chat",
            Self::Batch => "batch",
        }
    }
}

/// Options of `cargo xtask bits`.
#[derive(Args)]
pub struct BitsOptions {
    /// Only the guest of this architecture, beside the host
    #[arg(long)]
    pub arch: Option<Arch>,
    /// Model: a name of `cargo xtask model list` or a GGUF file
    #[arg(long, default_value = "tinystory", value_name = "NAME|PATH")]
    pub model: String,
    /// Numbers of cores
    #[arg(long, value_delimiter = ',', default_value = "1,2,3,4,8", value_name = "LIST")]
    pub smp: Vec<Topology>,
    /// Tokens to generate
    #[arg(
        long = "gen", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..),
        value_name = "TOKENS"
    )]
    pub generate: u32,
    /// Memory of the guests: a number with M or G
    #[arg(long, default_value_t = MemorySize::DEFAULT, value_name = "SIZE")]
    pub memory: MemorySize,
    /// End a guest that still runs after this many seconds, as failed
    #[arg(long, value_parser = seconds, default_value = "3600", value_name = "SECONDS")]
    pub timeout: Duration,
    /// Compare so many answers of guests that serve the built-in model instead, alone and among others
    #[arg(
        long, num_args = 0..=1, require_equals = true, default_missing_value = "200", value_name = "REQUESTS",
        conflicts_with_all = ["model", "generate", "memory"]
    )]
    pub served: Option<usize>,
}

/// Options of `cargo xtask qemu`.
#[derive(Args)]
pub struct QemuOptions {
    /// The guest
    #[command(flatten)]
    pub guest: GuestOptions,
    /// Cores: a number, or QEMU's topology such as `8,sockets=2,cores=2,threads=2`
    #[arg(long, default_value = "4", value_name = "N|TOPOLOGY")]
    pub smp: Topology,
    /// Interrupt controller of virt [default: 3]
    #[arg(long)]
    pub gic: Option<Gic>,
    /// Enter the kernel at EL2 (virt, emulated)
    #[arg(long)]
    pub el2: bool,
    /// CPU model by QEMU's name [default: max when emulated, host under KVM]
    #[arg(long)]
    pub cpu: Option<String>,
    /// Accelerator of QEMU
    #[arg(long, default_value = "auto")]
    pub accel: AccelChoice,
    /// Model: a name of `cargo xtask model list`, a GGUF file, or `none`
    #[arg(long, default_value = "tinystory", value_name = "NAME|PATH")]
    pub model: String,
    /// A further file for the engine: JSON lines for `batch FILE`, or another model to choose at the console
    #[arg(long, value_name = "PATH")]
    pub module: Vec<PathBuf>,
    /// Further words for the kernel's command line
    #[arg(long, value_name = "WORDS")]
    pub append: Vec<String>,
    /// Run these console commands and power off; `;` separates them, except inside "" or as `\;`
    #[arg(long, value_name = "COMMANDS", conflicts_with = "script")]
    pub exec: Option<String>,
    /// Run the console commands in this file, one a line, and power off
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Continue after a failed command of a script
    #[arg(long)]
    pub keep_going: bool,
    /// Print only answers on standard output; errors and the kernel's messages on standard error
    #[arg(long)]
    pub quiet: bool,
    /// End a guest that still runs after this many seconds
    #[arg(long, value_parser = seconds, value_name = "SECONDS")]
    pub timeout: Option<Duration>,
    /// Give the guest a network, and lead this address of the host to the port at which it serves; a port alone is one
    /// of 127.0.0.1
    #[arg(
        long, value_name = "[HOST:]PORT", num_args = 0..=1, require_equals = true, default_missing_value = "8080",
        value_parser = address
    )]
    pub net: Option<SocketAddr>,
    /// Wait for a debugger on TCP port 1234 before the first instruction
    #[arg(long)]
    pub gdb: bool,
    /// Boot the whole-program-optimised engine of releases and benches, which takes a minute to build
    #[arg(long)]
    pub release: bool,
    /// Further arguments for QEMU
    #[arg(last = true, value_name = "QEMU ARGS")]
    pub qemu_args: Vec<OsString>,
}

/// Options of `cargo xtask api-list`.
#[derive(Args)]
pub struct ApiListOptions {
    /// Only this architecture, without writing the file
    #[arg(long)]
    pub arch: Option<Arch>,
    /// Accelerator of the guests
    #[arg(long, value_enum, default_value = "tcg")]
    pub accel: AccelChoice,
    /// End a guest that still runs after this many seconds, as failed
    #[arg(long, value_parser = seconds, default_value = "300", value_name = "SECONDS")]
    pub timeout: Duration,
}

/// Options of `cargo xtask test`.
#[derive(Args)]
pub struct TestOptions {
    /// Only this architecture
    #[arg(long)]
    pub arch: Option<Arch>,
    /// Core counts to boot with; other machines are tested with the counts among these
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16", value_name = "LIST")]
    pub smp: Vec<Topology>,
    /// Only the tests that run on the host
    #[arg(long, conflicts_with = "guest_only")]
    pub host_only: bool,
    /// Only the tests inside the kernel
    #[arg(long)]
    pub guest_only: bool,
    /// Accelerator of the guests; `kvm` shows faults of the kernel that emulation hides, and runs only the tests
    /// inside the kernel, of faults and of attacks
    #[arg(long, value_enum, default_value = "tcg")]
    pub accel: AccelChoice,
    /// Skip tests whose model is not in the cache
    #[arg(long)]
    pub no_download: bool,
    /// Skip the page's test, which needs Chromium and Node.js
    #[arg(long)]
    pub no_browser: bool,
    /// End a guest that still runs after this many seconds, as failed
    #[arg(long, value_parser = seconds, default_value = "300", value_name = "SECONDS")]
    pub timeout: Duration,
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=1024) => Ok(threads),
        _ => Err("expected a number of threads from 1 to 1024".to_owned()),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let port = |text: &str| text.parse().map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port)));
    port(text).or_else(|_| text.parse()).map_err(|_| "expected PORT or ADDRESS:PORT".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 => {
            Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
        }
        _ => Err("expected a number of seconds above 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_checked() {
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        for bad in ["", "0", "-1", "NaN", "inf", "1e30", "ten"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn both_front_door_commands_parse() {
        for line in ["qemu --arch x86_64 --smp 4", "qemu --arch aarch64 --machine virt"] {
            assert!(Cli::try_parse_from(["xtask"].into_iter().chain(line.split(' '))).is_ok(), "{line}");
        }
        assert!(Cli::try_parse_from(["xtask", "qemu", "--exec", "a", "--script", "b"]).is_err());
        let cli = Cli::parse_from(["xtask", "qemu", "--exec", "a; b", "--", "-d", "int"]);
        let Command::Qemu(options) = cli.command else { panic!("not qemu") };
        assert_eq!(options.exec.as_deref(), Some("a; b"));
        assert_eq!(options.qemu_args, ["-d", "int"]);
    }
}
