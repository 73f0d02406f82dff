//! `cargo xtask bench engine`: speed of the engine on this host, interleaved with llama.cpp.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;

use super::llama_cpp::{self, Speed};
use super::median;
use crate::build;
use crate::cli::{Contender, EngineBenchOptions};
use crate::model::Model;
use crate::process;
use crate::setup::Consent;
use crate::workspace::Workspace;

/// Figures of one run, or the medians of several.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Figures {
    /// Prompt tokens a second.
    prompt: f64,
    /// Generated tokens a second.
    generation: f64,
    /// Generation at context depths.
    contexts: Vec<AtDepth>,
    /// Milliseconds from the file to a loaded model, if measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    load_ms: Option<f64>,
    /// Memory taken since before the model was loaded, in megabytes, if measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_mb: Option<f64>,
    /// Memory bandwidth, if measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    reading: Option<Reading>,
    /// Name of the kernels.
    kernels: String,
}

/// Generation at a context depth.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct AtDepth {
    /// Tokens of context before the first generated one.
    context: u32,
    /// Generated tokens a second.
    generation: f64,
}

/// Memory bandwidth of a token's weights.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Reading {
    /// Weights that a token needs, in megabytes.
    weights_mb: f64,
    /// Read bandwidth of the same threads doing nothing else, in gigabytes a second.
    bandwidth_gbs: f64,
    /// Speed of generation as a share of the bandwidth bound.
    of_bound: f64,
}

/// Medians with one number of threads.
#[derive(Serialize)]
struct Row {
    threads: usize,
    engine: Figures,
    #[serde(rename = "llama.cpp", skip_serializing_if = "Option::is_none")]
    llama_cpp: Option<Figures>,
}

/// The printed report.
#[derive(Serialize)]
struct Report {
    model: String,
    prompt: u32,
    generated: u32,
    repetitions: u32,
    rows: Vec<Row>,
}

