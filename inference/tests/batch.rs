//! Batches: every request's tokens and probabilities are those it has alone, whatever its company, and pages are
//! counted to the byte.

mod common;

use std::collections::HashMap;
use std::ops::ControlFlow;

use common::{STORY, run};
use embodios_inference::batch::{
    Batch, Event, Finish, Outcome, Refusal, Request, RequestId, Settings, Status, Way,
};
use embodios_inference::cache::{Limits, PAGE, Pages};
use embodios_inference::generate::{self, Stop};
use embodios_inference::gguf::Gguf;
use embodios_inference::kernels::Kernels;
use embodios_inference::model::Model;
use embodios_inference::pool::Pool;
use embodios_inference::sample::Sampling;
use embodios_inference::tokenizer::{TokenReader, Tokenizer};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Bytes of a page of the story model: 6 layers, 2 heads of 32, keys and values in half precision.
const PAGE_BYTES: usize = 6 * 2 * 32 * 2 * 2 * PAGE;

struct Random(Xoshiro256PlusPlus);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        (self.0.next_u64() % bound as u64) as usize
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// A request out of what users mix: many begin alike, some sample, some stop at a text.
fn request(random: &mut Random) -> Request {
    let length = if random.one_in(4) { 40 + random.below(80) } else { 1 + random.below(12) };
    let mut prompt = vec![0, 490, 528, 260, 410];
    let varies = random.below(3);
    while prompt.len() < length {
        let position = prompt.len();
        prompt.push(if position < 40 && varies > 0 {
            (position * 37 % 1024) as u32
        } else {
            random.below(1024) as u32
        });
    }
    prompt.truncate(length);
    let sampling = match random.below(3) {
        0 => Sampling::GREEDY,
        1 => Sampling { temperature: 0.8, top_k: 40, seed: random.below(99) as u64, ..Sampling::GREEDY },
        _ => Sampling {
            temperature: 1.2,
            top_p: 0.9,
            min_p: 0.02,
            repetition: 1.2,
            seed: random.below(99) as u64,
            ..Sampling::GREEDY
        },
    };
    let stops = if random.one_in(3) { vec![" the".into(), ".".into()] } else { Vec::new() };
    let end = if random.one_in(2) { vec![0, 277] } else { Vec::new() };
    Request { prompt, limit: 1 + random.below(24), end, sampling, stops, log_probabilities: true }
}

