//! The engine's speed as llama-bench measures it: a prompt in one piece from an empty context, and tokens one
//! by one from an empty context and from others. Beside it the time to load, the memory taken, and how fast the same
//! threads read the weights when they do nothing else.

use std::error::Error;
use std::fs;
use std::time::Instant;

use embodios_engine::cache::{self, Limits};
use embodios_engine::evaluate::{EvaluateError, Evaluator};
use embodios_engine::model::Model;
use embodios_gguf::Gguf;
use embodios_host::Host;
use embodios_kernels::matrix::Matrix;
use embodios_pool::platform::{CoreSet, Platform as _};
use embodios_pool::{Pool, PoolSettings};
use embodios_text::tokenizer::Tokenizer;
use serde_json::json;

/// Bytes that a thread reads at a time.
const PIECE: usize = 1 << 20;
/// Reads of the weights, of which the fastest counts.
const READS: usize = 8;

/// Lengths that are measured.
pub struct Lengths {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens made.
    pub generated: usize,
    /// Tokens of the contexts behind which as many are made once more.
    pub contexts: Vec<usize>,
}

/// Measures once, after a warm-up, and prints one JSON object.
///
/// # Errors
/// When the file is no model, or the model's context is shorter than what is asked for.
pub fn run(threads: usize, path: &str, lengths: &Lengths) -> Result<(), Box<dyn Error>> {
    let &Lengths { prompt, generated, ref contexts } = lengths;
    let before = resident("VmRSS:")?;
    let start = Instant::now();
    let (file, kernels) = embodios_programs::load(path)?;
    let host = Host::leak(threads);
    let gguf = Gguf::parse(&file)?;
    let model = Model::load(&gguf, kernels.layout())?;
    Tokenizer::new(&gguf)?;
    let load = start.elapsed();
    let mut pool = Pool::start(host, &CoreSet::first(threads), PoolSettings::default())?;
    let config = &model.config;
    let longest = contexts.iter().map(|context| context + generated).chain([prompt, generated]);
    let longest = longest.max().unwrap_or(0);
    if longest > config.context {
        return Err(format!("{longest} tokens: this model's context is {}", config.context).into());
    }
    let ids: Vec<u32> = (0..longest as u32).map(|i| (i * 7919 + 13) % config.vocabulary as u32).collect();
    let evaluator = |context: usize| -> Result<Evaluator<'_>, EvaluateError> {
        let limits = Limits { context: Some(context), budget: cache::budget(&host.memory()) };
        Evaluator::new(&model, kernels, limits)
    };
    let mut empty = evaluator(prompt.max(generated))?;
    empty.feed(&mut pool, &ids[..prompt])?;

    empty.rewind(0);
    let mark = host.now_ns();
    empty.feed(&mut pool, &ids[..prompt])?;
    let prompted = rate(prompt, host.now_ns() - mark);
    empty.rewind(0);
    let generation = generation(host, &mut pool, &mut empty, &ids[..generated])?;
    let memory = resident("VmHWM:")?.saturating_sub(before);
    drop(empty);

    let mut behind = Vec::new();
    for &context in contexts {
        let mut behind_it = evaluator(context + generated)?;
        behind_it.feed(&mut pool, &ids[..context])?;
        let generation = self::generation(host, &mut pool, &mut behind_it, &ids[context..][..generated])?;
        behind.push(json!({ "context": context, "generation": generation }));
    }
    let (weights, bandwidth) = (weights(&model), bandwidth(host, &mut pool, &file));
    let measured = json!({
        "prompt": prompted,
        "generation": generation,
        "contexts": behind,
        "load_ms": load.as_secs_f64() * 1e3,
        "memory_mb": memory as f64 / 1e3,
        "reading": {
            "weights_mb": weights as f64 / 1e6,
            "bandwidth_gbs": bandwidth / 1e9,
            "of_bound": generation * weights as f64 / bandwidth,
        },
        "kernels": kernels.to_string(),
    });
    println!("{measured}");
    Ok(())
}

/// Feeds `ids` one by one. Result: so many a second.
fn generation(
    host: &Host,
    pool: &mut Pool,
    evaluator: &mut Evaluator<'_>,
    ids: &[u32],
) -> Result<f64, Box<dyn Error>> {
    let mark = host.now_ns();
    for id in ids {
        evaluator.feed(pool, std::slice::from_ref(id))?;
    }
    Ok(rate(ids.len(), host.now_ns() - mark))
}

/// Bytes of the matrices that each token is multiplied with.
fn weights(model: &Model<'_>) -> usize {
    let layers = model.layers.iter().flat_map(|layer| {
        let attention = [&layer.query, &layer.key, &layer.value, &layer.attention_output];
        attention.into_iter().chain([&layer.gate, &layer.up, &layer.down])
    });
    let bytes = |matrix: &Matrix<'_>| matrix.rows() * matrix.row_bytes();
    layers.chain([&model.output]).map(bytes).sum()
}

/// Bytes a second that the threads of `pool` read of `file`.
fn bandwidth(host: &Host, pool: &mut Pool, file: &[u8]) -> f64 {
    let mut sums = vec![0u64; file.len().div_ceil(PIECE)];
    let mut fastest: f64 = 0.0;
    for _ in 0..READS {
        let mark = host.now_ns();
        pool.split(&mut sums, 1, |first, sums| {
            for (sum, piece) in sums.iter_mut().zip(file.chunks(PIECE).skip(first)) {
                *sum = sum_of_words(piece);
            }
        });
        std::hint::black_box(&sums);
        fastest = fastest.max(rate(file.len(), host.now_ns() - mark));
    }
    fastest
}

fn sum_of_words(bytes: &[u8]) -> u64 {
    let words = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
    words.fold(0, u64::wrapping_add)
}

fn rate(count: usize, nanoseconds: u64) -> f64 {
    count as f64 * 1e9 / nanoseconds.max(1) as f64
}

/// A figure of `/proc/self/status`, in kilobytes.
fn resident(key: &str) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)).ok_or("no such figure")?;
    Ok(line.split_whitespace().next().ok_or("no such figure")?.parse()?)
}
