//! A batch's steps allocate nothing once their requests have joined, but a KV block where none was made yet.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use embodios_engine::batch::{Batch, Event, Request, Settings, Strategy};
use embodios_engine::cache::BlockPool;
use embodios_fixtures::STORY;
use embodios_gguf::Gguf;
use embodios_kernels::Kernels;
use embodios_text::sample::{BAN, Sampling};
use embodios_text::tokenizer::Tokenizer;

use common::run;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Requests at the same time.
const REQUESTS: u64 = 6;

fn request(seed: u64, first: bool) -> Request {
    Request {
        prompt: vec![0, 490, 528, 260, 410, u32::from(first)],
        limit: 60,
        end: Vec::new(),
        sampling: Sampling {
            temperature: 0.9,
            top_k: 40,
            repetition: 1.1,
            presence: 0.2,
            seed,
            ..Sampling::GREEDY
        },
        bias: vec![(410, -1.0), (260, BAN)],
        stops: vec!["zebra".into()],
        log_probabilities: Some(3),
    }
}

#[test]
fn steps_allocate_nothing() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    // Three blocks for each: 64 positions and one.
    let block = BlockPool::new(&model, usize::MAX).unwrap().block_bytes();
    let budget = 3 * REQUESTS as usize * block;
    for strategy in [Strategy::TensorParallel, Strategy::DataParallel { groups: 2 }] {
        let mut pool = run::pool(2);
        let settings = Settings { strategy: Some(strategy), ..Settings::new(budget) };
        let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), settings).unwrap();
        batch.prepare(&pool).unwrap();
        let prepared = ALLOCATIONS.load(Ordering::Relaxed);
        batch.prepare(&pool).unwrap();
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), prepared, "there is room already, {strategy}");
        // The blocks of the first requests are made as they grow; the next ones have those instead.
        for first in [true, false] {
            for seed in 0..REQUESTS {
                batch.submit(&pool, request(seed, first)).unwrap();
            }
            let (mut tokens, mut finished) = (0, 0);
            for step in 0.. {
                let (before, bytes) = (ALLOCATIONS.load(Ordering::Relaxed), batch.blocks().bytes());
                let more = batch.step(&mut pool, &mut |event| match event {
                    Event::Token { .. } => tokens += 1,
                    Event::Finished { .. } => finished += 1,
                });
                let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
                // The first two steps let requests join, take their prompts and make a token of each.
                let may = step < 2 || (first && batch.blocks().bytes() > bytes);
                assert!(may || allocations == 0, "{allocations} allocations in step {step}, {strategy}");
                if !more {
                    break;
                }
            }
            assert_eq!((tokens, finished), (60 * REQUESTS as usize, REQUESTS));
            assert_eq!(batch.blocks().bytes(), budget, "all blocks are made");
        }
        assert_eq!(batch.preemptions(), 0);
    }
}
