//! Wrong words in the memory that is shared with the network device: its available ring of receive, buffers, the event
//! word. The machine goes on, whatever the device makes of them.

use core::slice;
use core::sync::atomic::{AtomicU16, Ordering};

use embodios_abi::network::{BUFFER, QUEUE, encode_buffer};
use embodios_abi::{NetworkInfo, Span};

use crate::incarnation;
use crate::random::Random;

/// Words of a page.
const WORDS: u64 = 2048;

fn network() -> Option<&'static NetworkInfo> {
    let Span { address, count } = incarnation::info().networks;
    // SAFETY: the kernel's span of live, read-only records.
    (count > 0).then(|| unsafe { &*(address as *const NetworkInfo) })
}

/// Writes some words, if there is a device.
pub fn scribble(random: &mut Random) {
    let Some(network) = network() else { return };
    let page = random.of(&[network.receive_available, network.event, network.buffers]);
    // SAFETY: each is a page of the engine's to write, shared with a device, and nothing of this program lies there.
    let words = unsafe { slice::from_raw_parts(page as *const AtomicU16, WORDS as usize) };
    // Flags, index and the first entries more often than others.
    let index = if random.one_in(2) { random.below(4) } else { random.below(WORDS) };
    let value = random.of(&[0, 1, QUEUE as u64 - 1, QUEUE as u64, 0x7fff, 0xffff]);
    words[index as usize].store(value as u16, Ordering::Release);
}

/// A word that names a buffer to send, or none.
pub fn buffer(random: &mut Random) -> u64 {
    let buffer = if random.one_in(16) { random.next() as u32 } else { random.below(QUEUE as u64) as u32 };
    let length = random.of(&[0, 12, 13, 60, 1526, BUFFER as u64, BUFFER as u64 + 1, u32::MAX.into()]);
    encode_buffer(buffer, length as u32)
}
