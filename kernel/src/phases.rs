//! End times of the boot's phases, kept in memory and printed at the end under `log=info`: printing while the boot
//! goes on would be most of the measured time.

use crate::time::Instant;
use heapless::Vec;
use spin::Mutex;

/// Phases kept; later ones are dropped.
const MAX_PHASES: usize = 16;

static PHASES: Mutex<Vec<(&str, u64), MAX_PHASES>> = Mutex::new(Vec::new());

/// Notes that `name` is done now.
pub fn done(name: &'static str) {
    // A full list keeps what it has.
    let _ = PHASES.lock().push((name, Instant::now().counter()));
}

/// Logs the time from `entry_counter` to each phase's end.
pub fn report(entry_counter: u64) {
    if !log::log_enabled!(log::Level::Info) {
        return;
    }
    let entry = Instant::from_counter(entry_counter);
    for &(name, counter) in PHASES.lock().iter() {
        let microseconds = Instant::from_counter(counter).since(entry).as_micros();
        log::info!("{microseconds:>7} us {name}");
    }
}