/// Measures both engines, interleaved, and prints a table and JSON.
///
/// # Errors
/// When a run cannot be started or fails.
pub fn run(workspace: &Workspace, consent: Consent, options: &EngineBenchOptions) -> Result<u8> {
    let program = build::host_program(workspace, "engine")?;
    for model in &options.model {
        let model = Model::resolve(workspace, consent, model)?.on_host(workspace)?;
        let report = report(&model, &program, options)?;
        print!("{}", table(&report));
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(0)
}

/// Measures one model with each number of threads.
fn report(model: &Path, program: &Path, options: &EngineBenchOptions) -> Result<Report> {
    let lengths = [options.prompt, options.generate].into_iter().chain(options.context.iter().copied());
    let lengths: Vec<String> = lengths.map(|length| length.to_string()).collect();
    let name = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut rows = Vec::new();
    for &threads in &options.threads {
        let (mut engine, mut llama_cpp) = (Vec::new(), Vec::new());
        for repetition in 1..=options.repetitions {
            eprintln!("xtask: {name}, {threads} threads, {repetition} of {}", options.repetitions);
            let mut command = Command::new(program);
            command.arg(threads.to_string()).arg(model).arg("measure").args(&lengths);
            engine.push(measure(&mut command)?);
            if options.compare == Some(Contender::LlamaCpp) {
                llama_cpp.push(of_llama_cpp(model, threads, options)?);
            }
        }
        let engine = medians(&engine).context("there were no runs")?;
        rows.push(Row { threads, engine, llama_cpp: medians(&llama_cpp) });
    }
    Ok(Report {
        model: name,
        prompt: options.prompt,
        generated: options.generate,
        repetitions: options.repetitions,
        rows,
    })
}

/// Measures the same work once by llama.cpp.
fn of_llama_cpp(model: &Path, threads: usize, options: &EngineBenchOptions) -> Result<Figures> {
    let EngineBenchOptions { prompt, generate, context, .. } = options;
    let Speed { build, prompt, generation } = llama_cpp::speed(model, threads, *prompt, *generate, context)?;
    let at_depths = context.iter().zip(&generation[1..]);
    Ok(Figures {
        prompt,
        generation: generation[0],
        contexts: at_depths.map(|(&context, &generation)| AtDepth { context, generation }).collect(),
        load_ms: None,
        memory_mb: None,
        reading: None,
        kernels: build,
    })
}

/// Runs a program and parses its one line of figures.
fn measure(command: &mut Command) -> Result<Figures> {
    let output = process::output(command, None)?;
    serde_json::from_str(&output).with_context(|| format!("`{}` printed {output:?}", process::shown(command)))
}

/// The median of each figure; `None` of no runs.
fn medians(runs: &[Figures]) -> Option<Figures> {
    let first = runs.first()?;
    let of = |figure: &dyn Fn(&Figures) -> f64| median(runs.iter().map(figure).collect());
    let at_depth = |(index, at_depth): (usize, &AtDepth)| AtDepth {
        context: at_depth.context,
        generation: of(&|run| run.contexts.get(index).map_or(f64::NAN, |at_depth| at_depth.generation)),
    };
    let reading = |figure: fn(&Reading) -> f64| of(&|run| run.reading.as_ref().map_or(f64::NAN, figure));
    Some(Figures {
        kernels: first.kernels.clone(),
        prompt: of(&|run| run.prompt),
        generation: of(&|run| run.generation),
        contexts: first.contexts.iter().enumerate().map(at_depth).collect(),
        load_ms: first.load_ms.map(|_| of(&|run| run.load_ms.unwrap_or(f64::NAN))),
        memory_mb: first.memory_mb.map(|_| of(&|run| run.memory_mb.unwrap_or(f64::NAN))),
        reading: first.reading.as_ref().map(|_| Reading {
            weights_mb: reading(|reading| reading.weights_mb),
            bandwidth_gbs: reading(|reading| reading.bandwidth_gbs),
            of_bound: reading(|reading| reading.of_bound),
        }),
    })
}

fn table(report: &Report) -> String {
    let Report { model, prompt, generated, repetitions, rows } = report;
    let mut heads = vec![format!("pp{prompt}"), format!("tg{generated}")];
    let contexts = rows.iter().take(1).flat_map(|row| &row.engine.contexts);
    heads.extend(contexts.map(|at_depth| format!("tg{generated} @{}", at_depth.context)));
    heads.extend(["load ms", "memory MB"].map(str::to_owned));
    let mut table = format!("{model}, medians of {repetitions}; pp and tg in tokens/s\nthreads");
    heads.iter().for_each(|head| table += &format!("  {head:>12}"));
    table.push('\n');
    for Row { threads, engine, llama_cpp } in rows {
        let mut line = |numbers: Vec<f64>, digits: usize, what: &str| {
            table += &format!("{threads:>7}");
            for number in numbers {
                let shown = if number.is_nan() { "-".to_owned() } else { format!("{number:.digits$}") };
                table += &format!("  {shown:>12}");
            }
            table += &format!("  {what}\n");
        };
        let numbers = |run: &Figures| {
            let at_depths = run.contexts.iter().map(|at_depth| at_depth.generation);
            let front = [run.prompt, run.generation].into_iter().chain(at_depths);
            front
                .chain([run.load_ms, run.memory_mb].map(|figure| figure.unwrap_or(f64::NAN)))
                .collect::<Vec<_>>()
        };
        line(numbers(engine), 1, &format!("engine, {}", engine.kernels));
        if let Some(other) = llama_cpp {
            line(numbers(other), 1, &other.kernels);
            let ratios = numbers(engine).into_iter().zip(numbers(other)).map(|(ours, theirs)| ours / theirs);
            line(ratios.collect(), 2, "engine / llama.cpp");
        }
        if let Some(Reading { weights_mb, bandwidth_gbs, of_bound }) = &engine.reading {
            table += &format!(
                "{threads:>7}  {weights_mb:.1} MB of weights a token, read at {bandwidth_gbs:.1} GB/s: generation is \
                 {:.0} % of that bound\n",
                of_bound * 100.0
            );
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(prompt: f64, generation: f64, kernels: &str) -> Figures {
        let contexts = vec![AtDepth { context: 1024, generation: generation / 2.0 }];
        let reading = Some(Reading { weights_mb: 90.0, bandwidth_gbs: 20.0, of_bound: 0.25 });
        let kernels = kernels.to_owned();
        Figures {
            prompt,
            generation,
            contexts,
            load_ms: Some(50.0),
            memory_mb: Some(100.0),
            reading,
            kernels,
        }
    }

    #[test]
    fn ratios_are_of_medians() {
        let runs = [figures(300.0, 90.0, "a"), figures(900.0, 30.0, "a"), figures(600.0, 60.0, "a")];
        let row = Row {
            threads: 2,
            engine: medians(&runs).expect("three"),
            llama_cpp: Some(figures(200.0, 40.0, "b")),
        };
        let report =
            Report { model: "m.gguf".into(), prompt: 128, generated: 64, repetitions: 3, rows: vec![row] };
        let shown = table(&report);
        for part in ["pp128", "tg64", "@1024", "600.0", "60.0", "30.0", "3.00", "1.50", "engine, a", "25 %"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(medians(&[]).is_none());
    }

    #[test]
    fn what_is_no_figure_is_shown() {
        let error = measure(Command::new("sh").args(["-c", "echo nonsense"])).expect_err("no JSON");
        assert!(format!("{error:#}").contains("nonsense"));
        assert!(measure(Command::new("sh").args(["-c", "exit 3"])).is_err());
    }
}
