//! An engine program that attacks the kernel. `cargo xtask attack` boots it in the engine's place and judges the
//! console output; see `xtask/src/attack.rs` for the rules.
//!
//! Owns the choice of the attack: the first word behind `exec=` on the command line, with numbers as `name=value`
//! behind it. An incarnation that ends in a crash goes on in the next one, which knows only the number of earlier
//! ones.
#![no_std]
#![no_main]

mod arch;
mod calls;
mod death;
mod direct;
mod exhaust;
mod fuzz;
mod incarnation;
mod memory;
mod random;
mod remains;
mod restarts;
mod rings;
mod storm;
mod system;
mod threads;

use embodios_abi::{EngineInfo, ExitStatus};

/// First Rust code of thread 0, which gets the registers as the kernel left them.
extern "C" fn main_thread(_: *const EngineInfo, registers: &[u64; arch::REGISTER_WORDS]) -> ! {
    match incarnation::mode() {
        "direct" => direct::run(),
        "exhaust" => exhaust::run(),
        "fuzz" => fuzz::run(),
        "long" => storm::long(),
        "restarts" => restarts::run(registers),
        "storm" => storm::run(),
        other => {
            say!("no attack is called {other:?}");
            system::power_off(ExitStatus::Failure)
        }
    }
}
