//! The engine's speed as llama-bench measures it: a prompt in one piece from an empty context, and tokens one
//! by one from an empty context. Beside it the time to load and the memory taken.

use std::error::Error;
use std::fs;

use embodios_inference::gguf::Gguf;
use embodios_inference::json::session;
use embodios_inference::kernels::Kernels;
use embodios_inference::model::Model;
use embodios_inference::platform::host::Host;
use embodios_inference::platform::{CoreSet, Platform as _};
use embodios_inference::pool::{Pool, Settings};
use embodios_inference::tokenizer::Tokenizer;
use serde_json::json;

/// Measures once, after a warm-up, and prints one JSON object.
///
/// # Errors
/// When the file is no model, or the model's context is shorter than what is asked for.
pub fn run(
    host: &'static Host,
    threads: usize,
    path: &str,
    prompt: usize,
    generated: usize,
) -> Result<(), Box<dyn Error>> {
    let before = resident("VmRSS:")?;
    let start = host.now_ns();
    let file = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let file = Gguf::parse(&file)?;
    let model = Model::load(&file)?;
    Tokenizer::new(&file)?;
    let kernels = Kernels::fastest(&model, &|| host.now_ns())?;
    let loaded = host.now_ns();
    let mut pool = Pool::start(host, &CoreSet::first(threads), Settings::default())?;
    let config = &model.config;
    let longest = prompt.max(generated);
    if longest > config.context {
        return Err(format!("{longest} tokens: this model's context is {}", config.context).into());
    }
    let ids: Vec<u32> = (0..longest as u32).map(|i| (i * 7919 + 13) % config.vocabulary as u32).collect();
    let mut session = session(&model, kernels, &pool, longest)?;
    session.feed(&mut pool, &ids[..prompt])?;

    session.reset();
    let mark = host.now_ns();
    session.feed(&mut pool, &ids[..prompt])?;
    let prompted = host.now_ns() - mark;
    session.reset();
    let mark = host.now_ns();
    for id in &ids[..generated] {
        session.feed(&mut pool, std::slice::from_ref(id))?;
    }
    let generation = host.now_ns() - mark;
    let rate = |count: usize, nanoseconds: u64| count as f64 * 1e9 / nanoseconds.max(1) as f64;
    let measured = json!({
        "prompt": rate(prompt, prompted),
        "generation": rate(generated, generation),
        "load_ms": (loaded - start) as f64 / 1e6,
        "memory_mb": resident("VmHWM:")?.saturating_sub(before) as f64 / 1e3,
        "kernels": kernels.to_string(),
    });
    println!("{measured}");
    Ok(())
}

/// A figure of `/proc/self/status`, in kilobytes.
fn resident(key: &str) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)).ok_or("no such figure")?;
    Ok(line.split_whitespace().next().ok_or("no such figure")?.parse()?)
}
