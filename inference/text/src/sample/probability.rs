//! What a model thinks of tokens, before anything is chosen: the logarithms of its probabilities.

use alloc::vec::Vec;

/// The logarithms of the probabilities that logits mean, at temperature 1 and with nothing cut off.
#[derive(Clone, Copy, Debug)]
pub struct LogProbabilities<'l> {
    logits: &'l [f32],
    /// Logarithm of the sum of all exponentials.
    total: f64,
}

impl<'l> LogProbabilities<'l> {
    /// Of `logits`, finite, one for each token.
    #[must_use]
    pub fn new(logits: &'l [f32]) -> Self {
        let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = logits.iter().map(|&logit| libm::exp(f64::from(logit) - largest)).sum();
        Self { logits, total: largest + libm::log(sum) }
    }

    /// Of token `token`, one of the vocabulary.
    #[must_use]
    pub fn of(&self, token: u32) -> f32 {
        (f64::from(self.logits[token as usize]) - self.total) as f32
    }

    /// The `count` likeliest tokens (or as many as there are), each with the logarithm of its probability; the lower
    /// token first among equals.
    #[must_use]
    pub fn likeliest(&self, count: usize) -> Vec<(u32, f32)> {
        let count = count.min(self.logits.len());
        let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
        for (token, &logit) in (0..).zip(self.logits) {
            let place = best.partition_point(|&(_, other)| other >= logit);
            if place < count {
                best.truncate(count - 1);
                best.insert(place, (token, logit));
            }
        }
        best.iter().map(|&(token, _)| (token, self.of(token))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_add_up_to_one() {
        let logits = [0.5, -2.0, 700.0, 699.0, 700.0, -800.0];
        let all = LogProbabilities::new(&logits);
        let sum: f32 = (0..6).map(|token| libm::expf(all.of(token))).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        // 1 / (2 + 1/e), the rest is lost in it.
        assert!((all.of(2) + libm::logf(2.0 + libm::expf(-1.0))).abs() < 1e-6, "{}", all.of(2));
    }

    #[test]
    fn the_likeliest_come_in_order() {
        let logits = [1.0, 3.0, 2.0, 3.0, 0.0];
        let tokens = |count| {
            let likeliest = LogProbabilities::new(&logits).likeliest(count);
            likeliest.iter().map(|&(token, _)| token).collect::<Vec<_>>()
        };
        assert_eq!(tokens(0), [0; 0]);
        assert_eq!(tokens(1), [1]);
        assert_eq!(tokens(3), [1, 3, 2]);
        assert_eq!(tokens(9), [1, 3, 2, 0, 4]);
    }
}
