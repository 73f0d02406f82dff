//! A cursor over the file's bytes. Every read is checked; arithmetic cannot overflow.

use crate::Fault;

/// The bytes and how far they are read.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Bytes read so far.
    pub(super) const fn offset(&self) -> u64 {
        self.offset as u64
    }

    /// Bytes not read yet.
    const fn left(&self) -> u64 {
        (self.bytes.len() - self.offset) as u64
    }

    /// Refuses a count of entries of at least `minimum` bytes each that cannot fit the rest.
    pub(super) const fn check_count(&self, claimed: u64, minimum: u64) -> Result<(), Fault> {
        let possible = self.left() / minimum;
        if claimed > possible { Err(Fault::Count { claimed, possible }) } else { Ok(()) }
    }

    /// The next `length` bytes.
    pub(super) fn take(&mut self, length: u64) -> Result<&'a [u8], Fault> {
        let left = self.left();
        if length > left {
            return Err(Fault::Truncated { needed: length, left });
        }
        let start = self.offset;
        self.offset += length as usize;
        Ok(&self.bytes[start..self.offset])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A string's bytes: a 64-bit length, then the bytes.
    pub(super) fn string(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.u64()?;
        self.take(length)
    }

    /// A name of at most `limit` bytes, checked to be UTF-8.
    pub(super) fn name(&mut self, limit: u64) -> Result<&'a str, Fault> {
        let bytes = without_nul(self.string()?);
        if bytes.len() as u64 > limit {
            return Err(Fault::TooLong { length: bytes.len() as u64, limit });
        }
        core::str::from_utf8(bytes).map_err(|_| Fault::NotUtf8)
    }
}

/// A string without the NULs that some writers end it with, as a reader in C sees it.
pub(super) fn without_nul(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., 0] = text {
        text = rest;
    }
    text
}
