//! The body of a request as it arrives: kept up to a limit, or dropped.

use alloc::vec::Vec;

use crate::buffer::Buffer;
use crate::chunked::Chunks;
use crate::fault::Fault;
use crate::framing::Extent;

/// A body on its way.
#[derive(Debug)]
pub struct Body {
    rest: Rest,
    /// Most bytes.
    limit: usize,
    /// Bytes so far.
    pub received: usize,
    /// Those bytes, unless they are dropped.
    kept: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Rest {
    Bytes(usize),
    Chunks(Chunks),
}

impl Body {
    /// A body of up to `limit` bytes, which is kept.
    ///
    /// # Errors
    /// When its head says that it is longer.
    pub fn kept(extent: Extent, limit: usize) -> Result<Self, Fault> {
        match extent {
            Extent::Bytes(bytes) if bytes > limit => Err(Fault::LongBody(limit)),
            _ => Ok(Self { kept: Some(Vec::new()), ..Self::dropped(extent, limit) }),
        }
    }

    /// A body that nobody wants.
    pub const fn dropped(extent: Extent, limit: usize) -> Self {
        let rest = match extent {
            Extent::Bytes(bytes) => Rest::Bytes(bytes),
            Extent::Chunks => Rest::Chunks(Chunks::new()),
        };
        Self { rest, limit, received: 0, kept: None }
    }

    /// Most bytes that it can come to hold.
    pub const fn reserved(&self) -> usize {
        match (&self.kept, &self.rest) {
            (None, _) => 0,
            (Some(_), Rest::Bytes(left)) => self.received + *left,
            (Some(_), Rest::Chunks(_)) => self.limit,
        }
    }

    /// Takes what is the body's of `input`. Result: whether it is whole.
    ///
    /// # Errors
    /// When it is longer than it may be, or not what its head said, or there is no memory for it.
    pub fn take(&mut self, input: &mut Buffer) -> Result<bool, Fault> {
        let Self { rest, limit, received, kept } = self;
        let mut data = |bytes: &[u8]| {
            *received = received.saturating_add(bytes.len());
            if received > limit {
                return Err(Fault::LongBody(*limit));
            }
            if let Some(kept) = kept {
                kept.try_reserve(bytes.len()).map_err(|_| Fault::OutOfMemory)?;
                kept.extend_from_slice(bytes);
            }
            Ok(())
        };
        match rest {
            Rest::Bytes(left) => {
                let bytes = input.as_slice();
                let bytes = bytes.get(..*left).unwrap_or(bytes);
                data(bytes)?;
                *left -= bytes.len();
                let (taken, is_whole) = (bytes.len(), *left == 0);
                input.take(taken);
                Ok(is_whole)
            }
            Rest::Chunks(chunks) => {
                let taken = chunks.take(input.as_slice(), &mut data)?;
                input.take(taken);
                Ok(chunks.is_over())
            }
        }
    }

    /// The bytes that were kept.
    pub fn into_bytes(self) -> Vec<u8> {
        self.kept.unwrap_or_default()
    }
}
