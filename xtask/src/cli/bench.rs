//! Options of `cargo xtask bench`. Owns no behaviour beyond parsing.

mod serve;

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

use super::{GuestOptions, seconds, threads};
use crate::accel::AccelChoice;
use crate::arch::Arch;
use crate::bench::scaling::FigureKind;
use crate::memory::MemorySize;
use crate::topology::Topology;
pub use serve::ServeBenchOptions;

/// Benches.
#[derive(Subcommand)]
pub enum BenchCommand {
    /// The same generation on the host and in a booted guest, interleaved
    Guest(GuestBenchOptions),
    /// Prompt and generation on the host, as a table and JSON
    Engine(EngineBenchOptions),
    /// Requests in a batch against the same ones one after another, on the host, or in a guest with --arch or --machine
    Batch(BatchBenchOptions),
    /// Jitter of a token's step on each core, in a guest and in a process on the host, interleaved
    Jitter(JitterBenchOptions),
    /// Fork and join of two threads on the host, spinning and sleeping
    Pool(PoolBenchOptions),
    /// The same batches on increasing numbers of cores: instructions, native time, emulated time; a table, JSON and a
    /// plot
    Scaling(ScalingBenchOptions),
    /// Streams over HTTP beside batches at the console and llama-server, the first token, idle cores, and starts
    Serve(ServeBenchOptions),
    /// Context switches between two threads of a guest, in instructions
    Switch(SwitchBenchOptions),
}

/// Options of `cargo xtask bench scaling`.
#[derive(Args, Clone)]
pub struct ScalingBenchOptions {
    /// Only guests of this architecture
    #[arg(long)]
    pub arch: Option<Arch>,
    /// Numbers of cores; 1 is always among them
    #[arg(
        long, value_delimiter = ',', default_value = "1,2,4,8",
        value_parser = clap::value_parser!(u32).range(1..=256), value_name = "LIST"
    )]
    pub smp: Vec<u32>,
    /// Model: a name of `cargo xtask model list` or a GGUF file
    #[arg(long, default_value = "tinystory", value_name = "NAME|PATH")]
    pub model: String,
    /// Numbers of prompts, one a request; 1 is a solo request
    #[arg(
        long, value_delimiter = ',', default_value = "1,8,16",
        value_parser = clap::value_parser!(u32).range(1..=64), value_name = "LIST"
    )]
    pub prompts: Vec<u32>,
    /// Tokens to generate for each prompt
    #[arg(
        long = "gen", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..),
        value_name = "TOKENS"
    )]
    pub generate: u32,
    /// Kinds of figure
    #[arg(
        long, value_enum, value_delimiter = ',', default_values = ["instructions", "native", "emulated"],
        value_name = "LIST"
    )]
    pub kind: Vec<FigureKind>,
    /// Rounds over all machines, each booted anew, so that a passing disturbance does not hit all runs of one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub rounds: u32,
    /// Runs of each in a round; the least instruction count is taken, and the median of times over those just before
    /// on one core
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub repetitions: u32,
    /// Memory of the guests: a number with M or G
    #[arg(long, default_value_t = MemorySize::DEFAULT, value_name = "SIZE")]
    pub memory: MemorySize,
    /// End a boot that takes longer than this many seconds, as failed
    #[arg(long, value_parser = seconds, default_value = "3600", value_name = "SECONDS")]
    pub timeout: Duration,
    /// JSON report [default: scaling.json in target/embodios]
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// SVG plot [default: scaling.svg in target/embodios]
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// Options of `cargo xtask bench switch`.
#[derive(Args)]
pub struct SwitchBenchOptions {
    /// Only the guest of this architecture
    #[arg(long)]
    pub arch: Option<Arch>,
    /// Rounds of each case
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub rounds: u32,
    /// End a boot that takes longer than this many seconds, as failed
    #[arg(long, value_parser = seconds, default_value = "300", value_name = "SECONDS")]
    pub timeout: Duration,
}

