//! The invariant of the arithmetic: the same tokens and the same bits of all logits with any number of
//! workers, with every variant of the kernels, and however a prompt is divided; and the bits that every
//! other platform has.

mod common;

use embodios_checks::golden::{self, KnownAnswer};
use embodios_engine::batch::{Outcome, Request};
use embodios_engine::logits_hash::LogitsHash;
use embodios_fixtures::{STORY, smollm2};
use embodios_gguf::Gguf;
use embodios_kernels::Kernels;
use embodios_text::tokenizer::Tokenizer;

use common::run::{self, Models};

/// As [`run::generated`], with the model as the kernels want it. What the text is does not matter.
fn generated(models: &Models, kernels: Kernels, workers: usize, request: &Request) -> Outcome {
    let gguf = Gguf::parse(STORY).unwrap();
    let tokenizer = Tokenizer::new(&gguf).unwrap();
    run::generated(models.of(kernels), &tokenizer, kernels, workers, request.clone())
}

/// Runs every way and compares.
fn check(models: &Models, runs: &[KnownAnswer], workers: &[usize]) {
    for golden in runs {
        let first = generated(models, Kernels::PORTABLE, 1, &golden.request());
        assert_eq!(first.tokens.len(), golden.limit);
        assert_eq!(
            format!("{:#018x}", first.logits_hash),
            format!("{:#018x}", golden.logits_hash),
            "{}",
            golden.name
        );
        let all_variants = Kernels::available().map(|kernels| (kernels, 1));
        let all_workers = workers.iter().map(|&workers| (Kernels::best(), workers));
        for (kernels, workers) in all_variants.chain(all_workers) {
            let again = generated(models, kernels, workers, &golden.request());
            let what = format!("{}, {kernels}, {workers} workers", golden.name);
            assert_eq!(
                (again.tokens, again.logits_hash),
                (first.tokens.clone(), golden.logits_hash),
                "{what}"
            );
        }
    }
}

#[test]
fn story() {
    check(&Models::load(STORY), &golden::STORY, &[1, 2, 3, 4, 5, 8]);
}

#[test]
fn every_architecture_has_the_same_bits_everywhere() {
    let files: [&[u8]; 4] = [
        include_bytes!("../../fixtures/reference/architectures/llama3-rope-f32.gguf"),
        include_bytes!("../../fixtures/reference/architectures/qwen2-untied-q8_0.gguf"),
        include_bytes!("../../fixtures/reference/architectures/qwen3-untied-q8_0.gguf"),
        include_bytes!("../../fixtures/reference/architectures/gemma3-lin-q8_0.gguf"),
    ];
    for file in files {
        let models = Models::load(file);
        let request = Request::greedy(vec![5, 200, 17, 33, 90], 24);
        let hash = |kernels, workers| generated(&models, kernels, workers, &request).logits_hash;
        let expected = hash(Kernels::PORTABLE, 1);
        for (kernels, workers) in
            Kernels::available().map(|kernels| (kernels, 1)).chain([(Kernels::best(), 3)])
        {
            let name = models.of(kernels).config.architecture.name;
            assert_eq!(hash(kernels, workers), expected, "{name}, {kernels}, {workers} workers");
        }
    }
}

#[test]
#[ignore = "needs the SmolLM2 file, which `cargo xtask model fetch smollm2-135m` gets"]
fn smollm2_has_the_same_bits() {
    let file = smollm2();
    check(&Models::load(&file), &golden::SMOLLM2, &[1, 2, 3, 4, 8]);
}

/// A single row's blocks are shared out where they are many; several rows' are not.
#[test]
fn long_texts_have_the_same_bits_by_one_token_or_many() {
    let mut file = STORY.to_vec();
    let key = b"llama.context_length";
    let value = file.windows(key.len()).position(|bytes| bytes == key).unwrap() + key.len() + 4;
    assert_eq!(file[value..][..4], 256u32.to_le_bytes());
    file[value..][..4].copy_from_slice(&1024u32.to_le_bytes());
    let models = Models::load(&file);
    let text: Vec<u32> = (0..600).map(|i| (i * 37 + 5) % 1024).collect();
    // Of the last 64 tokens, the first of which sees 17 blocks.
    let (before, last) = text.split_at(536);
    let logits = |kernels, workers, each: usize| {
        let (mut evaluator, mut pool) =
            (run::evaluator(models.of(kernels), kernels, text.len()), run::pool(workers));
        evaluator.feed(&mut pool, before).unwrap();
        let rows = last.chunks(each).map(|tokens| evaluator.feed(&mut pool, tokens).unwrap().to_vec());
        rows.map(|logits| logits.into_iter().map(f32::to_bits).collect::<Vec<_>>()).last()
    };
    let expected = logits(Kernels::PORTABLE, 1, 64);
    for kernels in Kernels::available() {
        assert_eq!(logits(kernels, 1, 1), expected, "{kernels}");
    }
    for workers in [2, 3, 4, 5, 8] {
        // Of 51 two workers have 26 and 25, and of 64 half each.
        for each in [1, 7, 51, 64] {
            assert_eq!(logits(Kernels::best(), workers, each), expected, "{workers} workers, {each} at once");
        }
    }
}

#[test]
fn dividing_the_prompt_changes_nothing() {
    let model = run::load(STORY);
    let prompt: Vec<u32> = (0..40).map(|i| (i * 37 + 5) % 1024).collect();
    let mut pool = run::pool(3);
    let whole = run::logits(&model, &prompt);
    for chunk in [1, 2, 3, 7, 39] {
        let mut evaluator = run::evaluator(&model, Kernels::best(), prompt.len());
        for part in prompt.chunks(chunk) {
            evaluator.feed(&mut pool, part).unwrap();
        }
        let hash = |logits: &[f32]| {
            let mut hash = LogitsHash::new();
            assert!(hash.update(logits));
            hash.value()
        };
        assert_eq!(hash(evaluator.logits()), hash(&whole), "chunks of {chunk}");
    }
}
