//! Batch invariance, admission, prefix sharing, chunked prefill and decode bursts; KV blocks are
//! counted to the byte.

mod common;

use embodios_checks::batch_invariance::{Random, RandomBatches, Sizes, Solo};
use embodios_engine::batch::{Batch, Event, Finish, Outcome, Refusal, Request, Settings, Status, Strategy};
use embodios_engine::cache::{BlockPool, Limits};
use embodios_engine::model::Model;
use embodios_fixtures::STORY;
use embodios_gguf::Gguf;
use embodios_kernels::{KV_BLOCK, Kernels};
use embodios_pool::Pool;
use embodios_text::sample::Sampling;
use embodios_text::tokenizer::Tokenizer;

use common::run;

/// Bytes of a block of the story model: 6 layers, 2 heads of 32, keys and values in half precision.
const BLOCK_BYTES: usize = 6 * 2 * 32 * 2 * 2 * KV_BLOCK;

/// Asserts that a request's outcome in a batch is that of a solo run on `pool`.
fn assert_same(
    model: &Model<'_>,
    tokenizer: &Tokenizer<'_>,
    pool: &mut Pool,
    request: &Request,
    outcome: &Outcome,
) {
    let solo = Solo::of(model, tokenizer, Kernels::best(), pool, request).unwrap();
    assert!(solo.is_same(outcome), "{request:?}: {outcome:?}, solo {solo:?}");
}

/// Random batches on each number of workers; `EMBODIOS_BATCHES` for more.
fn batch_count() -> usize {
    std::env::var("EMBODIOS_BATCHES").map_or(4, |count| count.parse().expect("EMBODIOS_BATCHES is a number"))
}

#[test]
fn batches_are_invariant() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let mut batches = RandomBatches::new(&model, &tokenizer, Kernels::best(), Sizes::FULL, 5);
    let mut single = run::pool(1);
    for workers in [1, 2, 4, 8] {
        batches.draw(&mut single, 8 * batch_count()).unwrap();
        let mut pool = run::pool(workers);
        (0..batch_count()).for_each(|_| batches.batch(&mut pool).unwrap());
    }
    let tally = batches.tally();
    println!("{tally}");
    // How much of each there was depends on the time that steps take; that there was some does not.
    assert!(tally.finished > 50 && tally.cancelled > 2 && tally.shared > 100, "{tally}");
    assert!(tally.tensor_parallel > 50 && tally.data_parallel > 5, "{tally}");
}

#[test]
fn batches_are_invariant_where_blocks_are_few() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let mut batches = RandomBatches::new(&model, &tokenizer, Kernels::best(), Sizes::LONG, 6);
    batches.draw(&mut run::pool(1), 20).unwrap();
    for workers in [1, 2, 4, 8] {
        let mut pool = run::pool(workers);
        (0..batch_count()).for_each(|_| batches.batch(&mut pool).unwrap());
    }
    let tally = batches.tally();
    println!("{tally}");
    assert!(tally.finished > 15 && tally.cancelled > 0 && tally.shared > 0, "{tally}");
    assert!(tally.preempted > 0, "{tally}");
}

