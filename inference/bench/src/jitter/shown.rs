//! The figures of `bench jitter` as text and as JSON.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_pool::platform::CoreCounters;
use serde_json::{Map, Value, json};

use super::{BUDGET_NS, Figures, RUNS};
use crate::Report;
use crate::spread::{HEADING, Spread};

/// What may disturb a core.
const DISTURBANCES: [&str; 7] = [
    "ticks",
    "timer_interrupts",
    "ipi_interrupts",
    "device_interrupts",
    "switches",
    "migrations",
    "refused_allocations",
];

impl Figures {
    fn step(&self) -> Spread {
        Spread::of(self.steps.iter().copied())
    }

    /// The shares of worker `index`.
    fn share(&self, index: usize) -> Spread {
        Spread::of(self.shares.iter().copied().skip(index).step_by(self.cores.len()))
    }

    /// What disturbed the core of worker `index`, and how often in both runs; `None` where nobody counts.
    fn disturbances(&self, index: usize) -> [(&'static str, Option<u64>); DISTURBANCES.len()] {
        DISTURBANCES.map(|wanted| {
            let figure = |counters: &CoreCounters| {
                let found = counters.named().into_iter().find(|(name, _)| *name == wanted);
                found.map_or(0, |(_, value)| value)
            };
            let runs = self.counters.iter().skip(index).step_by(self.cores.len());
            let total = runs.map(|[before, after]| figure(after).saturating_sub(figure(before))).sum();
            (wanted, (!self.uncounted.contains(&wanted)).then_some(total))
        })
    }
}

impl Report for Figures {
    fn text(&self) -> String {
        let Self { model, position, cores, .. } = self;
        let count = self.steps.len() / RUNS;
        let mut text = format!("{model}, a token at position {position}, {RUNS} runs of {count} steps\n");
        text += &format!("{:<8}{HEADING}\n{:<8}{}\n", "", "step", self.step());
        for (index, core) in cores.iter().enumerate() {
            text += &format!("{:<8}{}\n", format!("core {core}"), self.share(index));
        }
        for (index, core) in cores.iter().enumerate() {
            text += &format!("core {core}:");
            for (name, value) in self.disturbances(index) {
                let value = value.map_or("-".into(), |value| format!("{value}"));
                text += &format!(" {name} {value}");
            }
            text.push('\n');
        }
        let budget = BUDGET_NS / 1_000;
        text += &format!("jobs over {budget} us: {}\nsame bits: logits hash", self.misses);
        self.hashes.iter().for_each(|hash| text += &format!(" {hash:016x}"));
        text.push('\n');
        text
    }

    fn json(&self) -> Value {
        let shown = self.cores.iter().enumerate().map(|(index, core)| {
            let disturbances = self.disturbances(index);
            let counters: Map<String, Value> =
                disturbances.into_iter().map(|(name, value)| (name.into(), json!(value))).collect();
            json!({ "core": core, "share": self.share(index).json(), "counters": counters })
        });
        json!({
            "model": self.model,
            "position": self.position,
            "steps": self.steps.len(),
            "step": self.step().json(),
            "cores": shown.collect::<Vec<_>>(),
            "budget_ns": BUDGET_NS,
            "budget_misses": self.misses,
            "hashes": self.hashes.iter().map(|hash| format!("{hash:016x}")).collect::<Vec<_>>(),
        })
    }
}
