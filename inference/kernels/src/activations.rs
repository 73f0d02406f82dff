//! The vector that a layer multiplies its matrices with: as f32, and quantised.
//!
//! An element is `scale * level` with levels of 15 bits and one `scale = max|x| / 16256` for the vector. Each level
//! is held as two signed bytes, `128 * high + low`, because processors multiply bytes best. Other engines have levels
//! of 8 bits and a scale for each block of 32. Of the square of their rounding error a vector of `n` blocks has at
//! most `n / 128^2`, since the largest block's steps are 128 times finer and no other's are wider than its own; so
//! products take the scale at their end, once, and not for every block.
//! Rounding is to nearest, ties to even, by plain additions, so that every architecture gives the same levels.

use alloc::vec::Vec;
use core::array;

use embodios_gguf::memory::{OutOfMemory, filled};
use wide::i32x4;

use crate::Kernels;
use crate::matrix::BLOCK;

/// Blocks of a group, which one step of a kernel reads; vectors are padded with zeros to whole groups.
pub const GROUP: usize = 4;

/// The largest level: 127 in the high byte, 0 in the low one.
pub(crate) const MAX_LEVEL: f32 = 16_256.0;

/// Adding this to a float below 2^22 in magnitude leaves its nearest integer in the low mantissa bits.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// Elements of half a block.
pub const HALF: usize = BLOCK / 2;

/// A group of blocks of levels. The same half of all blocks stands together, for vectors that hold a group.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Group {
    /// -127..=127, worth 128 each: for each half those of every block.
    pub high: [[[i8; HALF]; GROUP]; 2],
    /// -64..=63.
    pub low: [[[i8; HALF]; GROUP]; 2],
    /// The sum of each block's levels.
    pub sums: [i32; GROUP],
    /// The same numbers; an f32 holds them.
    pub float_sums: [f32; GROUP],
    /// For each half the sum of every block's levels.
    pub half_sums: [[i32; GROUP]; 2],
    /// The same numbers.
    pub float_half_sums: [[f32; GROUP]; 2],
}

impl Group {
    const ZERO: Self = Self {
        high: [[[0; HALF]; GROUP]; 2],
        low: [[[0; HALF]; GROUP]; 2],
        sums: [0; GROUP],
        float_sums: [0.0; GROUP],
        half_sums: [[0; GROUP]; 2],
        float_half_sums: [[0.0; GROUP]; 2],
    };

    /// High and low bytes of block `block`, by half.
    #[must_use]
    #[inline(always)]
    pub const fn levels(&self, block: usize) -> [[&[i8; HALF]; 2]; 2] {
        let Self { high: [high_first, high_second], low: [low_first, low_second], .. } = self;
        [[&high_first[block], &high_second[block]], [&low_first[block], &low_second[block]]]
    }

    /// Quantises all blocks; `inverse` is that of the scale.
    #[inline(always)]
    fn set(&mut self, values: &[f32; GROUP * BLOCK], inverse: f32) {
        for (block, values) in values.as_chunks::<BLOCK>().0.iter().enumerate() {
            for (half, values) in values.as_chunks::<HALF>().0.iter().enumerate() {
                let level =
                    |value: f32| (value * inverse + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i16;
                let levels = values.map(|value| i32::from(level(value)));
                self.high[half][block] = levels.map(|level| ((level + 64) >> 7) as i8);
                self.low[half][block] = levels.map(|level| (level - ((level + 64) >> 7 << 7)) as i8);
                self.half_sums[half][block] = sum_of(levels);
            }
        }
        let [first, second] = self.half_sums;
        self.sums = array::from_fn(|block| first[block] + second[block]);
        let floats = |sums: [i32; GROUP]| sums.map(|sum| sum as f32);
        self.float_half_sums = [floats(first), floats(second)];
        self.float_sums = floats(self.sums);
    }
}

/// By vectors: compilers take an array apart into its elements.
#[inline(always)]
fn sum_of(levels: [i32; HALF]) -> i32 {
    let [first, second, third, fourth]: [i32x4; 4] = bytemuck::cast(levels);
    ((first + second) + (third + fourth)).reduce_add()
}

/// The scale of vectors whose largest magnitude has these bits, and its inverse, the factor of values.
pub(crate) fn scale_of(largest: u32) -> (f32, f32) {
    let scale = f32::from_bits(largest) / MAX_LEVEL;
    (scale, if scale == 0.0 { 0.0 } else { 1.0 / scale })
}

/// Quantises a vector of whole groups of blocks, and returns its scale.
#[inline(always)]
pub(crate) fn quantize(values: &[f32], groups: &mut [Group]) -> f32 {
    // Magnitudes compare as integers; a NaN is the largest, so that it survives into the scale.
    let largest = values.iter().fold(0, |largest, value| largest.max(value.to_bits() & 0x7fff_ffff));
    let (scale, inverse) = scale_of(largest);
    for (values, group) in values.as_chunks::<{ GROUP * BLOCK }>().0.iter().zip(groups) {
        group.set(values, inverse);
    }
    scale
}

/// A vector of up to a fixed length, and its blocks. Each in cache lines of its own: workers set neighbours at once.
#[derive(Debug)]
#[repr(align(128))]
pub struct Activations {
    values: Vec<f32>,
    groups: Vec<Group>,
    scale: f32,
    length: usize,
}

impl Activations {
    /// Room for vectors of `capacity` elements.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(capacity: usize) -> Result<Self, OutOfMemory> {
        let groups = capacity.div_ceil(BLOCK * GROUP);
        let what = "activations";
        Ok(Self {
            values: filled(groups * GROUP * BLOCK, 0.0, what)?,
            groups: filled(groups, Group::ZERO, what)?,
            scale: 0.0,
            length: 0,
        })
    }

