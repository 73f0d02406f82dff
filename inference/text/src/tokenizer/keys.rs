//! The table of the keys `tokenizer.ggml.*`: each is read, or harmless for a reason that stands here, or refused by
//! name.

use embodios_gguf::{Gguf, Value};

use super::TokenizerError;

/// Prefix of all of them.
pub const PREFIX: &str = "tokenizer.ggml.";

/// Handling of a key.
#[derive(Clone, Copy, Debug)]
pub enum Class {
    /// Read by this module's parents.
    Read,
    /// Without any effect on ids and ends, for this reason.
    Harmless(&'static str),
    /// `false` says that nothing is done, as in most files. Its meaning otherwise (a token behind every text, white
    /// space that goes) is refused.
    Off,
}

const TO_FILL_A_GAP: Class = Class::Harmless("only a request to fill a gap needs it, and there is none");
const OTHER_TOKENIZERS: Class =
    Class::Harmless("tokenizers of other kinds alone look at it, and these are refused");

/// Every key, without its beginning.
const KEYS: [(&str, Class); 35] = [
    ("add_bos_token", Class::Read),
    ("add_space_prefix", Class::Read),
    ("bos_token_id", Class::Read),
    ("cls_token_id", Class::Read),
    ("eom_token_id", Class::Read),
    ("eos_token_id", Class::Read),
    ("eos_token_ids", Class::Read),
    ("eot_token_id", Class::Read),
    ("fim_pad_token_id", Class::Read),
    ("fim_rep_token_id", Class::Read),
    ("fim_sep_token_id", Class::Read),
    ("mask_token_id", Class::Read),
    ("merges", Class::Read),
    ("model", Class::Read),
    ("padding_token_id", Class::Read),
    ("pre", Class::Read),
    ("scores", Class::Read),
    ("seperator_token_id", Class::Read),
    ("token_type", Class::Read),
    ("tokens", Class::Read),
    ("unknown_token_id", Class::Read),
    ("fim_mid_token_id", TO_FILL_A_GAP),
    ("fim_pre_token_id", TO_FILL_A_GAP),
    ("fim_suf_token_id", TO_FILL_A_GAP),
    ("middle_token_id", TO_FILL_A_GAP),
    ("prefix_token_id", TO_FILL_A_GAP),
    ("suffix_token_id", TO_FILL_A_GAP),
    ("precompiled_charsmap", OTHER_TOKENIZERS),
    ("token_type_count", Class::Harmless("models that continue text tell no kinds of segment apart")),
    ("add_eos_token", Class::Off),
    ("add_mask_token", Class::Off),
    ("add_padding_token", Class::Off),
    ("add_sep_token", Class::Off),
    ("add_unknown_token", Class::Off),
    ("remove_extra_whitespaces", Class::Off),
];

/// The class of the key that ends in `name`; `None` for an unknown one.
pub fn class(name: &str) -> Option<Class> {
    KEYS.iter().find(|(known, _)| *known == name).map(|&(_, class)| class)
}

/// Refuses the keys of `file` that may change ids and are not known here.
pub fn check(file: &Gguf<'_>) -> Result<(), TokenizerError> {
    for (key, value) in file.entries() {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        let is_set = match class(name) {
            Some(Class::Read | Class::Harmless(_)) => continue,
            Some(Class::Off) if matches!(value, Value::Bool(false)) => continue,
            Some(Class::Off) => true,
            None => false,
        };
        return Err(TokenizerError::Key { key: key.chars().take(80).collect(), is_set });
    }
    Ok(())
}
