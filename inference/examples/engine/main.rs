//! The engine on this host for scripts, behind `cargo xtask engine` and `cargo xtask bench engine`:
//! `engine THREADS MODEL tokenize|detokenize|logits|generate|chat` answers each line of standard input, a JSON
//! object, by one line of standard output; `engine THREADS MODEL measure PROMPT GENERATED` prints one object of
//! speeds.
//!
//! A line that is no request is answered by `{"line": N, "field": NAME, "error": TEXT}`, and the run goes on.

mod answer;
mod fields;
mod measure;
mod sequence;

use std::error::Error;
use std::io::{self, BufRead as _, Write as _};

use answer::{Engine, Task};
use embodios_inference::platform::CoreSet;
use embodios_inference::platform::host::Host;
use embodios_inference::pool::{Pool, Settings};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage =
        "usage: engine THREADS MODEL tokenize|detokenize|logits|generate|chat, or measure PROMPT GENERATED";
    let [threads, path, task, rest @ ..] = arguments.as_slice() else { return Err(usage.into()) };
    let threads = threads.parse::<usize>()?.max(1);
    let host = Host::leak(threads);
    if let ("measure", [prompt, generated]) = (task.as_str(), rest) {
        return measure::run(host, threads, path, prompt.parse()?, generated.parse()?);
    }
    let task = Task::from_name(task).filter(|_| rest.is_empty()).ok_or(usage)?;
    let file = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let mut pool = Pool::start(host, &CoreSet::first(threads), Settings::default())?;
    let engine = Engine::load(&file).map_err(|error| format!("{path}: {error}"))?;
    let mut output = io::stdout().lock();
    for (number, line) in (1..).zip(io::stdin().lock().split(b'\n')) {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let answer = engine.answer(&mut pool, task, &line).unwrap_or_else(|error| error.at_line(number));
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}
