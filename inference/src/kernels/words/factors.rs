//! What becomes of the integer sums of a group of parts: the float operations of the definition.

use super::WordFormat;
use wide::f32x4;

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
        // Where there is no part, a scale of 1 is as good as one of 0, and a normal number.
        let mut found =
            Self { heads: [0x3c00_3c00 * BOTH; 2], scales: [[0.0; GROUP]; 2], minima: [[0.0; GROUP]; 2] };
        if Q::PARTS == 1 && count == GROUP {
            let blocks = &row[first * Q::BYTES..][..GROUP * Q::BYTES];
            let head = |lane: usize| u64::from(head_of::<Q>(&blocks[lane * Q::BYTES..]));
            found.heads = [head(0) | head(1) << 32, head(2) | head(3) << 32];
            return found;
        }
        for lane in 0..count {
            let (block, part) = ((first + lane) / Q::PARTS * Q::BYTES, (first + lane) % Q::PARTS);
            let block = &row[block..][..Q::BYTES];
            if Q::PARTS == 1 {
                let shift = 32 * (lane % 2);
                let head = &mut found.heads[lane / 2];
                *head = *head & !(0xffff_ffff << shift) | u64::from(head_of::<Q>(block)) << shift;
            } else {
                let (scales, minima) = (Q::scales(block, part), Q::minima(block, part));
                for half in 0..2 {
                    (found.scales[half][lane], found.minima[half][lane]) = (scales[half], minima[half]);
                }
            }
        }
        found
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

/// The first bytes of a block of one part: its scale in the lower half and its minimum, where it has one, in the
/// upper.
#[inline(always)]
fn head_of<Q: WordFormat>(block: &[u8]) -> u32 {
    if Q::HAS_MINIMUM {
        return u32::from_le_bytes(*block.first_chunk().expect("scale and minimum"));
    }
    u16::from_le_bytes(*block.first_chunk().expect("a scale")).into()
}
