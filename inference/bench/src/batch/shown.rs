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
