//! Conversations as prompts, the way the model's own template (`tokenizer.chat_template`) wants them.
//!
//! Owns the ChatML family of templates: `<|im_start|>ROLE\nCONTENT<|im_end|>\n` for every turn, with
//! the template's default system message where it has one. What the turns say is encoded as plain
//! text, so that no content can end its turn or open another one.

mod template;

use alloc::string::String;
use core::fmt;

use crate::gguf::{Gguf, GgufError};
use crate::tokenizer::{Encoding, ParseSpecial, Tokenizer};

/// Opens a turn.
const START: &str = "<|im_start|>";
/// Closes a turn.
const END: &str = "<|im_end|>";
/// Characters of an unknown template that its error repeats.
const SHOWN: usize = 60;

/// Why a model cannot chat.
#[derive(Clone, Debug, PartialEq)]
pub enum ChatError {
    /// The file has no template.
    NoTemplate,
    /// The key is there with another type.
    Gguf(GgufError),
    /// A template outside the ChatML family; its beginning.
    UnknownTemplate(String),
    /// The vocabulary lacks a token that the template uses.
    NoToken(&'static str),
}

impl fmt::Display for ChatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTemplate => write!(f, "this model has no chat template"),
            Self::Gguf(error) => error.fmt(f),
            Self::UnknownTemplate(start) => {
                write!(
                    f,
                    "this model's chat template is not ChatML, the only kind supported; it begins {start:?}"
                )
            }
            Self::NoToken(text) => {
                write!(
                    f,
                    "this model's chat template uses {text}, which is no special token of its vocabulary"
                )
            }
        }
    }
}

impl core::error::Error for ChatError {}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One turn.
#[derive(Clone, Copy, Debug)]
pub struct Message<'m> {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: &'m str,
}

/// The template of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatTemplate {
    default_system: Option<String>,
    start: u32,
    end: u32,
}

impl ChatTemplate {
    /// Recognises the template of `file`, whose tokenizer is `tokenizer`.
    ///
    /// # Errors
    /// [`ChatError`], when there is none, it is of another family, or its tokens are missing.
    pub fn new(file: &Gguf<'_>, tokenizer: &Tokenizer<'_>) -> Result<Self, ChatError> {
        let text: &str =
            file.get("tokenizer.chat_template").map_err(ChatError::Gguf)?.ok_or(ChatError::NoTemplate)?;
        let template::ChatMl { default_system } = template::recognise(text)
            .ok_or_else(|| ChatError::UnknownTemplate(text.chars().take(SHOWN).collect()))?;
        let token = |text| tokenizer.special(text).ok_or(ChatError::NoToken(text));
        Ok(Self { default_system, start: token(START)?, end: token(END)? })
    }

    /// The prompt of a conversation; with `answer`, up to where the model's own turn begins.
    #[must_use]
    pub fn prompt(&self, tokenizer: &Tokenizer<'_>, messages: &[Message<'_>], answer: bool) -> Encoding {
        let mut encoding = tokenizer.prompt("", ParseSpecial::No);
        let mut text = String::new();
        let mut turn = |message: &Message<'_>| {
            encoding.ids.push(self.start);
            text.clear();
            text.extend([message.role.name(), "\n", message.content]);
            tokenizer.encode(&text, ParseSpecial::No, &mut encoding);
            encoding.ids.push(self.end);
            tokenizer.encode("\n", ParseSpecial::No, &mut encoding);
        };
        if let Some(content) = &self.default_system
            && messages.first().is_some_and(|first| first.role != Role::System)
        {
            turn(&Message { role: Role::System, content });
        }
        messages.iter().for_each(&mut turn);
        if answer {
            encoding.ids.push(self.start);
            tokenizer.encode("assistant\n", ParseSpecial::No, &mut encoding);
        }
        encoding
    }
}
