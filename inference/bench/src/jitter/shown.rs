//! The figures of `bench jitter` as text and as JSON.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_pool::platform::CoreCounters;
use serde_json::{Map, Value, json};

use super::{BUDGET_NS, Figures, RUNS};
use crate::Report;
use crate::spread::{HEADING, Spread};

/// Counters of events that disturb a core.
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

    /// Disturbances of the core of worker `index`, with their number in both runs; `None` where that is not counted.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Two workers, one step a run; the second one's core is interrupted twice by its timer.
    fn figures() -> Figures {
        let before = CoreCounters::default();
        let after = CoreCounters { timer_interrupts: 1, ..before };
        let run = [[before, before], [before, after]];
        Figures {
            model: "m".into(),
            position: 64,
            cores: [0, 3].into(),
            uncounted: &["ticks"],
            steps: [2_000, 2_000].into(),
            shares: [1_000, 2_000, 1_000, 2_000].into(),
            counters: [run, run].concat(),
            misses: 5,
            hashes: [0xab, 0xab].into(),
        }
    }

    #[test]
    fn text_has_a_line_for_each_core_and_what_disturbed_it() {
        let text = figures().text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "m, a token at position 64, 2 runs of 1 steps");
        assert_eq!(lines[2], "step           2.0        0.0   0.00 %        2.0        2.0        2.0");
        assert_eq!(lines[3], "core 0         1.0        0.0   0.00 %        1.0        1.0        1.0");
        let disturbed = "core 3: ticks - timer_interrupts 2 ipi_interrupts 0 device_interrupts 0 switches 0 \
                         migrations 0 refused_allocations 0";
        assert_eq!(lines[6], disturbed);
        let last = "same bits: logits hash 00000000000000ab 00000000000000ab";
        assert_eq!(lines[7..], ["jobs over 500 us: 5", last]);
    }

    #[test]
    fn json_has_null_for_what_nobody_counts() {
        let json = figures().json();
        let fields: Vec<&str> =
            json.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
        let expected =
            ["budget_misses", "budget_ns", "cores", "hashes", "model", "position", "step", "steps"];
        assert_eq!(fields, expected);
        let core = &json["cores"][1];
        assert_eq!((&core["core"], &core["share"]["p50_ns"]), (&json!(3), &json!(2000)));
        assert_eq!(core["counters"]["ticks"], Value::Null);
        assert_eq!(core["counters"]["timer_interrupts"], json!(2));
    }
}
