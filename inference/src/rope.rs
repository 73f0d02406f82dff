//! Rotary position embedding, in the llama form: neighbouring elements of a head are a pair, and pair `i`
//! turns by `position * base^(-2i / rotated) / scale / factor[i]`.
//!
//! Angles are computed in f64, so that far positions lose nothing; the rotation itself is f32.

use alloc::vec::Vec;

use crate::memory::{OutOfMemory, filled};
use crate::model::Model;

/// Frequencies of a model, and the rotation at one position.
#[derive(Debug)]
pub struct Rope {
    frequencies: Vec<f64>,
    /// Cosine and sine of each pair.
    turns: Vec<(f32, f32)>,
}

impl Rope {
    /// The frequencies of `model`.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn new(model: &Model<'_>) -> Result<Self, OutOfMemory> {
        let config = &model.config;
        let pairs = config.rotated / 2;
        let mut frequencies = filled(pairs, 0.0, "rope frequencies")?;
        for (pair, (frequency, factor)) in frequencies.iter_mut().zip(&model.rope_factors).enumerate() {
            let exponent = -2.0 * pair as f64 / config.rotated as f64;
            let turn = libm::pow(config.rope_base.into(), exponent);
            *frequency = turn / f64::from(config.rope_scale) / f64::from(*factor);
        }
        Ok(Self { frequencies, turns: filled(pairs, (1.0, 0.0), "rope turns")? })
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
            for ([a, b], (cosine, sine)) in head.as_chunks_mut().0.iter_mut().zip(&self.turns) {
                (*a, *b) = (*a * cosine - *b * sine, *a * sine + *b * cosine);
            }
        }
    }
}