/// What a request comes to by itself, in a session of its own.
fn alone(model: &Model<'_>, tokenizer: &Tokenizer<'_>, pool: &mut Pool, request: &Request) -> Outcome {
    let context = (request.prompt.len() + request.limit).min(256);
    let mut session = run::session(model, Kernels::best(), context);
    let Request { prompt, limit, end, sampling, stops, .. } = request;
    let single = generate::Request { prompt, limit: *limit, end, sampling: *sampling };
    let mut reader = TokenReader::new(tokenizer, stops);
    let (mut tokens, mut log_probabilities, mut text) = (Vec::new(), Vec::new(), String::new());
    let report = generate::generate(&mut session, pool, &single, &mut |made| {
        tokens.push(made.token);
        log_probabilities.push(made.log_probabilities().of(made.token));
        text += reader.push(made.token);
        if reader.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let report = report.unwrap();
    text += &reader.finish();
    Outcome {
        finish: Finish::Done(report.stop),
        tokens,
        log_probabilities,
        text,
        prompt_tokens: prompt.len(),
        shared_tokens: 0,
        logits_hash: report.logits_hash,
        times: Default::default(),
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Whether `batched` is what the request comes to alone, or the beginning of it where it was cancelled.
fn assert_same(batched: &Outcome, alone: &Outcome, context: &str) {
    let made = batched.tokens.len();
    if batched.finish == Finish::Cancelled {
        assert!(made <= alone.tokens.len(), "{context}");
    } else {
        assert_eq!(batched.finish, alone.finish, "{context}");
        assert_eq!(batched.logits_hash, alone.logits_hash, "{context}");
        assert_eq!(batched.text, alone.text, "{context}");
        assert_eq!(made, alone.tokens.len(), "{context}");
    }
    assert_eq!(batched.tokens, alone.tokens[..made], "{context}");
    assert_eq!(bits(&batched.log_probabilities), bits(&alone.log_probabilities[..made]), "{context}");
    assert!(alone.text.starts_with(&batched.text) || batched.finish == Finish::Cancelled, "{context}");
}

/// Random batches on each number of workers; `EMBODIOS_BATCHES` for more.
fn batches() -> usize {
    std::env::var("EMBODIOS_BATCHES").map_or(4, |count| count.parse().expect("EMBODIOS_BATCHES is a number"))
}

#[test]
fn company_leaves_no_trace() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (Model::load(&gguf).unwrap(), Tokenizer::new(&gguf).unwrap());
    let mut random = Random(Xoshiro256PlusPlus::seed_from_u64(5));
    let (mut finished, mut cancelled, mut shared) = (0, 0, 0);
    let mut single = run::pool(1);
    for workers in [1, 2, 4, 8] {
        let mut pool = run::pool(workers);
        for number in 0..batches() {
            // Sometimes too few pages for all at once.
            let pages = 8 + random.below(40);
            let way = match random.below(3) {
                0 => None,
                1 => Some(Way::Together),
                _ => Some(Way::Apart { groups: 1 + random.below(workers) }),
            };
            let settings =
                Settings { active: 1 + random.below(32), way, ..Settings::new(pages * PAGE_BYTES) };
            let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), settings).unwrap();
            let mut left = 1 + random.below(32);
            let mut requests = HashMap::new();
            let mut outcomes: HashMap<RequestId, Outcome> = HashMap::new();
            loop {
                while left > 0 && (outcomes.len() == requests.len() || random.one_in(2)) {
                    let request = request(&mut random);
                    let id = batch.submit(&pool, request.clone()).unwrap();
                    assert_eq!(batch.status(id), Some(Status::Queued));
                    requests.insert(id, request);
                    left -= 1;
                }
                if random.one_in(12) {
                    let id = RequestId(random.below(requests.len()) as u64);
                    let outcome = batch.cancel(&pool, id);
                    assert_eq!(outcome.is_none(), outcomes.contains_key(&id));
                    outcomes.extend(outcome.map(|outcome| (id, outcome)));
                }
                let mut told: HashMap<RequestId, Vec<u32>> = HashMap::new();
                let more = batch.step(&mut pool, &mut |event| match event {
                    Event::Token { id, token, .. } => told.entry(id).or_default().push(token),
                    Event::Finished { id, outcome } => assert!(outcomes.insert(id, outcome).is_none()),
                });
                assert!(told.keys().all(|id| outcomes.get(id).is_none_or(|o| o.finish != Finish::Cancelled)));
                assert!(
                    batch.pages().used() <= batch.pages().bytes()
                        && batch.pages().bytes() <= pages * PAGE_BYTES
                );
                if !more && left == 0 {
                    break;
                }
            }
            assert_eq!((batch.pages().used(), batch.lengths()), (0, (0, 0)));
            assert_eq!(outcomes.len(), requests.len());
            for (id, outcome) in &outcomes {
                let alone = alone(&model, &tokenizer, &mut single, &requests[id]);
                assert_same(
                    outcome,
                    &alone,
                    &format!("batch {number} on {workers}, {id:?}: {:?}", requests[id]),
                );
                finished += usize::from(outcome.finish != Finish::Cancelled);
                cancelled += usize::from(outcome.finish == Finish::Cancelled);
                shared += outcome.shared_tokens;
            }
        }
    }
    assert!(finished > 100 && cancelled > 5 && shared > 100, "{finished} {cancelled} {shared}");
}

#[test]
fn a_list_comes_back_in_order_with_a_reason_each() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (Model::load(&gguf).unwrap(), Tokenizer::new(&gguf).unwrap());
    let mut pool = run::pool(2);
    let request = |prompt: &[u32], limit: usize, stops: &[&str]| Request {
        prompt: prompt.to_vec(),
        limit,
        end: vec![0],
        sampling: Sampling::GREEDY,
        stops: stops.iter().map(ToString::to_string).collect(),
        log_probabilities: false,
    };
    let story = [0, 490, 528, 260, 410];
    let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), Settings::new(6 * PAGE_BYTES)).unwrap();
    let outcomes = batch.run(
        &mut pool,
        [
            request(&story, 7, &[]),
            request(&[], 7, &[]),
            request(&[1, 5000], 7, &[]),
            request(&story, 100, &["little"]),
            request(&vec![1; 193], 1, &[]),
            request(&vec![1; 150], 500, &[]),
            request(&story, 0, &[]),
        ],
    );
    let finishes: Vec<_> = outcomes.iter().map(|outcome| outcome.finish.to_string()).collect();
    assert_eq!(
        finishes,
        [
            "limit reached",
            "refused: no tokens to go on from",
            "refused: token 5000 is not one of the model's 1024",
            "stop text",
            "refused: the context of 192 tokens is full: 0 used, 193 more wanted",
            "context full",
            "limit reached",
        ]
    );
    assert_eq!(outcomes[3].text, ", there was a ");
    assert_eq!((outcomes[5].tokens.len(), outcomes[6].tokens.len()), (43, 0));
    assert_eq!(outcomes[0].times.tokens.len(), 7);
    assert!(
        outcomes[0].times.gaps().count() == 6 && outcomes[0].times.finished >= outcomes[0].times.tokens[6]
    );
}

