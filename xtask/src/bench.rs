//! `cargo xtask bench`: speed of the engine, always beside a reference.

pub mod batch;
pub mod engine;
pub mod guest;
pub mod jitter;
mod llama_cpp;
mod plot;
pub mod pool;
pub mod scaling;
pub mod serve;
pub mod spread;
pub mod switch;

use anyhow::{Context, Result};
use std::fs;
use std::io::Write;
use std::path::Path;

use crate::accel::{Accelerator, Host};
use crate::cli::BenchMachine;
use crate::machine::MachineKind;
use crate::model::Model;
use crate::target::GuestMachine;
use crate::workspace::{self, Workspace};

impl BenchMachine {
    /// Chooses guest and accelerator: by default the processor itself if it can, on the machine that boots fastest
    /// there.
    ///
    /// # Errors
    /// When the options contradict each other or the host, or the model does not fit the memory.
    fn native_if_possible(&self, model: &Model) -> Result<GuestMachine> {
        let arch = self.guest.kind()?.arch();
        let accel = Host::detect().choose_any(self.accel, arch)?;
        let fast = matches!(accel, Accelerator::Kvm { .. }) && arch == MachineKind::Microvm.arch();
        let machine = self.guest.machine.or_else(|| fast.then_some(MachineKind::Microvm));
        let (kind, memory) = (MachineKind::choose(self.guest.arch, machine)?, self.guest.memory);
        if let Some(file) = model.file() {
            memory.check_module(arch, self.smp.cores(), file)?;
        }
        Ok(GuestMachine { kind, accel, memory, timeout: self.timeout })
    }
}

/// Writes a report where `given` says, else under its name among the reports, and prints its path.
fn keep(workspace: &Workspace, given: Option<&Path>, name: &str, bytes: &[u8]) -> Result<()> {
    let path = given.map_or_else(|| workspace.reports().join(name), Path::to_owned);
    let shown = path.display();
    match given {
        Some(_) => fs::write(&path, bytes).with_context(|| format!("cannot write {shown}"))?,
        None => workspace::replace_file(&path, |file| Ok(file.write_all(bytes)?))?,
    }
    println!("{shown}");
    Ok(())
}

/// The median of `values`; of an even number, the mean of the two middle ones.
///
/// # Panics
/// When `values` is empty.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[upper - 1], values[upper])
    } else {
        values[upper]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
        assert_eq!(median(vec![5.0]), 5.0);
    }
}