/// Options of `cargo xtask bench pool`.
#[derive(Args)]
pub struct PoolBenchOptions {
    /// Jobs a run, and as many before to warm up
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub rounds: u32,
    /// Runs
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub repetitions: u32,
}

/// Options of `cargo xtask bench engine`.
#[derive(Args)]
pub struct EngineBenchOptions {
    /// Model: a name of `cargo xtask model list` or a GGUF file; may be given several times
    #[arg(long, default_value = "tinystory", value_name = "NAME|PATH")]
    pub model: Vec<String>,
    /// Numbers of threads
    #[arg(long, value_delimiter = ',', default_value = "1,2", value_parser = threads, value_name = "LIST")]
    pub threads: Vec<usize>,
    /// Tokens of the prompt
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..), value_name = "TOKENS")]
    pub prompt: u32,
    /// Tokens to generate
    #[arg(
        long = "gen", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..),
        value_name = "TOKENS"
    )]
    pub generate: u32,
    /// Measure generation also at these context depths, in tokens
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..), value_name = "LIST")]
    pub context: Vec<u32>,
    /// Runs of each
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub repetitions: u32,
    /// Reference engine, interleaved with this one
    #[arg(long)]
    pub compare: Option<Contender>,
}

/// Reference engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Contender {
    /// Through its own drivers, llama-bench and llama-batched-bench, found on the PATH
    #[value(name = "llama.cpp")]
    LlamaCpp,
}

/// Options of a measured guest.
#[derive(Args)]
pub struct BenchMachine {
    /// The guest
    #[command(flatten)]
    pub guest: GuestOptions,
    /// Accelerator of QEMU
    #[arg(long, default_value = "auto")]
    pub accel: AccelChoice,
    /// Cores of the guest, and threads on the host
    #[arg(long, visible_alias = "threads", default_value = "2", value_name = "N|TOPOLOGY")]
    pub smp: Topology,
    /// Model: a name of `cargo xtask model list` or a GGUF file
    #[arg(long, default_value = "tinystory", value_name = "NAME|PATH")]
    pub model: String,
    /// End a run that takes longer than this many seconds, as failed
    #[arg(long, value_parser = seconds, default_value = "300", value_name = "SECONDS")]
    pub timeout: Duration,
}

/// Options of `cargo xtask bench guest`.
#[derive(Args)]
pub struct GuestBenchOptions {
    /// The guest
    #[command(flatten)]
    pub machine: BenchMachine,
    /// Tokens to generate
    #[arg(
        long = "gen", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..),
        value_name = "TOKENS"
    )]
    pub generate: u32,
    /// Runs of each
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub repetitions: u32,
}

/// Lengths of the requests of a batch.
#[derive(Args, Clone, Copy, Debug)]
pub struct BatchLengths {
    /// Tokens of each prompt
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..), value_name = "TOKENS")]
    pub prompt: u32,
    /// Tokens to generate for each
    #[arg(
        long = "gen", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..),
        value_name = "TOKENS"
    )]
    pub generate: u32,
}

/// Options of `cargo xtask bench batch`.
#[derive(Args)]
pub struct BatchBenchOptions {
    /// Place: the host, or a guest with --arch or --machine
    #[command(flatten)]
    pub machine: BenchMachine,
    /// Lengths of the requests
    #[command(flatten)]
    pub lengths: BatchLengths,
    /// Runs of each
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub repetitions: u32,
    /// Reference engine on the host, interleaved with this one
    #[arg(long)]
    pub compare: Option<Contender>,
    /// Write the figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Options of `cargo xtask bench jitter`.
#[derive(Args)]
pub struct JitterBenchOptions {
    /// The guest; --accel auto takes KVM where possible, then on microvm by default
    #[command(flatten)]
    pub machine: BenchMachine,
    /// Steps of a run; each boot or process makes two runs
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..), value_name = "N")]
    pub steps: u32,
    /// Rounds of one guest and one process, in alternating order; medians are judged
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub rounds: u32,
    /// Write the figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
