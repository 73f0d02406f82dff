//! Logits and greedy choices against references.
//!
//! The references were made with llama.cpp and a forward pass in f64: `exact` has all weights unpacked
//! and no quantised activations; `llama.cpp` quantises activations to 8 bits as this engine does. The
//! engine equals neither to the bit, and passes when
//! - with F32 weights every logit is within 2e-4 of `exact`;
//! - with quantised weights its root-mean-square distance to `exact` is at most 1.25 times that of llama.cpp,
//!   or 5e-3 where that is smaller, and likewise its Kullback-Leibler divergence;
//! - fed the reference's greedy tokens, it prefers the next one at every step where `exact` prefers it by more
//!   than 0.5, and at no fewer steps than llama.cpp agrees with `exact`, less two per cent.

mod common;

use std::collections::HashMap;

use embodios_engine::model::Model;
use embodios_fixtures::{STORY, smollm2};
use embodios_kernels::Kernels;
use embodios_text::sample::most_likely;
use serde::Deserialize;

use common::run;

const FACTOR: f64 = 1.25;
const FLOOR: f64 = 5e-3;
const CLEAR_MARGIN: f64 = 0.5;

/// Passes when `ours` is no worse than llama.cpp's `theirs`, as far as the tolerance goes.
fn assert_close(what: &str, ours: f64, theirs: f64) {
    let bound = (FACTOR * theirs).max(FLOOR);
    println!("{what}: {ours:.6}, llama.cpp {theirs:.6}");
    assert!(ours <= bound, "{what}: {ours} exceeds {bound}");
}

/// Root mean square of differences.
fn distance(pairs: impl ExactSizeIterator<Item = (f64, f64)>) -> f64 {
    let count = pairs.len() as f64;
    (pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>() / count).sqrt()
}

/// Kullback-Leibler divergence of probabilities `q` from `p`.
fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * (p / q).ln()).sum()
}

fn log_sum_exp(logits: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = logits.clone().fold(f64::NEG_INFINITY, f64::max);
    largest + logits.map(|logit| (logit - largest).exp()).sum::<f64>().ln()
}

/// A greedy continuation with the margin of the first over the second at each step.
#[derive(Deserialize)]
struct Greedy {
    #[serde(alias = "greedy_ids")]
    ids: Vec<u32>,
    margins: Vec<f64>,
}

/// Feeds `exact`'s tokens one by one after the prompt. `theirs` is llama.cpp's own continuation.
fn check_greedy(model: &Model<'_>, prompt: &[u32], exact: &Greedy, theirs: Option<&[u32]>) {
    let mut evaluator = run::evaluator(model, Kernels::best(), prompt.len() + exact.ids.len());
    let mut pool = run::pool(2);
    let mut preferred = vec![most_likely(evaluator.feed(&mut pool, prompt).unwrap())];
    for &token in &exact.ids[..exact.ids.len() - 1] {
        preferred.push(most_likely(evaluator.feed(&mut pool, &[token]).unwrap()));
    }
    for (step, (&wanted, &margin)) in exact.ids.iter().zip(&exact.margins).enumerate() {
        assert!(preferred[step] == wanted || margin <= CLEAR_MARGIN, "step {step}: margin {margin}");
    }
    let agreeing = |ids: &[u32]| ids.iter().zip(&exact.ids).filter(|(a, b)| a == b).count();
    let (ours, steps) = (agreeing(&preferred), exact.ids.len());
    println!("greedy: {ours} of {steps} as exact");
    if let Some(theirs) = theirs.map(agreeing) {
        assert!(ours as f64 >= theirs as f64 - 0.02 * steps as f64, "{ours} of {steps}, llama.cpp {theirs}");
    }
}

/// All logits after a prompt, of a tiny model with random weights.
#[derive(Deserialize)]
struct All {
    prompt_ids: Vec<u32>,
    #[serde(alias = "dequant_f32")]
    exact: Vec<f64>,
    /// llama.cpp's.
    default: Vec<f64>,
    #[serde(alias = "dequant_f32_greedy")]
    greedy: Greedy,
}

/// Compares the model `name` in `file` with its items in `reference`.
fn check_all(name: &str, file: &[u8], reference: &str) {
    let reference: HashMap<String, Vec<All>> = serde_json::from_str(reference).unwrap();
    let model = run::load(file);
    for item in &reference[name] {
        let logits: Vec<f64> = run::logits(&model, &item.prompt_ids).into_iter().map(f64::from).collect();
        assert_eq!(logits.len(), item.exact.len());
        let probabilities = |logits: &[f64]| {
            let total = log_sum_exp(logits.iter().copied());
            logits.iter().map(|logit| (logit - total).exp()).collect::<Vec<_>>()
        };
        let to_exact = |logits: &[f64]| {
            let pairs = logits.iter().copied().zip(item.exact.iter().copied());
            let largest = pairs.clone().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            let divergence = divergence(&probabilities(&item.exact), &probabilities(logits));
            (distance(pairs), divergence, largest)
        };
        let (ours, theirs) = (to_exact(&logits), to_exact(&item.default));
        if name.ends_with("f32") || name.ends_with("f16") {
            println!("{name}: largest difference {:.7}", ours.2);
            assert!(ours.2 <= 2e-4, "{name}: {}", ours.2);
        } else {
            assert_close(&format!("{name}: distance"), ours.0, theirs.0);
            assert_close(&format!("{name}: divergence"), ours.1, theirs.1);
        }
        check_greedy(&model, &item.prompt_ids, &item.greedy, None);
    }
}

