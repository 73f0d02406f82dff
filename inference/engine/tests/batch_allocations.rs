//! A batch's steps allocate nothing once their requests have joined.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use embodios_engine::batch::{Batch, Event, Request, Settings, Strategy};
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

#[test]
fn steps_allocate_nothing() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    for strategy in [Strategy::TensorParallel, Strategy::DataParallel { groups: 2 }] {
        let mut pool = run::pool(2);
        let settings = Settings { strategy: Some(strategy), ..Settings::new(1 << 24) };
        let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), settings).unwrap();
        batch.prepare(&pool).unwrap();
        let prepared = ALLOCATIONS.load(Ordering::Relaxed);
        batch.prepare(&pool).unwrap();
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), prepared, "there is room already, {strategy}");
        for seed in 0..6 {
            let request = Request {
                prompt: vec![0, 490, 528, 260, 410],
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
            };
            batch.submit(&pool, request).unwrap();
        }
        let (mut tokens, mut finished) = (0, 0);
        for step in 0.. {
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            let more = batch.step(&mut pool, &mut |event| match event {
                Event::Token { .. } => tokens += 1,
                Event::Finished { .. } => finished += 1,
            });
            let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
            // The first two steps let requests join, take their prompts and make a token of each.
            assert!(step < 2 || allocations == 0, "{allocations} allocations in step {step}, {strategy}");
            if !more {
                break;
            }
        }
        assert_eq!((tokens, finished), (6 * 60, 6));
    }
}
