//! `cargo xtask bench engine`: the engine's speed on this host, and llama.cpp's beside it in the same run.

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::median;
use crate::build;
use crate::cli::{Contender, EngineBenchOptions};
use crate::model::Model;
use crate::process::{self, End};
use crate::setup::Consent;
use crate::workspace::Workspace;

/// What llama.cpp is asked to do.
const LLAMA_CPP: &str = include_str!("llama_cpp.py");

/// Ends with success where the package is installed.
const LLAMA_CPP_IS_THERE: &str =
    "import importlib.util, sys; sys.exit(importlib.util.find_spec('llama_cpp') is None)";

/// One run's figures; or, field by field, the medians of several.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Figures {
    /// Prompt tokens a second.
    prompt: f64,
    /// Generated tokens a second.
    generation: f64,
    /// Milliseconds from the file to a model that can compute.
    load_ms: f64,
    /// Memory taken since before the model was loaded, in megabytes.
    memory_mb: f64,
    /// What computed.
    kernels: String,
}

/// Medians with one number of threads.
#[derive(Serialize)]
struct Row {
    threads: usize,
    engine: Figures,
    #[serde(rename = "llama.cpp", skip_serializing_if = "Option::is_none")]
    llama_cpp: Option<Figures>,
}

/// Everything that is printed.
#[derive(Serialize)]
struct Report {
    model: String,
    prompt: u32,
    generated: u32,
    repetitions: u32,
    rows: Vec<Row>,
}

/// Runs all, by turns, and prints a table and JSON.
///
/// # Errors
/// When a run cannot be started or fails.
pub fn run(workspace: &Workspace, consent: Consent, options: &EngineBenchOptions) -> Result<u8> {
    let model = Model::resolve(workspace, consent, &options.model)?;
    let model = model.on_host(workspace)?;
    let python = match options.compare {
        Some(Contender::LlamaCpp) => Some(python_with_llama_cpp(workspace)?),
        None => None,
    };
    let program = build::host_example(workspace, "engine")?;
    let lengths = [options.prompt.to_string(), options.generate.to_string()];
    let mut rows = Vec::new();
    for &threads in &options.threads {
        let (mut engine, mut llama_cpp) = (Vec::new(), Vec::new());
        for repetition in 1..=options.repetitions {
            eprintln!("xtask: {threads} threads, {repetition} of {}", options.repetitions);
            let mut command = Command::new(&program);
            command.arg(threads.to_string()).arg(&model).arg("measure").args(&lengths);
            engine.push(measure(&mut command)?);
            if let Some(python) = &python {
                let mut command = Command::new(python);
                command.args(["-c", LLAMA_CPP]).arg(&model).arg(threads.to_string()).args(&lengths);
                llama_cpp.push(measure(&mut command)?);
            }
        }
        let engine = medians(&engine).context("there were no runs")?;
        rows.push(Row { threads, engine, llama_cpp: medians(&llama_cpp) });
    }
    let name = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let report = Report {
        model: name,
        prompt: options.prompt,
        generated: options.generate,
        repetitions: options.repetitions,
        rows,
    };
    print!("{}", table(&report));
    println!("{}", serde_json::to_string(&report)?);
    Ok(0)
}

/// The Python that has the package: of the environment under `target`, or else the system's.
fn python_with_llama_cpp(workspace: &Workspace) -> Result<PathBuf> {
    let environment = workspace.llama_cpp();
    let own = environment.join("bin/python");
    for python in [own.as_path(), Path::new("python3")] {
        let mut command = Command::new(python);
        let end = process::stream(command.args(["-c", LLAMA_CPP_IS_THERE]), None, &mut |_| Ok(()));
        if matches!(end, Ok(End::Exited(status)) if status.success()) {
            return Ok(python.to_owned());
        }
    }
    let path = environment.display();
    bail!(
        "--compare llama.cpp: the Python package llama-cpp-python is missing; to build and install it: \
         python3 -m venv {path} && {path}/bin/pip install llama-cpp-python"
    )
}

/// Runs a program whose output is one line of figures.
fn measure(command: &mut Command) -> Result<Figures> {
    let mut output = Vec::new();
    let end = process::stream(command, None, &mut |bytes| {
        output.extend_from_slice(bytes);
        Ok(())
    })?;
    let program = Path::new(command.get_program()).display();
    ensure!(matches!(end, End::Exited(status) if status.success()), "{program} failed: {end:?}");
    serde_json::from_slice(&output)
        .with_context(|| format!("{program} said {:?}", String::from_utf8_lossy(&output)))
}

/// The median of each figure; nothing of nothing.
fn medians(runs: &[Figures]) -> Option<Figures> {
    let of = |figure: fn(&Figures) -> f64| median(runs.iter().map(figure).collect());
    Some(Figures {
        kernels: runs.first()?.kernels.clone(),
        prompt: of(|run| run.prompt),
        generation: of(|run| run.generation),
        load_ms: of(|run| run.load_ms),
        memory_mb: of(|run| run.memory_mb),
    })
}

fn table(report: &Report) -> String {
    let Report { model, prompt, generated, repetitions, rows } = report;
    let (pp, tg) = (format!("pp{prompt} tok/s"), format!("tg{generated} tok/s"));
    let mut table = format!(
        "{model}, medians of {repetitions}\nthreads  {pp:>12}  {tg:>12}  {:>8}  {:>9}\n",
        "load ms", "memory MB"
    );
    for Row { threads, engine, llama_cpp } in rows {
        let mut line = |[prompt, generation, load, memory]: [f64; 4], digits: usize, what: &str| {
            table += &format!(
                "{threads:>7}  {prompt:>12.digits$}  {generation:>12.digits$}  {load:>8.digits$}  \
                 {memory:>9.digits$}  {what}\n"
            );
        };
        let numbers = |run: &Figures| [run.prompt, run.generation, run.load_ms, run.memory_mb];
        line(numbers(engine), 1, &format!("engine, {}", engine.kernels));
        if let Some(other) = llama_cpp {
            line(numbers(other), 1, &other.kernels);
            let (ours, theirs) = (numbers(engine), numbers(other));
            line(std::array::from_fn(|index| ours[index] / theirs[index]), 2, "engine / llama.cpp");
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(prompt: f64, generation: f64, kernels: &str) -> Figures {
        Figures { prompt, generation, load_ms: 50.0, memory_mb: 100.0, kernels: kernels.to_owned() }
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
        for part in ["pp128", "tg64", "600.0", "60.0", "3.00", "1.50", "engine, a"] {
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