#[test]
fn a_full_queue_and_a_small_budget_are_said() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (Model::load(&gguf).unwrap(), Tokenizer::new(&gguf).unwrap());
    let pool = run::pool(1);
    let request = Request {
        prompt: vec![1; 40],
        limit: 30,
        end: Vec::new(),
        sampling: Sampling::GREEDY,
        stops: Vec::new(),
        log_probabilities: false,
    };
    let settings = Settings { waiting: 1, context: Some(64), ..Settings::new(2 * PAGE_BYTES) };
    let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), settings).unwrap();
    batch.submit(&pool, request.clone()).unwrap();
    assert_eq!(batch.submit(&pool, request).unwrap_err(), Refusal::QueueFull { waiting: 1 });
    let settings = Settings { context: Some(65), ..settings };
    let error = Batch::new(&model, &tokenizer, Kernels::best(), settings).err().unwrap();
    assert!(error.to_string().contains("which hold 64 tokens"), "{error}");
}

#[test]
fn prompts_that_begin_alike_are_computed_once() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (Model::load(&gguf).unwrap(), Tokenizer::new(&gguf).unwrap());
    let mut pool = run::pool(2);
    let requests: Vec<_> = (0..8)
        .map(|last| Request {
            prompt: (0..100).map(|i| (i * 37 % 1024) as u32).chain([last]).collect(),
            limit: 8,
            end: Vec::new(),
            sampling: Sampling::GREEDY,
            stops: Vec::new(),
            log_probabilities: true,
        })
        .collect();
    let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), Settings::new(1 << 24)).unwrap();
    let outcomes = batch.run(&mut pool, requests.iter().cloned());
    let shared: Vec<_> = outcomes.iter().map(|outcome| outcome.shared_tokens).collect();
    assert_eq!(shared, [0, 96, 96, 96, 96, 96, 96, 96]);
    // Three full pages once, and a page and a bit of each.
    assert_eq!(batch.pages().bytes(), (3 + 8) * PAGE_BYTES);
    for (outcome, request) in outcomes.iter().zip(&requests) {
        assert_same(outcome, &alone(&model, &tokenizer, &mut pool, request), "prompts that begin alike");
    }
    assert_eq!(outcomes[0].finish, Finish::Done(Stop::Limit));
}

