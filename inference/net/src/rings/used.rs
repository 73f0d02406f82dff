//! A used ring, which its device writes and is not trusted with.

use core::fmt;

use super::{Area, BUFFERS, ENTRIES, INDEX, Shared};

/// Bytes of an entry: buffer, length.
pub(super) const ENTRY: usize = 8;
/// Buffers that a device may lose of a queue by naming wrong ones before it counts as broken.
pub(super) const MAX_LOST: u16 = BUFFERS / 4;

/// Reason that a device has to be reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It says that it has used more buffers than it was given.
    Index {
        /// The ring.
        area: Area,
        /// Buffers it says it has used.
        used: u16,
        /// Buffers it had.
        given: u16,
    },
    /// It has named too many buffers that it did not have.
    Buffers(Area),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |area: &Area| if *area == Area::SendUsed { "sending" } else { "receiving" };
        match self {
            Self::Index { area, used, given } => {
                write!(f, "{} queue: {used} buffers used of {given} given", name(area))
            }
            Self::Buffers(area) => {
                write!(f, "{} queue: buffers used that the device did not have", name(area))
            }
        }
    }
}

impl core::error::Error for Broken {}

/// Used ring of a queue, as far as it was read.
#[derive(Debug)]
pub(super) struct Used {
    area: Area,
    /// Index of the next entry.
    pub(super) next: u16,
    /// Index behind the last buffer given.
    pub(super) given: u16,
    /// Which buffers the device has.
    has: [bool; BUFFERS as usize],
    /// Buffers that it will never give back.
    lost: u16,
}

impl Used {
    pub(super) fn new(area: Area) -> Self {
        Self { area, next: 0, given: 0, has: [false; BUFFERS as usize], lost: 0 }
    }

    /// Gives a buffer.
    pub(super) fn give(&mut self, buffer: u16) {
        self.has[usize::from(buffer)] = true;
        self.given = self.given.wrapping_add(1);
    }

    /// Buffers that the device says it has used.
    pub(super) fn pending(&self, shared: &impl Shared) -> Result<u16, Broken> {
        let used = shared.load(self.area, INDEX).wrapping_sub(self.next);
        let given = self.given.wrapping_sub(self.next);
        if used > given { Err(Broken::Index { area: self.area, used, given }) } else { Ok(used) }
    }

    /// Takes the next entry: the buffer and its length. Ok(None): the device did not have it.
    pub(super) fn take(&mut self, shared: &impl Shared) -> Result<Option<(u16, u32)>, Broken> {
        let entry = ENTRIES + ENTRY * usize::from(self.next % BUFFERS);
        let (buffer, length) = (shared.load_wide(self.area, entry), shared.load_wide(self.area, entry + 4));
        self.next = self.next.wrapping_add(1);
        let buffer = u16::try_from(buffer).ok().filter(|buffer| *buffer < BUFFERS);
        if let Some(buffer) = buffer
            && core::mem::take(&mut self.has[usize::from(buffer)])
        {
            return Ok(Some((buffer, length)));
        }
        self.lost += 1;
        if self.lost > MAX_LOST { Err(Broken::Buffers(self.area)) } else { Ok(None) }
    }
}
