//! The engine's tests of what the kernel does for it, run on the booted machine by the console's `test`.

use crate::memory;
use crate::platform::Machine;
use embodios_inference::platform::Platform;

type Outcome = Result<(), alloc::string::String>;

/// A name, and what passes or says why not.
type Test = (&'static str, fn(&Machine) -> Outcome);

const TESTS: &[Test] = &[("engine: memory functions", memory_functions)];

/// Runs all tests; how many passed and failed.
pub fn run(machine: &Machine) -> (u32, u32) {
    let mut failed = 0;
    for (name, test) in TESTS {
        let line = match test(machine) {
            Ok(()) => alloc::format!("test {name} ... ok\n"),
            Err(why) => {
                failed += 1;
                alloc::format!("test {name} ... FAILED: {why}\n")
            }
        };
        machine.write(line.as_bytes());
    }
    (TESTS.len() as u32 - failed, failed)
}

fn memory_functions(_: &Machine) -> Outcome {
    if memory::check() { Ok(()) } else { Err("they differ from plain loops".into()) }
}
