//! Refusals of loading, evaluation and generation, each of which names what is at fault.

mod common;

use std::cell::Cell;

use embodios_engine::batch::{Batch, Event, Failure, Finish, MOST_LIKELIEST, Refusal, Request, Settings};
use embodios_engine::cache::Limits;
use embodios_engine::evaluate::{EvaluateError, Evaluator};
use embodios_engine::model::{Model, fastest_kernels};
use embodios_engine::prompt::PromptError;
use embodios_fixtures::STORY;
use embodios_gguf::Gguf;
use embodios_kernels::Kernels;
use embodios_kernels::matrix::Layout;
use embodios_text::tokenizer::Tokenizer;

use common::run;

/// The story model with every `from` replaced by `to`, of equal length.
fn altered(from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut file = STORY.to_vec();
    let places: Vec<_> = (0..file.len() - from.len()).filter(|&at| file[at..].starts_with(from)).collect();
    assert!(!places.is_empty(), "nothing to replace");
    places.into_iter().for_each(|at| file[at..at + to.len()].copy_from_slice(to));
    file
}

/// The story model with `value` in the 4 bytes behind `key` and its type.
fn with_number(key: &str, value: u32) -> Vec<u8> {
    let at = STORY.windows(key.len()).position(|window| window == key.as_bytes()).unwrap();
    let mut file = STORY.to_vec();
    file[at + key.len() + 4..][..4].copy_from_slice(&value.to_le_bytes());
    file
}

/// The message with which the model in `file` is refused.
fn refusal(file: &[u8]) -> String {
    let gguf = Gguf::parse(file).unwrap();
    Model::load(&gguf, Layout::Rows).expect_err("a refusal").to_string()
}

#[test]
fn the_story_model_is_as_documented() {
    let config = run::load(STORY).config;
    assert_eq!((config.vocabulary, config.embedding, config.layers, config.context), (1024, 128, 6, 256));
    assert_eq!((config.heads, config.kv_heads, config.head_length, config.feed_forward), (4, 2, 32, 384));
}

#[test]
fn what_runs_beside_the_timing_of_kernels_does_not_choose_them() {
    let variants = Kernels::available().count();
    assert!(variants > 1, "nothing to choose from");
    // The clock goes on by as much at each look, but by far more at a few in a row: as many as time all variants once.
    for first in 0..16 * variants {
        let (now, looks) = (Cell::new(0), Cell::new(0));
        let clock = || {
            let busy = (first..first + 2 * variants).contains(&looks.replace(looks.get() + 1));
            now.replace(now.get() + if busy { 1_000_000 } else { 1_000 })
        };
        assert_eq!(fastest_kernels(STORY, &clock).expect("the story model"), Kernels::best(), "{first}");
    }
}

