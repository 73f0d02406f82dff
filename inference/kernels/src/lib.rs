//! The arithmetic every layer is made of: matrix times vectors, and the two sums of attention.
//!
//! There are several variants: one an instruction set, and a SWAR one for emulators. All give the **same
//! bits**, on every architecture, because every floating-point operation and its order is fixed here:
//! - multiplications and additions are separate and rounded each (no fused multiply-add);
//! - quantised row times vector: 32 weights `b` give `t = d_w * s`, where `s` is the exact integer sum of
//!   (level - zero) * level, plus `m_w * sum of x's levels` where the format has a minimum; where halves
//!   have scales of their own, `t` is the first half's such term plus the second's; `t` is added to lane
//!   `b mod 4`; the row's result is `((l0 + l2) + (l1 + l3)) * d_x`;
//! - float row times vector: the product of element `i` is added to lane `i mod 8`; the result is
//!   `((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7))`;
//! - query times key: products are added in the order of elements, to the first;
//! - weighted sum of values: every element by itself, positions of a KV block in order; blocks are merged
//!   as `online_softmax` says.
//!
//! Lanes begin at +0 and so never become -0, which makes adding a padding of zeros void.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod activations;
mod loops;
pub mod matrix;
#[cfg(target_arch = "aarch64")]
mod neon;
pub mod online_softmax;
mod portable;
mod precision;
mod swar;
pub mod tiles;
pub mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::activations::{Activations, Group};
use crate::matrix::{F16, F32, Layout, Matrix, with_format};
use crate::tiles::TILE;

pub(crate) use portable::{LANES, reduce};
pub use precision::Precision;

/// A variant whose instructions this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernels(Variant);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    Portable,
    Swar,
    #[cfg(target_arch = "x86_64")]
    X86(x86::Isa),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Isa),
}

/// Queries that share loads of keys and values (grouped-query attention).
pub const SHARING: usize = 4;

/// Positions of a block of keys and values: attention works block by block.
pub const KV_BLOCK: usize = 32;

/// Keys of a run: they stand side by side, element by element, so that scores are made side by side too.
pub const KEYS: usize = 16;

/// Some of a head's keys or values as the cache holds them.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<'a> {
    /// Precision of the numbers.
    pub precision: Precision,
    /// Keys in whole runs of [`KEYS`], for each element that of all of them; values one after the other.
    pub bytes: &'a [u8],
}

impl Kernels {
    /// Plain Rust, on every processor: the definition of the arithmetic.
    pub const PORTABLE: Self = Self(Variant::Portable);