#[test]
fn a_list_comes_back_in_order_with_a_reason_each() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let mut pool = run::pool(2);
    let request = |prompt: &[u32], limit: usize, stops: &[&str]| Request {
        prompt: prompt.to_vec(),
        limit,
        end: vec![0],
        sampling: Sampling::GREEDY,
        bias: Vec::new(),
        stops: stops.iter().map(ToString::to_string).collect(),
        log_probabilities: None,
    };
    let story = [0, 490, 528, 260, 410];
    let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), Settings::new(6 * BLOCK_BYTES)).unwrap();
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
fn waiting_requests_are_compared_when_something_has_changed() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let mut pool = run::pool(1);
    let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), Settings::new(1 << 26)).unwrap();
    // Some generate, so that the beginning of the others goes ahead by few tokens a step.
    for first in 0..4 {
        batch.submit(&pool, Request::greedy(vec![first; 3], 150)).unwrap();
    }
    batch.step(&mut pool, &mut |_| {});
    let beginning: Vec<u32> = (0..5 * KV_BLOCK as u32).collect();
    let waiting = 100;
    for last in 0..waiting {
        batch.submit(&pool, Request::greedy([&beginning[..], &[last]].concat(), 2)).unwrap();
    }
    let (mut finished, mut shared) = (0, 0);
    let (before, steps) = (batch.comparisons(), batch.steps());
    while batch.step(&mut pool, &mut |event| {
        if let Event::Finished { outcome, .. } = event {
            finished += 1;
            shared += outcome.shared_tokens;
        }
    }) {}
    let (compared, steps) = (batch.comparisons() - before, batch.steps() - steps);
    // When all that have the beginning are over, one more computes it.
    assert!(shared >= 90 * beginning.len() && finished == 4 + waiting, "{shared} {finished}");
    assert!(steps > 100 && compared <= 4 * u64::from(waiting), "{compared} in {steps} steps");
}

#[test]
fn a_full_queue_and_a_small_budget_are_said() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let pool = run::pool(1);
    let request = Request::greedy(vec![1; 40], 30);
    let settings = Settings { waiting: 1, context: Some(64), ..Settings::new(2 * BLOCK_BYTES) };
    let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), settings).unwrap();
    batch.submit(&pool, request.clone()).unwrap();
    assert_eq!(batch.submit(&pool, request).unwrap_err(), Refusal::QueueFull { waiting: 1 });
    let settings = Settings { context: Some(65), ..settings };
    let error = Batch::new(&model, &tokenizer, Kernels::best(), settings).err().unwrap();
    assert!(error.to_string().contains("which hold 64 tokens"), "{error}");
}

#[test]
fn bias_is_for_tokens_of_the_model() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let mut pool = run::pool(1);
    let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), Settings::new(1 << 26)).unwrap();
    let biased = |bias: &[(u32, f32)]| Request { bias: bias.into(), ..Request::greedy(vec![0, 490], 5) };
    let error = batch.submit(&pool, biased(&[(7, 1.0), (1024, 1.0)])).unwrap_err();
    assert_eq!(error.to_string(), "token 1024 is not one of the model's 1024");
    let mut tokens = |bias| batch.run_one(&mut pool, biased(bias), &mut |_| {}).unwrap().tokens;
    let plain = tokens(&[]);
    assert_eq!(tokens(&[(300, 1000.0)]), [300; 5]);
    assert!(!tokens(&[(plain[0], -100.0)]).contains(&plain[0]));
}

#[test]
fn shared_prefixes_are_computed_once() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let mut pool = run::pool(2);
    let requests: Vec<_> = (0..8)
        .map(|last| Request {
            log_probabilities: Some(2),
            ..Request::greedy((0..100).map(|i| (i * 37 % 1024) as u32).chain([last]).collect(), 8)
        })
        .collect();
    let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), Settings::new(1 << 24)).unwrap();
    let outcomes = batch.run(&mut pool, requests.iter().cloned());
    let shared: Vec<_> = outcomes.iter().map(|outcome| outcome.shared_tokens).collect();
    assert_eq!(shared, [0, 96, 96, 96, 96, 96, 96, 96]);
    // Three full blocks once, and a block and a bit of each.
    assert_eq!(batch.blocks().bytes(), (3 + 8) * BLOCK_BYTES);
    for (outcome, request) in outcomes.iter().zip(&requests) {
        assert_same(&model, &tokenizer, &mut pool, request, outcome);
    }
    assert_eq!(outcomes[0].finish, Finish::Limit);
}

