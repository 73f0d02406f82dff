//! Float operations of the definition on the integer sums of a group of sub-blocks.

use wide::f32x4;

use super::WordFormat;
use super::lanes::{BOTH, Lanes, halves, integers};
use crate::activations::{GROUP, Group};

/// Scales and minima of a group of sub-blocks of a row, by half.
pub(super) struct Factors {
    scales: [f32x4; 2],
    minima: [f32x4; 2],
}

impl Factors {
    /// Those of `COUNT` sub-blocks: of a block each, or of one from sub-block `first`.
    #[inline(always)]
    pub(super) fn new<Q: WordFormat, const COUNT: usize>(blocks: &[u8], first: usize) -> Self {
        if Q::SUB_BLOCKS == 1 {
            return Self::of_heads::<Q>(heads::<Q, COUNT>(blocks));
        }
        let (mut scales, mut minima) = ([[0.0; GROUP]; 2], [[0.0; GROUP]; 2]);
        for lane in 0..COUNT {
            let factors = Q::scales(blocks, first + lane).into_iter().zip(Q::minima(blocks, first + lane));
            for (half, (scale, minimum)) in factors.enumerate() {
                (scales[half][lane], minima[half][lane]) = (scale, minimum);
            }
        }
        Self { scales: scales.map(f32x4::new), minima: minima.map(f32x4::new) }
    }

    /// Those of blocks of one sub-block.
    #[inline(always)]
    fn of_heads<Q: WordFormat>(heads: Lanes) -> Self {
        let lower = |lanes: Lanes| lanes.map(|lanes| lanes & (0xffff * BOTH));
        let scales = lower(heads);
        if !Q::HAS_MINIMUM {
            return Self { scales: [halves([scales])[0]; 2], minima: [f32x4::ZERO; 2] };
        }
        let [scales, minima] = halves([scales, lower(heads.map(|heads| heads >> 16))]);
        Self { scales: [scales; 2], minima: [minima; 2] }
    }

    /// The terms of a group, of which `x` is the input. `sums` are those of the sub-blocks' halves where these have
    /// scales of their own, else the first are those of the sub-blocks.
    #[inline(always)]
    pub(super) fn terms<Q: WordFormat>(&self, sums: [Lanes; 2], x: &Group) -> f32x4 {
        let term = |half: usize, input_sums: [f32; GROUP]| {
            let term = self.scales[half] * integers(sums[half], Q::SMALL);
            if Q::HAS_MINIMUM { term + self.minima[half] * f32x4::new(input_sums) } else { term }
        };
        if Q::HALVES {
            term(0, x.float_half_sums[0]) + term(1, x.float_half_sums[1])
        } else {
            term(0, x.float_sums)
        }
    }
}

/// The first bytes of `COUNT` blocks of one sub-block: their scale in the lower half of a lane and their minimum, where
/// they have one, in the upper. Where there is no block, 1 is as good as 0, and a normal number.
#[inline(always)]
fn heads<Q: WordFormat, const COUNT: usize>(blocks: &[u8]) -> Lanes {
    let head = |lane: usize| match blocks[..COUNT * Q::BYTES][lane.min(COUNT - 1) * Q::BYTES..] {
        [s0, s1, m0, m1, ..] if lane < COUNT && Q::HAS_MINIMUM => u32::from_le_bytes([s0, s1, m0, m1]),
        [s0, s1, ..] if lane < COUNT => u16::from_le_bytes([s0, s1]).into(),
        _ => 0x3c00_3c00,
    };
    [[0, 1], [2, 3]].map(|[first, second]| u64::from(head(first)) | u64::from(head(second)) << 32)
}
