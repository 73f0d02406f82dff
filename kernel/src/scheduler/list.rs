//! Lists of thread slots that need no memory of their own: the links of all slots are one table, made at boot, so
//! that no queue can grow past it and none can fail.
//!
//! A slot is in at most one list of a table at a time.

use alloc::vec::Vec;

/// The link at the end of a list.
const END: u32 = u32::MAX;

/// A slot's neighbours.
#[derive(Clone, Copy, Debug)]
struct Link {
    previous: u32,
    next: u32,
}

const UNLINKED: Link = Link { previous: END, next: END };

/// A first and a last slot; the links between them are in [`Links`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    first: u32,
    last: u32,
}

impl List {
    /// No slot.
    pub const EMPTY: Self = Self { first: END, last: END };

    /// The first slot.
    #[must_use]
    pub const fn first(&self) -> Option<usize> {
        slot(self.first)
    }
}

const fn slot(link: u32) -> Option<usize> {
    if link == END { None } else { Some(link as usize) }
}

/// The links of every slot, for lists that exclude each other.
#[derive(Debug)]
pub struct Links {
    links: Vec<Link>,
}

impl Links {
    /// No slots.
    #[must_use]
    pub const fn none() -> Self {
        Self { links: Vec::new() }
    }

    /// Room for the links of `slots` slots: [`Self::add`] takes it.
    #[must_use]
    pub fn with_room(slots: usize) -> Self {
        Self { links: Vec::with_capacity(slots) }
    }

    /// Adds the next slot, in no list.
    pub fn add(&mut self) {
        debug_assert!(self.links.len() < self.links.capacity(), "room was made at boot");
        self.links.push(UNLINKED);
    }

    /// Links of `slots` slots, none of them in a list.
    #[cfg(test)]
    pub fn of(slots: usize) -> Self {
        let mut links = Self::with_room(slots);
        (0..slots).for_each(|_| links.add());
        links
    }

    /// Takes all slots out of their lists, which are empty from now on.
    pub fn clear(&mut self) {
        self.links.fill(UNLINKED);
    }

    /// Puts a slot that is in no list behind `place` of `list`, or first.
    pub fn insert_after(&mut self, list: &mut List, place: Option<usize>, slot: usize) {
        let next = match place {
            Some(place) => core::mem::replace(&mut self.links[place].next, slot as u32),
            None => core::mem::replace(&mut list.first, slot as u32),
        };
        self.links[slot] = Link { previous: place.map_or(END, |place| place as u32), next };
        match self::slot(next) {
            Some(next) => self.links[next].previous = slot as u32,
            None => list.last = slot as u32,
        }
    }

    /// Puts a slot that is in no list behind all of `list`.
    pub fn push(&mut self, list: &mut List, slot: usize) {
        self.insert_after(list, self::slot(list.last), slot);
    }

    /// Takes a slot out of `list`, in which it is.
    pub fn remove(&mut self, list: &mut List, slot: usize) {
        let Link { previous, next } = core::mem::replace(&mut self.links[slot], UNLINKED);
        match self::slot(previous) {
            Some(previous) => self.links[previous].next = next,
            None => list.first = next,
        }
        match self::slot(next) {
            Some(next) => self.links[next].previous = previous,
            None => list.last = previous,
        }
    }

    /// The slot behind `slot` in its list.
    #[must_use]
    pub fn next(&self, slot: usize) -> Option<usize> {
        self::slot(self.links[slot].next)
    }

    /// The slots of `list`, the first first.
    pub fn iter(&self, list: &List) -> impl Iterator<Item = usize> + '_ {
        core::iter::successors(list.first(), |&slot| self.next(slot))
    }

    /// The slots of `list`, the last first.
    pub fn backwards(&self, list: &List) -> impl Iterator<Item = usize> + '_ {
        core::iter::successors(slot(list.last), |&at| slot(self.links[at].previous))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        /// Against a plain list.
        #[test]
        fn behaves_as_a_list(steps in prop::collection::vec((0u8..3, 0usize..12), 1..100)) {
            let (mut links, mut list) = (Links::of(12), List::EMPTY);
            let mut model: Vec<usize> = Vec::new();
            for (action, slot) in steps {
                match model.iter().position(|&other| other == slot) {
                    Some(place) => {
                        links.remove(&mut list, slot);
                        model.remove(place);
                    }
                    None if action == 0 => {
                        let place = model.get(slot / 2).copied();
                        links.insert_after(&mut list, place, slot);
                        model.insert(place.map_or(0, |_| slot / 2 + 1), slot);
                    }
                    None => {
                        links.push(&mut list, slot);
                        model.push(slot);
                    }
                }
                prop_assert_eq!(&links.iter(&list).collect::<Vec<_>>(), &model);
                model.reverse();
                prop_assert_eq!(&links.backwards(&list).collect::<Vec<_>>(), &model);
                model.reverse();
                prop_assert_eq!(list.first(), model.first().copied());
            }
        }
    }
}
