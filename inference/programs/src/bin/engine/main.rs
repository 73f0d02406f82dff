//! The engine on this host for scripts, behind `cargo xtask engine` and `cargo xtask bench engine`:
//! `engine THREADS MODEL tokenize|detokenize|logits|generate|chat|batch` answers each line of standard input, a JSON
//! object, by one line of standard output; `engine THREADS MODEL measure PROMPT GENERATED [CONTEXT]...`
//! prints one object of speeds.

mod measure;

use std::error::Error;
use std::io::{self, BufRead as _, Write as _};
use std::time::SystemTime;

use embodios_engine::json::{JsonBatch, Responder, Task};
use embodios_engine::model::Model;
use embodios_engine::{batch, cache};
use embodios_gguf::Gguf;
use embodios_host::Host;
use embodios_pool::platform::{CoreSet, Platform as _};
use embodios_pool::{Pool, PoolSettings};
use embodios_text::chat::ChatTemplate;
use embodios_text::tokenizer::Tokenizer;

use measure::Lengths;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: engine THREADS MODEL tokenize|detokenize|logits|generate|chat|batch, or measure PROMPT \
        GENERATED [CONTEXT]...";
    let [threads, path, task, rest @ ..] = arguments.as_slice() else { return Err(usage.into()) };
    let threads = threads.parse::<usize>()?.max(1);
    if let ("measure", [prompt, generated, contexts @ ..]) = (task.as_str(), rest) {
        let contexts = contexts.iter().map(|context| context.parse()).collect::<Result<_, _>>()?;
        let lengths = Lengths { prompt: prompt.parse()?, generated: generated.parse()?, contexts };
        return measure::run(threads, path, &lengths);
    }
    let task = Task::from_name(task).filter(|_| rest.is_empty()).ok_or(usage)?;
    let (file, kernels) = embodios_programs::load(path)?;
    let host = Host::leak(threads);
    let bad = |error: &dyn Error| format!("{path}: {error}");
    let file = Gguf::parse(&file).map_err(|error| bad(&error))?;
    let model = Model::load(&file, kernels.layout()).map_err(|error| bad(&error))?;
    let tokenizer = Tokenizer::new(&file).map_err(|error| bad(&error))?;
    let mut pool = Pool::start(host, &CoreSet::first(threads), PoolSettings::default())?;
    let chat = ChatTemplate::new(&file, &tokenizer);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok().map(|time| time.as_secs());
    let requests = Responder { model: &model, tokenizer: &tokenizer, chat: &chat, kernels, now };
    let mut output = io::stdout().lock();
    let mut written = Ok(());
    let mut write = |bytes: &[u8]| {
        if written.is_ok() {
            written = output.write_all(bytes).and_then(|()| output.flush());
        }
    };
    let mut together = JsonBatch::default();
    for (number, line) in (1..).zip(io::stdin().lock().split(b'\n')) {
        match task {
            Task::Batch => together.take(&requests, number, &line?).iter().for_each(|error| write(error)),
            _ => requests.answer(&mut pool, task, number, &line?, &mut write),
        }
    }
    let settings = batch::Settings::new(cache::budget(&host.memory()));
    together.answer(&requests, &mut pool, settings, &mut write)?;
    Ok(written?)
}
