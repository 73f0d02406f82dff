//! The threads that wait for one core: a first-in, first-out queue for every priority.

use super::list::{Links, List};
use embodios_abi::PRIORITIES;

/// Slots of threads that are ready to run. The links between them are the caller's, the same at every call.
#[derive(Debug)]
pub struct RunQueue {
    /// Bit `p` is set while `queues[p]` holds a thread.
    occupied: u32,
    queues: [List; PRIORITIES as usize],
    length: usize,
}

impl Default for RunQueue {
    fn default() -> Self {
        Self { occupied: 0, queues: [List::EMPTY; PRIORITIES as usize], length: 0 }
    }
}

impl RunQueue {
    /// Puts a thread behind those of its priority.
    pub fn push(&mut self, links: &mut Links, priority: u8, slot: usize) {
        links.push(&mut self.queues[usize::from(priority)], slot);
        self.occupied |= 1 << priority;
        self.length += 1;
    }

    /// The first thread of the highest priority.
    #[must_use]
    pub fn first(&self) -> Option<usize> {
        self.queues[usize::from(self.highest()?)].first()
    }

    /// The threads of `priority`, the first first.
    pub fn iter(&self, links: &Links, priority: u8) -> impl Iterator<Item = usize> {
        links.iter(&self.queues[usize::from(priority)])
    }

    /// Takes out a thread of `priority`, which is here.
    pub fn remove(&mut self, links: &mut Links, priority: u8, slot: usize) {
        let queue = &mut self.queues[usize::from(priority)];
        links.remove(queue, slot);
        if *queue == List::EMPTY {
            self.occupied &= !(1 << priority);
        }
        self.length -= 1;
    }

    /// The highest priority of a thread in it.
    #[must_use]
    pub const fn highest(&self) -> Option<u8> {
        match self.occupied {
            0 => None,
            bits => Some(31 - bits.leading_zeros() as u8),
        }
    }

    /// The priorities of the threads in it, as bits.
    #[must_use]
    pub const fn priorities(&self) -> u32 {
        self.occupied
    }

    /// Number of threads.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        /// Against a plain list, sorted by priority and then by arrival.
        #[test]
        fn serves_by_priority_and_then_by_arrival(steps in prop::collection::vec((0u8..4, 0u8..32), 1..200)) {
            let (mut queue, mut links) = (RunQueue::default(), Links::of(200));
            let mut model: Vec<(u8, usize)> = Vec::new();
            for (slot, (action, priority)) in steps.into_iter().enumerate() {
                match action {
                    0 => {
                        let top = model.iter().map(|entry| entry.0).max();
                        let place = model.iter().position(|entry| Some(entry.0) == top);
                        let expected = place.map(|place| model.remove(place));
                        let first = queue.first();
                        prop_assert_eq!(first, expected.map(|entry| entry.1));
                        if let Some((priority, slot)) = expected {
                            queue.remove(&mut links, priority, slot);
                        }
                    }
                    1 => {
                        let found = model.iter().find(|&&(p, slot)| p == priority && slot % 2 == 0);
                        prop_assert_eq!(
                            queue.iter(&links, priority).find(|slot| slot % 2 == 0),
                            found.map(|entry| entry.1)
                        );
                    }
                    _ => {
                        queue.push(&mut links, priority, slot);
                        model.push((priority, slot));
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.highest(), model.iter().map(|entry| entry.0).max());
            }
        }
    }
}
