//! Counts of tokens: a prompt's once, however many choices it has.

use serde_json::{Value, json};

use crate::Call;

/// Counts of a call's tokens.
pub struct Usage {
    prompt: usize,
    /// Those of the prompt that had passed through the model already.
    cached: usize,
    made: usize,
}

impl Usage {
    /// Those of `call` so far.
    pub fn of(call: &Call) -> Self {
        // The first choice of a prompt computes it, others share it.
        let first = call.choices.iter().step_by(call.options.choices.max(1));
        Self {
            prompt: call.prompts.iter().map(|prompt| prompt.tokens).sum(),
            cached: first.map(|choice| choice.shared).sum(),
            made: call.choices.iter().map(|choice| choice.made).sum(),
        }
    }

    /// As completions and chats have it.
    pub fn of_completion(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.made,
            "total_tokens": self.prompt + self.made,
            "prompt_tokens_details": { "cached_tokens": self.cached },
            "completion_tokens_details": { "reasoning_tokens": 0 },
        })
    }

    /// As responses have it.
    pub fn of_response(&self) -> Value {
        json!({
            "input_tokens": self.prompt,
            "input_tokens_details": { "cached_tokens": self.cached, "cache_write_tokens": 0 },
            "output_tokens": self.made,
            "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": self.prompt + self.made,
        })
    }
}
