//! The table of `cargo xtask bench serve`.

use super::idle::AwakeCore;
use super::report::{BatchBeside, FirstToken, LoadRow, ServeReport};
use super::start::StartTimes;

/// The report as text.
pub fn table(report: &ServeReport) -> String {
    let ServeReport { model, place, machine, date, rounds, prompt, generated, .. } = report;
    let mut text = format!(
        "{model}, prompts of {prompt} tokens, {generated} made of each; {place}; medians of {rounds} rounds\n\
         {machine}, {date}\n\
         {:>7}  {:<13}{:>9}{:>12}{:>12}{:>11}{:>11}\n",
        "clients", "", "tokens/s", "first p50", "p99, ms", "gap p50", "p99, ms"
    );
    for LoadRow { clients, engine, llama_server } in &report.loads {
        for (name, figures) in [("EMBODIOS", Some(engine)), ("llama-server", llama_server.as_ref())] {
            let Some(figures) = figures else { continue };
            text += &format!(
                "{clients:>7}  {name:<13}{:>9.1}{:>12.1}{:>12.1}{:>11.2}{:>11.2}\n",
                figures.tokens_per_second,
                figures.first_ms.p50,
                figures.first_ms.p99,
                figures.gap_ms.p50,
                figures.gap_ms.p99
            );
        }
    }
    if let Some(BatchBeside { http, console, ratio }) = report.batch {
        text += &format!(
            "8 streams: {http:.1} tokens/s over HTTP, {console:.1} as a batch at the console of a guest without a \
             network: ratio {ratio:.3}\n"
        );
    }
    let FirstToken { http_ms, console_ms, added_ms, llama_server_ms } = report.first;
    text += &format!(
        "first token of a short prompt, idle: {http_ms:.2} ms over HTTP, {console_ms:.2} ms at the console: \
         {added_ms:.2} ms more"
    );
    text += &llama_server_ms.map_or("\n".to_owned(), |time| format!("; llama-server {time:.2} ms\n"));
    text += "idle, time awake:";
    for AwakeCore { core, awake, on_host } in &report.idle {
        text += &format!(" core {core} {:.3} %", awake * 100.0);
        text += &on_host.map_or(String::new(), |part| format!(" (the host ran it {:.2} %)", part * 100.0));
    }
    text.push('\n');
    if let Some(start) = report.start {
        let StartTimes { kernel_ms, console_ms, serving_ms, connected_ms, healthy_ms, first_byte_ms } = start;
        text += &format!(
            "start with the built-in model, ms since QEMU's start, medians of {}: console {console_ms:.1} (by the \
             kernel's clock {kernel_ms:.1} after its entry), address {serving_ms:.1}, connection {connected_ms:.1}, \
             health {healthy_ms:.1}, first byte of a stream {first_byte_ms:.1}\n",
            report.boots
        );
    }
    for threshold in report.thresholds() {
        text += &threshold.line(3, "needs 8 among --clients");
    }
    text
}

#[cfg(test)]
pub mod tests {
    use super::super::figures::{LoadFigures, Percentiles};
    use super::*;

    pub fn report(ratio: Option<f64>) -> ServeReport {
        let times = |p50| Percentiles { p50, p99: p50 * 2.0 };
        let figures =
            |speed| LoadFigures { tokens_per_second: speed, first_ms: times(7.0), gap_ms: times(3.0) };
        let row = |clients, other| LoadRow { clients, engine: figures(400.0), llama_server: other };
        ServeReport {
            model: "m".into(),
            place: "a guest".into(),
            machine: "a processor".into(),
            date: "2026-01-01 00:00 UTC".into(),
            rounds: 3,
            prompt: 32,
            generated: 64,
            loads: vec![row(1, None), row(8, Some(figures(150.5)))],
            batch: ratio.map(|ratio| BatchBeside { http: 400.0, console: 410.0, ratio }),
            first: FirstToken { http_ms: 9.0, console_ms: 5.0, added_ms: 4.0, llama_server_ms: None },
            idle: vec![AwakeCore { core: "0".into(), awake: 0.002, on_host: Some(0.01) }],
            boots: 0,
            start: None,
        }
    }

    #[test]
    fn figures_stand_beside_their_thresholds() {
        let text = table(&report(Some(0.97)));
        for part in ["at least 0.95: met", "4.000, at most 3: missed", "0.002, at most 0.01: met", "150.5"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!((text.matches("EMBODIOS").count(), text.matches("llama-server").count()), (2, 1));
        assert!(table(&report(None)).contains("not measured here: needs 8"));
    }
}
