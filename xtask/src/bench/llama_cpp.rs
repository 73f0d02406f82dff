//! llama.cpp's own drivers, `llama-bench` and `llama-batched-bench`: the same work as the engine's benches, with
//! nothing of ours between the peer and its figures.

use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::batch::{BatchRow, BatchTimes, LlamaCppRun};
use crate::process;

/// Tokens a second of one run.
pub struct Speed {
    /// Name and build of llama.cpp.
    pub build: String,
    /// Speed of the prompt.
    pub prompt: f64,
    /// Speed of generation, at depth 0 and then at each context depth.
    pub generation: Vec<f64>,
}

/// One test of `llama-bench -o json`.
#[derive(Deserialize)]
struct Test {
    build_commit: String,
    build_number: u64,
    n_gen: u64,
    avg_ts: f64,
}

/// One line of `llama-batched-bench --output-format jsonl`; times in seconds.
#[derive(Deserialize)]
struct Batched {
    pl: usize,
    t_pp: f64,
    t_tg: f64,
}

/// Measures prompt and generation once, after llama-bench's own warm-up.
///
/// # Errors
/// When llama-bench is missing or fails, or says something else.
pub fn speed(model: &Path, threads: usize, prompt: u32, generate: u32, contexts: &[u32]) -> Result<Speed> {
    let run = |prompt: u32, depths: &[u32]| -> Result<Vec<Test>> {
        let mut command = driver("llama-bench", model, threads)?;
        let depths: Vec<String> = depths.iter().map(u32::to_string).collect();
        command.args(["-r", "1", "-o", "json", "-d", &depths.join(",")]);
        command.args(["-p", &prompt.to_string(), "-n", &generate.to_string()]);
        let output = process::output(&mut command, None)?;
        serde_json::from_str(&output).with_context(|| format!("llama-bench said {output:?}"))
    };
    let mut tests = run(prompt, &[0])?;
    if !contexts.is_empty() {
        tests.extend(run(0, contexts)?);
    }
    let build = tests.first().map(build).ok_or_else(|| anyhow!("llama-bench measured nothing"))?;
    let of_prompt =
        tests.iter().find(|test| test.n_gen == 0).ok_or_else(|| anyhow!("no figure of the prompt"))?;
    let generation: Vec<f64> = tests.iter().filter(|test| test.n_gen > 0).map(|test| test.avg_ts).collect();
    ensure!(generation.len() == 1 + contexts.len(), "llama-bench gave {} figures", generation.len());
    Ok(Speed { build, prompt: of_prompt.avg_ts, generation })
}

/// Measures batches of the given sizes once. As in the engine's bench, the first token of each request comes of its
/// prompt, so that one step fewer than `generate` follows.
///
/// # Errors
/// As [`speed`], for llama-batched-bench.
pub fn batches(
    model: &Path,
    threads: usize,
    prompt: usize,
    generate: usize,
    sizes: &[usize],
) -> Result<LlamaCppRun> {
    let most = sizes.iter().copied().max().unwrap_or(1);
    let list: Vec<String> = sizes.iter().map(usize::to_string).collect();
    let mut command = driver("llama-batched-bench", model, threads)?;
    command.args(["-tb", &threads.to_string(), "--output-format", "jsonl"]);
    command.args(["-npp", &prompt.to_string(), "-ntg", &(generate - 1).to_string(), "-npl", &list.join(",")]);
    command.args(["-c", &(most * (prompt + generate)).to_string()]);
    let output = process::output(&mut command, None)?;
    Ok(LlamaCppRun { kernels: "llama.cpp, llama-batched-bench".into(), rows: rows(&output)? })
}

fn rows(output: &str) -> Result<Vec<BatchRow>> {
    let lines = output.lines().filter(|line| line.starts_with('{'));
    let row = |line: &str| -> Result<BatchRow> {
        let Batched { pl, t_pp, t_tg } =
            serde_json::from_str(line).with_context(|| format!("llama-batched-bench said {line:?}"))?;
        let (prompt_ns, generation_ns) = (t_pp * 1e9, t_tg * 1e9);
        let batched = BatchTimes { prompt_ns, generation_ns, total_ns: prompt_ns + generation_ns };
        Ok(BatchRow { batch: pl, batched, sequential: None, plan: None })
    };
    lines.map(row).collect()
}

/// A driver with the model and the number of threads.
fn driver(name: &str, model: &Path, threads: usize) -> Result<Command> {
    let mut command = Command::new(found(name)?);
    command.arg("-m").arg(model).args(["-t", &threads.to_string()]);
    Ok(command)
}

fn found(name: &str) -> Result<PathBuf> {
    process::find_program(name).ok_or_else(|| {
        anyhow!(
            "--compare llama.cpp: {name} is not on the PATH; in llama.cpp's sources: cmake -B build \
             -DCMAKE_BUILD_TYPE=Release && cmake --build build --target llama-bench llama-batched-bench, then \
             PATH=$PWD/build/bin:$PATH"
        )
    })
}

fn build(test: &Test) -> String {
    format!("llama.cpp b{} ({})", test.build_number, test.build_commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_batched_driver_are_rows() {
        let line =
            r#"{"n_kv_max": 1024, "pp": 32, "tg": 63, "pl": 8, "t_pp": 0.5, "t_tg": 2.0, "speed": 1.0}"#;
        let found = rows(&format!("header\n{line}\n")).expect("a row");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].batch, found[0].batched.total_ns), (8, 2.5e9));
        assert!(
            format!("{:#}", rows("{\"pl\": 1}").expect_err("no times")).contains("llama-batched-bench said")
        );
    }
}
