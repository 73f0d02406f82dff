//! The keys `tokenizer.ggml.*`: each is read, or harmless for a reason that stands here, or refused by name.

use super::TokenizerError;
use crate::gguf::{Gguf, Value};

/// What all of them begin with.
const PREFIX: &str = "tokenizer.ggml.";

/// Keys that this module's parents read.
const READ: [&str; 21] = [
    "add_bos_token",
    "add_space_prefix",
    "bos_token_id",
    "cls_token_id",
    "eom_token_id",
    "eos_token_id",
    "eos_token_ids",
    "eot_token_id",
    "fim_pad_token_id",
    "fim_rep_token_id",
    "fim_sep_token_id",
    "mask_token_id",
    "merges",
    "model",
    "padding_token_id",
    "pre",
    "scores",
    "seperator_token_id",
    "token_type",
    "tokens",
    "unknown_token_id",
];

/// Keys that change no ids and no end: names of tokens that only a request to fill a gap needs, and the number of kinds of
/// segment, which models that continue text do not tell apart.
const HARMLESS: [&str; 7] = [
    "fim_mid_token_id",
    "fim_pre_token_id",
    "fim_suf_token_id",
    "middle_token_id",
    "prefix_token_id",
    "suffix_token_id",
    "token_type_count",
];

/// Keys that say that nothing is done where they are `false`, as most files have them. What they mean otherwise (a token
/// behind every text, white space that goes) is not done here.
const OFF: [&str; 6] = [
    "add_eos_token",
    "add_mask_token",
    "add_padding_token",
    "add_sep_token",
    "add_unknown_token",
    "remove_extra_whitespaces",
];

/// Refuses the keys of `file` that may change ids and are not known here.
pub fn check(file: &Gguf<'_>) -> Result<(), TokenizerError> {
    for (key, value) in file.entries() {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        let is_off = OFF.contains(&name) && matches!(value, Value::Bool(false));
        if !is_off && !READ.contains(&name) && !HARMLESS.contains(&name) {
            return Err(TokenizerError::Key {
                key: key.chars().take(80).collect(),
                is_set: OFF.contains(&name),
            });
        }
    }
    Ok(())
}