#[test]
fn refusals_name_what_is_at_fault() {
    let cases: [(Vec<u8>, &str); 12] = [
        (
            altered(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0mamba"),
            "\"mamba\" is not supported; supported: llama, qwen2, qwen3, gemma3",
        ),
        (
            altered(b"blk.3.ffn_up.weight", b"blk.3.ffn_xx.weight"),
            "tensor \"blk.3.ffn_up.weight\" is missing",
        ),
        (altered(b"llama.block_count", b"llama.block_xxxxx"), "key \"llama.block_count\" is missing"),
        (with_number("llama.block_count", 7), "tensor \"blk.6.attn_norm.weight\" is missing"),
        (with_number("llama.block_count", u32::MAX), "tensor \"blk.6.attn_norm.weight\" is missing"),
        (with_number("llama.block_count", 5), "tensor \"blk.5.attn_norm.weight\" is no part of"),
        (with_number("llama.block_count", 0), "key \"llama.block_count\" is 0"),
        (with_number("llama.embedding_length", 256), "tensor \"token_embd.weight\" has shape [128, 1024]"),
        (
            with_number("llama.feed_forward_length", 512),
            "tensor \"blk.0.ffn_gate.weight\" has shape [128, 384]",
        ),
        (with_number("llama.attention.head_count_kv", 3), "key \"llama.attention.head_count_kv\" is 3"),
        (with_number("llama.rope.dimension_count", 31), "key \"llama.rope.dimension_count\" is 31"),
        (with_number("llama.rope.freq_base", f32::NAN.to_bits()), "key \"llama.rope.freq_base\" is NaN"),
    ];
    for (file, expected) in cases {
        let message = refusal(&file);
        assert!(message.contains(expected), "got: {message}\nexpected: {expected}");
    }
}

#[test]
fn an_unsupported_weight_type_is_named_with_what_is_supported() {
    // The last tensor's Q8_0 (8) becomes I8 (24), which takes fewer bytes and so stays inside the file.
    let gguf = Gguf::parse(STORY).unwrap();
    let last = gguf.tensors().max_by_key(|tensor| tensor.data.as_ptr()).unwrap();
    let name = last.name;
    let mut file = STORY.to_vec();
    let at = file.windows(name.len()).rposition(|window| window == name.as_bytes()).unwrap() + name.len();
    let kind = at + 4 + 8 * last.shape().len();
    file[kind..kind + 4].copy_from_slice(&24u32.to_le_bytes());
    let message = refusal(&file);
    assert!(message.contains(name) && message.contains("is of type I8; supported"), "{message}");
}

#[test]
fn a_cache_has_to_fit_the_budget() {
    let model = run::load(STORY);
    let evaluator = |context, budget| Evaluator::new(&model, Kernels::best(), Limits { context, budget });
    // 6 layers, 2 heads of 32, keys and values in half precision: 1536 bytes a position, 32 positions a block.
    let message = evaluator(Some(250), 1536 * 100 + 5).unwrap_err().to_string();
    assert_eq!(
        message,
        "a context of 250 tokens takes 393216 bytes of memory; the budget is 153605 bytes, which hold 96 tokens"
    );
    assert_eq!(evaluator(None, 1536 * 100 + 5).unwrap().context(), 96);
    assert_eq!(evaluator(None, usize::MAX).unwrap().context(), 256);
    assert!(evaluator(None, 1536 * 32 - 1).unwrap_err().to_string().contains("which hold 0 tokens"));
    let message = evaluator(Some(257), usize::MAX).unwrap_err().to_string();
    assert_eq!(message, "a context of 257 tokens; this model takes 1 to 256");
    assert!(evaluator(Some(0), usize::MAX).is_err());
}

#[test]
fn an_evaluator_refuses_what_it_cannot_take() {
    let model = run::load(STORY);
    let mut pool = run::pool(2);
    let mut evaluator = run::evaluator(&model, Kernels::best(), 4);
    assert_eq!(evaluator.feed(&mut pool, &[]).unwrap_err(), EvaluateError::Prompt(PromptError::Empty));
    let unknown = evaluator.feed(&mut pool, &[1, 1024]).unwrap_err();
    assert_eq!(unknown.to_string(), "token 1024 is not one of the model's 1024");
    assert_eq!(evaluator.position(), 0);
    evaluator.feed(&mut pool, &[1, 2, 3]).unwrap();
    let full = evaluator.feed(&mut pool, &[4, 5]).unwrap_err();
    assert_eq!(full.to_string(), "the context of 4 tokens is full: 3 used, 2 more wanted");
    evaluator.feed(&mut pool, &[4]).unwrap();
    evaluator.rewind(0);
    evaluator.feed(&mut pool, &[1, 2, 3, 4]).unwrap();
}

/// The beginning of a story.
const PROMPT: [u32; 5] = [0, 490, 528, 260, 410];

#[test]
fn generation_stops_for_the_stated_reason() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let mut pool = run::pool(2);
    let mut stopped = |context: usize, request: Request| {
        let settings = Settings { context: Some(context), ..Settings::single(&model, 1 << 30, &request) };
        let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), settings).unwrap();
        let mut count = 0;
        let outcome = batch.run_one(&mut pool, request, &mut |_| count += 1).unwrap();
        assert_eq!((outcome.tokens.len(), outcome.prompt_tokens), (count, 5));
        (outcome.finish, count, batch.steps())
    };
    let greedy = |limit| Request::greedy(PROMPT.into(), limit);
    // The prompt in one step makes the first token, and the last one made is not taken in.
    assert_eq!(stopped(64, greedy(10)), (Finish::Limit, 10, 10));
    assert_eq!(stopped(64, greedy(1)), (Finish::Limit, 1, 1));
    assert_eq!(stopped(64, greedy(0)), (Finish::Limit, 0, 1));
    // The context holds the prompt and three tokens more; a fourth is made of it and not taken back in.
    assert_eq!(stopped(8, greedy(10)), (Finish::ContextFull, 4, 4));
    let stops = Request { stops: vec![" there".into()], ..greedy(10) };
    assert!(matches!(stopped(64, stops), (Finish::StopText, 2..10, _)));
    // ", there was a": 277 is the third token that the reference lists.
    assert_eq!(stopped(64, Request { end: vec![277], ..greedy(10) }), (Finish::End(277), 2, 3));
    assert_eq!(stopped(256, Request { end: vec![0], ..greedy(250) }).0, Finish::End(0));
}