    /// Takes a vector of `length` elements, which `write` writes, and quantises it.
    ///
    /// # Panics
    /// When `length` exceeds the capacity.
    pub fn set(&mut self, kernels: Kernels, length: usize, write: impl FnOnce(&mut [f32])) {
        write(&mut self.values[..length]);
        let groups = length.div_ceil(BLOCK * GROUP);
        self.values[length..groups * GROUP * BLOCK].fill(0.0);
        self.length = length;
        self.scale = kernels.quantize(&self.values[..groups * GROUP * BLOCK], &mut self.groups[..groups]);
    }

    /// The vector.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values[..self.length]
    }

    /// Scale of the levels.
    #[must_use]
    pub const fn scale(&self) -> f32 {
        self.scale
    }

    /// The blocks of its levels, in whole groups; those past the end are 0.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups[..self.length.div_ceil(BLOCK * GROUP)]
    }
}

#[cfg(test)]
mod tests {
    use core::slice;

    use super::*;

    fn level(group: &Group, index: usize) -> i32 {
        let [high, low] =
            group.levels(index / BLOCK).map(|halves| i32::from(halves[index % BLOCK / HALF][index % HALF]));
        128 * high + low
    }

    #[test]
    fn levels_are_the_nearest() {
        let mut vector = Activations::new(64).unwrap();
        vector.set(Kernels::PORTABLE, 40, |values| {
            for (i, value) in values.iter_mut().enumerate() {
                *value = (i as f32 - 17.3) * 0.37;
            }
        });
        let [group] = vector.groups() else { panic!("one group") };
        let scale = vector.scale();
        for (i, &value) in vector.values().iter().enumerate() {
            let restored = scale * level(group, i) as f32;
            assert!((restored - value).abs() <= scale * 0.501, "{i}: {restored} {value}");
        }
        let second = |index: usize| level(group, BLOCK + index);
        assert_eq!((0..BLOCK).map(second).sum::<i32>(), group.sums[1]);
        assert_eq!(group.half_sums[0][1] + group.half_sums[1][1], group.sums[1]);
        assert_eq!(group.float_sums[1] as i32, group.sums[1]);
        assert_eq!(second(7), 16_256);
        assert_eq!((8..BLOCK).map(second).max(), Some(0));
    }

    #[test]
    fn extremes_keep_their_meaning() {
        let quantized = |first: f32| {
            let mut values = [0.0; GROUP * BLOCK];
            values[BLOCK] = first;
            let mut group = Group::ZERO;
            let scale = quantize(&values, slice::from_mut(&mut group));
            (group, scale)
        };
        assert_eq!(quantized(0.0), (Group::ZERO, 0.0));
        assert_eq!(quantized(-2.0).0.half_sums.map(|sums| sums[1]), [-16_256, 0]);
        assert!(quantized(f32::NAN).1.is_nan());
        assert!(quantized(f32::INFINITY).1.is_infinite());
        let (smallest, _) = quantized(f32::from_bits(1));
        assert!((BLOCK + 1..2 * BLOCK).all(|index| level(&smallest, index) == 0));
    }
}
