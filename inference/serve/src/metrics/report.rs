//! `/metrics`: the names that gateways look for (vLLM's), those of llama-server, and our own.

use alloc::string::String;

use super::prometheus::Text;
use super::{Metrics, REASONS, seconds};
use crate::figures::Figures;

/// Values as of now.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// The model's name; empty while there is none.
    pub model: &'a str,
    /// Requests that the batch has.
    pub running: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Open connections.
    pub connections: usize,
}

/// The text.
pub fn report(metrics: &Metrics, figures: &Figures, now: Now<'_>) -> String {
    let mut text = Text::new(now.model);
    gateway(&mut text, metrics, figures, now);
    llama_server(&mut text, metrics, figures, now);
    own(&mut text, metrics, figures, now);
    text.finish()
}

fn gateway(text: &mut Text, metrics: &Metrics, figures: &Figures, now: Now<'_>) {
    let usage = figures.blocks_used as f64 / figures.blocks.max(1) as f64;
    text.gauge("vllm:num_requests_running", "Requests in the batch.", now.running);
    text.gauge("vllm:num_requests_waiting", "Requests that wait for a place in the batch.", now.waiting);
    text.gauge("vllm:kv_cache_usage_perc", "Part of the KV blocks that requests have, 0 to 1.", usage);
    text.head("vllm:cache_config_info", "gauge", "Shape of the KV cache.");
    let shape: [(&str, &dyn core::fmt::Display); 2] =
        [("block_size", &figures.block_positions), ("num_gpu_blocks", &figures.blocks)];
    text.sample("vllm:cache_config_info", &shape, 1);
    for (name, help, value) in [
        ("vllm:prompt_tokens_total", "Tokens of prompts.", metrics.prompt_tokens),
        ("vllm:generation_tokens_total", "Tokens made.", metrics.generation_tokens),
        (
            "vllm:prefix_cache_queries_total",
            "Tokens of prompts looked for in the cache.",
            figures.prefix_queries,
        ),
        ("vllm:prefix_cache_hits_total", "Tokens of prompts found in the cache.", figures.prefix_hits),
        (
            "vllm:num_preemptions_total",
            "Times that a request made place for an older one.",
            figures.preemptions,
        ),
    ] {
        text.counter(name, help, value);
    }
    text.head("vllm:request_success_total", "counter", "Requests that ended, by reason.");
    for (reason, count) in REASONS.iter().zip(metrics.finished) {
        text.sample("vllm:request_success_total", &[("finished_reason", reason)], count);
    }
    for (name, help, histogram) in [
        ("vllm:time_to_first_token_seconds", "From submission to the first token.", &metrics.first_token),
        (
            "vllm:time_per_output_token_seconds",
            "Mean time of a request's later tokens.",
            &metrics.output_token,
        ),
        ("vllm:inter_token_latency_seconds", "Time between two tokens of a request.", &metrics.inter_token),
        ("vllm:e2e_request_latency_seconds", "From submission to the end.", &metrics.whole),
        ("vllm:request_queue_time_seconds", "From submission to the prompt's beginning.", &metrics.queued),
        ("vllm:request_prefill_time_seconds", "From there to the first logits.", &metrics.prefill),
        ("vllm:request_decode_time_seconds", "From there to the last token.", &metrics.decode),
    ] {
        text.histogram(name, help, histogram);
    }
}

fn llama_server(text: &mut Text, metrics: &Metrics, figures: &Figures, now: Now<'_>) {
    text.counter("llamacpp:prompt_tokens_total", "Tokens of prompts.", metrics.prompt_tokens);
    text.counter("llamacpp:tokens_predicted_total", "Tokens made.", metrics.generation_tokens);
    text.counter("llamacpp:prompt_seconds_total", "Time for prompts.", metrics.prefill.sum());
    text.counter("llamacpp:tokens_predicted_seconds_total", "Time for tokens.", metrics.decode.sum());
    text.counter("llamacpp:n_decode_total", "Steps of the batch.", figures.steps);
    text.gauge("llamacpp:requests_processing", "Requests in the batch.", now.running);
    text.gauge("llamacpp:requests_deferred", "Requests that wait.", now.waiting);
}

fn own(text: &mut Text, metrics: &Metrics, figures: &Figures, now: Now<'_>) {
    text.gauge("embodios_connections", "Open connections.", now.connections);
    text.counter("embodios_connections_total", "Connections taken.", metrics.connections);
    text.head("embodios_http_responses_total", "counter", "Answers by status.");
    for (status, count) in &metrics.answers {
        text.sample("embodios_http_responses_total", &[("code", status)], count);
    }
    text.counter("embodios_restarts_total", "Starts of the engine after the first.", figures.restarts);
    text.histogram("embodios_step_seconds", "Time of a step, or of a burst of steps.", &metrics.steps);
    text.histogram("embodios_batch_size", "Requests of a step.", &metrics.rows);
    text.head("embodios_core_seconds_total", "counter", "Time of each worker's core, by what it did.");
    for core in &figures.cores {
        for (state, time) in [("working", core.working), ("waiting", core.waiting), ("asleep", core.asleep)] {
            let labels: [(&str, &dyn core::fmt::Display); 2] = [("core", &core.core), ("state", &state)];
            text.sample("embodios_core_seconds_total", &labels, seconds(time));
        }
    }
    text.gauge(
        "embodios_kv_blocks_retained",
        "KV blocks retained for prefixes, which no request has.",
        figures.blocks_retained,
    );
    text.gauge("embodios_memory_bytes", "Memory of the machine.", figures.memory);
    text.gauge("embodios_memory_free_bytes", "Free memory of the machine.", figures.memory_free);
    text.gauge(
        "embodios_engine_bytes",
        "Memory that the engine uses, KV blocks among it.",
        figures.engine_used,
    );
    text.gauge(
        "embodios_kv_blocks_bytes",
        "Memory of the KV blocks made so far, which the engine keeps.",
        figures.block_bytes,
    );
}
