//! Claimed needs of a model against its allocations: the bounds of `sizing` beside the peak.

#[path = "../../engine/tests/common/mod.rs"]
mod common;
#[path = "common/scripted.rs"]
mod scripted;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use embodios_console::Module;
use embodios_engine::cache::Limits;
use embodios_engine::evaluate::Evaluator;
use embodios_engine::model::{Model, repack};
use embodios_fixtures::STORY;
use embodios_gguf::Gguf;
use embodios_gguf::sizing::{Needs, POSITIONS};
use embodios_kernels::{Kernels, matrix};
use embodios_text::chat::ChatTemplate;
use embodios_text::tokenizer::Tokenizer;

use common::run;
use common::tiny::{ARRAY, I32, Tiny, array, strings};

/// The system's allocator, with the live bytes and their peak beside it.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Held by the test that runs: the count of live bytes is shared by all.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Bytes that a machine takes, at the peak, to load the model in `file` and take a text in, as the engine does it.
fn taken(file: &[u8], kernels: Kernels) -> usize {
    let mut pool = run::pool(2);
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let gguf = Gguf::parse(file).unwrap();
    let first = Model::load(&gguf, matrix::Layout::Rows).unwrap();
    let mut copy = Vec::new();
    let (gguf, model) = match kernels.layout() {
        matrix::Layout::Rows => (gguf, first),
        layout => {
            copy.extend_from_slice(file);
            repack(&mut copy, layout).unwrap();
            let gguf = Gguf::parse(&copy).unwrap();
            let model = Model::load(&gguf, layout).unwrap();
            (gguf, model)
        }
    };
    let tokenizer = Tokenizer::new(&gguf).unwrap();
    let chat = ChatTemplate::new(&gguf, &tokenizer);
    let limits = Limits { context: Some(POSITIONS.min(model.config.context)), budget: usize::MAX };
    let mut evaluator = Evaluator::new(&model, kernels, limits).unwrap();
    evaluator.feed(&mut pool, &[1; 40]).unwrap();
    evaluator.feed(&mut pool, &[1]).unwrap();
    drop(chat);
    PEAK.load(Ordering::Relaxed) - before
}

fn assert_bound(what: &str, file: &[u8]) {
    for kernels in [Kernels::best(), Kernels::PORTABLE] {
        let gguf = Gguf::parse(file).unwrap();
        let needs = Needs::of(&gguf, file.len(), kernels.layout() != matrix::Layout::Rows, 2);
        let (bound, taken) = (needs.total() as usize, taken(file, kernels));
        println!("{what}, {kernels}: {taken} bytes of {bound}, {needs}");
        assert!(taken <= bound, "{what}, {kernels}: {taken} bytes, {needs}");
        assert!(bound <= taken * 3 / 2 + (1 << 20), "{what}, {kernels}: {taken} bytes only, {needs}");
    }
}

/// A model with a vocabulary of so many tokens, of which so many are special.
fn with_tokens(count: usize, special: usize, merges: usize, tokenizer: &str) -> Vec<u8> {
    let texts: Vec<String> = (0..count).map(|token| format!("token{token}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let pairs: Vec<String> = (0..merges).map(|rank| format!("to ken{rank}")).collect();
    let pairs: Vec<&str> = pairs.iter().map(String::as_str).collect();
    let kinds: Vec<[u8; 4]> =
        (0..count).map(|token| if token < special { 3i32 } else { 1 }.to_le_bytes()).collect();
    let mut tiny = Tiny::new("gemma3");
    tiny.vocabulary = count as u64;
    tiny.text("tokenizer.ggml.model", tokenizer);
    tiny.set("tokenizer.ggml.tokens", ARRAY, &strings(&texts));
    tiny.set("tokenizer.ggml.token_type", ARRAY, &array(I32, &kinds));
    tiny.set("tokenizer.ggml.scores", ARRAY, &array(common::tiny::F32, &vec![[0; 4]; count]));
    tiny.set("tokenizer.ggml.merges", ARRAY, &strings(&pairs));
    tiny.build()
}

#[test]
fn what_is_needed_is_what_is_taken() {
    let _one = ONE_AT_A_TIME.lock();
    assert_bound("story model", STORY);
    assert_bound("a byte-level tokenizer of 150,000 tokens", &with_tokens(150_000, 30, 150_000, "gpt2"));
    assert_bound("a SentencePiece tokenizer of 262,000 tokens", &with_tokens(262_000, 6_000, 0, "llama"));
}

#[test]
fn a_model_that_does_not_fit_is_refused_with_the_numbers() {
    let _one = ONE_AT_A_TIME.lock();
    let mut tiny = Tiny::new("llama");
    tiny.text("tokenizer.chat_template", &"-".repeat(9_000_000));
    let module = Module { name: "big.gguf", bytes: tiny.build().leak() };
    let output = scripted::session(1, &[module], "exec=generate -n 1 a", 0, "").output;
    let expected = "big.gguf needs 5";
    let line = scripted::line(&output, "model none: ");
    assert!(line.contains(expected) && line.contains("for its tables"), "{output}");
    assert!(line.ends_with("; 512.0 MiB are free: give the machine more (--memory)"), "{output}");
}

#[test]
#[ignore = "needs smollm2-135m"]
fn smollm2_needs_what_it_takes() {
    let _one = ONE_AT_A_TIME.lock();
    assert_bound("SmolLM2-135M", &embodios_fixtures::smollm2());
}
