//! Changes to logits before a choice: a bias of single tokens, then penalties for those that came before.

use alloc::vec::Vec;

use embodios_gguf::memory::{OutOfMemory, reserved};

use super::Sampler;

/// A token with this bias or less is out of the choice.
pub const BAN: f32 = -100.0;

/// The tokens of `bias` that are below `vocabulary`, in order, each once: the first counts.
pub(super) fn sorted(bias: &[(u32, f32)], vocabulary: usize) -> Result<Vec<(u32, f32)>, OutOfMemory> {
    let mut sorted = reserved(bias.len(), "bias of tokens")?;
    sorted.extend(bias.iter().filter(|&&(token, _)| (token as usize) < vocabulary));
    sorted.sort_by_key(|&(token, _)| token);
    sorted.dedup_by_key(|&mut (token, _)| token);
    Ok(sorted)
}

impl Sampler {
    /// Changes the candidates' weights, which are the logits, in the order of the tokens. Result: how many take part;
    /// they are in front.
    pub(super) fn adjust(&mut self, logits: &[f32]) -> usize {
        let Self { sampling, candidates, recent, bias, counts, .. } = self;
        for &(token, bias) in &*bias {
            candidates[token as usize].weight += bias;
        }
        for &token in &*recent {
            // From the logit on each time: one that is recent twice is penalised once.
            let mut logit = logits[token as usize];
            if let Ok(place) = bias.binary_search_by_key(&token, |&(token, _)| token) {
                logit += bias[place].1;
            }
            let penalty = sampling.repetition;
            let penalised = if logit > 0.0 { logit / penalty } else { logit * penalty };
            candidates[token as usize].weight = penalised;
        }
        for (candidate, &count) in candidates.iter_mut().zip(&*counts).filter(|&(_, &count)| count > 0) {
            candidate.weight -= sampling.frequency * count as f32 + sampling.presence;
        }
        let mut left = candidates.len();
        // From the last on, so that a token is in its place until its turn comes.
        for &(token, _) in bias.iter().rev().filter(|&&(_, bias)| bias <= BAN) {
            if left > 1 {
                left -= 1;
                candidates.swap(token as usize, left);
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Sampling, most_likely};
    use super::*;

    fn draw(sampling: Sampling, bias: &[(u32, f32)], logits: &[f32], count: usize) -> Vec<u32> {
        let mut sampler = Sampler::with_bias(sampling, bias, logits.len()).unwrap();
        let mut next = || {
            let token = sampler.choose(logits);
            sampler.chosen(token);
            token
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn bias_is_added_and_bans_hold() {
        let logits = [1.0, 3.0, 2.0, 500.0];
        assert_eq!(draw(Sampling::GREEDY, &[(3, -498.5)], &logits, 2), [1, 1]);
        assert_eq!(draw(Sampling::GREEDY, &[(3, BAN)], &logits, 2), [1, 1]);
        assert_eq!(draw(Sampling::GREEDY, &[(3, BAN), (0, 2.5), (3, 9.0), (9, 1.0)], &logits, 1), [0]);
        let drawn = Sampling { temperature: 50.0, seed: 3, ..Sampling::GREEDY };
        for sampling in [drawn, Sampling { top_k: 3, ..drawn }, Sampling { repetition: 1.5, ..drawn }] {
            let tokens = draw(sampling, &[(1, BAN), (3, BAN)], &logits, 500);
            assert!(tokens.contains(&0) && tokens.contains(&2), "{sampling:?}");
            assert!(!tokens.contains(&1) && !tokens.contains(&3), "{sampling:?}");
        }
        // With all banned, one is left.
        let all = [(0, BAN), (1, BAN), (2, BAN), (3, BAN)];
        assert_eq!(draw(Sampling::GREEDY, &all, &logits, 2), [0, 0]);
        assert_eq!(draw(drawn, &all, &logits, 2), [0, 0]);
    }

    #[test]
    fn tokens_chosen_before_are_penalised_and_prompts_are_not() {
        let logits = [1.0, 3.0, 2.5];
        let presence = Sampling { presence: 0.7, ..Sampling::GREEDY };
        assert_eq!(draw(presence, &[], &logits, 5), [1, 2, 1, 1, 1]);
        let frequency = Sampling { frequency: 0.7, ..Sampling::GREEDY };
        assert_eq!(draw(frequency, &[], &logits, 6), [1, 2, 1, 2, 1, 2]);
        let mut sampler = Sampler::new(presence, logits.len()).unwrap();
        sampler.accept(&[1, 1, 1]);
        assert_eq!(sampler.choose(&logits), 1);
        // Below 0 they call for more of the same.
        let more = Sampling { presence: -2.0, ..Sampling::GREEDY };
        assert_eq!(draw(more, &[], &logits, 3), [1, 1, 1]);
    }

    #[test]
    fn bias_comes_before_the_penalty_of_recent_tokens() {
        // 3 - 4 is negative, so that the penalty doubles it.
        let sampling = Sampling { repetition: 2.0, ..Sampling::GREEDY };
        let mut sampler = Sampler::with_bias(sampling, &[(1, -4.0)], 3).unwrap();
        sampler.accept(&[1, 1]);
        assert_eq!(sampler.choose(&[-1.5, 3.0, -1.9]), 0);
    }

    #[test]
    fn without_changes_the_likeliest_is_found_at_once() {
        let logits = [0.5, -0.0, 2.0, 2.0];
        let sampler = Sampler::with_bias(Sampling::GREEDY, &[], 4).unwrap();
        assert!(sampler.candidates.is_empty() && sampler.counts.is_empty());
        assert_eq!(draw(Sampling::GREEDY, &[(0, 0.0)], &logits, 1), [most_likely(&logits)]);
    }
}
