//! An active request: its prompt's cursor, sampler, stop texts, text and times.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use embodios_pool::platform::Platform;
use embodios_text::sample::LogProbabilities;
use embodios_text::tokenizer::{TokenReader, Tokenizer};

use super::buffers::Buffers;
use super::choices::Choices;
use super::request::{Finish, Outcome, Request, RequestId, Times, of_token};
use super::text::Text;
use super::waiting::Waiting;
use crate::cache::{BlockPool, CacheError, Sequence};
use crate::forward::Slot;

/// Bytes of a long token.
const TOKEN_BYTES: usize = 64;

/// A request with a sequence.
pub(super) struct Active<'t> {
    pub id: RequestId,
    pub request: Request,
    slot: Slot,
    /// Tokens made before it was preempted, which pass through the model behind the prompt again.
    again: usize,
    /// Tokens of the prompt, and of those, that have been taken, here or by a request whose KV blocks it shares.
    fed: usize,
    shared: usize,
    choices: Choices,
    /// The reason for its end, once it has ended.
    finish: Option<Finish>,
    tokens: Vec<u32>,
    log_probabilities: Vec<f32>,
    likeliest: Vec<(u32, f32)>,
    reader: TokenReader<'t>,
    text: String,
    /// The text of each of the latest tokens, those without an event.
    unreported: Vec<Range<usize>>,
    times: Times,
}

impl AsRef<Slot> for Active<'_> {
    fn as_ref(&self) -> &Slot {
        &self.slot
    }
}

impl AsMut<Slot> for Active<'_> {
    fn as_mut(&mut self) -> &mut Slot {
        &mut self.slot
    }
}

impl<'t> Active<'t> {
    /// A request with its buffers and a sequence, which may hold the beginning of the prompt.
    pub(super) fn new(
        tokenizer: &'t Tokenizer<'t>,
        Waiting { id, mut request, submitted, .. }: Waiting,
        Buffers { mut slot, choices, tokens, log_probabilities, likeliest, text, unreported, times }: Buffers,
        sequence: Sequence,
        now: u64,
    ) -> Self {
        let mut reader = TokenReader::new(tokenizer, core::mem::take(&mut request.stops));
        reader.reserve(TOKEN_BYTES);
        let shared = sequence.position();
        slot.sequence = sequence;
        Self {
            id,
            slot,
            again: 0,
            fed: shared,
            shared,
            choices,
            finish: None,
            tokens,
            log_probabilities,
            likeliest,
            reader,
            text,
            unreported,
            times: Times { submitted, started: now, prefilled: 0, finished: 0, tokens: times },
            request,
        }
    }

