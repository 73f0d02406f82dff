//! The figures of `bench batch` as text and as JSON.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Value, json};

use super::{Figures, OTHERS, Row, Times};
use crate::Report;
use crate::spread::HEADING;

impl Report for Figures {
    fn text(&self) -> String {
        let Self { model, workers, prompt, tokens, rows, joined } = self;
        let mut text = format!(
            "{model}, {workers} workers, prompts of {prompt} tokens, {tokens} made of each; tokens/s\n\
             requests  at once  one after another   ratio  generating at once  one after another   ratio\n"
        );
        for Row { size, together, alone, plan } in rows {
            let all = |times: &Times| rate(size * tokens, times.prompt + times.generation);
            let generation = |times: &Times| rate(size * (tokens - 1), times.generation);
            text += &format!(
                "{size:>8} {:>8.1} {:>18.1} {:>7.2} {:>19.1} {:>18.1} {:>7.2}  {plan}\n",
                all(together),
                all(alone),
                all(together) / all(alone),
                generation(together),
                generation(alone),
                generation(together) / generation(alone).max(f64::MIN_POSITIVE),
            );
        }
        text += &format!(
            "time from token to token of a request that {OTHERS} others join; they generate after \
             {:.1} ms\n{:<11}{HEADING}\n",
            joined.until_ready as f64 / 1e6,
            "",
        );
        for (name, spread) in [
            ("alone", joined.before),
            ("they join", joined.meanwhile),
            ("together", joined.after),
            ("all", joined.all),
        ] {
            text += &format!("{name:<11}{spread}\n");
        }
        text += &format!("p99 / median: {:.2}\n", joined.all.p99 as f64 / joined.all.p50.max(1) as f64);
        text
    }

    fn json(&self) -> Value {
        let Self { model, workers, prompt, tokens, rows, joined } = self;
        let times = |&Times { prompt, generation }: &Times| {
            let total = prompt + generation;
            json!({ "prompt_ns": prompt, "generation_ns": generation, "total_ns": total })
        };
        let rows = rows.iter().map(|Row { size, together, alone, plan }| {
            json!({ "batch": size, "together": times(together), "alone": times(alone), "plan": plan })
        });
        json!({
            "model": model,
            "workers": workers,
            "prompt": prompt,
            "generated": tokens,
            "rows": rows.collect::<Vec<_>>(),
            "joined": {
                "others": OTHERS,
                "before": joined.before.json(),
                "meanwhile": joined.meanwhile.json(),
                "after": joined.after.json(),
                "all": joined.all.json(),
                "until_ready_ns": joined.until_ready,
            },
        })
    }
}

/// Tokens a second.
fn rate(tokens: usize, nanoseconds: u64) -> f64 {
    tokens as f64 * 1e9 / nanoseconds.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Joined;
    use crate::spread::Spread;

    #[test]
    fn known_times_read_the_same_everywhere() {
        let row = Row {
            size: 2,
            together: Times { prompt: 1_000_000, generation: 3_000_000 },
            alone: Times { prompt: 2_000_000, generation: 6_000_000 },
            plan: "together".into(),
        };
        let gaps = Spread::of([1_000, 3_000]);
        let joined = Joined { before: gaps, meanwhile: gaps, after: gaps, all: gaps, until_ready: 5_500_000 };
        let figures =
            Figures { model: "m".into(), workers: 2, prompt: 3, tokens: 4, rows: [row].into(), joined };
        let text = figures.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "m, 2 workers, prompts of 3 tokens, 4 made of each; tokens/s");
        let row = "       2   2000.0             1000.0    2.00              2000.0             1000.0    2.00  \
                   together";
        assert_eq!(lines[2], row);
        let joined = "time from token to token of a request that 7 others join; they generate after 5.5 ms";
        assert_eq!(lines[3], joined);
        assert_eq!(lines[6], "they join         2.0        1.0  50.00 %        1.0        3.0        3.0");
        assert_eq!((lines.len(), lines[9]), (10, "p99 / median: 3.00"));
        let gaps = "{\"deviation_ns\":1000.0,\"max_ns\":3000,\"mean_ns\":2000.0,\"p50_ns\":1000,\"p99_ns\":3000,\
                    \"relative\":0.5}";
        let json = format!(
            "{{\"generated\":4,\"joined\":{{\"after\":{gaps},\"all\":{gaps},\"before\":{gaps},\"meanwhile\":{gaps},\
             \"others\":7,\"until_ready_ns\":5500000}},\"model\":\"m\",\"prompt\":3,\"rows\":[{{\
             \"alone\":{{\"generation_ns\":6000000,\"prompt_ns\":2000000,\"total_ns\":8000000}},\"batch\":2,\
             \"plan\":\"together\",\
             \"together\":{{\"generation_ns\":3000000,\"prompt_ns\":1000000,\"total_ns\":4000000}}}}],\"workers\":2}}"
        );
        assert_eq!(format!("{}", figures.json()), json);
    }
}
