//! The table of fields: those of the official clients, of llama.cpp's server and of vLLM's, each with its class.

use super::Class::{Harmless, Only, Read};
use super::Wanted::{Absent, Bool, Empty, Member, Numbers, Texts};
use super::{Class, Wanted};
use crate::Endpoint;

type Row = (&'static str, Class);

const SERVER: Class = Harmless("it is about the server's work, and no answer depends on that");
const ABOUT: Class = Harmless("it says who asks or why, which nothing depends on");
const NOTHING_KEPT: Class = Harmless("no answer is kept; a later request that names one is refused");
const NO_TOOLS: &str = "this server calls no tools";
const NO_GRAMMAR: &str = "this server does not constrain the form of its answers";
const NO_SAMPLER: &str = "this server has no such sampler";
const TEXT_ONLY: &str = "this server reads and writes text only";
const NO_EFFORT: &str = "no model here is told how long to think";
const OWN_TEMPLATE: &str = "the template is the model's own, and runs without arguments";
const OFF: Wanted = Numbers(&[0.0]);

/// Fields of all endpoints.
const EVERYWHERE: &[Row] = &[
    ("model", Read),
    ("stream", Read),
    ("stream_options", Read),
    ("temperature", Read),
    ("top_p", Read),
    ("top_k", Read),
    ("min_p", Read),
    ("presence_penalty", Read),
    ("frequency_penalty", Read),
    ("repetition_penalty", Read),
    ("repeat_penalty", Read),
    ("repeat_last_n", Read),
    ("logit_bias", Read),
    ("seed", Read),
    ("stop", Read),
    ("stop_token_ids", Read),
    ("ignore_eos", Read),
    ("logits_hash", Read),
    ("return_tokens", Read),
    ("user", ABOUT),
    ("metadata", ABOUT),
    ("safety_identifier", ABOUT),
    ("request_id", ABOUT),
    ("store", NOTHING_KEPT),
    ("service_tier", SERVER),
    ("priority", SERVER),
    ("prompt_cache_key", SERVER),
    ("prompt_cache_options", SERVER),
    ("prompt_cache_retention", SERVER),
    ("cache_prompt", SERVER),
    ("id_slot", SERVER),
    ("n_keep", Harmless("contexts are never shifted")),
    ("timings_per_token", SERVER),
    ("return_progress", SERVER),
    ("sse_ping_interval", SERVER),
    ("t_max_predict_ms", OFF_ONLY),
    ("min_keep", OFF_ONLY),
    ("grammar", Only(Empty, NO_GRAMMAR)),
    ("grammar_lazy", Only(Bool(false), NO_GRAMMAR)),
    ("json_schema", Only(Absent, NO_GRAMMAR)),
    ("guided_json", Only(Absent, NO_GRAMMAR)),
    ("guided_regex", Only(Empty, NO_GRAMMAR)),
    ("guided_choice", Only(Empty, NO_GRAMMAR)),
    ("guided_grammar", Only(Empty, NO_GRAMMAR)),
    ("structured_outputs", Only(Absent, NO_GRAMMAR)),
    ("typical_p", Only(Numbers(&[1.0]), NO_SAMPLER)),
    ("typ_p", Only(Numbers(&[1.0]), NO_SAMPLER)),
    ("tfs_z", Only(Numbers(&[1.0]), NO_SAMPLER)),
    ("top_n_sigma", Only(Numbers(&[-1.0, 0.0]), NO_SAMPLER)),
    ("mirostat", OFF_ONLY),
    ("mirostat_tau", Harmless("mirostat alone looks at it, which is refused")),
    ("mirostat_eta", Harmless("mirostat alone looks at it, which is refused")),
    ("dynatemp_range", OFF_ONLY),
    ("dynatemp_exponent", Harmless("dynatemp_range alone looks at it, which is refused")),
    ("xtc_probability", OFF_ONLY),
    ("xtc_threshold", Harmless("xtc_probability alone looks at it, which is refused")),
    ("dry_multiplier", OFF_ONLY),
    ("dry_base", Harmless("dry_multiplier alone looks at it, which is refused")),
    ("dry_allowed_length", Harmless("dry_multiplier alone looks at it, which is refused")),
    ("dry_penalty_last_n", Harmless("dry_multiplier alone looks at it, which is refused")),
    ("dry_sequence_breakers", Harmless("dry_multiplier alone looks at it, which is refused")),
    ("samplers", Only(Empty, "the order of samplers is fixed")),
    ("use_beam_search", Only(Bool(false), NO_SAMPLER)),
    ("min_tokens", OFF_ONLY),
    ("bad_words", Only(Empty, NO_SAMPLER)),
    ("allowed_token_ids", Only(Absent, NO_SAMPLER)),
    ("include_stop_str_in_output", Only(Bool(false), "a stop text is never part of an answer")),
    ("skip_special_tokens", Only(Bool(true), "control tokens are no text of an answer")),
    ("spaces_between_special_tokens", Harmless("control tokens are no text of an answer")),
    ("prompt_logprobs", Only(Absent, "log-probabilities are those of tokens made")),
    ("truncate_prompt_tokens", Only(Absent, "no prompt is cut")),
];

const OFF_ONLY: Class = Only(OFF, NO_SAMPLER);

/// Fields of chats.
const CHAT: &[Row] = &[
    ("messages", Read),
    ("max_tokens", Read),
    ("max_completion_tokens", Read),
    ("n", Read),
    ("logprobs", Read),
    ("top_logprobs", Read),
    ("continue_final_message", Read),
    ("add_generation_prompt", Read),
    ("echo", Only(Bool(false), "a turn that goes on is not part of the answer")),
    ("tools", Only(Empty, NO_TOOLS)),
    ("tool_choice", Only(Texts(&["none", "auto"]), NO_TOOLS)),
    ("parallel_tool_calls", Harmless("there are no tools to call")),
    ("functions", Only(Empty, NO_TOOLS)),
    ("function_call", Only(Texts(&["none", "auto"]), NO_TOOLS)),
    ("response_format", Only(Member("type", &["text"]), NO_GRAMMAR)),
    ("modalities", Only(Texts(&["text"]), TEXT_ONLY)),
    ("audio", Only(Absent, TEXT_ONLY)),
    ("prediction", Only(Absent, "this server takes no predicted answer")),
    ("web_search_options", Only(Absent, "this server searches nothing")),
    ("reasoning_effort", Only(Texts(&["none"]), NO_EFFORT)),
    ("reasoning_format", Only(Texts(&["none", "auto"]), "no part of an answer is set apart")),
    ("thinking_forced_open", Only(Bool(false), NO_EFFORT)),
    ("verbosity", Only(Texts(&["medium"]), "no model here is told how much to write")),
    ("chat_template", Only(Empty, OWN_TEMPLATE)),
    ("chat_template_kwargs", Only(Empty, OWN_TEMPLATE)),
    ("documents", Only(Empty, OWN_TEMPLATE)),
];

/// Fields of completions.
const COMPLETIONS: &[Row] = &[
    ("prompt", Read),
    ("max_tokens", Read),
    ("max_completion_tokens", Read),
    ("n", Read),
    ("best_of", Read),
    ("logprobs", Read),
    ("echo", Read),
    ("suffix", Only(Empty, "this server fills no gaps")),
    ("response_format", Only(Member("type", &["text"]), NO_GRAMMAR)),
    (
        "add_special_tokens",
        Only(Bool(true), "a prompt begins as the model wants it; token ids are taken as they are"),
    ),
];

/// Fields of responses.
const RESPONSES: &[Row] = &[
    ("input", Read),
    ("instructions", Read),
    ("max_output_tokens", Read),
    ("top_logprobs", Read),
    ("include", Read),
    ("text", Read),
    ("tools", Only(Empty, NO_TOOLS)),
    ("tool_choice", Only(Texts(&["none", "auto"]), NO_TOOLS)),
    ("parallel_tool_calls", Harmless("there are no tools to call")),
    ("max_tool_calls", Harmless("there are no tools to call")),
    ("previous_response_id", Only(Absent, "no answer is kept: send the conversation as input")),
    ("conversation", Only(Absent, "no conversation is kept: send it as input")),
    ("prompt", Only(Absent, "no prompt is kept: send input")),
    ("background", Only(Bool(false), "an answer is given while the client waits")),
    ("truncation", Only(Texts(&["disabled"]), "no conversation is cut")),
    ("context_management", Only(Empty, "no conversation is cut")),
    ("reasoning", Only(Member("effort", &["none"]), NO_EFFORT)),
    ("moderation", Only(Absent, "nothing is moderated")),
];

/// The rows of `endpoint`.
pub(super) fn rows(endpoint: Endpoint) -> impl Iterator<Item = (&'static str, &'static Class)> {
    let own = match endpoint {
        Endpoint::Chat => CHAT,
        Endpoint::Completions => COMPLETIONS,
        Endpoint::Responses => RESPONSES,
    };
    own.iter().chain(EVERYWHERE).map(|(name, class)| (*name, class))
}

/// The class of field `name` at `endpoint`; `None` where it is not known.
pub(super) fn class(endpoint: Endpoint, name: &str) -> Option<&'static Class> {
    rows(endpoint).find(|(known, _)| *known == name).map(|(_, class)| class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    /// A line of the table in `docs/api.md`: names by class.
    fn line(of: &str, rows: &[Row]) -> String {
        let cell = |names: Vec<String>| names.join(", ");
        let read = rows.iter().filter(|(_, class)| matches!(class, Read));
        let harmless = rows.iter().filter(|(_, class)| matches!(class, Harmless(_)));
        let only = rows.iter().filter_map(|(name, class)| match class {
            Only(wanted, _) => Some(format!("`{name}` ({wanted})")),
            _ => None,
        });
        let plain = |(name, _): &Row| format!("`{name}`");
        format!(
            "| {of} | {} | {} | {} |\n",
            cell(read.map(plain).collect()),
            cell(harmless.map(plain).collect()),
            cell(only.collect())
        )
    }

    #[test]
    fn the_document_has_the_table() {
        let mut table = String::from("| of | read | taken, and change nothing | refused otherwise |\n");
        table += "| --- | --- | --- | --- |\n";
        for (of, rows) in [
            ("all calls", EVERYWHERE),
            ("chats", CHAT),
            ("completions", COMPLETIONS),
            ("responses", RESPONSES),
        ] {
            table += &line(of, rows);
        }
        let document = include_str!("../../../../docs/api.md");
        assert!(document.contains(&table), "docs/api.md lacks this table:\n{table}");
    }
}
