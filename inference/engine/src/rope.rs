//! Rotary position embedding: the elements of a head form pairs, and each pair cos_sin by an angle that
//! grows with the position, see [`Rotation`].
//!
//! Angles are computed in f64, so that far positions lose nothing; the rotation itself is f32.

use alloc::vec::Vec;

use embodios_gguf::memory::{OutOfMemory, filled};

use crate::model::{Config, Pairs, Rotation};

/// Frequencies of a model, and the rotations of the rows of a step.
#[derive(Debug)]
pub struct Rope {
    frequencies: Vec<f64>,
    pairs: Pairs,
    /// Cosine and sine of each pair, row by row.
    cos_sin: Vec<(f32, f32)>,
}

impl Rope {
    /// The frequencies of `rotation`, with room for `rows` at a time.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn new(config: &Config, rotation: &Rotation, rows: usize) -> Result<Self, OutOfMemory> {
        let pairs = config.rotated / 2;
        let mut frequencies = filled(pairs, 0.0, "rope frequencies")?;
        for (pair, (frequency, factor)) in frequencies.iter_mut().zip(&rotation.factors).enumerate() {
            let exponent = -2.0 * pair as f64 / config.rotated as f64;
            let angle = libm::pow(rotation.base.into(), exponent);
            *frequency = angle / f64::from(rotation.scale) / f64::from(*factor);
        }
        let cos_sin = filled(pairs * rows, (1.0, 0.0), "rope table")?;
        Ok(Self { frequencies, pairs: config.architecture.pairs, cos_sin })
    }

    /// Elements of [`Self::rows_mut`] that belong to a row.
    #[must_use]
    pub const fn row_length(&self) -> usize {
        self.frequencies.len()
    }

    /// The frequencies, and the cosines and sines of all rows, to be set by [`set_position`].
    pub fn rows_mut(&mut self) -> (&[f64], &mut [(f32, f32)]) {
        (&self.frequencies, &mut self.cos_sin)
    }

    /// Rotates `head` to the position of row `row`.
    pub fn rotate(&self, row: usize, head: &mut [f32]) {
        let pairs = self.frequencies.len();
        let cos_sin = &self.cos_sin[row * pairs..][..pairs];
        match self.pairs {
            Pairs::Neighbours => rotate(cos_sin, head.as_chunks_mut().0.iter_mut().map(|[a, b]| (a, b))),
            Pairs::Halves => {
                let (first, second) = head.split_at_mut(pairs);
                rotate(cos_sin, first.iter_mut().zip(second));
            }
        }
    }
}

/// Sets a row's cosines and sines to those of a position.
pub fn set_position(frequencies: &[f64], cos_sin: &mut [(f32, f32)], position: usize) {
    for (entry, frequency) in cos_sin.iter_mut().zip(frequencies) {
        let (sine, cosine) = libm::sincos(position as f64 * frequency);
        *entry = (cosine as f32, sine as f32);
    }
}

fn rotate<'e>(cos_sin: &[(f32, f32)], pairs: impl Iterator<Item = (&'e mut f32, &'e mut f32)>) {
    for ((a, b), (cosine, sine)) in pairs.zip(cos_sin) {
        (*a, *b) = (*a * cosine - *b * sine, *a * sine + *b * cosine);
    }
}
