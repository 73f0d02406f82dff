//! Counters that a platform keeps for each core.

/// Figures of one core since the machine (host: the process) started; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreCounters {
    /// Times another thread was switched to.
    pub switches: u64,
    /// Threads that came from another core.
    pub migrations: u64,
    /// Periodic ticks of the scheduler.
    pub ticks: u64,
    /// Timer interrupts, ticks included.
    pub timer_interrupts: u64,
    /// Interrupts from other cores.
    pub ipi_interrupts: u64,
    /// Interrupts from devices.
    pub device_interrupts: u64,
    /// Calls of [`super::Platform::wake`].
    pub wakeups_sent: u64,
    /// Times a thread that waited here was woken.
    pub wakeups_received: u64,
    /// Nanoseconds halted.
    pub idle_ns: u64,
    /// Nanoseconds in interrupts.
    pub interrupt_ns: u64,
    /// System calls.
    pub system_calls: u64,
    /// Memory grants, thread starts and moves refused because the core was reserved.
    pub refused_allocations: u64,
}

impl CoreCounters {
    /// Every figure with its name.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, u64); 12] {
        [
            ("switches", self.switches),
            ("migrations", self.migrations),
            ("ticks", self.ticks),
            ("timer_interrupts", self.timer_interrupts),
            ("ipi_interrupts", self.ipi_interrupts),
            ("device_interrupts", self.device_interrupts),
            ("wakeups_sent", self.wakeups_sent),
            ("wakeups_received", self.wakeups_received),
            ("idle_ns", self.idle_ns),
            ("interrupt_ns", self.interrupt_ns),
            ("system_calls", self.system_calls),
            ("refused_allocations", self.refused_allocations),
        ]
    }
}
