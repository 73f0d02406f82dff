//! The console on this host, for comparison with the machine:
//! `cargo run --release -p embodios-programs --bin console -- CORES MODEL [WORDS...]`,
//! where the words are the engine's, for example `exec=hash Once upon a time`.

use std::error::Error;

use embodios_console::{Module, Start, run};
use embodios_host::{Host, file};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: console CORES MODEL [WORDS...]";
    let cores = arguments.next().ok_or(usage)?.parse::<usize>()?.max(1);
    let path = arguments.next().ok_or(usage)?;
    let name: &str = path.rsplit('/').next().unwrap_or(&path);
    let modules = [Module {
        name: String::leak(name.to_owned()),
        bytes: Box::leak(Box::new(file::read(path.as_ref())?)),
    }];
    let host = Host::leak(cores);
    run(
        host,
        &Start {
            has_bad_words: false,
            machine: "host",
            restarts: 0,
            died_loading: false,
            command_line: &arguments.collect::<Vec<_>>().join(" "),
            modules: &modules,
            fault: None,
            network: None,
            wall_clock: None,
            seed: None,
        },
    )
}
