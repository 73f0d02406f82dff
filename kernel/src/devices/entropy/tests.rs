//! The driver against devices that work and devices that do not.

use super::*;
use crate::devices::transport::fake::{Fake, Manners};

const VERSION_1: u64 = 1 << 32;

fn entropy(manners: Manners) -> Entropy {
    Entropy { transport: Box::new(Fake::new(manners)), page: SharedMemory::of_test(PAGE) }
}

fn working(answer: (u64, u32)) -> Entropy {
    entropy(Manners { offered: VERSION_1, entries: 8, answers: Some(answer), ..Manners::default() })
}

#[test]
fn a_number_is_the_devices_and_stands_nowhere_after() {
    let mut device = working((0x0123_4567_89ab_cdef, 8));
    for _ in 0..2 {
        assert_eq!(device.number(), Ok(0x0123_4567_89ab_cdef));
        assert_eq!(device.page.word::<AtomicU64>(place::NUMBER).load(Ordering::Relaxed), 0);
        assert_eq!(device.transport.status(), 0, "it reaches memory no more");
    }
}

#[test]
fn a_device_that_does_not_answer_is_named_and_reset() {
    let silent = Manners { offered: VERSION_1, entries: 8, ..Manners::default() };
    let legacy = Manners { entries: 8, ..Manners::default() };
    let short = Manners { offered: VERSION_1, ..Manners::default() };
    for (mut device, error) in [
        (entropy(silent), DeviceError::NoAnswer),
        (working((1, 7)), DeviceError::NoAnswer),
        (entropy(legacy), DeviceError::Legacy),
        (entropy(short), DeviceError::ShortQueue { queue: 0, entries: 0 }),
    ] {
        assert_eq!(device.number(), Err(error));
        assert_eq!(device.transport.status(), 0);
    }
}
