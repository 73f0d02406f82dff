//! Statistics of one core, in a page that the kernel writes and the engine reads without a call.

use embodios_seqlock::SeqLock;

pub use embodios_seqlock::Count;

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
    /// Counter value when the core halted; 0 while it runs. Not yet part of `idle_ticks`.
    idle_since,
}

/// One core's record, at the start of page `core` of [`crate::layout::STATISTICS`].
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct CoreStatistics(SeqLock<Counts>);

impl CoreStatistics {
    /// All figures as of one moment.
    #[must_use]
    pub fn read(&self) -> CoreCounts {
        self.0.read(Counts::read)
    }

    /// Changes figures. Only the core itself calls this, and never from inside `change`.
    pub fn update(&self, change: impl FnOnce(&Counts)) {
        self.0.update(change);
    }
}
