//! Rotary position embedding: the elements of a head form pairs, and each pair turns by an angle that
//! grows with the position, see [`Rotation`].
//!
//! Angles are computed in f64, so that far positions lose nothing; the rotation itself is f32.

use alloc::vec::Vec;

use crate::memory::{OutOfMemory, filled};
use crate::model::{Config, Pairs, Rotation};

/// Frequencies of a model, and the rotation at a run of positions.
#[derive(Debug)]
pub struct Rope {
    frequencies: Vec<f64>,
    pairs: Pairs,
    /// Cosine and sine of each pair, position by position.
    turns: Vec<(f32, f32)>,
}

impl Rope {
    /// The frequencies of `rotation`, with room for `positions` at a time.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn new(config: &Config, rotation: &Rotation, positions: usize) -> Result<Self, OutOfMemory> {
        let pairs = config.rotated / 2;
        let mut frequencies = filled(pairs, 0.0, "rope frequencies")?;
        for (pair, (frequency, factor)) in frequencies.iter_mut().zip(&rotation.factors).enumerate() {
            let exponent = -2.0 * pair as f64 / config.rotated as f64;
            let turn = libm::pow(rotation.base.into(), exponent);
            *frequency = turn / f64::from(rotation.scale) / f64::from(*factor);
        }
        let turns = filled(pairs * positions, (1.0, 0.0), "rope turns")?;
        Ok(Self { frequencies, pairs: config.architecture.pairs, turns })
    }

    /// Sets the first of the positions that [`Self::rotate`] turns to, and their number.
    pub fn set_positions(&mut self, first: usize, count: usize) {
        let pairs = self.frequencies.len();
        for (index, turn) in self.turns[..pairs * count].iter_mut().enumerate() {
            let position = (first + index / pairs) as f64;
            let (sine, cosine) = libm::sincos(position * self.frequencies[index % pairs]);
            *turn = (cosine as f32, sine as f32);
        }
    }

    /// Turns `head` to the position that stands at `index` of those set.
    pub fn rotate(&self, index: usize, head: &mut [f32]) {
        let pairs = self.frequencies.len();
        let turns = &self.turns[index * pairs..][..pairs];
        match self.pairs {
            Pairs::Neighbours => turn(turns, head.as_chunks_mut().0.iter_mut().map(|[a, b]| (a, b))),
            Pairs::Halves => {
                let (first, second) = head.split_at_mut(pairs);
                turn(turns, first.iter_mut().zip(second));
            }
        }
    }
}

fn turn<'e>(turns: &[(f32, f32)], pairs: impl Iterator<Item = (&'e mut f32, &'e mut f32)>) {
    for ((a, b), (cosine, sine)) in pairs.zip(turns) {
        (*a, *b) = (*a * cosine - *b * sine, *a * sine + *b * cosine);
    }
}
