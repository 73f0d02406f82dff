//! Checks of a model by what must hold for any: a file cut short is refused, text survives the tokenizer, and logits
//! are the same to the bit on any workers and with any kernels.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;

use embodios_engine::batch::{Outcome, Request};
use embodios_gguf::Gguf;
use embodios_text::tokenizer::{ParseSpecial, Tokenizer};

/// Tokens generated each time that bits are compared.
const TOKENS: usize = 8;
/// The text that they continue.
const PROMPT: &str = "Once upon a time";
/// Letters of several scripts, digits, white space, a character of several code points.
const TEXT: &str = "The café costs €3.50,\n\tnicht 42! 你好 привет 👩‍👧 <|endoftext|>";

/// Half of the file `name` is no model.
///
/// # Errors
/// When it is taken for one.
pub fn cut_short(name: &str, bytes: &[u8]) -> Result<(), String> {
    match Gguf::parse(&bytes[..bytes.len() / 2]) {
        Ok(_) => Err(format!("half of {name} was accepted")),
        Err(_) => Ok(()),
    }
}

/// Text is the same behind the tokenizer and back.
///
/// # Errors
/// When it is another one.
pub fn round_trip(tokenizer: &Tokenizer<'_>) -> Result<(), String> {
    let prompt = tokenizer.prompt(TEXT, ParseSpecial::No);
    let text = tokenizer.text(&prompt.ids);
    if text == TEXT { Ok(()) } else { Err(format!("became {text:?}")) }
}

/// One request that is run in several ways, and the outcome of the first.
pub struct SameBits {
    request: Request,
    /// Tokens, and the hash of all logits.
    first: Option<(Vec<u32>, u64)>,
}

impl SameBits {
    /// A greedy request, not run yet.
    #[must_use]
    pub fn new(tokenizer: &Tokenizer<'_>) -> Self {
        let prompt = tokenizer.prompt(PROMPT, ParseSpecial::No).ids;
        Self { request: Request::greedy(prompt, TOKENS), first: None }
    }

    /// Runs it in one way more, which must have the outcome of the first one.
    ///
    /// # Errors
    /// When it does not, or there is no outcome.
    pub fn check<E: Display>(
        &mut self,
        run: impl FnOnce(Request) -> Result<Outcome, E>,
    ) -> Result<(), String> {
        let outcome = run(self.request.clone()).map_err(|error| error.to_string())?;
        let found = (outcome.tokens, outcome.logits_hash);
        let expected = self.first.get_or_insert_with(|| found.clone());
        if found == *expected { Ok(()) } else { Err(format!("{found:x?}, before {expected:x?}")) }
    }
}
