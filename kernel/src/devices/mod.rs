//! Devices that the engine uses: found at boot, set up for each engine, reset before the next.
//!
//! The kernel owns registers, reset and descriptor tables; what passes through is the engine's. No address of memory
//! comes from an engine, and the memory that a device reaches is the kernel's for good.

mod discovery;
mod entropy;
mod network;
mod pci;
mod registers;
mod rings;
mod transport;

use crate::board::Places;
use crate::memory::{Memory, MemoryError};
use crate::scheduler::{self, Scheduler};
use crate::sync::{Mutex, shared};
use core::sync::atomic::{AtomicU32, Ordering};
use discovery::Discovery;
use embodios_abi::{Error, NetworkInfo};
use entropy::Entropy;
use network::Network;

shared!(NETWORK: Mutex<Option<Network>> = Mutex::new(None));
shared!(ENTROPY: Mutex<Option<Entropy>> = Mutex::new(None));

/// Interrupt id of the network device.
static NETWORK_INTERRUPT: AtomicU32 = AtomicU32::new(NO_INTERRUPT);
/// No device's interrupt id.
const NO_INTERRUPT: u32 = u32::MAX;

/// Finds the devices at `places`, and has them interrupt the first housekeeping core.
///
/// # Safety
/// The places are this machine's, and nothing else drives what is there; called once.
pub unsafe fn init(places: &Places) {
    // SAFETY: the caller's promise.
    let mut found = unsafe { Discovery::new(places) };
    if let Some((network, interrupt)) = found.network() {
        *NETWORK.lock() = Some(network);
        NETWORK_INTERRUPT.store(interrupt, Ordering::Release);
    }
    *ENTROPY.lock() = found.entropy();
}

/// A random number of the entropy device's; `None` where there is none that works.
pub fn random() -> Option<u64> {
    let mut device = ENTROPY.lock();
    match device.as_mut()?.number() {
        Ok(number) => Some(number),
        Err(error) => {
            log::error!("the entropy device is not used: {error}");
            *device = None;
            None
        }
    }
}

/// Sets the devices up for a fresh engine and maps their memory; the record of the network device, if there is one that
/// works.
///
/// # Errors
/// [`MemoryError::Map`].
pub fn start(memory: &mut Memory) -> Result<Option<NetworkInfo>, MemoryError> {
    let mut network = NETWORK.lock();
    let Some(network) = &mut *network else { return Ok(None) };
    match network.start() {
        Ok(()) => log::info!("{network}"),
        Err(error) => log::error!("the network device is not used: {error}"),
    }
    network.map(memory)
}

/// Resets all devices, after an engine's end and before its memory is used again.
pub fn stop() {
    if let Some(network) = &mut *NETWORK.lock()
        && let Err(error) = network.stop()
    {
        // It reaches memory that is the kernel's for good.
        log::error!("the network device is not used any more: {error}");
    }
}

/// Takes a device's interrupt; false when `id` is none of theirs.
pub fn interrupt(id: u32) -> bool {
    if id != NETWORK_INTERRUPT.load(Ordering::Relaxed) {
        return false;
    }
    if let Some(network) = &*NETWORK.lock() {
        network.interrupt();
    }
    scheduler::change(|scheduler: &mut Scheduler| scheduler.wake(Network::EVENT, u64::MAX));
    true
}

/// Serves [`embodios_abi::Call::Submit`].
///
/// # Errors
/// As it says.
pub fn submit(queue: u64, address: u64, count: u64) -> Result<u64, Error> {
    NETWORK.lock().as_mut().ok_or(Error::NoSuchBuffer)?.submit(queue, address, count)
}
