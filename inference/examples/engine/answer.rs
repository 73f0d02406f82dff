//! One request, one answer. Owns the meaning of the fields; the arithmetic is the library's.

use std::error::Error;

use embodios_inference::chat::{ChatTemplate, Message, Role};
use embodios_inference::gguf::Gguf;
use embodios_inference::model::Model;
use embodios_inference::pool::Pool;
use embodios_inference::sample::Sampling;
use embodios_inference::tokenizer::{Encoding, ParseSpecial, Tokenizer};
use serde_json::{Value, json};

use crate::fields::{BadLine, Fields};
use crate::sequence::{self, Continuation};

/// Tokens made when nothing else is said.
const DEFAULT_TOKENS: usize = 128;

/// What is done with every line.
#[derive(Clone, Copy)]
pub enum Task {
    /// `{text, parse_special, add_begin}` to `{ids, left_out}`.
    Tokenize,
    /// `{ids}` to `{text}`.
    Detokenize,
    /// `{text or ids, parse_special, positions: "last" or "all"}` to `{ids, logits}`, a list for each position.
    Logits,
    /// `{text or ids, parse_special, tokens, temperature, top_k, top_p, min_p, repetition, window, seed, stop,
    /// ignore_end, logprobs}` to `{ids, text, stop, prompt_ids}`, with `logprobs` also the so many likeliest of each step.
    Generate,
    /// `{messages: [{role, content}], answer}` to `{rendered, ids}`, with `answer` up to where the model's turn
    /// begins; with `reply` and the fields of `generate` also what that says.
    Chat,
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
            _ => return None,
        })
    }
}

/// A loaded model.
pub struct Engine<'f> {
    file: Gguf<'f>,
    model: Model<'f>,
    tokenizer: Tokenizer<'f>,
}

impl<'f> Engine<'f> {
    /// Loads a GGUF file.
    ///
    /// # Errors
    /// Those of its parts.
    pub fn load(bytes: &'f [u8]) -> Result<Self, Box<dyn Error>> {
        let file = Gguf::parse(bytes)?;
        Ok(Self { model: Model::load(&file)?, tokenizer: Tokenizer::new(&file)?, file })
    }

    /// The weights.
    pub const fn model(&self) -> &Model<'f> {
        &self.model
    }

    /// Answers one line.
    ///
    /// # Errors
    /// When the line is no request, or the model cannot do what it asks.
    pub fn answer(&self, pool: &mut Pool, task: Task, line: &[u8]) -> Result<Value, BadLine> {
        let mut fields = Fields::parse(line)?;
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
            Task::Logits => self.logits(pool, fields),
            Task::Generate => {
                let prompt = self.prompt(&mut fields)?;
                let continuation = self.continuation(&mut fields)?;
                fields.finish()?;
                self.generate(pool, &prompt, &continuation)
            }
            Task::Chat => self.chat(pool, fields),
        }
    }

    fn logits(&self, pool: &mut Pool, mut fields: Fields) -> Result<Value, BadLine> {
        let ids = self.prompt(&mut fields)?;
        let all = match fields.text("positions")?.as_deref() {
            None | Some("last") => false,
            Some("all") => true,
            Some(_) => return Err(BadLine::field("positions", "wants \"last\" or \"all\"")),
        };
        fields.finish()?;
        let mut session = sequence::session(&self.model, pool, ids.len()).map_err(BadLine::whole)?;
        let mut logits = Vec::new();
        // The division of a prompt into pieces leaves no trace in the logits.
        for piece in ids.chunks(if all { 1 } else { ids.len().max(1) }) {
            logits.push(session.feed(pool, piece).map_err(BadLine::whole)?.to_vec());
        }
        Ok(json!({ "ids": ids, "logits": logits }))
    }

    fn generate(
        &self,
        pool: &mut Pool,
        prompt: &[u32],
        continuation: &Continuation,
    ) -> Result<Value, BadLine> {
        sequence::generate(&self.model, &self.tokenizer, pool, prompt, continuation).map_err(BadLine::whole)
    }

    fn chat(&self, pool: &mut Pool, mut fields: Fields) -> Result<Value, BadLine> {
        let records = fields.records("messages", ["role", "content"])?;
        let records = records.ok_or_else(|| BadLine::field("messages", "is missing"))?;
        let mut messages = Vec::new();
        for [role, content] in &records {
            let role = match role.as_str() {
                "system" => Role::System,
                "user" => Role::User,
                "assistant" => Role::Assistant,
                _ => return Err(BadLine::field("messages", format!("there is no role {role:?}"))),
            };
            messages.push(Message { role, content });
        }
        let reply = fields.flag("reply")?;
        let answer = fields.flag("answer")? || reply;
        let continuation = self.continuation(&mut fields)?;
        fields.finish()?;
        let template = ChatTemplate::new(&self.file, &self.tokenizer).map_err(BadLine::whole)?;
        let rendered = template.render(&messages, answer).map_err(BadLine::whole)?;
        let prompt = template.prompt(&self.tokenizer, &messages, answer).map_err(BadLine::whole)?;
        let mut result = json!({ "rendered": rendered.as_str(), "ids": prompt.ids });
        if reply {
            result["reply"] = self.generate(pool, &prompt.ids, &continuation)?;
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
            Some(ids) => ids,
            None => {
                let text =
                    fields.text("text")?.ok_or_else(|| BadLine::field("text", "is missing, as is ids"))?;
                let special =
                    if fields.flag("parse_special")? { ParseSpecial::Yes } else { ParseSpecial::No };
                self.tokenizer.prompt(&text, special).ids
            }
        };
        if ids.is_empty() { Err(BadLine::whole("no tokens to go on from")) } else { Ok(ids) }
    }

    fn continuation(&self, fields: &mut Fields) -> Result<Continuation, BadLine> {
        let mut sampling = Sampling::GREEDY;
        sampling.temperature = fields.number("temperature", 0.0, f32::MAX)?.unwrap_or(sampling.temperature);
        sampling.top_k = fields.count("top_k")?.unwrap_or(sampling.top_k);
        sampling.top_p = fields.number("top_p", 0.0, 1.0)?.unwrap_or(sampling.top_p);
        sampling.min_p = fields.number("min_p", 0.0, 1.0)?.unwrap_or(sampling.min_p);
        sampling.repetition = fields.number("repetition", 0.01, 100.0)?.unwrap_or(sampling.repetition);
        sampling.window = fields.count("window")?.unwrap_or(sampling.window);
        sampling.seed = fields.count("seed")?.map_or(sampling.seed, |seed| seed as u64);
        Ok(Continuation {
            sampling,
            tokens: fields.count("tokens")?.unwrap_or(DEFAULT_TOKENS),
            stop: fields.texts("stop")?,
            ignore_end: fields.flag("ignore_end")?,
            logprobs: fields.count("logprobs")?,
        })
    }
}
