//! Counters of a core on a host: those of the platform, and those that Linux shows in `/proc`.

use std::fs;
use std::string::String;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec::Vec;

use embodios_pool::platform::{CoreCounters, ThreadId};

/// Counters that Linux does not show, or only mixed with other processes' shares.
pub const UNCOUNTED: &[&str] = &["migrations", "ticks", "idle_ns", "interrupt_ns", "system_calls"];

/// Lines of `/proc/interrupts` that are timers, and that come from other processors, on x86_64 and AArch64.
const TIMERS: [&str; 3] = ["LOC", "arch_timer", "HYPERVISOR_STIMER0"];
const FROM_OTHERS: [&str; 4] = ["RES", "CAL", "TLB", "IPI"];

/// Counters that the platform keeps itself.
#[derive(Debug, Default)]
pub struct Counts {
    pub wakeups_sent: AtomicU64,
    pub wakeups_received: AtomicU64,
    pub refused: AtomicU64,
}

impl Counts {
    /// All figures of a core that is `processor` and has `threads` pinned to it. Switches are those of these threads,
    /// interrupts those of the processor since the system started.
    pub fn read(&self, (processor, threads): &(Option<usize>, Vec<ThreadId>)) -> CoreCounters {
        let mut counters = CoreCounters {
            switches: threads.iter().map(switches).sum(),
            wakeups_sent: self.wakeups_sent.load(Ordering::Relaxed),
            wakeups_received: self.wakeups_received.load(Ordering::Relaxed),
            refused_allocations: self.refused.load(Ordering::Relaxed),
            ..CoreCounters::default()
        };
        if let Some(processor) = processor {
            let table = fs::read_to_string("/proc/interrupts").unwrap_or_default();
            interrupts(&table, *processor, &mut counters);
        }
        counters
    }
}

/// Context switches of a thread, wanted and unwanted.
fn switches(thread: &ThreadId) -> u64 {
    let path = std::format!("/proc/self/task/{thread}/status");
    let status: String = fs::read_to_string(path).unwrap_or_default();
    let lines = status.lines().filter_map(|line| line.split_once("_ctxt_switches:"));
    lines.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum()
}

/// Adds up the column of `processor` in a table like `/proc/interrupts`.
fn interrupts(table: &str, processor: usize, counters: &mut CoreCounters) {
    let mut lines = table.lines();
    let heading = std::format!("CPU{processor}");
    let Some(column) = lines.next().and_then(|head| head.split_whitespace().position(|word| word == heading))
    else {
        return;
    };
    for line in lines {
        let Some((name, rest)) = line.split_once(':') else { continue };
        let Some(count) = rest.split_whitespace().nth(column).and_then(|word| word.parse::<u64>().ok())
        else {
            continue;
        };
        let is = |names: &[&str]| names.iter().any(|known| name.trim().starts_with(known));
        let timer = is(&TIMERS) || TIMERS.iter().any(|known| rest.contains(known));
        let numbered = name.trim().bytes().all(|byte| byte.is_ascii_digit());
        if timer {
            counters.timer_interrupts += count;
        } else if is(&FROM_OTHERS) {
            counters.ipi_interrupts += count;
        } else if numbered {
            counters.device_interrupts += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_right_column() {
        let table = "           CPU0       CPU2\n   1:  5  7  IO-APIC  1-edge  i8042\n  25:  1  2  PCI-MSI  virtio0\n \
                     NMI:  0  9  Non-maskable interrupts\n LOC: 100 200 Local timer interrupts\n \
                     RES: 3 4 Rescheduling\n 11: 1 20 GICv3 27 Level arch_timer\n ERR: 0\n";
        let mut counters = CoreCounters::default();
        interrupts(table, 2, &mut counters);
        let found = (counters.timer_interrupts, counters.ipi_interrupts, counters.device_interrupts);
        assert_eq!(found, (220, 4, 9));
        let mut none = CoreCounters::default();
        interrupts(table, 1, &mut none);
        assert_eq!(none, CoreCounters::default());
    }
}
