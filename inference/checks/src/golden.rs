//! Runs whose logits are known to the bit.
//!
//! Each hash was computed by the portable kernels with one worker on an x86_64 host. The arithmetic is defined
//! so that every other platform, variant of the kernels and number of workers gives the same; a
//! platform that does not is defective. A change of the arithmetic changes the hashes: whether it is
//! right is decided by the comparison with exact references (`tests/logits.rs`), not by these.

use embodios_engine::batch::Request;
use embodios_text::sample::Sampling;

/// A run of a single request.
#[derive(Clone, Copy, Debug)]
pub struct KnownAnswer {
    /// Its name in test reports.
    pub name: &'static str,
    /// Tokens to begin with.
    pub prompt: &'static [u32],
    /// Tokens to make; no token ends the run before.
    pub limit: usize,
    /// Sampling parameters.
    pub sampling: Sampling,
    /// [`embodios_engine::batch::Outcome::logits_hash`] of the run.
    pub logits_hash: u64,
}

impl KnownAnswer {
    /// The request that makes it.
    #[must_use]
    pub fn request(&self) -> Request {
        let &Self { prompt, limit, sampling, .. } = self;
        Request { sampling, ..Request::greedy(prompt.into(), limit) }
    }
}

const SAMPLED: Sampling = Sampling { temperature: 0.8, top_k: 40, top_p: 0.95, seed: 42, ..Sampling::GREEDY };

/// Runs of the story model, prompted "Once upon a time" behind its begin token.
pub const STORY: [KnownAnswer; 2] = {
    let prompt = &[0, 490, 528, 260, 410];
    [
        KnownAnswer {
            name: "story, greedy",
            prompt,
            limit: 64,
            sampling: Sampling::GREEDY,
            logits_hash: 0x917a_87bc_41c5_d2f1,
        },
        KnownAnswer {
            name: "story, sampled",
            prompt,
            limit: 64,
            sampling: SAMPLED,
            logits_hash: 0x04c0_8856_d62b_9c42,
        },
    ]
};

/// Runs of SmolLM2-135M-Instruct Q4_1, prompted "Once upon a time".
pub const SMOLLM2: [KnownAnswer; 2] = {
    let prompt = &[6403, 1980, 253, 655];
    [
        KnownAnswer {
            name: "smollm2, greedy",
            prompt,
            limit: 16,
            sampling: Sampling::GREEDY,
            logits_hash: 0xd036_be1a_c3dd_5a3e,
        },
        KnownAnswer {
            name: "smollm2, sampled",
            prompt,
            limit: 16,
            sampling: SAMPLED,
            logits_hash: 0xd0df_6879_6962_991e,
        },
    ]
};
