//! The vector that a layer multiplies its matrices with: as f32, and quantised to 8 bits in blocks of 32.
//!
//! A block is `scale * level` with levels in -127..=127 and `scale = max|x| / 127`. Rounding is to nearest,
//! ties to even, by plain additions, so that every architecture gives the same levels.

use alloc::vec::Vec;

use crate::matrix::BLOCK;
use crate::memory::{OutOfMemory, filled};

/// Blocks are kept in whole groups of this many, padded with zeros: what one step of a kernel reads.
pub const GROUP: usize = 4;

/// Adding this to a float below 2^22 in magnitude leaves its nearest integer in the low mantissa bits.
const ROUND: f32 = 12_582_912.0;

/// A vector of up to a fixed length, and its blocks.
#[derive(Debug)]
pub struct Activations {
    values: Vec<f32>,
    levels: Vec<[i8; BLOCK]>,
    scales: Vec<f32>,
    sums: Vec<i32>,
    scaled_sums: Vec<f32>,
    length: usize,
}

impl Activations {
    /// Room for vectors of `capacity` elements.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(capacity: usize) -> Result<Self, OutOfMemory> {
        let blocks = capacity.div_ceil(BLOCK).next_multiple_of(GROUP);
        let what = "activations";
        Ok(Self {
            values: filled(blocks * BLOCK, 0.0, what)?,
            levels: filled(blocks, [0; BLOCK], what)?,
            scales: filled(blocks, 0.0, what)?,
            sums: filled(blocks, 0, what)?,
            scaled_sums: filled(blocks, 0.0, what)?,
            length: 0,
        })
    }

    /// Takes a vector of `length` elements, which `write` writes, and quantises it.
    ///
    /// # Panics
    /// When `length` exceeds the capacity.
    pub fn set(&mut self, length: usize, write: impl FnOnce(&mut [f32])) {
        write(&mut self.values[..length]);
        let blocks = length.div_ceil(BLOCK).next_multiple_of(GROUP);
        self.values[length..blocks * BLOCK].fill(0.0);
        self.length = length;
        for (index, values) in self.values[..blocks * BLOCK].as_chunks().0.iter().enumerate() {
            let (scale, levels) = quantize(values);
            let sum = levels.iter().map(|&level| i32::from(level)).sum();
            self.levels[index] = levels;
            self.scales[index] = scale;
            self.sums[index] = sum;
            self.scaled_sums[index] = scale * sum as f32;
        }
    }

    /// The vector.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values[..self.length]
    }

    /// Its blocks' levels; like all below in whole groups of [`GROUP`], the ones past the end 0.
    #[must_use]
    pub fn levels(&self) -> &[[i8; BLOCK]] {
        &self.levels[..self.padded_blocks()]
    }

    /// Its blocks' scales.
    #[must_use]
    pub fn scales(&self) -> &[f32] {
        &self.scales[..self.padded_blocks()]
    }

    /// The sum of each block's levels.
    #[must_use]
    pub fn sums(&self) -> &[i32] {
        &self.sums[..self.padded_blocks()]
    }

    /// Each block's scale times the sum of its levels.
    #[must_use]
    pub fn scaled_sums(&self) -> &[f32] {
        &self.scaled_sums[..self.padded_blocks()]
    }

    fn padded_blocks(&self) -> usize {
        self.length.div_ceil(BLOCK).next_multiple_of(GROUP)
    }
}

fn quantize(values: &[f32; BLOCK]) -> (f32, [i8; BLOCK]) {
    // Magnitudes compare as integers; a NaN is the largest, so that it survives into the scale.
    let largest = values.iter().fold(0, |largest, value| largest.max(value.to_bits() & 0x7fff_ffff));
    let scale = f32::from_bits(largest) / 127.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let levels = values.map(|value| (value * inverse + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i8);
    (scale, levels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_the_nearest() {
        let mut vector = Activations::new(64).unwrap();
        vector.set(40, |values| {
            for (i, value) in values.iter_mut().enumerate() {
                *value = (i as f32 - 17.3) * 0.37;
            }
        });
        assert_eq!(vector.levels().len(), GROUP);
        for (i, &value) in vector.values().iter().enumerate() {
            let restored = vector.scales()[i / BLOCK] * f32::from(vector.levels()[i / BLOCK][i % BLOCK]);
            assert!(
                (restored - value).abs() <= vector.scales()[i / BLOCK] * 0.5001,
                "{i}: {restored} {value}"
            );
        }
        assert_eq!(vector.levels()[1][8..], [0; 24]);
        assert_eq!(vector.levels()[1].iter().max(), Some(&127));
    }

    #[test]
    fn extremes_keep_their_meaning() {
        let quantized = |first: f32| {
            let mut values = [0.0; BLOCK];
            values[0] = first;
            quantize(&values)
        };
        assert_eq!(quantized(0.0), (0.0, [0; BLOCK]));
        assert_eq!(quantized(-2.0).1[0], -127);
        assert!(quantized(f32::NAN).0.is_nan());
        assert!(quantized(f32::INFINITY).0.is_infinite());
        assert_eq!(quantized(f32::from_bits(1)).1[1..], [0; 31]);
    }
}
