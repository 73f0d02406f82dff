//! Requests as JSON lines: one object in, one object out. Owns the meaning of the fields; the arithmetic is the
//! other modules'.
//!
//! A line that is no request is answered by `{"line": N, "field": NAME, "error": TEXT}`.

mod batch;
mod fields;
mod logits;
mod unique;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_kernels::Kernels;
use embodios_pool::Pool;
use embodios_text::chat::{ChatError, ChatTemplate, Role};
use embodios_text::sample::Sampling;
use embodios_text::terminal::is_command;
use embodios_text::tokenizer::{Encoding, ParseSpecial, Tokenizer};
use serde::Serialize;
use serde_json::{Value, json};

use crate::batch::{Batch, Finish, MOST_LIKELIEST, Outcome, Request, Settings};
use crate::cache;
use crate::model::Model;
pub use batch::{JsonBatch, Tally};
use fields::without_mark;
pub use fields::{BadLine, Fields};

/// Tokens made when nothing else is said.
const DEFAULT_TOKENS: usize = 128;

/// The task of every line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// `{text, parse_special, add_begin}` to `{ids, left_out}`.
    Tokenize,
    /// `{ids}` to `{text}`.
    Detokenize,
    /// `{text or ids, parse_special, positions: "last" or "all"}` to `{ids, logits}`, a list for each position.
    Logits,
    /// `{text or ids, parse_special, tokens, temperature, top_k, top_p, min_p, repetition, window, seed, stop,
    /// ignore_end, logprobs}` to `{ids, text, stop, prompt_ids}`, with `logprobs` also the so many likeliest of each
    /// step.
    Generate,
    /// `{messages: [{role, content}], answer}` to `{rendered, ids}`, with `answer` up to where the model's turn
    /// begins; with `reply` and the fields of `generate` also what that says.
    Chat,
    /// The fields of `generate`, or `messages` instead of `text`, of all lines at once, to `{line, ids, text, stop,
    /// logits_hash, prompt_tokens, shared_tokens, queued_ms, prefill_ms, token_ms}` as they finish, with `logprobs` as
    /// in `generate`: see [`JsonBatch`].
    Batch,
}

impl Task {
    /// The task that a command names.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "tokenize" => Self::Tokenize,
            "detokenize" => Self::Detokenize,
            "logits" => Self::Logits,
            "generate" => Self::Generate,
            "chat" => Self::Chat,
            "batch" => Self::Batch,
            _ => return None,
        })
    }
}

/// A loaded model that answers lines.
#[derive(Clone, Copy)]
pub struct Responder<'m> {
    /// The file's weights.
    pub model: &'m Model<'m>,
    /// Its tokenizer.
    pub tokenizer: &'m Tokenizer<'m>,
    /// Its template for chats, where it has one.
    pub chat: &'m Result<ChatTemplate, ChatError>,
    /// The kernels.
    pub kernels: Kernels,
    /// Seconds since 1970, for templates that write the date into a prompt; `None` where nobody knows.
    pub now: Option<u64>,
}

