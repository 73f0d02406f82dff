//! Rotary position embedding: the elements of a head form pairs, and each pair turns by an angle that
//! grows with the position, see [`Rotation`].
//!
//! Angles are computed in f64, so that far positions lose nothing; the rotation itself is f32.

use alloc::vec::Vec;

use crate::memory::{OutOfMemory, filled};
use crate::model::{Config, Pairs, Rotation};

/// Frequencies of a model, and the rotation at one position.
#[derive(Debug)]
pub struct Rope {
    frequencies: Vec<f64>,
    pairs: Pairs,
    /// Cosine and sine of each pair.
    turns: Vec<(f32, f32)>,
}

impl Rope {
    /// The frequencies of `rotation`.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn new(config: &Config, rotation: &Rotation) -> Result<Self, OutOfMemory> {
        let pairs = config.rotated / 2;
        let mut frequencies = filled(pairs, 0.0, "rope frequencies")?;
        for (pair, (frequency, factor)) in frequencies.iter_mut().zip(&rotation.factors).enumerate() {
            let exponent = -2.0 * pair as f64 / config.rotated as f64;
            let turn = libm::pow(rotation.base.into(), exponent);
            *frequency = turn / f64::from(rotation.scale) / f64::from(*factor);
        }
        let turns = filled(pairs, (1.0, 0.0), "rope turns")?;
        Ok(Self { frequencies, pairs: config.architecture.pairs, turns })
    }

    /// Sets the position that [`Self::rotate`] turns to.
    pub fn set_position(&mut self, position: usize) {
        for (turn, frequency) in self.turns.iter_mut().zip(&self.frequencies) {
            let (sine, cosine) = libm::sincos(position as f64 * frequency);
            *turn = (cosine as f32, sine as f32);
        }
    }

    /// Turns each head of `heads`, a run of vectors `head_length` long.
    pub fn rotate(&self, heads: &mut [f32], head_length: usize) {
        for head in heads.chunks_exact_mut(head_length) {
            match self.pairs {
                Pairs::Neighbours => {
                    let pairs = head.as_chunks_mut().0.iter_mut().map(|[a, b]| (a, b));
                    self.turn(pairs);
                }
                Pairs::Halves => {
                    let (first, second) = head.split_at_mut(self.turns.len());
                    self.turn(first.iter_mut().zip(second));
                }
            }
        }
    }

    fn turn<'e>(&self, pairs: impl Iterator<Item = (&'e mut f32, &'e mut f32)>) {
        for ((a, b), (cosine, sine)) in pairs.zip(&self.turns) {
            (*a, *b) = (*a * cosine - *b * sine, *a * sine + *b * cosine);
        }
    }
}
