//! The vector that a layer multiplies its matrices with: as f32, and quantised in blocks of 32.
//!
//! A block is `scale * level` with levels of 15 bits and `scale = max|x| / 16256`. Each level is held as two
//! signed bytes, `128 * high + low`, because processors multiply bytes best; with the high bytes alone the
//! engine would be as far from exact arithmetic as other engines with 8-bit activations, with both it
//! is some 50 times closer, for a second multiplication of weights that are already unpacked.
//! Rounding is to nearest, ties to even, by plain additions, so that every architecture gives the same levels.

use alloc::vec::Vec;

use crate::matrix::BLOCK;
use crate::memory::{OutOfMemory, filled};

/// Blocks are kept in whole groups of this many, padded with zeros: what one step of a kernel reads.
pub const GROUP: usize = 4;

/// The largest level: 127 in the high byte, 0 in the low one.
const MAX_LEVEL: f32 = 16_256.0;

/// Adding this to a float below 2^22 in magnitude leaves its nearest integer in the low mantissa bits.
const ROUND: f32 = 12_582_912.0;

/// The levels of a block, as two bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Levels {
    /// -127..=127, worth 128 each.
    pub high: [i8; BLOCK],
    /// -64..=63.
    pub low: [i8; BLOCK],
}

impl Levels {
    const ZERO: Self = Self { high: [0; BLOCK], low: [0; BLOCK] };
}

/// The sums of a group's levels, by half: first those of the blocks' first halves.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct HalfSums {
    /// Sums of 16 levels.
    pub sums: [[i32; GROUP]; 2],
    /// Those times the block's scale.
    pub scaled: [[f32; GROUP]; 2],
}

/// A vector of up to a fixed length, and its blocks.
#[derive(Debug)]
pub struct Activations {
    values: Vec<f32>,
    levels: Vec<Levels>,
    scales: Vec<f32>,
    sums: Vec<i32>,
    scaled_sums: Vec<f32>,
    half_sums: Vec<HalfSums>,
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
            levels: filled(blocks, Levels::ZERO, what)?,
            scales: filled(blocks, 0.0, what)?,
            sums: filled(blocks, 0, what)?,
            scaled_sums: filled(blocks, 0.0, what)?,
            half_sums: filled(blocks / GROUP, HalfSums::default(), what)?,
            length: 0,
        })
    }

    /// Takes a vector of `length` elements, which `write` writes, and quantises it. Best called inside
    /// [`crate::kernels::Kernels::widest`].
    ///
    /// # Panics
    /// When `length` exceeds the capacity.
    #[inline(always)]
    pub fn set(&mut self, length: usize, write: impl FnOnce(&mut [f32])) {
        write(&mut self.values[..length]);
        let blocks = length.div_ceil(BLOCK).next_multiple_of(GROUP);
        self.values[length..blocks * BLOCK].fill(0.0);
        self.length = length;
        for (index, values) in self.values[..blocks * BLOCK].as_chunks().0.iter().enumerate() {
            let (scale, levels, [first, second]) = quantize(values);
            let sum = first + second;
            self.levels[index] = levels;
            self.scales[index] = scale;
            self.sums[index] = sum;
            self.scaled_sums[index] = scale * sum as f32;
            let halves = &mut self.half_sums[index / GROUP];
            for (half, sum) in [first, second].into_iter().enumerate() {
                halves.sums[half][index % GROUP] = sum;
                halves.scaled[half][index % GROUP] = scale * sum as f32;
            }
        }
    }

    /// The vector.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values[..self.length]
    }

    /// Its blocks' levels; like all below in whole groups of [`GROUP`], the ones past the end 0.
    #[must_use]
    pub fn levels(&self) -> &[Levels] {
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

    /// The sums of the halves of each block's levels.
    #[must_use]
    pub fn half_sums(&self) -> &[HalfSums] {
        &self.half_sums[..self.padded_blocks() / GROUP]
    }

    fn padded_blocks(&self) -> usize {
        self.length.div_ceil(BLOCK).next_multiple_of(GROUP)
    }
}

/// Scale, levels and the sums of the levels of both halves.
#[inline(always)]
fn quantize(values: &[f32; BLOCK]) -> (f32, Levels, [i32; 2]) {
    // Magnitudes compare as integers; a NaN is the largest, so that it survives into the scale.
    let largest = values.iter().fold(0, |largest, value| largest.max(value.to_bits() & 0x7fff_ffff));
    let scale = f32::from_bits(largest) / MAX_LEVEL;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let mut levels = Levels::ZERO;
    let mut whole = [0i32; BLOCK];
    for (level, value) in whole.iter_mut().zip(values) {
        *level = i32::from((value * inverse + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i16);
    }
    for ((level, high), low) in whole.iter().zip(&mut levels.high).zip(&mut levels.low) {
        *high = ((level + 64) >> 7) as i8;
        *low = (level - 128 * i32::from(*high)) as i8;
    }
    let (first, second) = whole.split_at(BLOCK / 2);
    let sums = [first.iter().sum(), second.iter().sum()];
    (scale, levels, sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(levels: &Levels, index: usize) -> i32 {
        128 * i32::from(levels.high[index]) + i32::from(levels.low[index])
    }

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
            let (scale, levels) = (vector.scales()[i / BLOCK], vector.levels()[i / BLOCK]);
            let restored = scale * level(&levels, i % BLOCK) as f32;
            assert!((restored - value).abs() <= scale * 0.501, "{i}: {restored} {value}");
        }
        let second = vector.levels()[1];
        assert_eq!((0..BLOCK).map(|i| level(&second, i)).sum::<i32>(), vector.sums()[1]);
        assert_eq!(level(&second, 7), 16_256);
        assert_eq!((8..BLOCK).map(|i| level(&second, i)).max(), Some(0));
    }

    #[test]
    fn extremes_keep_their_meaning() {
        let quantized = |first: f32| {
            let mut values = [0.0; BLOCK];
            values[0] = first;
            quantize(&values)
        };
        assert_eq!(quantized(0.0), (0.0, Levels::ZERO, [0, 0]));
        assert_eq!(quantized(-2.0).2, [-16_256, 0]);
        assert!(quantized(f32::NAN).0.is_nan());
        assert!(quantized(f32::INFINITY).0.is_infinite());
        assert_eq!(quantized(f32::from_bits(1)).1.high[1..], [0; 31]);
    }
}
