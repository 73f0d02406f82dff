//! Log-probabilities of a model's tokens, before anything is chosen.

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

    /// Appends the `count` likeliest tokens (or as many as there are) to `list`, each with the logarithm of its
    /// probability; the lower token first among equals. Allocates nothing where the list has room for them.
    pub fn append_likeliest(&self, count: usize, list: &mut Vec<(u32, f32)>) {
        let start = list.len();
        let count = count.min(self.logits.len());
        for (token, &logit) in (0..).zip(self.logits) {
            let place = list[start..].partition_point(|&(_, other)| other >= logit);
            if place < count {
                list.truncate(start + count - 1);
                list.insert(start + place, (token, logit));
            }
        }
        list[start..].iter_mut().for_each(|(token, value)| *value = self.of(*token));
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
            let mut likeliest = Vec::from([(7, 0.5)]);
            LogProbabilities::new(&logits).append_likeliest(count, &mut likeliest);
            assert_eq!(likeliest.remove(0), (7, 0.5));
            likeliest.iter().map(|&(token, _)| token).collect::<Vec<_>>()
        };
        assert_eq!(tokens(0), [0; 0]);
        assert_eq!(tokens(1), [1]);
        assert_eq!(tokens(3), [1, 3, 2]);
        assert_eq!(tokens(9), [1, 3, 2, 0, 4]);
    }
}
