//! The arithmetic with 256-bit vectors (AVX2 without and with AVX-VNNI), and with 512-bit vectors.
//!
//! Quantised rows lie in tiles ([`crate::matrix::Layout::Tiles`]), which suits both.

mod attention;
mod detect;
mod dot;
mod float;
mod formats;
mod quantize;
mod sixteen;
mod super_block;
mod tile;

use core::arch::x86_64::_mm_prefetch;

pub(super) use attention::{score, weighted_sum};
pub(super) use detect::Isa;
pub(super) use float::float_rows;
pub(super) use quantize::quantize;
pub(super) use tile::quant_rows;

/// Bytes that one prefetch brings.
const CACHE_LINE: usize = 64;

/// Asks for a cache line, into the cache that `HINT` names.
#[inline(always)]
fn prefetch<const HINT: i32>(line: *const u8) {
    // SAFETY: a prefetch reads nothing, and may name any address.
    unsafe { _mm_prefetch::<HINT>(line.cast()) };
}
