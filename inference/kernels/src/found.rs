//! What a query has found: the sum of values weighed by `e^score`, over the positions of one page after the other.
//!
//! A page's weights are taken relative to the largest score in it, so that no page needs to know of another; sums of
//! pages are put to the larger of both scales when they are added ("Online normalizer calculation for softmax",
//! M. Milakov and N. Gimelshein, 2018). Pages are always added in order, whoever has looked at them, so that the bits
//! do not tell how positions were shared out.
//!
//! Found is a run of floats: a value for each element of a head, and [`BESIDE`].

use crate::vector::exp;

/// Floats beside the values: the largest score, and the sum of the weights.
pub const BESIDE: usize = 2;

/// Nothing.
#[inline(always)]
pub fn begin(found: &mut [f32]) {
    found.fill(0.0);
    let [.., largest, _] = found else { return };
    *largest = f32::NEG_INFINITY;
}

/// What is found on a page: its values, and the result of [`crate::vector::weigh`].
#[inline(always)]
pub fn set(found: &mut [f32], page: &[f32], (page_largest, page_sum): (f32, f32)) {
    let [values @ .., largest, sum] = found else { return };
    values.copy_from_slice(page);
    (*largest, *sum) = (page_largest, page_sum);
}

/// Adds what is found on the next page.
#[inline(always)]
pub fn add(found: &mut [f32], page: &[f32], (page_largest, page_sum): (f32, f32)) {
    let [values @ .., largest, sum] = found else { return };
    let scale = if page_largest > *largest { page_largest } else { *largest };
    // Side by side, in one vector.
    let [before, now] = [*largest, page_largest].map(|largest| exp(largest - scale));
    for (value, page) in values.iter_mut().zip(page) {
        *value = *value * before + page * now;
    }
    (*largest, *sum) = (scale, *sum * before + page_sum * now);
}

/// Adds up what a query has found on each page: the first page's stands first in `pages`, and the next `stride` floats
/// after it.
#[inline(always)]
pub fn add_up(pages: &[f32], stride: usize, found: &mut [f32]) {
    begin(found);
    for page in pages.chunks(stride) {
        let (values, beside) = page[..found.len()].split_at(found.len() - BESIDE);
        add(found, values, (beside[0], beside[1]));
    }
}

/// The mean of the values.
#[inline(always)]
pub fn finish(found: &[f32], out: &mut [f32]) {
    let [values @ .., _, sum] = found else { return };
    let scale = 1.0 / sum;
    for (out, value) in out.iter_mut().zip(values) {
        *out = value * scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::weigh;
    use alloc::vec::Vec;

    /// Exactly, for values of one element.
    fn exact(scores: &[f32], values: &[f32]) -> f64 {
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights = scores.iter().map(|score| f64::from(score - largest).exp());
        let sum: f64 = weights.clone().sum();
        weights.zip(values).map(|(weight, &value)| weight * f64::from(value)).sum::<f64>() / sum
    }

    #[test]
    fn pages_add_up_to_the_whole() {
        for step in [0.0, 0.01, -0.02, 3.0, -3.0] {
            let scores: Vec<f32> = (0..100).map(|i| i as f32 * step + (i * 37 % 11) as f32).collect();
            let values: Vec<f32> = (0..100).map(|i| (i * 29 % 17) as f32 - 5.0).collect();
            let (mut added, mut pages) = ([0.0; 1 + BESIDE], Vec::new());
            begin(&mut added);
            for (scores, values) in scores.chunks(32).zip(values.chunks(32)) {
                let mut weights = scores.to_vec();
                let weighed = weigh(&mut weights);
                let page = [weights.iter().zip(values).map(|(weight, value)| weight * value).sum()];
                add(&mut added, &page, weighed);
                let mut kept = [0.0; 1 + BESIDE];
                set(&mut kept, &page, weighed);
                pages.extend(kept);
            }
            let (mut added_up, mut mean) = ([0.0; 1 + BESIDE], [0.0]);
            add_up(&pages, 1 + BESIDE, &mut added_up);
            assert_eq!(added_up, added, "{step}");
            finish(&added, &mut mean);
            let exact = exact(&scores, &values);
            assert!(
                (f64::from(mean[0]) - exact).abs() < 1e-5 * exact.abs().max(1.0),
                "{step}: {mean:?} {exact}"
            );
        }
    }
}
