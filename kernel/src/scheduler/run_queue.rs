//! The threads that wait for one core: a first-in, first-out queue for every priority.

use alloc::collections::VecDeque;
use embodios_abi::PRIORITIES;

/// Slots of threads that are ready to run.
#[derive(Debug, Default)]
pub struct RunQueue {
    /// Bit `p` says that `queues[p]` holds somebody.
    occupied: u32,
    queues: [VecDeque<usize>; PRIORITIES as usize],
    length: usize,
}

impl RunQueue {
    /// Puts a thread behind those of its priority.
    pub fn push(&mut self, priority: u8, slot: usize) {
        self.queues[usize::from(priority)].push_back(slot);
        self.occupied |= 1 << priority;
        self.length += 1;
    }

    /// The first thread of the highest priority.
    #[must_use]
    pub fn first(&self) -> Option<usize> {
        self.find(self.highest()?, |_| true)
    }

    /// The first thread of `priority` that `wanted` wants.
    pub fn find(&self, priority: u8, wanted: impl Fn(usize) -> bool) -> Option<usize> {
        self.queues[usize::from(priority)].iter().copied().find(|&slot| wanted(slot))
    }

    /// Takes a thread of `priority` out; whether it was there.
    pub fn remove(&mut self, priority: u8, slot: usize) -> bool {
        let queue = &mut self.queues[usize::from(priority)];
        let Some(place) = queue.iter().position(|&other| other == slot) else { return false };
        queue.remove(place);
        if queue.is_empty() {
            self.occupied &= !(1 << priority);
        }
        self.length -= 1;
        true
    }

    /// The highest priority that somebody has.
    #[must_use]
    pub const fn highest(&self) -> Option<u8> {
        match self.occupied {
            0 => None,
            bits => Some(31 - bits.leading_zeros() as u8),
        }
    }

    /// The priorities that somebody has, as bits.
    #[must_use]
    pub const fn priorities(&self) -> u32 {
        self.occupied
    }

    /// How many wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Forgets everybody.
    pub fn clear(&mut self) {
        self.queues.iter_mut().for_each(VecDeque::clear);
        (self.occupied, self.length) = (0, 0);
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
            let mut queue = RunQueue::default();
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
                            prop_assert!(queue.remove(priority, slot));
                            prop_assert!(!queue.remove(priority, slot));
                        }
                    }
                    1 => {
                        let found = model.iter().find(|&&(p, slot)| p == priority && slot % 2 == 0);
                        prop_assert_eq!(queue.find(priority, |slot| slot % 2 == 0), found.map(|entry| entry.1));
                    }
                    _ => {
                        queue.push(priority, slot);
                        model.push((priority, slot));
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.highest(), model.iter().map(|entry| entry.0).max());
            }
        }
    }
}
