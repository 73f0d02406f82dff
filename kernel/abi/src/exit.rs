//! The machine's exit status and how an emulator's process status carries it.

/// The reason for the machine's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// Powered off as asked; every command and test passed.
    Success,
    /// Powered off as asked; a command of the script or a test failed.
    Failure,
    /// The kernel panicked.
    Panic,
}

impl ExitStatus {
    /// The value handed to the machine's exit device.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Success => 16,
            Self::Failure => 17,
            Self::Panic => 18,
        }
    }

    /// The emulator's process status on both architectures. QEMU's `isa-debug-exit` ends the process
    /// with `(value << 1) | 1`; the AArch64 side passes the same number through semihosting. It is
    /// never 0 or 1, which QEMU uses for itself.
    #[must_use]
    pub const fn process_status(self) -> u32 {
        (self.code() << 1) | 1
    }

    /// The reverse of [`Self::process_status`]; `None` when the status did not come from the kernel.
    #[must_use]
    pub const fn from_process_status(status: u32) -> Option<Self> {
        match status {
            33 => Some(Self::Success),
            35 => Some(Self::Failure),
            37 => Some(Self::Panic),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ExitStatus;

    #[test]
    fn process_status_survives_the_round_trip() {
        for status in [ExitStatus::Success, ExitStatus::Failure, ExitStatus::Panic] {
            assert_eq!(ExitStatus::from_process_status(status.process_status()), Some(status));
        }
        for foreign in [0, 1, 2, 101, 124, 137] {
            assert_eq!(ExitStatus::from_process_status(foreign), None);
        }
    }
}