macro_rules! synthetic_tests {
    ($($kind:ident)*) => {
        /// One architecture, every weight type.
        mod synthetic {
            $(#[test]
            fn $kind() {
                let file = include_bytes!(concat!("../../fixtures/reference/synthetic-", stringify!($kind), ".gguf"));
                super::check_all(stringify!($kind), file, include_str!("../../fixtures/reference/synthetic.json"));
            })*
        }
    };
}

synthetic_tests! { f32 q8_0 q4_0 q4_1 q5_0 q5_1 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs }

macro_rules! architecture_tests {
    ($($test:ident: $name:literal)*) => {
        /// Every architecture.
        mod architectures {
            $(#[test]
            fn $test() {
                let file = include_bytes!(concat!("../../fixtures/reference/architectures/", $name, ".gguf"));
                super::check_all($name, file, include_str!("../../fixtures/reference/architectures.json"));
            })*
        }
    };
}

architecture_tests! {
    llama_with_rope_factors: "llama3-rope-f32"
    qwen2: "qwen2-tied-f32"
    qwen2_with_output: "qwen2-untied-q8_0"
    qwen3: "qwen3-tied-f32"
    qwen3_with_output: "qwen3-untied-q8_0"
    gemma3: "gemma3-p6-f32"
    gemma3_with_scaled_rope: "gemma3-lin-q8_0"
}

/// The ten largest logits after a prompt.
#[derive(Deserialize)]
struct Top {
    #[serde(alias = "top10_ids")]
    ids: Vec<u32>,
    #[serde(alias = "top10_logits")]
    logits: Vec<f64>,
    logsumexp: Option<f64>,
}

impl Top {
    fn get(&self, token: u32) -> Option<f64> {
        let index = self.ids.iter().position(|&id| id == token)?;
        Some(self.logits[index])
    }
}

/// Compares on the tokens that both references list, and all others as one.
fn check_top(logits: &[f32], exact: &Top, theirs: &Top) {
    let common: Vec<_> = exact.ids.iter().copied().filter(|&token| theirs.get(token).is_some()).collect();
    let of = |top: &Top| common.iter().map(|&token| top.get(token).unwrap()).collect::<Vec<_>>();
    let (exact_logits, their_logits) = (of(exact), of(theirs));
    let our_logits: Vec<_> = common.iter().map(|&token| f64::from(logits[token as usize])).collect();
    let to_exact = |logits: &[f64]| distance(logits.iter().copied().zip(exact_logits.iter().copied()));
    assert_close("distance", to_exact(&our_logits), to_exact(&their_logits));

    let (Some(exact_total), Some(their_total)) = (exact.logsumexp, theirs.logsumexp) else { return };
    let our_total = log_sum_exp(logits.iter().copied().map(f64::from));
    let probabilities = |logits: &[f64], total: f64| {
        let mut listed: Vec<f64> = logits.iter().map(|logit| (logit - total).exp()).collect();
        listed.push(1.0 - listed.iter().sum::<f64>());
        listed
    };
    let p = probabilities(&exact_logits, exact_total);
    let ours = divergence(&p, &probabilities(&our_logits, our_total));
    assert_close("divergence", ours, divergence(&p, &probabilities(&their_logits, their_total)));
}

#[test]
fn story() {
    #[derive(Deserialize)]
    struct Item {
        prompt_ids_with_bos: Vec<u32>,
        q8_0: Both,
        f32: Both,
    }
    #[derive(Deserialize)]
    struct Both {
        #[serde(flatten)]
        top: Top,
        #[serde(flatten)]
        greedy: Greedy,
    }
    let items: Vec<Item> = serde_json::from_str(include_str!("../../fixtures/reference/story.json")).unwrap();
    let model = run::load(STORY);
    for item in items {
        let prompt = &item.prompt_ids_with_bos;
        check_top(&run::logits(&model, prompt), &item.f32.top, &item.q8_0.top);
        check_greedy(&model, prompt, &item.f32.greedy, Some(&item.q8_0.greedy.ids));
    }
}

#[test]
#[ignore = "needs the SmolLM2 file, which `cargo xtask model fetch smollm2-135m` gets"]
fn smollm2_logits() {
    #[derive(Deserialize)]
    struct Item {
        prompt_ids: Vec<u32>,
        q4_1: Top,
        f32: Top,
    }
    let items: Vec<Item> =
        serde_json::from_str(include_str!("../../fixtures/reference/smollm2_logits.json")).unwrap();
    let file = smollm2();
    let model = run::load(&file);
    for item in items {
        check_top(&run::logits(&model, &item.prompt_ids), &item.f32, &item.q4_1);
    }
}

#[test]
#[ignore = "needs the SmolLM2 file, which `cargo xtask model fetch smollm2-135m` gets"]
fn smollm2_greedy() {
    #[derive(Deserialize)]
    struct Item {
        prompt_ids: Vec<u32>,
        q4_1: Greedy,
        f32: Greedy,
    }
    let items: Vec<Item> =
        serde_json::from_str(include_str!("../../fixtures/reference/smollm2_greedy.json")).unwrap();
    let file = smollm2();
    let model = run::load(&file);
    for item in items {
        check_greedy(&model, &item.prompt_ids, &item.f32, Some(&item.q4_1.ids));
    }
}
