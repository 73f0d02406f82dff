//! What becomes of the integer sums of a group of parts: the float operations of the definition.

use wide::f32x4;

use super::WordFormat;
use super::lanes::{BOTH, Lanes, halves, integers};
use crate::activations::{GROUP, Group};

/// Scales and minima of a group of parts of a row.
pub(super) struct Factors {
    /// Of blocks of one part, the first bytes: their scale in the lower half of a lane and their minimum, where they
    /// have one, in the upper.
    heads: Lanes,
    /// Of others the scales, by half.
    scales: [[f32; GROUP]; 2],
    minima: [[f32; GROUP]; 2],
}

impl Factors {
    /// Those of `count` parts of a row from number `first`, the first of a group.
    #[inline(always)]
    pub(super) fn new<Q: WordFormat>(row: &[u8], first: usize, count: usize) -> Self {
        let (mut scales, mut minima) = ([[0.0; GROUP]; 2], [[0.0; GROUP]; 2]);
        if Q::PARTS == 1 {
            let blocks = &row[first * Q::BYTES..][..count * Q::BYTES];
            return Self { heads: heads::<Q>(blocks), scales, minima };
        }
        for lane in 0..count {
            let (block, part) = ((first + lane) / Q::PARTS * Q::BYTES, (first + lane) % Q::PARTS);
            let block = &row[block..][..Q::BYTES];
            let factors = Q::scales(block, part).into_iter().zip(Q::minima(block, part));
            for (half, (scale, minimum)) in factors.enumerate() {
                (scales[half][lane], minima[half][lane]) = (scale, minimum);
            }
        }
        Self { heads: [0; 2], scales, minima }
    }

    /// The terms of a group, of which `x` is the input. `sums` are those of the parts' halves where these have scales
    /// of their own, else the first are those of the parts.
    #[inline(always)]
    pub(super) fn terms<Q: WordFormat>(&self, sums: [Lanes; 2], x: &Group) -> f32x4 {
        let [scales, minima] = if Q::PARTS > 1 {
            [self.scales, self.minima].map(|factors| factors.map(f32x4::new))
        } else if Q::HAS_MINIMUM {
            halves([self.heads, self.heads.map(|heads| heads >> 16)].map(lower)).map(|factors| [factors; 2])
        } else {
            [halves([lower(self.heads)]).map(|scales| [scales; 2])[0], self.minima.map(f32x4::new)]
        };
        let term = |half: usize, scaled_sums: [f32; GROUP]| {
            let sums = if Q::SMALL { integers::<true>(sums[half]) } else { integers::<false>(sums[half]) };
            let term = (scales[half] * f32x4::new(x.scales)) * sums;
            if Q::HAS_MINIMUM { term + minima[half] * f32x4::new(scaled_sums) } else { term }
        };
        if Q::HALVES {
            term(0, x.scaled_half_sums[0]) + term(1, x.scaled_half_sums[1])
        } else {
            term(0, x.scaled_sums)
        }
    }
}

/// The lower 16 bits of each lane.
#[inline(always)]
fn lower(lanes: Lanes) -> Lanes {
    lanes.map(|lanes| lanes & (0xffff * BOTH))
}

/// The first bytes of up to a group of blocks of one part. Where there is no block, a scale of 1 is as good as one of 0, and
/// a normal number.
#[inline(always)]
fn heads<Q: WordFormat>(blocks: &[u8]) -> Lanes {
    let head = |lane: usize| match blocks.get(lane * Q::BYTES..) {
        Some([s0, s1, m0, m1, ..]) if Q::HAS_MINIMUM => u32::from_le_bytes([*s0, *s1, *m0, *m1]),
        Some([s0, s1, ..]) => u16::from_le_bytes([*s0, *s1]).into(),
        _ => 0x3c00,
    };
    [[0, 1], [2, 3]].map(|[first, second]| u64::from(head(first)) | u64::from(head(second)) << 32)
}