#[test]
fn what_cannot_be_generated_is_refused_by_name() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let refusal = |request: Request| {
        let settings = Settings::single(&model, 1 << 30, &request);
        let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), settings).unwrap();
        batch.run_one(&mut run::pool(1), request, &mut |_| {}).unwrap_err()
    };
    assert_eq!(refusal(Request::greedy(Vec::new(), 3)), Refusal::Prompt(PromptError::Empty));
    let full = refusal(Request::greedy(vec![1; 257], 3)).to_string();
    assert_eq!(full, "the context of 256 tokens is full: 0 used, 257 more wanted");
    let wanted = MOST_LIKELIEST + 1;
    let many = Request { log_probabilities: Some(wanted), ..Request::greedy(vec![1], 3) };
    assert_eq!(refusal(many), Refusal::Likeliest { wanted });
}

#[test]
fn every_token_comes_with_what_the_model_thought_of_it() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let request = Request { log_probabilities: Some(3), ..Request::greedy(vec![0, 490], 4) };
    let settings = Settings::single(&model, 1 << 30, &request);
    let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), settings).unwrap();
    let mut count = 0;
    let outcome = batch.run_one(&mut run::pool(1), request, &mut |event| {
        let Event::Token { token, log_probability, likeliest, .. } = event else { return };
        assert_eq!(likeliest[0], (token, log_probability.unwrap()));
        assert!(likeliest[0].1 < 0.0 && likeliest.is_sorted_by(|a, b| a.1 >= b.1) && likeliest.len() == 3);
        count += 1;
    });
    let outcome = outcome.unwrap();
    assert_eq!((outcome.tokens.len(), outcome.likeliest.len(), count), (4, 12, 4));
}

#[test]
fn a_prompt_has_its_time_also_where_no_token_follows() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let at_once = Request { end: (0..1024).collect(), ..Request::greedy(PROMPT.into(), 5) };
    for request in [at_once, Request::greedy(PROMPT.into(), 0)] {
        let outcome = run::generated(&model, &tokenizer, Kernels::best(), 1, request);
        assert!(outcome.tokens.is_empty() && outcome.times.prefill() > 0, "{outcome:?}");
        assert_eq!(outcome.times.decode(), 0);
    }
}

#[test]
fn damaged_weights_are_reported() {
    let gguf = Gguf::parse(STORY).unwrap();
    let norm = gguf.required_tensor("output_norm.weight").unwrap().data.as_ptr().addr();
    let mut file = STORY.to_vec();
    file[norm - STORY.as_ptr().addr()..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let (model, tokenizer) = (run::load(&file), Tokenizer::new(&gguf).unwrap());
    let request = Request::greedy(vec![1, 2], 1);
    let outcome = run::generated(&model, &tokenizer, Kernels::best(), 1, request);
    assert_eq!(outcome.finish, Finish::Failed(Failure::NotFinite { position: 2 }));
}