    /// Its text so far.
    pub(super) fn text(&self) -> Text<'_> {
        Text { prompt: &self.request.prompt, made: &self.tokens }
    }

    /// The text that passes through the model in its prefill.
    pub(super) fn prefill(&self) -> Text<'_> {
        Text { made: &self.tokens[..self.again], ..self.text() }
    }

    /// Tokens of that which have not been taken.
    pub(super) const fn unfed(&self) -> usize {
        self.request.prompt.len() + self.again - self.fed
    }

    /// Positions taken.
    pub(super) const fn position(&self) -> usize {
        self.slot.sequence.position()
    }

    /// Its keys and values.
    pub(super) const fn sequence(&self) -> &Sequence {
        &self.slot.sequence
    }

    /// Whether its prefill is over, so that each step makes a token.
    pub(super) const fn is_decoding(&self) -> bool {
        self.unfed() == 0
    }

    /// Takes the next `rows` tokens of its prefill in the next step. With the last of them it makes a token.
    pub(super) fn take_prompt(&mut self, rows: usize) {
        let text = Text { prompt: &self.request.prompt, made: &self.tokens };
        self.slot.tokens.extend(text.tokens().skip(self.fed).take(rows));
        self.fed += rows;
        self.slot.wants_logits = self.is_decoding();
    }

    /// Takes the latest token in the next step, so that it makes the next one.
    pub(super) fn take_latest(&mut self) {
        self.slot.tokens.extend(self.tokens.last());
        self.slot.wants_logits = true;
    }

    /// Takes blocks for its next `steps` steps, if it is in decode: those of its prefill it has.
    pub(super) fn grow(&mut self, blocks: &mut BlockPool, steps: usize) -> Result<(), CacheError> {
        let end = self.end_after(steps);
        blocks.extend(&mut self.slot.sequence, end)
    }

    /// Blocks that it lacks for its next `steps` steps.
    pub(super) fn lacking(&self, steps: usize) -> usize {
        self.slot.sequence.lacking(self.end_after(steps))
    }

    /// Positions after `steps` steps, if it is in decode.
    fn end_after(&self, steps: usize) -> usize {
        let steps = if self.is_decoding() { steps } else { 0 };
        self.position().saturating_add(steps).min(self.slot.sequence.context())
    }

    /// Keeps the blocks that have become full among the prefixes.
    pub(super) fn keep(&mut self, blocks: &mut BlockPool) {
        while let Some(next) = self.slot.sequence.next_to_keep() {
            let tokens = self.text().block(next);
            blocks.keep(&mut self.slot.sequence, &tokens);
        }
    }

    /// Gives up its sequence, for an empty one.
    pub(super) fn suspend(&mut self, empty: Sequence) -> Sequence {
        core::mem::replace(&mut self.slot.sequence, empty)
    }

    /// Goes on with a sequence, which may hold the beginning of its text: the rest passes through the model again.
    pub(super) fn resume(&mut self, sequence: Sequence) {
        self.again = self.tokens.len();
        self.fed = sequence.position();
        self.slot.sequence = sequence;
    }

    /// Before a step: sits it out, unless something is taken.
    pub(super) const fn sit_out(&mut self) {
        self.slot.wants_logits = false;
    }

    /// Steps until it ends at the latest, if each takes its latest token.
    pub(super) fn steps_left(&self) -> usize {
        let context = self.slot.sequence.context() - self.slot.sequence.position();
        self.request.limit.saturating_sub(self.tokens.len()).min(context).max(1)
    }

    /// After a step: chooses, if there is something to choose from.
    pub(super) fn choose(&mut self, platform: &dyn Platform) {
        if !self.slot.wants_logits {
            return;
        }
        if self.times.prefilled == 0 {
            self.times.prefilled = platform.now_ns();
        }
        if self.tokens.len() == self.request.limit {
            self.finish = Some(Finish::Limit);
            return;
        }
        let (logits, position) = (&self.slot.logits, self.slot.sequence.position());
        self.finish = match self.choices.choose(&self.request.end, logits, position) {
            Ok(token) => self.push(token, platform.now_ns()),
            Err(finish) => Some(finish),
        };
    }

    /// Takes note of the token made, and of the text that is certain now. Result: why the request ends, if it does.
    fn push(&mut self, token: u32, now: u64) -> Option<Finish> {
        self.tokens.push(token);
        self.times.tokens.push(now);
        if let Some(count) = self.request.log_probabilities {
            let all = LogProbabilities::new(&self.slot.logits);
            self.log_probabilities.push(all.of(token));
            all.append_likeliest(count, &mut self.likeliest);
        }
        let from = self.text.len();
        self.text.push_str(self.reader.push(token));
        self.unreported.push(from..self.text.len());
        if self.reader.stopped() {
            Some(Finish::StopText)
        } else if self.tokens.len() == self.request.limit {
            Some(Finish::Limit)
        } else if self.slot.sequence.position() == self.slot.sequence.context() {
            Some(Finish::ContextFull)
        } else {
            None
        }
    }

    /// Whether it ends.
    pub(super) const fn is_over(&self) -> bool {
        self.finish.is_some()
    }

    /// Token `index` of those without an event, and how the request ends if it does with this token.
    pub(super) fn unreported(&self, index: usize) -> (Option<Made<'_>>, Option<Finish>) {
        let made = self.unreported.get(index).map(|text| {
            let index = self.tokens.len() - self.unreported.len() + index;
            let log_probability = self.log_probabilities.get(index).copied();
            let likeliest = of_token(&self.likeliest, self.tokens.len(), index);
            Made { token: self.tokens[index], log_probability, likeliest, text: &self.text[text.clone()] }
        });
        (made, self.finish.filter(|_| index + 1 >= self.unreported.len()))
    }

    /// All tokens have had their events.
    pub(super) fn reported(&mut self) {
        self.unreported.clear();
    }

    /// Ends it; the sequence goes back to its blocks.
    pub(super) fn end(self, finish: Finish, now: u64) -> (Outcome, Sequence) {
        let Self {
            request,
            slot,
            shared,
            choices,
            tokens,
            log_probabilities,
            likeliest,
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
            likeliest,
            text,
            prompt_tokens: request.prompt.len(),
            shared_tokens: shared,
            logits_hash: choices.hash(),
            times,
        };
        (outcome, slot.sequence)
    }
}

/// A token made.
pub(super) struct Made<'a> {
    pub token: u32,
    pub log_probability: Option<f32>,
    pub likeliest: &'a [(u32, f32)],
    pub text: &'a str,
}
