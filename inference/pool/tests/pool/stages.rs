//! Stages of one job: each reads the results of the one before, and no worker is left behind.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use embodios_pool::{DEFAULT_SPIN, Pool};

use super::{places, pool};

/// Fills `first` with its indices, and `second` with one more than they are, then makes each of the first `count`
/// of `items` the sum of all before it, and each element of `out` the sum of those and of its index.
fn stages(pool: &mut Pool, length: usize, unit: usize, items: &mut [usize], count: usize, out: &mut [usize]) {
    let (mut first, mut second) = (vec![0; length], vec![0; length]);
    pool.stage_both((&mut first, unit), (&mut second, unit), |start, first, second| {
        for (index, (first, second)) in (start * unit..).zip(first.iter_mut().zip(second)) {
            (*first, *second) = (index, index + 1);
        }
    })
    .then_each(items, count, |first, index, item| *item = index + first.iter().sum::<usize>())
    .then(out, 3, |items, start, out| {
        for (index, out) in (start..).zip(out) {
            *out = index + items.iter().sum::<usize>();
        }
    })
    .run();
    assert!(second.into_iter().eq(1..=length));
}

#[test]
fn a_stage_reads_all_of_the_one_before() {
    for workers in 1..=8 {
        for spin in [0, 20, DEFAULT_SPIN] {
            let mut pool = pool(workers, spin);
            let mut items = vec![0; 20];
            let mut out = vec![0; 50];
            for round in 0..300 {
                // Often fewer units than workers, in some stages or in all.
                let (length, count) = (round % 47, 1 + round % 20);
                let out = &mut out[..round % 50];
                stages(&mut pool, length, 1 + round % 7, &mut items, count, out);
                let item = |index: usize| index + length * length.saturating_sub(1) / 2;
                let sum: usize = (0..count).map(item).sum();
                assert!((0..).zip(&*out).all(|(index, &value)| value == index + sum), "round {round}");
                assert!(items.iter().take(count).copied().eq((0..count).map(item)), "round {round}");
            }
        }
    }
}

#[test]
fn stages_begin_with_given_shares_and_scratch() {
    let mut pool = pool(3, 20);
    let (mut values, mut scratch, mut sums) = ([0; 10], [0; 3 * 2], [0; 5]);
    pool.stage_at((&mut values, 2, &[0, 4, 4, 5]), (&mut scratch, 2), |unit, values, scratch| {
        scratch.fill(unit + 1);
        values.iter_mut().for_each(|value| *value += scratch.iter().sum::<usize>());
    })
    .then(&mut sums, 1, |values, first, sums| {
        assert_eq!(sums.len(), if first == 0 { 1 } else { 2 });
        sums.fill(values.iter().sum());
    })
    .run();
    assert_eq!((values, scratch, sums), ([2, 2, 2, 2, 2, 2, 2, 2, 10, 10], [1, 1, 0, 0, 5, 5], [36; 5]));
}

#[test]
fn a_panic_in_a_stage_leaves_nobody_behind() {
    for (workers, spin) in [(1, 20), (4, 20), (4, 0)] {
        let mut pool = pool(workers, spin);
        for (bad_stage, bad) in (0..3).flat_map(|stage| (0..workers).map(move |worker| (stage, worker))) {
            let (mut first, mut second, mut third, mut nothing) = ([0; 4], [0; 4], [0; 4], [(); 4]);
            let check = |stage: usize, index: usize| {
                let worker = index * workers / 4;
                assert!((stage, worker) != (bad_stage, bad), "stage {stage}, worker {worker}");
            };
            let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                pool.stage_both((&mut first, 1), (&mut nothing, 1), |index, _, _| check(0, index))
                    .then(&mut second, 1, |_, index, _| check(1, index))
                    .then(&mut third, 1, |_, index, run| {
                        run.fill(1);
                        check(2, index);
                    })
                    .run();
            }));
            let message = format!("stage {bad_stage}, worker {bad}");
            assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&message));
            assert_eq!(third, [1; 4]);
            assert_eq!(places(&mut pool).len(), workers);
        }
    }
}

#[test]
fn groups_go_through_stages_apart() {
    let mut pool = pool(6, 20);
    for round in 0..100 {
        let sizes = [[3, 2, 1], [1, 3, 2], [2, 2, 2]][round % 3];
        pool.groups(&sizes, |group, pool| {
            for count in [1, 5] {
                let (mut items, mut out) = ([0; 5], [0; 7]);
                // Groups do not wait for each other: each has another number of stages.
                for _ in 0..=group {
                    stages(pool, 9, 2, &mut items, count, &mut out);
                }
                let sum = 36 * count + count * (count - 1) / 2;
                assert!(out.into_iter().eq(sum..sum + 7));
            }
        })
        .unwrap();
    }
}

#[test]
fn waiting_between_stages_is_not_work() {
    const ROUNDS: u64 = 20;
    let mut pool = pool(3, 10);
    let done = AtomicUsize::new(0);
    for round in 1..=ROUNDS as usize {
        let (mut first, mut nothing, mut second) = ([0; 3], [(); 3], [0; 3]);
        pool.stage_both((&mut first, 1), (&mut nothing, 1), |index, _, _| {
            if index > 0 {
                done.fetch_add(1, Relaxed);
                return;
            }
            while done.load(Relaxed) < 2 * round {
                std::thread::yield_now();
            }
            std::thread::sleep(std::time::Duration::from_millis(4));
        })
        .then(&mut second, 1, |_, _, _| ())
        .run();
    }
    for worker in &pool.monitor().workers()[1..] {
        let work = worker.work;
        assert!(work.waiting_ns + work.asleep_ns > ROUNDS * 2_000_000, "{work:?}");
        assert_eq!((work.dispatches, work.items), (ROUNDS, 2 * ROUNDS));
    }
    assert!(pool.monitor().workers()[0].work.working_ns > ROUNDS * 4_000_000);
}
