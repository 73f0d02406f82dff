//! `cargo xtask`: the front door to EMBODIOS.
//!
//! Owns the way from the command line to an exit status. Every command lives in a module of its own;
//! nothing in this package is part of the kernel or of the engine.
#![forbid(unsafe_op_in_unsafe_fn)]

mod accel;
mod acceptance;
mod arch;
mod attack;
mod bench;
mod bits;
mod boot;
mod build;
mod checks;
mod cli;
mod client;
mod command_line;
mod console;
mod counting;
mod digest;
mod dist;
mod engine;
mod frames;
mod guest;
mod host_cores;
mod image;
mod input;
mod machine;
mod memory;
mod model;
mod modules;
mod network;
mod page;
mod process;
mod qemu;
mod scan;
mod serve;
mod setup;
mod symbols;
mod target;
mod terminal;
mod test;
mod threads;
mod tidy;
mod topology;
mod workspace;

use clap::Parser;
use std::process::ExitCode;

use cli::{BenchCommand, Cli, Command, ModelCommand};
use workspace::Workspace;

/// xtask's exit status for failures before a guest runs: bad usage, a failed build, no QEMU. The other codes are in
/// [`guest::Ending::code`].
const CANNOT: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.is::<process::Interrupted>() => {
            eprintln!("xtask: {}", process::Interrupted);
            ExitCode::from(process::Interrupted::CODE)
        }
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(CANNOT)
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<u8> {
    process::watch_signals()?;
    let workspace = Workspace::find()?;
    let consent = setup::Consent::from_environment(cli.yes);
    match cli.command {
        Command::Qemu(options) => qemu::run(&workspace, consent, &options),
        Command::Serve(options) => serve::run(&workspace, consent, &options),
        Command::Fleet(options) => serve::fleet::run(&workspace, consent, &options),
        Command::Build { arch } => {
            for arch in arch.map_or(arch::Arch::ALL.to_vec(), |arch| vec![arch]) {
                let built = build::build(&workspace, arch)?;
                println!("{arch}: {}", built.image.display());
            }
            Ok(0)
        }
        Command::Dist { out } => dist::run(&workspace, out),
        Command::Test(options) => test::run(&workspace, consent, &options),
        Command::Page(options) => page::run(&workspace, consent, &options),
        Command::ApiList(options) => test::serving::api_list(&workspace, consent, &options),
        Command::Bench { command: BenchCommand::Guest(options) } => {
            bench::guest::run(&workspace, consent, &options)
        }
        Command::Bench { command: BenchCommand::Engine(options) } => {
            bench::engine::run(&workspace, consent, &options)
        }
        Command::Bench { command: BenchCommand::Batch(options) } => {
            bench::batch::run(&workspace, consent, &options)
        }
        Command::Bench { command: BenchCommand::Jitter(options) } => {
            bench::jitter::run(&workspace, consent, &options)
        }
        Command::Bench { command: BenchCommand::Pool(options) } => bench::pool::run(&workspace, &options),
        Command::Bench { command: BenchCommand::Scaling(options) } => {
            bench::scaling::run(&workspace, consent, &options)
        }
        Command::Bench { command: BenchCommand::Serve(options) } => {
            bench::serve::run(&workspace, consent, &options)
        }
        Command::Bench { command: BenchCommand::Switch(options) } => {
            bench::switch::run(&workspace, consent, &options)
        }
        Command::Abuse(options) => test::serving::abuse::command::run(&workspace, consent, &options),
        Command::Attack(options) => attack::run(&workspace, consent, &options),
        Command::Acceptance(options) => acceptance::run(&workspace, consent, &options),
        Command::Bits(options) => bits::run(&workspace, consent, &options),
        Command::Engine(options) => engine::run(&workspace, consent, &options),
        Command::Scan => {
            let found = checks::scan(&build::build(&workspace, arch::Arch::X86_64)?)?;
            Ok(if found == 0 { 0 } else { test::FAILED })
        }
        Command::Clippy => checks::clippy(&workspace).map(|()| 0),
        Command::Fmt { check } => checks::fmt(&workspace, check).map(|()| 0),
        Command::Tidy => Ok(reported(&tidy::faults(&workspace)?)),
        Command::Ci(options) => {
            checks::fmt(&workspace, true)?;
            let mut faults = tidy::faults(&workspace)?;
            checks::clippy(&workspace)?;
            for arch in arch::Arch::ALL {
                faults.extend(tidy::size(arch, &build::build(&workspace, arch)?)?);
            }
            if !faults.is_empty() {
                return Ok(reported(&faults));
            }
            test::run(&workspace, consent, &options)
        }
        Command::Model { command: ModelCommand::List } => model::list(&workspace).map(|()| 0),
        Command::Model { command: ModelCommand::Fetch { name } } => {
            model::fetch_by_name(&workspace, consent, &name).map(|()| 0)
        }
    }
}

/// Prints broken rules and returns the exit status.
fn reported(faults: &[String]) -> u8 {
    faults.iter().for_each(|fault| println!("{fault}"));
    println!("tidy: {} broken rules", faults.len());
    if faults.is_empty() { 0 } else { test::FAILED }
}
