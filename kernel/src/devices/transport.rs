//! The way to a virtio device's registers, and its set-up (virtio 1.2, 3.1), the same by MMIO and by PCI.
//!
//! The crate `virtio-drivers` has both too. These are our own for what it lacks: an MSI-X vector a queue, a doorbell of
//! one store, a bounded wait for a reset, and no panic over what a device says of itself.

#[cfg(test)]
pub mod fake;
mod mmio;
mod pci;

use crate::time::Instant;
use core::fmt;
use core::time::Duration;
pub use mmio::Mmio;
pub use pci::{Pci, QUEUES};

/// Device status bits (2.1).
pub mod status {
    /// The driver has found the device.
    pub const ACKNOWLEDGE: u8 = 1;
    /// The driver knows how to drive it.
    pub const DRIVER: u8 = 2;
    /// It is set up.
    pub const DRIVER_OK: u8 = 4;
    /// Its features have been chosen.
    pub const FEATURES_OK: u8 = 8;
}

/// The feature of every device since version 1.0 (6).
const VERSION_1: u64 = 1 << 32;

/// Time that a device has for its reset. QEMU needs microseconds, hardware may need some milliseconds.
const RESET_TIME: Duration = Duration::from_secs(1);

/// The reason for which a device is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceError {
    /// It does not end its reset.
    StuckInReset,
    /// It is a virtio device of before version 1.0.
    Legacy,
    /// It does not accept the features chosen from what it offers.
    FeaturesRefused,
    /// A queue of it is shorter than the driver's.
    ShortQueue {
        /// The queue.
        queue: u16,
        /// Its entries.
        entries: u32,
    },
    /// Its doorbell, or another register, is not where registers are.
    OutsideRegisters,
    /// It does not take an interrupt vector.
    NoVector,
    /// It leaves a request unanswered.
    NoAnswer,
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StuckInReset => write!(f, "it does not end its reset"),
            Self::Legacy => write!(
                f,
                "it is a virtio device of before version 1.0 (QEMU: -global virtio-mmio.force-legacy=false)"
            ),
            Self::FeaturesRefused => write!(f, "it refuses features that it offers"),
            Self::ShortQueue { queue, entries } => write!(f, "its queue {queue} has only {entries} entries"),
            Self::OutsideRegisters => write!(f, "it names registers outside its own"),
            Self::NoVector => write!(f, "it takes no interrupt vector"),
            Self::NoAnswer => write!(f, "it leaves a request unanswered"),
        }
    }
}

/// Physical addresses of a queue's parts (2.7).
#[derive(Clone, Copy, Debug)]
pub struct Rings {
    /// Descriptor table.
    pub descriptors: u64,
    /// Available ring, the driver's.
    pub available: u64,
    /// Used ring, the device's.
    pub used: u64,
}

/// A way to a device's registers.
pub trait Transport: Send {
    /// Offsets into the feature bits that the device offers, 32 a word.
    fn offered(&self, word: u32) -> u32;
    /// Chooses 32 feature bits.
    fn choose(&self, word: u32, bits: u32);
    /// The device status.
    fn status(&self) -> u8;
    /// Sets it.
    fn set_status(&self, status: u8);
    /// Sets queue `queue` up with `entries` entries, and an interrupt where it is `interrupting`.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn set_queue(
        &mut self,
        queue: u16,
        entries: u16,
        rings: Rings,
        interrupting: bool,
    ) -> Result<(), DeviceError>;
    /// Tells the device to look at a queue that was set up.
    fn notify(&self, queue: u16);
    /// Ends the device's interrupt, so that its line is quiet.
    fn acknowledge(&self);
    /// A byte of the device's own configuration.
    fn configuration(&self, offset: u64) -> u8;
}

/// Resets a device: it reaches no memory from then on.
///
/// # Errors
/// [`DeviceError::StuckInReset`].
pub fn reset(transport: &dyn Transport) -> Result<(), DeviceError> {
    transport.set_status(0);
    let deadline = Instant::now() + RESET_TIME;
    while transport.status() != 0 {
        if Instant::now() > deadline {
            return Err(DeviceError::StuckInReset);
        }
        core::hint::spin_loop();
    }
    Ok(())
}

/// Resets a device and chooses `wanted` among the features that it offers; those chosen.
///
/// # Errors
/// [`DeviceError`].
pub fn begin(transport: &dyn Transport, wanted: u64) -> Result<u64, DeviceError> {
    reset(transport)?;
    transport.set_status(status::ACKNOWLEDGE | status::DRIVER);
    let offered = u64::from(transport.offered(0)) | u64::from(transport.offered(1)) << 32;
    if offered & VERSION_1 == 0 {
        return Err(DeviceError::Legacy);
    }
    let chosen = offered & (wanted | VERSION_1);
    transport.choose(0, chosen as u32);
    transport.choose(1, (chosen >> 32) as u32);
    transport.set_status(status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK);
    match transport.status() & status::FEATURES_OK {
        0 => Err(DeviceError::FeaturesRefused),
        _ => Ok(chosen),
    }
}

/// Ends the set-up: the device is live.
pub fn go(transport: &dyn Transport) {
    use status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK};
    transport.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}
