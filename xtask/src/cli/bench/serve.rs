//! Options of `cargo xtask bench serve`. Owns no behaviour beyond parsing.

use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

use super::BatchLengths;
use crate::cli::seconds;
use crate::topology::Topology;

/// Options of `cargo xtask bench serve`.
#[derive(Args)]
pub struct ServeBenchOptions {
    /// Model: a name of `cargo xtask model list` or a GGUF file
    #[arg(long, default_value = "smollm2-135m", value_name = "NAME|PATH")]
    pub model: String,
    /// Cores of the guest, and threads of llama-server
    #[arg(long, default_value = "2", value_name = "N|TOPOLOGY")]
    pub smp: Topology,
    /// Numbers of clients, each with a stream
    #[arg(
        long, value_delimiter = ',', default_value = "1,8,32",
        value_parser = clap::value_parser!(u32).range(1..=32), value_name = "LIST"
    )]
    pub clients: Vec<u32>,
    /// Lengths of the requests
    #[command(flatten)]
    pub lengths: BatchLengths,
    /// Rounds over all loads and servers, in turns; medians are judged
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub rounds: u32,
    /// Requests a round whose time to the first token is taken on an idle machine
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub firsts: u32,
    /// Boots with the built-in model, from QEMU's start to the first byte of an answer; 0 for none
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub boots: u32,
    /// Time without requests over which the cores' work is taken
    #[arg(long, value_parser = seconds, default_value = "5", value_name = "SECONDS")]
    pub idle: Duration,
    /// llama.cpp's server, for the same loads in turns
    #[arg(long, value_name = "PATH")]
    pub llama_server: Option<PathBuf>,
    /// Port of 127.0.0.1 that leads to the guest; llama-server has the next one
    #[arg(long, default_value_t = 8280, value_parser = clap::value_parser!(u16).range(1..65535))]
    pub port: u16,
    /// JSON report [default: serving.json in target/embodios]
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// SVG plot [default: serving.svg in target/embodios]
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// End a boot with a script that takes longer than this many seconds, as failed
    #[arg(long, value_parser = seconds, default_value = "600", value_name = "SECONDS")]
    pub timeout: Duration,
}