#[test]
fn prefill_chunks_give_groups_even_shares() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let mut pool = run::pool(2);
    let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), Settings::new(1 << 24)).unwrap();
    batch.prepare(&pool).unwrap();
    for number in 0..8 {
        let request =
            Request::greedy((0..20).map(|index| ((index * 37 + number * 101) % 1024) as u32).collect(), 2);
        batch.submit(&pool, request).unwrap();
    }
    loop {
        let more = batch.step(&mut pool, &mut |_| {});
        assert_eq!(
            batch.plan().unwrap().strategy,
            Strategy::DataParallel { groups: 2 },
            "step {}",
            batch.steps()
        );
        if !more {
            break;
        }
    }
    // 8 times 20 tokens by 64 a step, of which the last makes every request's first token, and a second one of each.
    assert_eq!(batch.steps(), 3 + 1);
}

#[test]
fn a_bursts_events_come_step_by_step_and_others_end_it() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let mut pool = run::pool(2);
    let request = |number: usize, limit: usize| Request::greedy(vec![0, 490, 528, number as u32], limit);
    let settings =
        Settings { strategy: Some(Strategy::DataParallel { groups: 2 }), ..Settings::new(1 << 24) };
    let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), settings).unwrap();
    let ids: Vec<_> = [9, 20, 20, 20]
        .into_iter()
        .enumerate()
        .map(|(number, limit)| batch.submit(&pool, request(number, limit)).unwrap())
        .collect();
    let step = |batch: &mut Batch<'_>, pool: &mut Pool| {
        let mut events = Vec::new();
        batch.step(pool, &mut |event| {
            events.push(match event {
                Event::Token { id, .. } => (id, false),
                Event::Finished { id, .. } => (id, true),
            })
        });
        events
    };
    let each = ids.iter().map(|&id| (id, false));
    assert_eq!(step(&mut batch, &mut pool), each.clone().collect::<Vec<_>>(), "everybody's first token");
    // Eight steps in a row, until the first request ends.
    let mut expected: Vec<_> = (0..8).flat_map(|_| each.clone()).collect();
    expected.insert(expected.len() - 3, (ids[0], true));
    assert_eq!(step(&mut batch, &mut pool), expected);
    assert_eq!(batch.steps(), 9);
    // A request that comes meanwhile joins at once, and its prompt passes at steps of its own.
    let late = batch.submit(&pool, request(7, 2)).unwrap();
    let events = step(&mut batch, &mut pool);
    assert_eq!(events, ids[1..].iter().map(|&id| (id, false)).collect::<Vec<_>>());
    assert_eq!(batch.status(late), Some(Status::Prefill));
}

#[test]
fn bursts_of_many_are_short_unless_no_request_can_join_or_be_cancelled() {
    const LIMIT: usize = 40;
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let mut pool = run::pool(2);
    let strategy = Some(Strategy::DataParallel { groups: 2 });
    let settings = Settings { strategy, active: 64, ..Settings::new(1 << 26) };
    let mut gone = |long: bool| {
        let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), settings).unwrap();
        for number in 0..64 {
            batch.submit(&pool, Request::greedy(vec![number], LIMIT)).unwrap();
        }
        batch.step(&mut pool, &mut |_| {});
        assert_eq!(batch.steps(), 1, "everybody's first token");
        let step = if long { Batch::long_step } else { Batch::step };
        step(&mut batch, &mut pool, &mut |_| {});
        batch.steps()
    };
    let (short, long) = (gone(false), gone(true));
    assert!((2..LIMIT).contains(&short), "{short}");
    assert_eq!(long, LIMIT);
}

