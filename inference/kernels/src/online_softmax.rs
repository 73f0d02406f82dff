//! Partial results of attention, by online softmax: the sum of V rows weighted by `e^(score - max)`, KV block by block.
//!
//! The weights of a block are relative to its own largest score, so that no block depends on another; when partials are
//! merged, both are scaled to the larger maximum ("Online normalizer calculation for softmax", M. Milakov and
//! N. Gimelshein, 2018). Blocks are merged in order, whichever worker has attended to them, so that the bits do not
//! depend on how positions are shared out.
//!
//! A partial is a run of floats: the weighted sum of each element of a head, then [`SOFTMAX_STATE`].

use crate::vector::exp;

/// Floats behind the sums: the largest score, and the sum of the weights.
pub const SOFTMAX_STATE: usize = 2;

/// Sets `partial` to that of no positions.
#[inline(always)]
pub fn clear(partial: &mut [f32]) {
    partial.fill(0.0);
    let [.., max, _] = partial else { return };
    *max = f32::NEG_INFINITY;
}

/// Sets `partial` to that of one block: its weighted sums, and the state from [`crate::vector::softmax_weights`].
#[inline(always)]
pub fn set(partial: &mut [f32], block: &[f32], (block_max, block_sum): (f32, f32)) {
    let [values @ .., max, sum] = partial else { return };
    values.copy_from_slice(block);
    (*max, *sum) = (block_max, block_sum);
}

/// Merges the next block into `partial`.
#[inline(always)]
pub fn merge(partial: &mut [f32], block: &[f32], (block_max, block_sum): (f32, f32)) {
    let [values @ .., max, sum] = partial else { return };
    let scale = if block_max > *max { block_max } else { *max };
    // Side by side, in one vector.
    let [before, now] = [*max, block_max].map(|max| exp(max - scale));
    for (value, block) in values.iter_mut().zip(block) {
        *value = *value * before + block * now;
    }
    (*max, *sum) = (scale, *sum * before + block_sum * now);
}

/// Merges the partials of all blocks of a query: the first block's stands first in `blocks`, the next one `stride`
/// floats behind it.
#[inline(always)]
pub fn merge_all(blocks: &[f32], stride: usize, partial: &mut [f32]) {
    clear(partial);
    for block in blocks.chunks(stride) {
        let (values, state) = block[..partial.len()].split_at(partial.len() - SOFTMAX_STATE);
        merge(partial, values, (state[0], state[1]));
    }
}

/// Divides the sums by the sum of the weights.
#[inline(always)]
pub fn finish(partial: &[f32], out: &mut [f32]) {
    let [values @ .., _, sum] = partial else { return };
    let scale = 1.0 / sum;
    for (out, value) in out.iter_mut().zip(values) {
        *out = value * scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::softmax_weights;
    use alloc::vec::Vec;

    /// Exactly, for values of one element.
    fn exact(scores: &[f32], values: &[f32]) -> f64 {
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights = scores.iter().map(|score| f64::from(score - largest).exp());
        let sum: f64 = weights.clone().sum();
        weights.zip(values).map(|(weight, &value)| weight * f64::from(value)).sum::<f64>() / sum
    }

    #[test]
    fn blocks_merge_to_the_whole() {
        for step in [0.0, 0.01, -0.02, 3.0, -3.0] {
            let scores: Vec<f32> = (0..100).map(|i| i as f32 * step + (i * 37 % 11) as f32).collect();
            let values: Vec<f32> = (0..100).map(|i| (i * 29 % 17) as f32 - 5.0).collect();
            let (mut merged, mut blocks) = ([0.0; 1 + SOFTMAX_STATE], Vec::new());
            clear(&mut merged);
            for (scores, values) in scores.chunks(32).zip(values.chunks(32)) {
                let mut weights = scores.to_vec();
                let state = softmax_weights(&mut weights);
                let block = [weights.iter().zip(values).map(|(weight, value)| weight * value).sum()];
                merge(&mut merged, &block, state);
                let mut kept = [0.0; 1 + SOFTMAX_STATE];
                set(&mut kept, &block, state);
                blocks.extend(kept);
            }
            let (mut all, mut mean) = ([0.0; 1 + SOFTMAX_STATE], [0.0]);
            merge_all(&blocks, 1 + SOFTMAX_STATE, &mut all);
            assert_eq!(all, merged, "{step}");
            finish(&merged, &mut mean);
            let exact = exact(&scores, &values);
            assert!(
                (f64::from(mean[0]) - exact).abs() < 1e-5 * exact.abs().max(1.0),
                "{step}: {mean:?} {exact}"
            );
        }
    }
}
