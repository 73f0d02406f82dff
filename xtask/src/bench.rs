//! `cargo xtask bench`: how fast the engine is, always beside something to compare with.

pub mod batch;
pub mod console;
pub mod engine;
pub mod guest;
pub mod jitter;
pub mod pool;
pub mod scaling;
pub mod spread;
pub mod switch;

/// The middle of `values`; of an even number, the mean of the two middle ones.
///
/// # Panics
/// When there are none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[upper - 1], values[upper])
    } else {
        values[upper]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
        assert_eq!(median(vec![5.0]), 5.0);
    }
}