#[test]
fn a_request_that_ends_early_ends_the_burst_and_takes_no_steps_of_others() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let mut pool = run::pool(2);
    let mut requests: Vec<_> = (0..4)
        .map(|number| Request {
            log_probabilities: Some(2),
            ..Request::greedy(vec![0, 490, 528, number], 60)
        })
        .collect();
    let solo = Solo::of(&model, &tokenizer, Kernels::best(), &mut pool, &requests[0]).unwrap();
    requests[0].end.push(solo.tokens[20]);
    let settings =
        Settings { strategy: Some(Strategy::DataParallel { groups: 2 }), ..Settings::new(1 << 24) };
    let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), settings).unwrap();
    let outcomes = batch.run(&mut pool, requests.iter().cloned());
    assert!(matches!(outcomes[0].finish, Finish::End(_)), "{:?}", outcomes[0].finish);
    assert!(outcomes[0].tokens.len() <= 20);
    assert_eq!(outcomes[1..].iter().map(|outcome| outcome.tokens.len()).collect::<Vec<_>>(), [60; 3]);
    for (outcome, request) in outcomes.iter().zip(&requests) {
        assert_same(&model, &tokenizer, &mut pool, request, outcome);
    }
}

#[test]
fn joining_stalls_nobody_and_is_not_stalled() {
    let gguf = Gguf::parse(STORY).unwrap();
    let (model, tokenizer) = (run::load(STORY), Tokenizer::new(&gguf).unwrap());
    let mut pool = run::pool(1);
    let request = |number: usize| {
        Request::greedy((0..32).map(|index| ((index * 37 + number * 101) % 1024) as u32).collect(), 60)
    };
    let mut batch = Batch::new(&model, &tokenizer, Kernels::best(), Settings::new(1 << 24)).unwrap();
    let first = batch.submit(&pool, request(0)).unwrap();
    while batch.status(first) != Some(Status::Decode) {
        batch.step(&mut pool, &mut |_| {});
    }
    let others: Vec<_> = (1..8).map(|number| batch.submit(&pool, request(number)).unwrap()).collect();
    let mut steps = 0;
    while others.iter().any(|&other| batch.status(other) != Some(Status::Decode)) {
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
    let gguf = Gguf::parse(STORY).unwrap();
    let (models, tokenizers) =
        ([run::load(STORY), run::load(STORY)], [(); 2].map(|()| Tokenizer::new(&gguf).unwrap()));
    let mut random = Random::new(11);
    let requests: Vec<Vec<Request>> =
        (0..2).map(|_| (0..6).map(|_| random.request(Sizes::FULL, 1024)).collect()).collect();
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
        for ((_, outcomes), requests) in batches.iter().zip(&requests) {
            assert_eq!(outcomes.len(), requests.len());
            for (outcome, request) in outcomes.iter().zip(requests) {
                assert_same(&models[0], &tokenizers[0], &mut single, request, outcome);
            }
        }
    }
}

#[test]
fn blocks_are_counted_to_the_byte() {
    let model = run::load(STORY);
    let budget = 40 * BLOCK_BYTES + 77;
    let mut blocks = BlockPool::new(&model, budget).unwrap();
    let mut random = Random::new(9);
    let mut sequences = Vec::new();
    let mut expected = 0;
    for _ in 0..10_000 {
        if random.one_in(2) && !sequences.is_empty() {
            let (sequence, context): (_, usize) = sequences.swap_remove(random.below(sequences.len()));
            blocks.end(sequence);
            expected -= context.div_ceil(KV_BLOCK) * BLOCK_BYTES;
        } else {
            let context = 1 + random.below(256);
            let fits = expected + context.div_ceil(KV_BLOCK) * BLOCK_BYTES <= budget;
            assert_eq!(context.div_ceil(KV_BLOCK) <= blocks.available(), fits);
            match blocks.begin(context, context, []) {
                Ok(sequence) => {
                    assert!(fits);
                    sequences.push((sequence, context));
                    expected += context.div_ceil(KV_BLOCK) * BLOCK_BYTES;
                }
                Err(error) => assert!(!fits, "{error}"),
            }
        }
        assert_eq!(blocks.used(), expected);
        assert!(blocks.bytes() <= budget);
    }
    sequences.into_iter().for_each(|(sequence, _)| blocks.end(sequence));
    assert_eq!(blocks.used(), 0);
    assert_eq!(blocks.context(Limits { context: Some(256), budget }).unwrap(), 256);
}