#[test]
fn who_joins_stalls_nobody_and_is_not_stalled() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (Model::load(&gguf).unwrap(), Tokenizer::new(&gguf).unwrap());
    let mut pool = run::pool(1);
    let request = |number: usize| Request {
        prompt: (0..32).map(|index| ((index * 37 + number * 101) % 1024) as u32).collect(),
        limit: 60,
        end: Vec::new(),
        sampling: Sampling::GREEDY,
        stops: Vec::new(),
        log_probabilities: false,
    };
    let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), Settings::new(1 << 24)).unwrap();
    let first = batch.submit(&pool, request(0)).unwrap();
    while batch.status(first) != Some(Status::Generating) {
        batch.step(&mut pool, &mut |_| {});
    }
    let others: Vec<_> = (1..8).map(|number| batch.submit(&pool, request(number)).unwrap()).collect();
    let mut steps = 0;
    while others.iter().any(|&other| batch.status(other) != Some(Status::Generating)) {
        let mut made = 0;
        batch.step(&mut pool, &mut |event| {
            made += usize::from(matches!(event, Event::Token { id, .. } if id == first));
        });
        assert_eq!(made, 1, "step {steps}");
        steps += 1;
    }
    // Seven times 31 tokens ahead of the last ones, with ten rows a step, some of which generate.
    assert!((24..=44).contains(&steps), "{steps}");
}

#[test]
fn groups_of_cores_run_batches_of_their_own() {
    let other_file = STORY.to_vec();
    let files = [Gguf::parse(STORY).unwrap(), Gguf::parse(&other_file).unwrap()];
    let models = files.each_ref().map(|file| Model::load(file).unwrap());
    let tokenizers = files.each_ref().map(|file| Tokenizer::new(file).unwrap());
    let mut random = Random(Xoshiro256PlusPlus::seed_from_u64(11));
    let requests: Vec<Vec<Request>> =
        (0..2).map(|_| (0..6).map(|_| request(&mut random)).collect()).collect();
    let mut pool = run::pool(4);
    for sizes in [[2, 2], [1, 3], [1, 1]] {
        let mut batches: Vec<_> = models
            .iter()
            .zip(&tokenizers)
            .map(|(model, tokenizer)| {
                (Batch::new(model, tokenizer, Kernels::best(), Settings::new(1 << 24)).unwrap(), Vec::new())
            })
            .collect();
        // Each group waits for the other before its last request: they are at work at the same time.
        let meeting = std::sync::Barrier::new(2);
        let mut lists = requests.clone();
        pool.groups_at(&sizes, &mut batches, (&mut lists, &[0, 1, 2]), |(batch, outcomes), lists, pool| {
            let mut list = std::mem::take(&mut lists[0]);
            let last = list.pop();
            outcomes.extend(batch.run(pool, list));
            meeting.wait();
            outcomes.extend(batch.run(pool, last));
        })
        .unwrap();
        let mut single = run::pool(1);
        for (group, ((_, outcomes), requests)) in batches.iter().zip(&requests).enumerate() {
            assert_eq!(outcomes.len(), requests.len());
            for (outcome, request) in outcomes.iter().zip(requests) {
                let alone = alone(&models[0], &tokenizers[0], &mut single, request);
                assert_same(outcome, &alone, &format!("group {group} of {sizes:?}: {request:?}"));
            }
        }
    }
}

#[test]
fn pages_are_counted_to_the_byte() {
    let model = run::load(STORY);
    let budget = 40 * PAGE_BYTES + 77;
    let mut pages = Pages::new(&model, budget).unwrap();
    let mut random = Random(Xoshiro256PlusPlus::seed_from_u64(9));
    let mut sequences = Vec::new();
    let mut expected = 0;
    for _ in 0..10_000 {
        if random.one_in(2) && !sequences.is_empty() {
            let (sequence, context): (_, usize) = sequences.swap_remove(random.below(sequences.len()));
            pages.end(sequence);
            expected -= context.div_ceil(PAGE) * PAGE_BYTES;
        } else {
            let context = 1 + random.below(256);
            let fits = expected + context.div_ceil(PAGE) * PAGE_BYTES <= budget;
            assert_eq!(pages.has_room(context, 0), fits);
            match pages.begin(context, None) {
                Ok(sequence) => {
                    assert!(fits);
                    sequences.push((sequence, context));
                    expected += context.div_ceil(PAGE) * PAGE_BYTES;
                }
                Err(error) => assert!(!fits, "{error}"),
            }
        }
        assert_eq!(pages.used(), expected);
        assert!(pages.bytes() <= budget);
    }
    sequences.into_iter().for_each(|(sequence, _)| pages.end(sequence));
    assert_eq!(pages.used(), 0);
    assert_eq!(pages.context(Limits { context: Some(256), budget }).unwrap(), 256);
}
