//! The commands that describe: cores, memory, counters.

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Display};

use embodios_pool::platform::{CoreSet, Platform};

/// A number of bytes, in the unit that suits it.
pub struct Bytes(pub u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        let Some(power) = self.0.checked_ilog(1024).filter(|&power| power > 0) else {
            return write!(f, "{} bytes", self.0);
        };
        let power = power.min(UNITS.len() as u32);
        let tenths = u128::from(self.0) * 10 / u128::from(1024u64.pow(power));
        write!(f, "{}.{} {}", tenths / 10, tenths % 10, UNITS[power as usize - 1])
    }
}

/// Every core: index, hardware id, place, class, role.
pub fn cpus(platform: &dyn Platform, workers: &CoreSet) -> String {
    let cores = platform.cores();
    let mut text = String::new();
    for (index, core) in cores.iter().enumerate() {
        let state = match (core.online, workers.contains(index)) {
            (false, _) => "did not start",
            (true, true) => "online, worker",
            (true, false) => "online, idle",
        };
        let housekeeping = if core.housekeeping { ", housekeeping" } else { "" };
        text += &format!(
            "cpu {index}: hardware id {:#x}, package {}, physical core {}, capacity {}, {state}{housekeeping}\n",
            core.hardware_id, core.package, core.physical, core.capacity,
        );
    }
    let online = cores.iter().filter(|core| core.online).count();
    text + &format!("{online} of {} online, this is cpu {}\n", cores.len(), platform.current_core())
}

/// The memory figures.
pub fn mem(platform: &dyn Platform) -> String {
    let memory = platform.memory();
    let [total, free, engine] = [memory.total, memory.free, memory.engine].map(Bytes);
    format!("memory {total}, free {free}, engine {engine}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn bytes_carry_their_unit() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (98_362_432, "93.8 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), shown);
        }
    }
}
