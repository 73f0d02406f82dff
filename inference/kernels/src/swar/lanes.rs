//! A group's lanes of 32 bits, two a word, and floats from them by instructions on words: an emulator converts by
//! long functions, and each vector instruction on integers costs it several on words.

use core::arch::asm;

use wide::f32x4;

use crate::activations::GROUP;
use crate::matrix::f16_to_f32;

/// Lane `2 * w` in the lower half of word `w`, lane `2 * w + 1` in the upper.
pub(super) type Lanes = [u64; GROUP / 2];

/// One in each half of a word.
pub(super) const BOTH: u64 = 0x0000_0001_0000_0001;

/// Sets lane `lane`, which is 0, to the upper half of a word.
#[inline(always)]
pub(super) fn put_upper_half(lanes: &mut Lanes, lane: usize, word: i64) {
    let word = word.cast_unsigned();
    lanes[lane / 2] |= if lane.is_multiple_of(2) { word >> 32 } else { word & !0xffff_ffff };
}

/// Signed integers as floats, rounded to nearest, ties to even. With `small`, all are below 2^23 in magnitude.
///
/// A float of 2^23 to 2^24 has no fraction, and its lowest bits are the integer's; one of 2^35 to 2^36 has steps of
/// 2^12.
#[inline(always)]
pub(super) fn integers(lanes: Lanes, small: bool) -> f32x4 {
    const TWO_TO_23: u64 = 0x4b00_0000;
    const TWO_TO_35: u64 = 0x5100_0000;
    if small {
        // Negative integers, whose lowest bits are 2^23 more, have 2^24 taken from them instead of 2^23.
        let values = lanes.map(|lanes| keep((lanes & (0x7f_ffff * BOTH)) | (TWO_TO_23 * BOTH)));
        let offsets = lanes.map(|lanes| keep(((lanes >> 8) & (0x80_0000 * BOTH)) + TWO_TO_23 * BOTH));
        return floats(values) - floats(offsets);
    }
    // With 2^31 added, in two parts; only the last addition rounds.
    let biased = lanes.map(|lanes| lanes ^ (0x8000_0000 * BOTH));
    let upper = biased.map(|lanes| keep(((lanes >> 12) & (0xf_ffff * BOTH)) | (TWO_TO_35 * BOTH)));
    let lower = biased.map(|lanes| keep((lanes & (0xfff * BOTH)) | (TWO_TO_23 * BOTH)));
    const ADDED: f32 = (1_u64 << 35 | 1 << 31 | 1 << 23) as f32;
    (floats(upper) - f32x4::splat(ADDED)) + floats(lower)
}

/// Numbers of binary16, each in the lower half of its lane. Normal numbers go without arithmetic on floats.
#[inline(always)]
pub(super) fn halves<const N: usize>(lanes: [Lanes; N]) -> [f32x4; N] {
    let mut outside = 0;
    let bits = lanes.map(|lanes| {
        lanes.map(|lanes| {
            let magnitudes = lanes & (0x7fff * BOTH);
            // Below 2^10 (subnormal) the difference borrows; from 31 * 2^10 (not finite) the sum has bit 15.
            outside |= magnitudes.wrapping_sub(0x400 * BOTH) | (magnitudes + 0x400 * BOTH);
            keep(((lanes & (0x8000 * BOTH)) << 16) | ((magnitudes << 13) + (112 << 23) * BOTH))
        })
    });
    if outside & (0xffff_8000 * BOTH) == 0 { bits.map(floats) } else { lanes.map(any_halves) }
}

/// [`halves`] of any kind.
#[cold]
#[inline(never)]
fn any_halves(lanes: Lanes) -> f32x4 {
    let halves: [f32; GROUP] =
        core::array::from_fn(|lane| f16_to_f32((lanes[lane / 2] >> (32 * (lane % 2))) as u16));
    halves.into()
}

/// Lanes as the bits of floats; both architectures have the lower half of a word first.
#[inline(always)]
fn floats(lanes: Lanes) -> f32x4 {
    bytemuck::cast(lanes)
}

/// The word, from a register of words: the compiler would rather compute in vectors.
#[inline(always)]
fn keep(word: u64) -> u64 {
    let mut word = word;
    // SAFETY: there is no instruction.
    unsafe { asm!("/* {0} */", inout(reg) word, options(pure, nomem, nostack, preserves_flags)) };
    word
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lanes(values: [u32; GROUP]) -> Lanes {
        core::array::from_fn(|word| u64::from(values[2 * word]) | u64::from(values[2 * word + 1]) << 32)
    }

    proptest! {
        #[test]
        fn integers_are_rounded_as_by_the_processor(values: [i32; GROUP], shift in 0..32_u32) {
            let values = values.map(|value| value >> shift);
            let lanes = lanes(values.map(|value| value as u32));
            prop_assert_eq!(integers(lanes, false).to_array(), values.map(|value| value as f32));
            if shift >= 9 {
                let bits = values.map(|value| (value as f32).to_bits());
                prop_assert_eq!(integers(lanes, true).to_array().map(f32::to_bits), bits);
            }
        }

        #[test]
        fn halves_are_exact(values: [[u16; GROUP]; 2], normal: bool) {
            let values = values.map(|values| {
                values.map(|half| if normal { half & 0xbfff | 0x0400 } else { half })
            });
            let found = halves(values.map(|values| lanes(values.map(u32::from))));
            prop_assert_eq!(
                found.map(|values| values.to_array().map(f32::to_bits)),
                values.map(|values| values.map(|half| f16_to_f32(half).to_bits()))
            );
        }
    }

    #[test]
    fn integers_at_the_ends() {
        let values = [0, i32::MIN, i32::MAX, -1];
        assert_eq!(
            integers(lanes(values.map(|value| value as u32)), false).to_array().map(f32::to_bits),
            values.map(|value| (value as f32).to_bits())
        );
        let small = [0, -0x7f_ffff, 0x7f_ffff, -1];
        assert_eq!(
            integers(lanes(small.map(|value| value as u32)), true).to_array().map(f32::to_bits),
            small.map(|value| (value as f32).to_bits())
        );
    }
}
