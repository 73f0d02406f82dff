//! Runs models on host threads.

use embodios_engine::batch::{Batch, Outcome, Request, Settings};
use embodios_engine::cache::Limits;
use embodios_engine::evaluate::Evaluator;
use embodios_engine::model::{Model, repack};
use embodios_gguf::Gguf;
use embodios_host::Host;
use embodios_kernels::Kernels;
use embodios_kernels::matrix::Layout;
use embodios_pool::platform::CoreSet;
use embodios_pool::{Pool, PoolSettings};
use embodios_text::tokenizer::Tokenizer;

/// A model in every layout.
pub struct Models([Model<'static>; 2]);

impl Models {
    /// The model in `file`.
    pub fn load(file: &[u8]) -> Self {
        Self([Layout::Rows, Layout::Tiles].map(|layout| load_in(layout, file)))
    }

    /// As `kernels` want it.
    pub fn of(&self, kernels: Kernels) -> &Model<'static> {
        &self.0[kernels.layout() as usize]
    }
}

/// The model in `file` as the best kernels want it.
pub fn load(file: &[u8]) -> Model<'static> {
    load_in(Kernels::best().layout(), file)
}

fn load_in(layout: Layout, file: &[u8]) -> Model<'static> {
    let mut file = file.to_vec();
    repack(&mut file, layout).unwrap();
    Model::load(&Gguf::parse(file.leak()).unwrap(), layout).unwrap()
}

/// A pool of `workers` threads.
pub fn pool(workers: usize) -> Pool {
    Pool::start(Host::unpinned(workers), &CoreSet::first(workers), PoolSettings::default()).unwrap()
}

/// An evaluator with room for `context` tokens.
pub fn evaluator<'m>(model: &'m Model<'m>, kernels: Kernels, context: usize) -> Evaluator<'m> {
    Evaluator::new(model, kernels, Limits { context: Some(context), budget: 1 << 30 }).unwrap()
}

/// Logits after `tokens`.
pub fn logits(model: &Model<'_>, tokens: &[u32]) -> Vec<f32> {
    let mut evaluator = evaluator(model, Kernels::best(), tokens.len());
    evaluator.feed(&mut pool(2), tokens).unwrap().to_vec()
}

/// The outcome of `request` as a batch of one.
pub fn generated(
    model: &Model<'_>,
    tokenizer: &Tokenizer<'_>,
    kernels: Kernels,
    workers: usize,
    request: Request,
) -> Outcome {
    let settings = Settings::single(model, 1 << 30, &request);
    let mut batch = Batch::new(model, tokenizer, kernels, settings).unwrap();
    batch.run_one(&mut pool(workers), request, &mut |_| {}).unwrap()
}
