//! The invariant of the arithmetic: the same tokens and the same bits of all logits with any number of
//! workers, with every variant of the kernels, and however a prompt is divided.
//!
//! The expected hashes are what the portable kernels compute with one worker; this test compares every
//! other way with them, on whatever architecture it runs, so that a platform that differs fails.

mod common;

use common::{STORY, run, smollm2};
use embodios_inference::generate::LogitsHash;
use embodios_inference::kernels::Kernels;
use embodios_inference::model::Model;
use embodios_inference::sample::Sampling;

const SAMPLED: Sampling = Sampling { temperature: 0.8, top_k: 40, top_p: 0.95, seed: 42 };

/// Story prompt: "Once upon a time" with its begin token.
const STORY_PROMPT: [u32; 5] = [0, 490, 528, 260, 410];
/// SmolLM2 prompt: "Once upon a time".
const SMOLLM2_PROMPT: [u32; 4] = [6403, 1980, 253, 655];

/// Runs every way and compares with `expected`: the hashes of a greedy and of a sampled run.
fn check(model: &Model<'_>, prompt: &[u32], limit: usize, workers: &[usize], expected: [u64; 2]) {
    for (sampling, expected) in [Sampling::GREEDY, SAMPLED].into_iter().zip(expected) {
        let (tokens, report) = run::generated(model, Kernels::best(), 1, prompt, limit, sampling);
        assert_eq!(tokens.len(), limit);
        assert_eq!(format!("{:#018x}", report.logits_hash), format!("{expected:#018x}"), "{sampling:?}");
        let all_variants = Kernels::available().map(|kernels| (kernels, 1));
        let all_workers = workers.iter().map(|&workers| (Kernels::best(), workers));
        for (kernels, workers) in all_variants.chain(all_workers) {
            let (same, again) = run::generated(model, kernels, workers, prompt, limit, sampling);
            assert_eq!(same, tokens, "{kernels}, {workers} workers");
            assert_eq!(again.logits_hash, expected, "{kernels}, {workers} workers");
        }
    }
}

#[test]
fn story() {
    let model = run::load(STORY);
    check(&model, &STORY_PROMPT, 64, &[1, 2, 3, 4, 5, 8], [0, 0]);
}

#[test]
#[ignore = "needs the SmolLM2 file, which `cargo xtask model fetch smollm2-135m` gets"]
fn smollm2_has_the_same_bits() {
    let file = smollm2();
    check(&run::load(&file), &SMOLLM2_PROMPT, 16, &[1, 2, 3, 4, 8], [0, 0]);
}

#[test]
fn dividing_the_prompt_changes_nothing() {
    let model = run::load(STORY);
    let prompt: Vec<u32> = (0..40).map(|i| (i * 37 + 5) % 1024).collect();
    let mut pool = run::pool(3);
    let whole = run::logits(&model, &prompt);
    for chunk in [1, 2, 3, 7, 39] {
        let mut session = run::session(&model, Kernels::best(), prompt.len());
        for part in prompt.chunks(chunk) {
            session.feed(&mut pool, part).unwrap();
        }
        let hash = |logits: &[f32]| {
            let mut hash = LogitsHash::new();
            assert!(hash.update(logits));
            hash.value()
        };
        assert_eq!(hash(session.logits()), hash(&whole), "chunks of {chunk}");
    }
}
