//! Checks of threads, cores and the worker pool. Where something runs is read there and then, from the core itself.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use embodios_pool::platform::{CoreSet, Platform, PlatformError, ThreadId};
use embodios_pool::{Deterministic, Mode, Pool, start_thread};

/// Jobs for a pool that spins.
pub const JOBS: u32 = 200;
/// Jobs for a pool whose workers sleep at once, each of which takes longer.
pub const SLEEPING_JOBS: u32 = 50;
/// Jobs in which the places of all workers are read.
const LOOKS: usize = 50;
/// Jobs in deterministic mode.
const STEPS: usize = 25;
/// Loops with ranges, grains and modes of every kind, over at most this many indices.
const LOOPS: usize = 120;
const INDICES: usize = 150;

fn expect<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, not {expected:?}")) }
}

fn named<E: ToString>(error: E) -> String {
    error.to_string()
}

/// The core that each worker runs on.
fn places(pool: &mut Pool) -> Vec<usize> {
    let places: Vec<AtomicUsize> = (0..pool.workers()).map(|_| AtomicUsize::new(usize::MAX)).collect();
    let platform = pool.platform();
    pool.run(&|worker| places[worker].store(platform.current_core(), Ordering::Relaxed));
    places.into_iter().map(AtomicUsize::into_inner).collect()
}

/// Every job reaches every worker once, and every element of a split slice one worker, once a job.
///
/// # Errors
/// The worker or the element that one did not reach, or reached twice.
pub fn jobs(pool: &mut Pool, count: u32) -> Result<(), String> {
    let calls: Vec<AtomicU32> = (0..pool.workers()).map(|_| AtomicU32::new(0)).collect();
    let mut sums = Vec::from([0u32; 1000]);
    for _ in 0..count {
        pool.run(&|worker| {
            calls[worker].fetch_add(1, Ordering::Relaxed);
        });
        pool.split(&mut sums, 3, |first, run| {
            for (index, sum) in (first as u32..).zip(run) {
                *sum += index;
            }
        });
    }
    for (worker, calls) in calls.iter().enumerate() {
        let calls = calls.load(Ordering::Relaxed);
        if calls != count {
            return Err(format!("worker {worker} had {calls} of {count} jobs"));
        }
    }
    match (0..).zip(&sums).find(|&(index, &sum)| sum != index * count) {
        Some((index, sum)) => Err(format!("element {index} is {sum}, not {}", index * count)),
        None => Ok(()),
    }
}

/// Workers are on their cores, and the cores without one switch to nothing meanwhile.
///
/// # Errors
/// When they are elsewhere, or another core switched threads.
pub fn on_their_cores(pool: &mut Pool) -> Result<(), String> {
    let platform = pool.platform();
    let cores = pool.cores().to_vec();
    let switches = || {
        let others = (0..platform.cores().len()).filter(|core| !cores.contains(core));
        others.map(|core| (core, platform.core_counters(core).switches)).collect::<Vec<_>>()
    };
    let before = switches();
    for _ in 0..LOOKS {
        expect("cores", places(pool), cores.clone())?;
    }
    expect("switches of the other cores", switches(), before)
}

/// A worker that moves itself to each core in turn, in the middle of a job, is there when the call returns.
///
/// # Errors
/// The core that it could not be moved to.
pub fn moves_while_it_works(pool: &mut Pool) -> Result<(), String> {
    let platform = pool.platform();
    let (last, all) = (pool.workers() - 1, platform.cores());
    let home = CoreSet::from_iter([pool.cores()[last]]);
    let wrong = AtomicUsize::new(usize::MAX);
    pool.run(&|worker| {
        if worker == last {
            let thread = platform.current_thread();
            for core in (0..all.len()).filter(|&core| all[core].online) {
                let moved = platform.set_affinity(thread, &CoreSet::from_iter([core]));
                if moved.is_err() || platform.current_core() != core {
                    wrong.store(core, Ordering::Relaxed);
                }
            }
            if platform.set_affinity(thread, &home).is_err() {
                wrong.store(usize::MAX - 1, Ordering::Relaxed);
            }
        }
    });
    expect("core that could not be moved to", wrong.into_inner(), usize::MAX)?;
    on_their_cores(pool)
}

/// A pool that would need a core that is not there is refused, and the one that is there stays as it was.
///
/// # Errors
/// When it is not refused, or the other one has changed.
pub fn refuses_offline_cores(pool: &mut Pool) -> Result<(), String> {
    let all = pool.platform().cores();
    let offline = all.iter().position(|core| !core.online).unwrap_or(all.len());
    let cores: CoreSet = pool.cores().iter().copied().chain([offline]).collect();
    expect("refusal", pool.resize(&cores), Err(PlatformError::Offline(offline).into()))?;
    expect("refusal", pool.resize(&CoreSet::new()), Err(PlatformError::NoCores.into()))?;
    on_their_cores(pool)
}

