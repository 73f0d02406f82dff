//! KV blocks on demand and retained prefixes: who shares, who is preempted, what is evicted, and that no block is lost.

mod common;

use embodios_checks::batch_invariance::Solo;
use embodios_engine::batch::{Batch, Event, Finish, Outcome, Request, RequestId, Settings, Status, Strategy};
use embodios_engine::cache::BlockPool;
use embodios_engine::model::Model;
use embodios_fixtures::STORY;
use embodios_gguf::Gguf;
use embodios_kernels::{KV_BLOCK, Kernels};
use embodios_pool::Pool;
use embodios_text::sample::Sampling;
use embodios_text::tokenizer::Tokenizer;

use common::run;

/// A model with its tokenizer.
struct Story<'m> {
    model: Model<'m>,
    tokenizer: Tokenizer<'m>,
    block: usize,
}

impl<'m> Story<'m> {
    fn load(gguf: &'m Gguf<'m>) -> Self {
        let model = run::load(STORY);
        let block = BlockPool::new(&model, usize::MAX).unwrap().block_bytes();
        Self { model, tokenizer: Tokenizer::new(gguf).unwrap(), block }
    }

    /// A batch with so many blocks.
    fn batch(&'m self, blocks: usize) -> Batch<'m> {
        self.with(Settings::new(blocks * self.block))
    }

    fn with(&'m self, settings: Settings) -> Batch<'m> {
        Batch::new(&self.model, &self.tokenizer, Kernels::best(), settings).unwrap()
    }

    fn solo(&self, pool: &mut Pool, request: &Request) -> Solo {
        Solo::of(&self.model, &self.tokenizer, Kernels::best(), pool, request).unwrap()
    }

    fn assert_solo(&self, pool: &mut Pool, request: &Request, outcome: &Outcome) {
        let solo = self.solo(pool, request);
        assert!(solo.is_same(outcome), "{request:?}: {outcome:?}, solo {solo:?}");
    }
}

/// A prompt of `length` tokens that begins like no other one's.
fn prompt(number: usize, length: usize) -> Vec<u32> {
    (0..length).map(|index| ((index * 37 + number * 101 + 3) % 1024) as u32).collect()
}

/// A request that samples, so that its text does not repeat itself.
fn request(number: usize, length: usize, limit: usize) -> Request {
    let sampling = Sampling { temperature: 0.9, seed: number as u64, ..Sampling::GREEDY };
    Request { sampling, log_probabilities: Some(2), ..Request::greedy(prompt(number, length), limit) }
}

/// Runs the batch until it is empty. Result: the outcomes in the order of their ends.
fn finish(batch: &mut Batch<'_>, pool: &mut Pool) -> Vec<(RequestId, Outcome)> {
    let mut outcomes = Vec::new();
    while batch.step(pool, &mut |event| {
        if let Event::Finished { id, outcome } = event {
            outcomes.push((id, outcome));
        }
    }) {}
    outcomes
}

/// Asserts that all blocks are accounted for once no request has any.
fn assert_none_lost(batch: &mut Batch<'_>) {
    let (used, retained, bytes) = (batch.blocks().used(), batch.blocks().retained(), batch.blocks().bytes());
    assert!(used == 0 && retained <= bytes, "{used} {retained} {bytes}");
    batch.give_back();
    assert_eq!((batch.blocks().retained(), batch.blocks().bytes()), (0, 0));
}

#[test]
fn a_chats_next_turn_finds_the_blocks_of_the_last() {
    let gguf = Gguf::parse(STORY).unwrap();
    let story = Story::load(&gguf);
    let mut pool = run::pool(2);
    let mut batch = story.batch(64);
    let first = request(1, 40, 60);
    let answer = batch.run_one(&mut pool, first.clone(), &mut |_| {}).unwrap();
    assert_eq!((answer.shared_tokens, batch.blocks().used()), (0, 0));
    // All positions but the last token's, in whole blocks.
    assert_eq!(batch.blocks().retained(), 99 / KV_BLOCK * story.block);

    let next =
        Request { prompt: [&first.prompt[..], &answer.tokens, &prompt(2, 20)].concat(), ..request(2, 1, 30) };
    let again = batch.run_one(&mut pool, next.clone(), &mut |_| {}).unwrap();
    assert_eq!(again.shared_tokens, 99 / KV_BLOCK * KV_BLOCK);
    story.assert_solo(&mut pool, &next, &again);
    assert_eq!(batch.prefix_tokens(), (40 + 120, 96));
    // A prompt that is there as a whole: one token is computed.
    let whole = Request { prompt: next.prompt[..64].to_vec(), ..request(3, 1, 5) };
    let outcome = batch.run_one(&mut pool, whole.clone(), &mut |_| {}).unwrap();
    assert_eq!(outcome.shared_tokens, 32);
    story.assert_solo(&mut pool, &whole, &outcome);
    // The last block was computed twice, and is there once.
    assert_eq!(batch.blocks().retained(), 149 / KV_BLOCK * story.block);
    assert_none_lost(&mut batch);
}

#[test]
fn what_a_cancelled_request_computed_is_found() {
    let gguf = Gguf::parse(STORY).unwrap();
    let story = Story::load(&gguf);
    let mut pool = run::pool(1);
    let mut batch = story.batch(64);
    let long = request(1, 150, 50);
    let id = batch.submit(&pool, long.clone()).unwrap();
    batch.step(&mut pool, &mut |_| {});
    assert_eq!(batch.status(id), Some(Status::Prefill));
    batch.cancel(&pool, id).unwrap();
    let outcome = batch.run_one(&mut pool, long.clone(), &mut |_| {}).unwrap();
    assert_eq!(outcome.shared_tokens, 64, "a step's rows");
    story.assert_solo(&mut pool, &long, &outcome);
    assert_none_lost(&mut batch);
}

#[test]
fn a_limit_reserves_nothing_and_who_joined_last_makes_place() {
    let gguf = Gguf::parse(STORY).unwrap();
    let story = Story::load(&gguf);
    let requests: Vec<_> = (0..4).map(|number| request(number, 30, 150)).collect();
    let mut single = run::pool(1);
    let solos: Vec<_> = requests.iter().map(|request| story.solo(&mut single, request)).collect();
    for strategy in [Strategy::TensorParallel, Strategy::DataParallel { groups: 2 }] {
        let mut pool = run::pool(2);
        // Each comes to need 6 blocks of 8.
        let settings = Settings { strategy: Some(strategy), ..Settings::new(8 * story.block) };
        let mut batch = story.with(settings);
        let ids: Vec<_> =
            requests.iter().map(|request| batch.submit(&pool, request.clone()).unwrap()).collect();
        batch.step(&mut pool, &mut |_| {});
        assert_eq!(batch.lengths(), (0, 4), "all join, {strategy}");
        let (mut texts, mut outcomes) = (vec![String::new(); 4], Vec::new());
        let (mut preempted, mut made) = (Vec::new(), vec![0; 4]);
        loop {
            let more = batch.step(&mut pool, &mut |event| match event {
                Event::Token { id, text, .. } => {
                    texts[id.0 as usize] += text;
                    made[id.0 as usize] += 1;
                }
                Event::Finished { id, outcome } => outcomes.push((id, outcome)),
            });
            preempted.extend(ids.iter().filter(|&&id| batch.status(id) == Some(Status::Queued)));
            assert!(batch.blocks().used() <= settings.budget);
            if !more {
                break;
            }
        }
        assert!(!preempted.contains(&ids[0]), "the first to join is never preempted, {strategy}");
        assert!(
            preempted.contains(&ids[3]) && batch.preemptions() > 2,
            "{}, {strategy}",
            batch.preemptions()
        );
        assert_eq!(outcomes[0].0, ids[0]);
        assert_eq!((outcomes.len(), made), (4, vec![150; 4]), "no token twice, {strategy}");
        for (id, outcome) in &outcomes {
            let index = id.0 as usize;
            assert!(outcome.text.starts_with(&texts[index]));
            assert_eq!((outcome.finish, outcome.shared_tokens), (Finish::Limit, 0));
            assert!(solos[index].is_same(outcome), "{outcome:?}, solo {:?}", solos[index]);
        }
        assert_none_lost(&mut batch);
    }
}

#[test]
fn a_preempted_request_can_be_cancelled_and_keeps_its_place() {
    let gguf = Gguf::parse(STORY).unwrap();
    let story = Story::load(&gguf);
    let mut pool = run::pool(1);
    let mut batch = story.batch(6);
    let requests: Vec<_> = (0..3).map(|number| request(number, 30, 120)).collect();
    let ids: Vec<_> = requests.iter().map(|request| batch.submit(&pool, request.clone()).unwrap()).collect();
    let mut early = Vec::new();
    batch.step(&mut pool, &mut |_| {});
    assert_eq!(batch.lengths(), (0, 3));
    while batch.status(ids[1]) != Some(Status::Queued) {
        batch.step(&mut pool, &mut |event| {
            if let Event::Finished { id, .. } = event {
                early.push(id);
            }
        });
    }
    assert!(early.is_empty() && batch.status(ids[2]) == Some(Status::Queued), "both are preempted");
    assert_eq!(batch.lengths(), (2, 1));
    let late = batch.submit(&pool, request(4, 10, 5)).unwrap();
    let cancelled = batch.cancel(&pool, ids[2]).unwrap();
    assert!(cancelled.finish == Finish::Cancelled && cancelled.tokens.len() > 30);
    story.assert_solo(&mut pool, &requests[2], &cancelled);
    assert_eq!((batch.cancel(&pool, ids[2]), batch.status(ids[2])), (None, None));
    let outcomes = finish(&mut batch, &mut pool);
    // It was preempted before the late one came, so it joins before that.
    let started = |wanted: RequestId| {
        let (_, outcome) = outcomes.iter().find(|(id, _)| *id == wanted).unwrap();
        outcome.times.tokens.clone()
    };
    assert!(outcomes.len() == 3 && outcomes[0].0 == ids[0] && started(ids[1]).len() == 120);
    assert!(started(late)[0] > *started(ids[0]).last().unwrap(), "it waited");
    for (id, outcome) in outcomes.iter().filter(|(id, _)| *id != late) {
        story.assert_solo(&mut pool, &requests[id.0 as usize], outcome);
    }
    assert_none_lost(&mut batch);
}

#[test]
fn least_recently_used_prefixes_are_evicted() {
    let gguf = Gguf::parse(STORY).unwrap();
    let story = Story::load(&gguf);
    let mut pool = run::pool(1);
    let mut batch = story.batch(8);
    let mut shared = |number: usize, length: usize| {
        let outcome = batch.run_one(&mut pool, request(number, length, 1), &mut |_| {}).unwrap();
        outcome.shared_tokens
    };
    // Three prompts of two whole blocks each, and one block that nobody has for long.
    assert_eq!([1, 2, 3].map(|number| shared(number, 65)), [0; 3]);
    assert_eq!(shared(1, 65), 64, "all are there; now the second was used first");
    assert_eq!(shared(4, 97), 0, "it evicts two blocks of the second");
    assert_eq!([1, 3].map(|number| shared(number, 65)), [64; 2]);
    assert_eq!(shared(2, 65), 0);
    assert_none_lost(&mut batch);
}

#[test]
fn bursts_are_as_long_as_there_are_blocks_for() {
    let gguf = Gguf::parse(STORY).unwrap();
    let story = Story::load(&gguf);
    let mut pool = run::pool(2);
    let strategy = Some(Strategy::DataParallel { groups: 2 });
    let mut batch = story.with(Settings { strategy, ..Settings::new(5 * story.block) });
    let requests: Vec<_> = (0..2).map(|number| request(number, 20, 100)).collect();
    let ids: Vec<_> = requests.iter().map(|request| batch.submit(&pool, request.clone()).unwrap()).collect();
    batch.step(&mut pool, &mut |_| {});
    let before = batch.steps();
    batch.long_step(&mut pool, &mut |_| {});
    // From position 20, three blocks more for both: 64 steps would need four.
    assert_eq!((batch.steps() - before, batch.preemptions()), (32, 0));
    let outcomes = finish(&mut batch, &mut pool);
    assert!(batch.preemptions() > 0 && outcomes[0].0 == ids[0]);
    for (id, outcome) in &outcomes {
        story.assert_solo(&mut pool, &requests[id.0 as usize], outcome);
    }
    assert_none_lost(&mut batch);
}
