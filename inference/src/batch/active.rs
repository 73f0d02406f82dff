//! A request that takes part in steps.

use alloc::string::String;
use alloc::vec::Vec;

use super::request::{Failure, Finish, Outcome, Request, RequestId, Times};
use crate::cache::Sequence;
use crate::forward::Part;
use crate::generate::{self, Choice, Choices, Stop};
use crate::memory::{OutOfMemory, reserved};
use crate::model::Model;
use crate::platform::Platform;
use crate::sample::LogProbabilities;
use crate::tokenizer::{TokenReader, Tokenizer};

/// Bytes of a long token.
const TOKEN_BYTES: usize = 64;
/// Bytes of text a token, more than languages take.
const TEXT_BYTES: usize = 8;

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub id: RequestId,
    pub request: Request,
    pub submitted: u64,
}

/// A request with a sequence. Its lists have room for all that may come, its text for all that is likely to.
pub(super) struct Active<'t> {
    pub id: RequestId,
    pub request: Request,
    part: Part,
    /// Tokens of the prompt that have been taken, here or by the request whose pages it shares.
    fed: usize,
    shared: usize,
    choices: Choices,
    /// What the last step led to.
    choice: Option<Result<Choice, Failure>>,
    tokens: Vec<u32>,
    log_probabilities: Vec<f32>,
    reader: TokenReader<'t>,
    text: String,
    times: Times,
}

impl AsRef<Part> for Active<'_> {
    fn as_ref(&self) -> &Part {
        &self.part
    }
}

impl AsMut<Part> for Active<'_> {
    fn as_mut(&mut self) -> &mut Part {
        &mut self.part
    }
}

impl<'t> Active<'t> {
    /// A request without a sequence yet, for steps of up to `rows` rows.
    pub(super) fn new(
        model: &Model<'_>,
        tokenizer: &'t Tokenizer<'t>,
        Waiting { id, mut request, submitted }: Waiting,
        empty: Sequence,
        rows: usize,
    ) -> Result<Self, OutOfMemory> {
        let context = model.config.context;
        let longest = request.limit.min(context - request.prompt.len() + 1);
        let Request { prompt, limit, sampling, .. } = &request;
        let single = generate::Request { prompt, limit: *limit, end: &[], sampling: *sampling };
        let choices = Choices::new(&single, model.config.vocabulary)?;
        let mut reader = TokenReader::new(tokenizer, core::mem::take(&mut request.stops));
        reader.reserve(TOKEN_BYTES);
        let mut text = String::new();
        let bytes = longest * TEXT_BYTES;
        text.try_reserve(bytes).map_err(|_| OutOfMemory { what: "text", bytes })?;
        let times = reserved(longest, "times of tokens")?;
        let wanted = if request.log_probabilities { longest } else { 0 };
        Ok(Self {
            id,
            part: Part::new(model, empty, rows)?,
            fed: 0,
            shared: 0,
            choices,
            choice: None,
            tokens: reserved(longest, "tokens")?,
            log_probabilities: reserved(wanted, "log-probabilities")?,
            reader,
            text,
            times: Times { submitted, started: 0, finished: 0, tokens: times },
            request,
        })
    }

    /// Begins with a sequence, which may hold the beginning of the prompt.
    pub(super) fn begin(&mut self, sequence: Sequence, now: u64) {
        self.shared = sequence.position();
        self.fed = self.shared;
        self.part.sequence = sequence;
        self.times.started = now;
    }

    /// Tokens of the prompt that have to be taken ahead of the last one, which the first choice follows.
    pub(super) const fn unfed(&self) -> usize {
        (self.request.prompt.len() - 1).saturating_sub(self.fed)
    }

    /// Positions taken.
    pub(super) const fn position(&self) -> usize {
        self.part.sequence.position()
    }

    /// Its keys and values.
    pub(super) const fn sequence(&self) -> &Sequence {
        &self.part.sequence
    }

    /// Whether a token has been made.
    pub(super) const fn is_generating(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Takes up to `rows` tokens of the prompt ahead of its last one in the next step; how many it is.
    pub(super) fn take_prompt(&mut self, rows: usize) -> usize {
        let count = self.unfed().min(rows);
        self.part.tokens.extend_from_slice(&self.request.prompt[self.fed..][..count]);
        self.fed += count;
        count
    }

    /// Takes the latest token in the next step, so that it makes the next one.
    pub(super) fn take_latest(&mut self) {
        let latest = self.tokens.last().or(self.request.prompt.last());
        self.part.tokens.extend(latest);
        self.part.wants_logits = true;
        self.fed = self.request.prompt.len();
    }

    /// Before a step: sits it out, unless something is taken.
    pub(super) const fn sit_out(&mut self) {
        self.part.wants_logits = false;
    }

    /// After a step: chooses, if there is something to choose from.
    pub(super) fn choose(&mut self, platform: &dyn Platform) {
        if !self.part.wants_logits {
            return;
        }
        let (logits, position) = (&self.part.logits, self.part.sequence.position());
        let choice = self.choices.choose(&self.request.end, logits, position).map_err(Failure::Generate);
        if let Ok(Choice::Token(token)) = choice {
            self.tokens.push(token);
            self.times.tokens.push(platform.now_ns());
            if self.request.log_probabilities {
                self.log_probabilities.push(LogProbabilities::new(logits).of(token));
            }
        }
        self.choice = Some(choice);
    }

    /// After that: the token made with the text that is certain now, and how the request ends if it does.
    pub(super) fn settle(&mut self) -> (Option<Told<'_>>, Option<Finish>) {
        match self.choice.take() {
            None => (None, None),
            Some(Err(failure)) => (None, Some(Finish::Failed(failure))),
            Some(Ok(Choice::Stop(stop))) => (None, Some(Finish::Done(stop))),
            Some(Ok(Choice::Token(token))) => {
                let from = self.text.len();
                let text = self.reader.push(token);
                self.text.push_str(text);
                let finish = if self.reader.stopped() {
                    Some(Stop::Asked)
                } else if self.tokens.len() == self.request.limit {
                    Some(Stop::Limit)
                } else if self.part.sequence.position() == self.part.sequence.context() {
                    Some(Stop::ContextFull)
                } else {
                    None
                };
                let log_probability = self.log_probabilities.last().copied();
                let told = Told { token, log_probability, text: &self.text[from..] };
                (Some(told), finish.map(Finish::Done))
            }
        }
    }

    /// Ends it; the sequence goes back to its pages.
    pub(super) fn end(self, finish: Finish, now: u64) -> (Outcome, Sequence) {
        let Self {
            request,
            part,
            shared,
            choices,
            tokens,
            log_probabilities,
            reader,
            mut text,
            mut times,
            ..
        } = self;
        text.push_str(&reader.finish());
        times.finished = now;
        let outcome = Outcome {
            finish,
            tokens,
            log_probabilities,
            text,
            prompt_tokens: request.prompt.len(),
            shared_tokens: shared,
            logits_hash: choices.hash(),
            times,
        };
        (outcome, part.sequence)
    }
}

/// A token just made.
pub(super) struct Told<'a> {
    pub token: u32,
    pub log_probability: Option<f32>,
    pub text: &'a str,
}
