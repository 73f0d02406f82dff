//! Runs models on host threads.

use std::ops::ControlFlow;

use embodios_engine::cache::Limits;
use embodios_engine::generate::{Report, Request, generate};
use embodios_engine::model::{Model, lay_out};
use embodios_engine::session::Session;
use embodios_gguf::Gguf;
use embodios_host::Host;
use embodios_kernels::Kernels;
use embodios_kernels::matrix::Layout;
use embodios_pool::platform::CoreSet;
use embodios_pool::{Pool, Settings};

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
    lay_out(&mut file, layout).unwrap();
    Model::load(&Gguf::parse(file.leak()).unwrap(), layout).unwrap()
}

/// A pool of `workers` threads.
pub fn pool(workers: usize) -> Pool {
    Pool::start(Host::unpinned(workers), &CoreSet::first(workers), Settings::default()).unwrap()
}

/// A session with room for `context` tokens.
pub fn session<'m>(model: &'m Model<'m>, kernels: Kernels, context: usize) -> Session<'m> {
    Session::new(model, kernels, Limits { context: Some(context), budget: 1 << 30 }).unwrap()
}

/// Logits after `tokens`.
pub fn logits(model: &Model<'_>, tokens: &[u32]) -> Vec<f32> {
    let mut session = session(model, Kernels::best(), tokens.len());
    session.feed(&mut pool(2), tokens).unwrap().to_vec()
}

/// What [`generate`] hands on and reports for `request`, from an empty session.
pub fn generated(
    model: &Model<'_>,
    kernels: Kernels,
    workers: usize,
    request: &Request<'_>,
) -> (Vec<u32>, Report) {
    let mut session = session(model, kernels, request.prompt.len() + request.limit);
    let mut tokens = Vec::new();
    let report = generate(&mut session, &mut pool(workers), request, &mut |made| {
        tokens.push(made.token);
        ControlFlow::Continue(())
    });
    (tokens, report.unwrap())
}
