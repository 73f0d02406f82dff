//! What happened on one core, in a page that the kernel writes and the engine reads without a call.
//!
//! A sequence lock makes reads consistent (H.-J. Boehm, "Can seqlocks get along with programming language memory
//! models?", MSPC 2012): the number is odd while its core writes, and a reader whose number changed reads again.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// A figure that its core changes and anyone reads.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Count(AtomicU64);

impl Count {
    /// What it is now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds to it. Its one writer needs no atomic addition.
    pub fn add(&self, amount: u64) {
        self.set(self.get().wrapping_add(amount));
    }
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Figures of one core since the machine started. Times are in ticks of the counter that user code reads.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct CoreCounts {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The same, as they are kept.
        #[derive(Debug, Default)]
        #[repr(C)]
        pub struct Counts {
            $($(#[$doc])* pub $name: Count,)*
        }

        impl Counts {
            fn read(&self) -> CoreCounts {
                CoreCounts { $($name: self.$name.get(),)* }
            }
        }
    };
}

counts! {
    /// Times a thread was put on the core.
    switches,
    /// Those among them whose thread had run on another core before.
    migrations,
    /// Times a thread lost the core because its quantum was used up.
    ticks,
    /// Timer interrupts: ends of quanta and of waits.
    timer_interrupts,
    /// Interrupts from other cores.
    ipi_interrupts,
    /// Interrupts from devices.
    device_interrupts,
    /// Threads that calls of this core woke.
    wakeups_sent,
    /// Threads that were woken and then put on this core.
    wakeups_received,
    /// Interrupts sent to other cores.
    ipis_sent,
    /// System calls served.
    system_calls,
    /// Ticks halted, without the interrupts that came meanwhile.
    idle_ticks,
    /// Ticks spent in interrupts.
    interrupt_ticks,
    /// Memory grants to the core, and threads for it, that were refused because it was reserved.
    refused_allocations,
    /// What the counter showed when the core halted; 0 while it does not. Not yet part of `idle_ticks`.
    idle_since,
}

/// One core's record, at the start of page `core` of [`crate::layout::STATISTICS`].
#[derive(Debug, Default)]
#[repr(C)]
pub struct CoreStatistics {
    sequence: AtomicU32,
    counts: Counts,
}

impl CoreStatistics {
    /// All figures as of one moment.
    #[must_use]
    pub fn read(&self) -> CoreCounts {
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            let counts = self.counts.read();
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.sequence.load(Ordering::Relaxed) == before {
                return counts;
            }
            spin_loop();
        }
    }

    /// Changes figures. Only the core itself calls this, and never from inside `change`.
    pub fn update(&self, change: impl FnOnce(&Counts)) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        change(&self.counts);
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn a_reader_never_sees_half_a_change() {
        const CHANGES: u64 = 200_000;
        let statistics = CoreStatistics::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..CHANGES {
                    statistics.update(|counts| {
                        counts.switches.add(1);
                        counts.idle_ticks.add(3);
                    });
                }
            });
            let mut last = 0;
            while last < CHANGES {
                let counts = statistics.read();
                assert_eq!(counts.idle_ticks, 3 * counts.switches);
                assert!(counts.switches >= last);
                last = counts.switches;
            }
        });
    }
}