impl Responder<'_> {
    /// Answers line `number`, counted from 1, by one line. A blank line has no answer.
    pub fn answer(
        &self,
        pool: &mut Pool,
        task: Task,
        number: usize,
        line: &[u8],
        out: &mut dyn FnMut(&[u8]),
    ) {
        if without_mark(line).trim_ascii().is_empty() {
            return;
        }
        let result = match Fields::parse(line) {
            Ok(fields) if task == Task::Logits => self.logits(pool, number, fields, out),
            Ok(fields) => self.whole(pool, task, fields).map(|answer| out(&text(&answer))),
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            out(&text(&error.at_line(number)));
        }
        out(b"\n");
    }

    /// The answer to a task whose answers are short.
    fn whole(&self, pool: &mut Pool, task: Task, mut fields: Fields) -> Result<Value, BadLine> {
        match task {
            Task::Tokenize => {
                let encoding = self.encoding(&mut fields)?;
                fields.finish()?;
                Ok(json!({ "ids": encoding.ids, "left_out": encoding.left_out }))
            }
            Task::Detokenize => {
                let ids = self.ids(&mut fields)?.ok_or_else(|| BadLine::field("ids", "is missing"))?;
                fields.finish()?;
                Ok(json!({ "text": self.tokenizer.text(&ids) }))
            }
            Task::Chat => self.chat(pool, fields),
            Task::Generate | Task::Logits | Task::Batch => {
                let prompt = self.prompt(&mut fields)?;
                let request = self.continuation(&mut fields, prompt)?;
                fields.finish()?;
                self.generate(pool, request)
            }
        }
    }

    /// Continues a prompt, a batch of one.
    fn generate(&self, pool: &mut Pool, request: Request) -> Result<Value, BadLine> {
        let &Self { model, tokenizer, kernels, .. } = self;
        let settings = Settings::single(model, cache::budget(&pool.platform().memory()), &request);
        let (prompt, wanted) = (request.prompt.clone(), request.log_probabilities.is_some());
        let mut batch = Batch::new(model, tokenizer, kernels, settings).map_err(BadLine::whole)?;
        let outcome = batch.run_one(pool, request, &mut |_| {}).map_err(BadLine::whole)?;
        match outcome.finish {
            Finish::Cancelled => return Err(BadLine::whole("interrupted")),
            Finish::Failed(failure) => return Err(BadLine::whole(failure)),
            _ => {}
        }
        let Outcome { finish, tokens, text, .. } = &outcome;
        let mut answer = json!({ "ids": tokens, "text": text, "stop": finish.word(), "prompt_ids": prompt });
        if wanted {
            answer["logprobs"] = log_probabilities(&outcome);
        }
        Ok(answer)
    }

    fn chat(&self, pool: &mut Pool, mut fields: Fields) -> Result<Value, BadLine> {
        let messages = messages(&mut fields)?.ok_or_else(|| BadLine::field("messages", "is missing"))?;
        let messages: Vec<_> = messages.iter().map(|(role, content)| role.says(content)).collect();
        let reply = fields.flag("reply")?;
        let answer = fields.flag("answer")? || reply;
        let request = self.continuation(&mut fields, Vec::new())?;
        fields.finish()?;
        let template = self.chat.as_ref().map_err(BadLine::whole)?;
        let rendered = template.render(&messages, answer, self.now).map_err(BadLine::whole)?;
        let prompt = ChatTemplate::encode(self.tokenizer, &rendered);
        let mut result = json!({ "rendered": rendered.as_str(), "ids": prompt.ids });
        if reply {
            let prompt = complete(prompt, "messages")?;
            result["reply"] = self.generate(pool, Request { prompt, ..request })?;
        }
        Ok(result)
    }

    /// `text`, tokenized as `parse_special` and `add_begin` say.
    fn encoding(&self, fields: &mut Fields) -> Result<Encoding, BadLine> {
        let text = fields.text("text")?.ok_or_else(|| BadLine::field("text", "is missing"))?;
        let special = if fields.flag("parse_special")? { ParseSpecial::Yes } else { ParseSpecial::No };
        if fields.flag("add_begin")? {
            return Ok(self.tokenizer.prompt(&text, special));
        }
        let mut encoding = Encoding::default();
        self.tokenizer.encode(&text, special, &mut encoding);
        Ok(encoding)
    }

    fn ids(&self, fields: &mut Fields) -> Result<Option<Vec<u32>>, BadLine> {
        fields.ids("ids", self.tokenizer.vocabulary_size().min(self.model.config.vocabulary))
    }

    /// `ids`, or else `text` as a prompt.
    fn prompt(&self, fields: &mut Fields) -> Result<Vec<u32>, BadLine> {
        let ids = match self.ids(fields)? {
            Some(_) if fields.has("text") => return Err(BadLine::field("text", "is there beside ids")),
            Some(ids) => ids,
            None => {
                let text =
                    fields.text("text")?.ok_or_else(|| BadLine::field("text", "is missing, as is ids"))?;
                let special =
                    if fields.flag("parse_special")? { ParseSpecial::Yes } else { ParseSpecial::No };
                complete(self.tokenizer.prompt(&text, special), "text")?
            }
        };
        if ids.is_empty() { Err(BadLine::whole("no tokens to go on from")) } else { Ok(ids) }
    }

    /// The request that continues `prompt` as the fields say.
    fn continuation(&self, fields: &mut Fields, prompt: Vec<u32>) -> Result<Request, BadLine> {
        let mut sampling = Sampling::GREEDY;
        sampling.temperature = fields.number("temperature", 0.0, 100.0)?.unwrap_or(sampling.temperature);
        sampling.top_k = fields.count("top_k")?.unwrap_or(sampling.top_k);
        sampling.top_p = fields.number("top_p", 0.0, 1.0)?.unwrap_or(sampling.top_p);
        sampling.min_p = fields.number("min_p", 0.0, 1.0)?.unwrap_or(sampling.min_p);
        sampling.repetition = fields.number("repetition", 0.01, 100.0)?.unwrap_or(sampling.repetition);
        sampling.window = fields.count("window")?.unwrap_or(sampling.window);
        sampling.seed = fields.count("seed")?.map_or(sampling.seed, |seed| seed as u64);
        let limit = fields.count("tokens")?.unwrap_or(DEFAULT_TOKENS);
        let stops = fields.texts("stop")?;
        let end = if fields.flag("ignore_end")? { Vec::new() } else { self.tokenizer.ends().into() };
        let log_probabilities = fields.count("logprobs")?;
        if log_probabilities.is_some_and(|count| count > MOST_LIKELIEST) {
            return Err(BadLine::field("logprobs", format!("wants at most {MOST_LIKELIEST}")));
        }
        Ok(Request { prompt, limit, end, sampling, bias: Vec::new(), stops, log_probabilities })
    }
}