    /// All variants for this processor, best first.
    pub fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let special = x86::Isa::available().map(Variant::X86);
        #[cfg(target_arch = "aarch64")]
        let special = neon::Isa::available().map(Variant::Neon);
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let special = core::iter::empty();
        special.map(Self).chain([Self(Variant::Swar), Self::PORTABLE])
    }

    /// The variant with the most special instructions that this processor has.
    #[must_use]
    pub fn best() -> Self {
        Self::available().next().unwrap_or(Self::PORTABLE)
    }

    /// The variant with this name, in any case and with `-` for spaces.
    ///
    /// # Errors
    /// The names there are.
    pub fn named(name: &str) -> Result<Self, String> {
        let word = |kernels: &Self| kernels.to_string().replace(' ', "-");
        Self::available()
            .find(|kernels| word(kernels).eq_ignore_ascii_case(name))
            .ok_or_else(|| Self::available().map(|kernels| word(&kernels)).collect::<Vec<_>>().join(", "))
    }

    /// The layout of matrices that this variant wants.
    #[must_use]
    pub const fn layout(self) -> Layout {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Variant::X86(_) => Layout::Tiles,
            _ => Layout::Rows,
        }
    }

    /// [`crate::activations::quantize`].
    pub(crate) fn quantize(self, values: &[f32], groups: &mut [Group]) -> f32 {
        #[cfg(target_arch = "x86_64")]
        if let Variant::X86(x86::Isa::Avx512Vnni) = self.0 {
            // SAFETY: an `Isa` exists only where the processor and the system have its instructions.
            return unsafe { x86::quantize(values, groups) };
        }
        self.quantize_by_loops(values, groups)
    }

    /// Rows `first ..` of `matrix`, as many as `out` holds, times each of `inputs`. `out` is a run of tiles, in the
    /// order of [`crate::tiles`]: with one input simply the rows.
    ///
    /// # Panics
    /// When the rows are not the matrix's, begin or end within a tile of it, or do not lie as [`Self::layout`] says; or
    /// an input has not as many columns.
    pub fn multiply(self, matrix: &Matrix<'_>, first: usize, inputs: &[Activations], out: &mut [f32]) {
        for input in inputs {
            assert_eq!(input.values().len(), matrix.columns(), "columns of the matrix");
        }
        assert!(matrix.layout() == self.layout() || !matrix.kind().is_quantized(), "layout of the matrix");
        let rows = matrix.row_range(first, out.len() / inputs.len());
        let row_bytes = matrix.row_bytes();
        macro_rules! dispatch {
            ($words:expr, $function:ident, $format:ty) => {
                match self.0 {
                    Variant::Portable => {
                        each_tile(rows, row_bytes, inputs, out, portable::$function::<$format>)
                    }
                    Variant::Swar => $words,
                    #[cfg(target_arch = "x86_64")]
                    Variant::X86(isa) => x86::$function::<$format>(isa, rows, row_bytes, inputs, out),
                    #[cfg(target_arch = "aarch64")]
                    Variant::Neon(isa) => neon::$function::<$format>(isa, rows, row_bytes, inputs, out),
                }
            };
        }
        with_format!(matrix.kind(), Format => dispatch!(
            each_tile(rows, row_bytes, inputs, out, portable::float_rows::<Format>), float_rows, Format
        ), dispatch!(swar::quant_rows::<Format>(rows, row_bytes, inputs, out), quant_rows, Format));
    }

    /// Scores of keys, whole runs of them, for each of a run of queries `length` long: `scores[q * stride + p] =
    /// (query q * key p) * scale`.
    ///
    /// # Panics
    /// When there are fewer scores than keys.
    pub fn score(
        self,
        queries: &[f32],
        length: usize,
        keys: &Vectors<'_>,
        scale: f32,
        scores: &mut [f32],
        stride: usize,
    ) {
        assert!(keys.bytes.len() <= stride * length * keys.precision.bytes(), "scores for all keys");
        for (queries, scores) in queries.chunks(SHARING * length).zip(scores.chunks_mut(SHARING * stride)) {
            macro_rules! dispatch {
                ($format:ty) => {
                    match self.0 {
                        Variant::Portable | Variant::Swar => {
                            portable::score::<$format>(queries, length, keys.bytes, scale, scores, stride)
                        }
                        #[cfg(target_arch = "x86_64")]
                        Variant::X86(isa) => {
                            x86::score::<$format>(isa, queries, length, keys.bytes, scale, scores, stride)
                        }
                        #[cfg(target_arch = "aarch64")]
                        Variant::Neon(_) => {
                            neon::score::<$format>(queries, length, keys.bytes, scale, scores, stride)
                        }
                    }
                };
            }
            match keys.precision {
                Precision::Half => dispatch!(F16),
                Precision::Single => dispatch!(F32),
            }
        }
    }

    /// Adds weighted sums of values to each of a run of results `length` long: `out[r] += sum over positions p of
    /// weights[r * stride + p] * values[p]`, one position after the other.
    ///
    /// # Panics
    /// When `weights` are shorter than that.
    pub fn weighted_sum(
        self,
        weights: &[f32],
        stride: usize,
        values: &Vectors<'_>,
        length: usize,
        out: &mut [f32],
    ) {
        for (weights, out) in weights.chunks(SHARING * stride).zip(out.chunks_mut(SHARING * length)) {
            macro_rules! dispatch {
                ($format:ty) => {
                    match self.0 {
                        #[cfg(target_arch = "x86_64")]
                        Variant::X86(isa) => {
                            x86::weighted_sum::<$format>(isa, weights, stride, values.bytes, length, out)
                        }
                        // The portable loop becomes vector code by itself where vectors are in the baseline.
                        _ => portable::weighted_sum::<$format>(weights, stride, values.bytes, length, out),
                    }
                };
            }
            match values.precision {
                Precision::Half => dispatch!(F16),
                Precision::Single => dispatch!(F32),
            }
        }
    }
}

/// Calls `rows(rows, row_bytes, input, out)` for every tile and input: a tile's weights stay in the nearest cache
/// for all inputs.
fn each_tile(
    rows: &[u8],
    row_bytes: usize,
    inputs: &[Activations],
    out: &mut [f32],
    product: impl Fn(&[u8], usize, &Activations, &mut [f32]),
) {
    if let [input] = inputs {
        return product(rows, row_bytes, input, out);
    }
    for (rows, tile) in rows.chunks(TILE * row_bytes).zip(out.chunks_mut(TILE * inputs.len())) {
        for (input, out) in inputs.iter().zip(tile.chunks_exact_mut(rows.len() / row_bytes)) {
            product(rows, row_bytes, input, out);
        }
    }
}

impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Variant::Portable => "portable",
            Variant::Swar => "64-bit SWAR",
            #[cfg(target_arch = "x86_64")]
            Variant::X86(isa) => isa.name(),
            #[cfg(target_arch = "aarch64")]
            Variant::Neon(isa) => isa.name(),
        })
    }
}
