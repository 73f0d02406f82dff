//! The host's processors, as Linux describes them under `/sys/devices/system/cpu`.

use std::fs;
use std::vec::Vec;

use embodios_pool::platform::{Core, FULL_CAPACITY};

/// Numbers of the processors that the calling thread may run on; none where the system does not say.
pub fn processors() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|&processor| set.is_set(processor)).collect()
}

/// Those processors as cores. What the system does not tell is taken as one package of equal cores without
/// hyper-threads.
pub fn cores(processors: &[usize]) -> Vec<Core> {
    let mut physical = Vec::new();
    let mut cores = Vec::new();
    for (index, &processor) in processors.iter().enumerate() {
        let package = number(processor, "topology/physical_package_id").unwrap_or(0);
        let key = (package, number(processor, "topology/core_id").unwrap_or(processor as u32));
        let known = physical.iter().position(|&other| other == key).unwrap_or_else(|| {
            physical.push(key);
            physical.len() - 1
        });
        let capacity = number(processor, "cpu_capacity").and_then(|capacity| u16::try_from(capacity).ok());
        cores.push(Core {
            hardware_id: processor as u64,
            online: true,
            package,
            physical: known as u32,
            capacity: capacity.unwrap_or(FULL_CAPACITY),
            housekeeping: index == 0,
        });
    }
    cores
}

fn number(processor: usize, file: &str) -> Option<u32> {
    let path = std::format!("/sys/devices/system/cpu/cpu{processor}/{file}");
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