/// The natural logarithm of each token's probability, before any temperature, and of the likeliest ones'.
fn log_probabilities(outcome: &Outcome) -> Value {
    let show = |(id, logprob): (u32, f32)| json!({ "id": id, "logprob": logprob });
    let tokens = outcome.tokens.iter().zip(&outcome.log_probabilities).enumerate();
    let tokens = tokens.map(|(index, (&id, &logprob))| {
        let top = outcome.likeliest_beside(index).iter().copied().map(show);
        json!({ "id": id, "logprob": logprob, "top": top.collect::<Vec<_>>() })
    });
    tokens.collect()
}

/// The tokens of all of the text in `field`: an answer to a part of it would be one to something else.
///
/// # Errors
/// When there is a part without a token.
pub fn complete(encoding: Encoding, field: &str) -> Result<Vec<u32>, BadLine> {
    match encoding.left_out {
        0 => Ok(encoding.ids),
        count => {
            let reason = format!("has {count} bytes for which this model has no token");
            Err(BadLine::field(field, reason))
        }
    }
}

/// The role and the content of each of `messages`.
fn messages(fields: &mut Fields) -> Result<Option<Vec<(Role, String)>>, BadLine> {
    let Some(records) = fields.records("messages", ["role", "content"])? else { return Ok(None) };
    let message = |[role, content]: [String; 2]| match role.as_str() {
        "system" => Ok((Role::System, content)),
        "user" => Ok((Role::User, content)),
        "assistant" => Ok((Role::Assistant, content)),
        _ => Err(BadLine::field("messages", format!("there is no role {role:?}"))),
    };
    records.into_iter().map(message).collect::<Result<_, _>>().map(Some)
}

/// The JSON of `value`, which has no maps with keys other than strings: the only thing that cannot be written. What
/// commands a terminal is escaped, as JSON has it: lines of JSON are shown on one, too.
fn text(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    let json = serde_json::to_string(value).expect("numbers, strings, lists and objects can be written");
    if !json.chars().any(is_command) {
        return json.into_bytes();
    }
    // Only strings have such characters, and none is beyond 16 bits.
    let mut escaped = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        match character {
            command if is_command(command) => escaped.push_str(&format!("\\u{:04x}", command as u32)),
            other => escaped.push(other),
        }
    }
    escaped.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_commands_no_terminal() {
        let strange = "\u{1b}[2J\u{7f}\u{9b}\u{202e}\n\té";
        let shown = text(strange);
        assert_eq!(shown, "\"\\u001b[2J\\u007f\\u009b\\u202e\\n\\té\"".as_bytes());
        assert_eq!(serde_json::from_slice::<String>(&shown).unwrap(), strange);
    }
}
