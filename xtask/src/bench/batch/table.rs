//! What `cargo xtask bench batch` prints.

use super::{Report, Row, Side, Threshold, Times};

/// Everything, for people.
pub fn table(report: &Report) -> String {
    let Report { place, figure, repetitions, engine, llama_cpp, .. } = report;
    let Side { model, workers, prompt, generated, rows, joined } = engine;
    let mut table = format!(
        "{model}, {workers} workers, prompts of {prompt} tokens, {generated} made of each; {place}; {figure}; \
         medians of {repetitions}; tokens/s\n{:>8}{:>12}{:>20}{:>8}",
        "requests", "at once", "one after another", "ratio"
    );
    if let Some(other) = llama_cpp {
        table += &format!("{:>18}{:>8}", other.kernels, "ratio");
    }
    table.push('\n');
    for (index, Row { batch, together, alone, plan }) in rows.iter().enumerate() {
        let rate = |times: &Times| (batch * generated) as f64 * 1e9 / times.total_ns;
        table += &format!("{batch:>8}{:>12.1}", rate(together));
        if let Some(alone) = alone {
            table += &format!("{:>20.1}{:>8.2}", rate(alone), alone.total_ns / together.total_ns);
        }
        if let Some(other) = llama_cpp.as_ref().map(|other| &other.rows[index].together) {
            table += &format!("{:>18.1}{:>8.2}", rate(other), other.total_ns / together.total_ns);
        }
        table += &format!("  {}\n", plan.as_deref().unwrap_or_default());
    }
    let us = |nanoseconds: f64| nanoseconds / 1e3;
    table += &format!(
        "from token to token of a request that {} others join, who generate after \
         {:.1} ms\n{:<12}{:>11}{:>11}{:>11}{:>11}\n",
        joined.others,
        joined.until_ready_ns / 1e6,
        "us",
        "mean",
        "p50",
        "p99",
        "max"
    );
    for (name, spread) in [
        ("alone", joined.before),
        ("they join", joined.meanwhile),
        ("together", joined.after),
        ("all", joined.all),
    ] {
        let numbers = [spread.mean_ns, spread.p50_ns, spread.p99_ns, spread.max_ns].map(us);
        table += &format!("{name:<12}");
        numbers.iter().for_each(|number| table += &format!("{number:>11.1}"));
        table.push('\n');
    }
    for threshold in report.thresholds() {
        let Threshold { name, value, limit, at_least } = &threshold;
        let bound = if *at_least { "at least" } else { "at most" };
        table += &match (value, threshold.met()) {
            (Some(value), Some(true)) => format!("{name}: {value:.2}, {bound} {limit}: met\n"),
            (Some(value), _) => format!("{name}: {value:.2}, {bound} {limit}: missed\n"),
            (None, _) if figure == "time, emulated" => {
                format!("{name}: not measured here: the times are an emulator's\n")
            }
            (None, _) => format!("{name}: not measured here: nothing to compare with was asked for\n"),
        };
    }
    table
}
