//! Batches on a platform with little memory: requests wait for it, make place for older ones, and fail only where no
//! request's end could bring it.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use embodios_engine::batch::{Batch, Event, Outcome, Request, Settings, Strategy};
use embodios_fixtures::STORY;
use embodios_gguf::Gguf;
use embodios_kernels::Kernels;
use embodios_pool::Pool;
use embodios_text::sample::Sampling;
use embodios_text::tokenizer::Tokenizer;

use common::run;

/// The system's allocator up to a limit of live bytes.
struct Limited;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

// SAFETY: every call goes to the system's allocator as it came, or is refused.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        if live > LIMIT.load(Ordering::Relaxed) {
            LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
            return ptr::null_mut();
        }
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static LIMITED: Limited = Limited;

/// Held by the test that runs: the limit is shared by all.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const MIB: usize = 1 << 20;

/// Calls `run` with a limit of so many bytes more than are live.
fn within<R>(bytes: usize, run: impl FnOnce() -> R) -> R {
    LIMIT.store(LIVE.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    let result = run();
    LIMIT.store(usize::MAX, Ordering::Relaxed);
    result
}

fn request(seed: u64) -> Request {
    let sampling = Sampling { temperature: 0.8, seed, ..Sampling::GREEDY };
    Request { sampling, ..Request::greedy(vec![0, 490, 528, 260, 410], 200) }
}

/// The outcomes of the requests, and how many took part at the same time.
fn outcomes(batch: &mut Batch<'_>, pool: &mut Pool, count: u64) -> (Vec<Outcome>, usize) {
    let mut outcomes = Vec::with_capacity(count as usize);
    for seed in 0..count {
        batch.submit(pool, request(seed)).unwrap();
    }
    let mut most = 0;
    while batch.step(pool, &mut |event| {
        if let Event::Finished { outcome, .. } = event {
            outcomes.push(outcome);
        }
    }) {
        most = most.max(batch.lengths().1);
    }
    (outcomes, most)
}

#[test]
fn requests_wait_for_memory_and_make_place() {
    let _one = ONE_AT_A_TIME.lock();
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let mut pool = run::pool(1);
    // The budget of blocks promises more than there is.
    let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), Settings::new(1 << 30)).unwrap();
    batch.prepare(&pool).unwrap();
    let (results, most) = within(3 * MIB, || outcomes(&mut batch, &mut pool, 32));
    assert!(
        most > 2 && batch.preemptions() > 2,
        "{most} at the same time, {} preempted",
        batch.preemptions()
    );
    assert_eq!(results.len(), 32);
    let mut ample = Batch::new(&model, &tokenizer, Kernels::best(), Settings::new(1 << 30)).unwrap();
    let (expected, _) = outcomes(&mut ample, &mut pool, 32);
    assert_eq!((ample.preemptions(), expected[0].tokens.len()), (0, 200));
    let hashes = |outcomes: &[Outcome]| {
        let mut hashes: Vec<_> = outcomes.iter().map(|outcome| outcome.logits_hash).collect();
        hashes.sort_unstable();
        hashes
    };
    assert_eq!(hashes(&results), hashes(&expected));

    // Where one does not fit even alone, each fails and says what for: at once, or when it can grow no more.
    for (bytes, tokens) in [(MIB / 2 + MIB / 32, 0..1), (MIB / 2 + MIB / 4, 28..200)] {
        let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), Settings::new(1 << 30)).unwrap();
        batch.prepare(&pool).unwrap();
        let (results, _) = within(bytes, || outcomes(&mut batch, &mut pool, 3));
        let finishes: Vec<_> = results.iter().map(|outcome| outcome.finish.to_string()).collect();
        assert_eq!(finishes.len(), 3);
        assert!(
            finishes.iter().all(|finish| finish.starts_with("failed: no memory for the ")),
            "{finishes:?}"
        );
        assert!(results.iter().all(|outcome| tokens.contains(&outcome.tokens.len())), "{results:?}");
    }
}

#[test]
fn memory_kept_for_later_makes_place() {
    let _one = ONE_AT_A_TIME.lock();
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let mut pool = run::pool(1);
    let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), Settings::new(1 << 30)).unwrap();
    batch.prepare(&pool).unwrap();
    let (results, _) = outcomes(&mut batch, &mut pool, 8);
    assert_eq!(results.len(), 8);
    let kept = batch.blocks().bytes();
    assert!(kept > 2 * MIB, "{kept}");
    // The blocks are nearly all that there is, and a request's other buffers need some of it.
    let (results, most) = within(MIB / 8, || outcomes(&mut batch, &mut pool, 2));
    assert_eq!((results.len(), results[0].tokens.len(), results[1].tokens.len(), most), (2, 200, 200, 2));
    assert!(batch.blocks().bytes() < kept);
}

#[test]
fn groups_are_dispensable() {
    let _one = ONE_AT_A_TIME.lock();
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let mut pool = run::pool(2);
    let batch = |strategy| {
        let settings = Settings { strategy: Some(strategy), ..Settings::new(1 << 24) };
        Batch::new(&model, &tokenizer, Kernels::best(), settings).unwrap()
    };
    let cost = |strategy| {
        let mut batch = batch(strategy);
        let before = LIVE.load(Ordering::Relaxed);
        batch.prepare(&pool).unwrap();
        LIVE.load(Ordering::Relaxed) - before
    };
    let data_parallel = Strategy::DataParallel { groups: 2 };
    let (tensor_parallel, groups) = (cost(Strategy::TensorParallel), cost(data_parallel));
    assert!(groups > tensor_parallel + MIB / 4, "{tensor_parallel} {groups}");
    let mut batch = batch(data_parallel);
    let before = LIVE.load(Ordering::Relaxed);
    within(tensor_parallel + (groups - tensor_parallel) / 2, || batch.prepare(&pool))
        .expect("steps are tensor-parallel");
    assert_eq!(LIVE.load(Ordering::Relaxed) - before, tensor_parallel, "what groups had is given back");
    let (results, most) = outcomes(&mut batch, &mut pool, 4);
    assert_eq!((batch.plan().map(|plan| plan.strategy), most), (Some(Strategy::TensorParallel), 4));
    assert!(results.iter().all(|outcome| outcome.tokens.len() == 200));
}
