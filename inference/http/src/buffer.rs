//! A queue of bytes that is read as one slice.

use alloc::vec::Vec;

/// Capacity that an empty buffer keeps.
const KEPT: usize = 4 << 10;

/// Bytes put in at the end and taken at the beginning.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    /// Bytes at the beginning that were taken.
    taken: usize,
}

impl Buffer {
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn put(&mut self, bytes: &[u8]) {
        if self.taken > 0 && self.bytes.len() + bytes.len() > self.bytes.capacity() {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes up to `count` bytes.
    pub fn take(&mut self, count: usize) {
        self.taken += count.min(self.len());
        if self.taken == self.bytes.len() {
            self.clear();
        }
    }

    pub fn clear(&mut self) {
        self.taken = 0;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut buffer = Buffer::default();
        let mut put = 0u8;
        let mut taken = 0u8;
        for round in 0..200usize {
            let bytes: Vec<u8> = (0..round % 7).map(|index| put.wrapping_add(index as u8)).collect();
            put = put.wrapping_add(bytes.len() as u8);
            buffer.put(&bytes);
            let count = (round * 5 % 11).min(buffer.len());
            for &byte in &buffer.as_slice()[..count] {
                assert_eq!(byte, taken);
                taken = taken.wrapping_add(1);
            }
            buffer.take(count);
        }
        buffer.take(usize::MAX);
        assert!(buffer.is_empty());
    }
}
