//! The cores' loops, the lock, interrupts and halting together, on host threads as cores: no wake-up is lost.

use super::state::Scheduler;
use super::{change, come_online, prepare, run};
use crate::memory;
use crate::per_cpu::{self, PerCpu};
use crate::start::Kernel;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use embodios_abi::Call;
use embodios_arch::host::{Program, run_core, switch_off};
use embodios_arch::{CpuId, UserContext, UserStart, VirtAddr, register_handlers};
use embodios_core_set::CoreSet;

const CORES: usize = 4;
/// Turns of each of two players. Four pairs: a million waits and wakes.
const ROUNDS: u32 = 125_000;

/// One of two threads that pass a ball: it is even for one and odd for the other.
struct Player {
    ball: &'static AtomicU32,
    mine: u32,
    round: AtomicU32,
    noise: AtomicU32,
}

impl Player {
    /// Its next system call.
    fn step(&self) -> (u64, [u64; 3]) {
        let address = core::ptr::from_ref(self.ball) as u64;
        let round = self.round.load(Ordering::Relaxed);
        if round == ROUNDS {
            // It stays: an engine without a thread would be started anew.
            return (Call::Sleep as u64, [u64::MAX, 0, 0]);
        }
        let (seen, expected) = (self.ball.load(Ordering::Acquire), 2 * round + self.mine);
        if seen != expected {
            return (Call::Wait as u64, [address, seen.into(), u64::MAX]);
        }
        let noise = self.noise.load(Ordering::Relaxed).wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.noise.store(noise, Ordering::Relaxed);
        for _ in 0..noise >> 26 {
            core::hint::spin_loop();
        }
        self.round.store(round + 1, Ordering::Relaxed);
        self.ball.store(expected + 1, Ordering::Release);
        (Call::Wake as u64, [address, 1, 0])
    }
}

/// A [`Program`].
fn play(player: u64) -> (u64, [u64; 3]) {
    // SAFETY: the test passes a leaked player.
    unsafe { &*core::ptr::with_exposed_provenance::<Player>(player as usize) }.step()
}

/// First function of every core. Core 0 makes the players.
fn begin() -> ! {
    let this = per_cpu::this();
    come_online(this);
    this.online.store(true, Ordering::Release);
    while per_cpu::online().count() < CORES {
        std::thread::yield_now();
    }
    if this.cpu == CpuId::BOOT {
        make_players();
    }
    run()
}

static BALLS: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];

fn make_players() {
    memory::own_for_test(&BALLS);
    let program: Program = play;
    // Across cores, on one core, and two pairs that go where there is room.
    let sets: [[CoreSet; 2]; 4] = [
        [[0].into_iter().collect(), [1].into_iter().collect()],
        [[2].into_iter().collect(), [2].into_iter().collect()],
        [CoreSet::first(CORES), CoreSet::first(CORES)],
        [CoreSet::first(2), CoreSet::first(CORES)],
    ];
    for (ball, sets) in BALLS.iter().zip(sets) {
        for (cores, mine) in sets.into_iter().zip(0..) {
            let (round, noise) = (AtomicU32::new(0), AtomicU32::new(mine + 1));
            let player: &Player = Box::leak(Box::new(Player { ball, mine, round, noise }));
            let start = UserStart {
                entry: VirtAddr(program as usize as u64),
                stack_top: VirtAddr(0),
                argument: core::ptr::from_ref(player).expose_provenance() as u64,
            };
            change(|scheduler: &mut Scheduler| {
                let slot = scheduler.take_slot().expect("few threads");
                scheduler.create(slot, UserContext::new(&start), 5, cores, 0)
            });
        }
    }
}

/// A wake-up lost is a test that does not end.
#[test]
fn a_million_waits_lose_no_wake_up() {
    register_handlers(&Kernel);
    per_cpu::install((0..CORES).map(PerCpu::on_host).collect());
    prepare(CORES);
    let cores: Vec<_> =
        per_cpu::all().iter().map(|core| std::thread::spawn(|| run_core(core.local, begin))).collect();
    while BALLS.iter().any(|ball| ball.load(Ordering::Acquire) != 2 * ROUNDS) {
        assert!(!cores.iter().any(|core| core.is_finished()), "a core panicked");
        std::thread::sleep(Duration::from_millis(20));
    }
    switch_off();
    for core in cores {
        core.join().expect("a core panicked");
    }
    let total = |count: fn(&embodios_abi::CoreCounts) -> u64| -> u64 {
        per_cpu::all().iter().map(|core| count(&core.statistics.read())).sum()
    };
    assert!(total(|counts| counts.system_calls) >= 8 * u64::from(ROUNDS), "a wake for every turn");
    assert!(total(|counts| counts.wakeups_sent) >= total(|counts| counts.wakeups_received));
}
