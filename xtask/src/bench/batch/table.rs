//! The table of `cargo xtask bench batch`.

use super::{BatchReport, BatchRow, BatchRun, BatchTimes};

/// The report as text.
pub fn table(report: &BatchReport) -> String {
    let BatchReport { place, figure, repetitions, engine, llama_cpp, .. } = report;
    let BatchRun { model, workers, prompt, generated, rows, joined } = engine;
    let mut table = format!(
        "{model}, {workers} workers, prompts of {prompt} tokens, {generated} made of each; {place}; {figure}; \
         medians of {repetitions}; tokens/s\n{:>8}{:>12}{:>20}{:>8}",
        "requests", "in a batch", "one after another", "ratio"
    );
    if let Some(other) = llama_cpp {
        table += &format!("{:>18}{:>8}", other.kernels, "ratio");
    }
    table.push('\n');
    for (index, BatchRow { batch, batched, sequential, plan }) in rows.iter().enumerate() {
        let rate = |times: &BatchTimes| (batch * generated) as f64 * 1e9 / times.total_ns;
        table += &format!("{batch:>8}{:>12.1}", rate(batched));
        if let Some(sequential) = sequential {
            table += &format!("{:>20.1}{:>8.2}", rate(sequential), sequential.total_ns / batched.total_ns);
        }
        if let Some(other) = llama_cpp.as_ref().map(|other| &other.rows[index].batched) {
            table += &format!("{:>18.1}{:>8.2}", rate(other), other.total_ns / batched.total_ns);
        }
        table += &format!("  {}\n", plan.as_deref().unwrap_or_default());
    }
    let us = |nanoseconds: f64| nanoseconds / 1e3;
    table += &format!(
        "inter-token latency of a request while {} others join, which generate after \
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
        ("solo", joined.before),
        ("joining", joined.meanwhile),
        ("in a batch", joined.after),
        ("all", joined.all),
    ] {
        let numbers = [spread.mean_ns, spread.p50_ns, spread.p99_ns, spread.max_ns].map(us);
        table += &format!("{name:<12}");
        numbers.iter().for_each(|number| table += &format!("{number:>11.1}"));
        table.push('\n');
    }
    for threshold in report.thresholds() {
        let is_emulated = figure == "time, emulated";
        table += &threshold
            .line(2, if is_emulated { "the guest is emulated" } else { "needs --compare llama.cpp" });
    }
    table
}
