//! Float operations of the definition on the integer sums of a group of sub-blocks.

use core::arch::aarch64::*;

use super::{QuantVector, load_f32, load_i32};
use crate::activations::{Activations, GROUP};
use crate::portable;

/// Scales and minima of a group of sub-blocks of a row, by half.
pub(super) struct Factors {
    scales: [[f32; GROUP]; 2],
    minima: [[f32; GROUP]; 2],
}

impl Factors {
    /// Those of no sub-blocks.
    pub(super) const NONE: Self = Self { scales: [[0.0; GROUP]; 2], minima: [[0.0; GROUP]; 2] };

    /// Takes those of a sub-block of `block`, which is number `lane` of its group.
    #[inline]
    pub(super) fn set<Q: QuantVector>(&mut self, lane: usize, block: &[u8], sub_block: usize) {
        let factors = Q::scales(block, sub_block).into_iter().zip(Q::minima(block, sub_block));
        for (half, (scale, minimum)) in factors.enumerate() {
            (self.scales[half][lane], self.minima[half][lane]) = (scale, minimum);
        }
    }

    /// The terms of group `group`. `sums` are those of the sub-blocks' halves where these have scales of their own,
    /// else the first are those of the sub-blocks. Safety: NEON.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn terms<Q: QuantVector>(
        &self,
        sums: [int32x4_t; 2],
        input: &Activations,
        group: usize,
    ) -> float32x4_t {
        let x = &input.groups()[group];
        let term = |half: usize, input_sums: &[i32], float_sums: &[f32]| {
            let sums = match Q::ZERO {
                0 => sums[half],
                zero => vmlsq_n_s32(sums[half], load_i32(input_sums), zero),
            };
            let terms = vmulq_f32(load_f32(&self.scales[half]), vcvtq_f32_s32(sums));
            if Q::HAS_MINIMUM {
                vaddq_f32(terms, vmulq_f32(load_f32(&self.minima[half]), load_f32(float_sums)))
            } else {
                terms
            }
        };
        if Q::HALVES {
            vaddq_f32(
                term(0, &x.half_sums[0], &x.float_half_sums[0]),
                term(1, &x.half_sums[1], &x.float_half_sums[1]),
            )
        } else {
            term(0, &x.sums, &x.float_sums)
        }
    }
}

/// A row's product with `input`, from its lanes. Safety: NEON.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn reduce(lanes: float32x4_t, input: &Activations) -> f32 {
    let mut array = [0.0; GROUP];
    // SAFETY: the array holds the 4 floats written.
    unsafe { vst1q_f32(array.as_mut_ptr(), lanes) };
    portable::reduce_group(array) * input.scale()
}
