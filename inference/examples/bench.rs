//! Speed on this host: `cargo run --release -p embodios-inference --features std --example bench -- MODEL
//! [THREADS] [PROMPT_TOKENS] [GENERATED_TOKENS] [PART_OF_THE_VARIANT'S_NAME]`.
//!
//! Prints prompt and generation tokens a second and the hash of the logits, which is the same for every
//! number of threads, every variant of the kernels and every architecture.

use std::error::Error;
use std::ops::ControlFlow;

use embodios_gguf::Gguf;
use embodios_inference::cache::Limits;
use embodios_inference::generate::{Request, generate};
use embodios_inference::kernels::Kernels;
use embodios_inference::matrix::Layout;
use embodios_inference::model::{Model, lay_out};
use embodios_inference::platform::host::{Host, file};
use embodios_inference::platform::{CoreSet, Platform as _};
use embodios_inference::pool::{Pool, Settings};
use embodios_inference::session::Session;
use embodios_text::sample::Sampling;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("usage: bench MODEL [THREADS] [PROMPT_TOKENS] [GENERATED_TOKENS] [VARIANT]")?;
    let mut number = |default| arguments.next().map_or(Ok(default), |text| text.parse::<usize>());
    let (threads, prompt_tokens, limit) = (number(1)?, number(128)?, number(64)?);

    let host = Host::leak(threads);
    let file = file::read(path.as_ref())?;
    let vocabulary = Model::load(&Gguf::parse(&file)?, Layout::Rows)?.config.vocabulary as u32;
    let mut pool = Pool::start(host, &CoreSet::first(threads), Settings::default())?;
    let prompt: Vec<u32> = (0..prompt_tokens as u32).map(|i| (i * 7919 + 13) % vocabulary).collect();
    let variant = std::env::args().nth(5);
    for kernels in Kernels::available() {
        if variant.as_ref().is_some_and(|variant| !kernels.to_string().contains(variant)) {
            continue;
        }
        let mut file = file.to_vec();
        let start = host.now_ns();
        lay_out(&mut file, kernels.layout())?;
        let model = Model::load(&Gguf::parse(&file)?, kernels.layout())?;
        let load = host.now_ns() - start;
        let context = (prompt_tokens + limit).min(model.config.context);
        let limits = Limits { context: Some(context), budget: 1 << 30 };
        let mut session = Session::new(&model, kernels, limits)?;
        let request = Request { prompt: &prompt, limit, end: &[], sampling: Sampling::GREEDY };
        let report = generate(&mut session, &mut pool, &request, &mut |_| ControlFlow::Continue(()))?;
        println!(
            "{kernels}: {threads} threads, load {:.1} ms, prompt {:.1} tok/s, generation {:.1} tok/s, logits {:016x}",
            load as f64 / 1e6,
            report.prompt_rate(),
            report.generation_rate(),
            report.logits_hash,
        );
    }
    Ok(())
}