/// Every index of every loop is in exactly one sub-range.
///
/// # Errors
/// The index that is in none, or in several.
pub fn every_index_once(pool: &mut Pool) -> Result<(), String> {
    let counts: Vec<AtomicU32> = (0..INDICES).map(|_| AtomicU32::new(0)).collect();
    for index in 0..LOOPS {
        // Steps without a common divisor go through all kinds.
        let start = index * 37 % INDICES;
        let end = start + index * 59 % (INDICES - start + 1);
        let (grain, mode) = (index * 7 % 40, [Mode::Static, Mode::Dynamic][index % 2]);
        pool.set_mode(mode);
        let done = pool.parallel_for(start..end, grain, |_, part| {
            counts[part].iter().for_each(|count| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        });
        done.map_err(named)?;
        for (at, count) in counts.iter().enumerate() {
            let expected = u32::from((start..end).contains(&at));
            let found = count.swap(0, Ordering::Relaxed);
            expect(&format!("index {at} of {start}..{end}, grain {grain}, {mode:?}"), found, expected)?;
        }
    }
    pool.set_mode(Mode::Static);
    Ok(())
}

/// Each half of the workers has jobs of its own.
///
/// # Errors
/// When workers of a group are elsewhere, or not the ones asked for.
pub fn groups(pool: &mut Pool) -> Result<(), String> {
    let half = pool.workers().div_ceil(2);
    let sizes = [half, pool.workers() - half];
    let sizes = &sizes[..if sizes[1] == 0 { 1 } else { 2 }];
    let wrong = AtomicUsize::new(0);
    for _ in 0..LOOKS {
        let done = pool.groups(sizes, |group, pool| {
            let expected = pool.cores().to_vec();
            let right = places(pool) == expected && pool.workers() == sizes[group];
            wrong.fetch_add(usize::from(!right), Ordering::Relaxed);
        });
        done.map_err(named)?;
    }
    expect("groups elsewhere", wrong.into_inner(), 0)
}

/// In deterministic mode each worker is on its core, and nothing ticks, moves or allocates there. Afterwards the cores
/// take threads again.
///
/// # Errors
/// The disturbance, or when a core takes no thread.
pub fn deterministic(pool: &mut Pool) -> Result<(), String> {
    let platform = pool.platform();
    let cores = pool.cores().to_vec();
    let disturbed = || {
        let counters = cores.iter().map(|&core| platform.core_counters(core));
        counters.map(|now| (now.ticks, now.migrations, now.refused_allocations)).collect::<Vec<_>>()
    };
    let elsewhere = AtomicUsize::new(0);
    let before = disturbed();
    let inside = pool.deterministic(Deterministic { spin: true, ..Deterministic::default() }, |pool| {
        for _ in 0..STEPS {
            pool.parallel_for(0..cores.len(), 0, |worker, _| {
                let away = platform.current_core() != cores[worker];
                elsewhere.fetch_add(usize::from(away), Ordering::Relaxed);
            })?;
        }
        Ok(())
    });
    inside.and_then(|done| done).map_err(named)?;
    expect("parts on other cores", elsewhere.into_inner(), 0)?;
    expect("ticks, migrations and refused allocations", disturbed(), before)?;
    let last = CoreSet::from_iter(cores.last().copied());
    start_thread(platform, &last, || ()).and_then(|thread| platform.join_thread(thread)).map_err(named)
}

/// Twice as many threads as cores, and one more, all come to their end.
///
/// # Errors
/// When one does not, or the platform refuses it.
pub fn many_threads(platform: &'static dyn Platform) -> Result<(), String> {
    let online: CoreSet = (0..platform.cores().len()).filter(|&core| platform.cores()[core].online).collect();
    let steps = Arc::new(AtomicU32::new(0));
    let count = 2 * online.len() + 1;
    let start = |_| {
        let steps = Arc::clone(&steps);
        start_thread(platform, &online, move || {
            for _ in 0..LOOKS {
                steps.fetch_add(1, Ordering::Relaxed);
                platform.yield_now();
            }
        })
    };
    let threads: Vec<Result<ThreadId, PlatformError>> = (0..count).map(start).collect();
    // All are joined before anything is reported: none is left behind.
    let joined: Vec<_> =
        threads.iter().map(|thread| thread.and_then(|id| platform.join_thread(id))).collect();
    joined.into_iter().collect::<Result<(), _>>().map_err(named)?;
    expect("steps", steps.load(Ordering::Relaxed) as usize, count * LOOKS)
}

/// Pools that come and go, of every size.
///
/// # Errors
/// When one cannot be made, or its workers are elsewhere.
pub fn resizes(pool: &mut Pool) -> Result<(), String> {
    let cores = pool.cores().to_vec();
    for count in (1..=cores.len()).chain((1..cores.len()).rev()) {
        pool.resize(&cores[..count].iter().copied().collect()).map_err(named)?;
        expect("cores", places(pool), cores[..count].to_vec())?;
    }
    pool.resize(&cores.into_iter().collect()).map_err(named)
}
