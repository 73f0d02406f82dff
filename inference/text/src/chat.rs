//! Conversations as prompts, the way the model's own template (`tokenizer.chat_template`) wants them.
//!
//! The template is run, not recognised: any family's does, as far as it keeps to the part of the language that
//! [`jinja`] knows; anything else is reported. The words of the turns stay plain text, so that no content can end its
//! turn or open another one.

mod jinja;
mod text;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use embodios_gguf::{Gguf, GgufError};

use crate::tokenizer::{Encoding, Tokenizer};
pub use jinja::TemplateError;
use jinja::{Template, Value};
pub use text::Text;

/// Reason that a model cannot chat.
#[derive(Clone, Debug, PartialEq)]
pub enum ChatError {
    /// The file has no template.
    NoTemplate,
    /// The key is there with another type.
    Gguf(GgufError),
    /// The template is not understood, or refuses the conversation.
    Template(TemplateError),
}

impl fmt::Display for ChatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTemplate => write!(f, "this model has no chat template"),
            Self::Gguf(error) => error.fmt(f),
            Self::Template(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ChatError {}

impl From<TemplateError> for ChatError {
    fn from(error: TemplateError) -> Self {
        Self::Template(error)
    }
}

/// Speaker of a message.
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
    /// A turn of this role.
    #[must_use]
    pub const fn says(self, content: &str) -> Message<'_> {
        Message { role: self, content }
    }

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
    /// Its speaker.
    pub role: Role,
    /// Its text.
    pub content: &'m str,
}

impl Message<'_> {
    fn value(&self) -> Value {
        let content = Value::from(Text::outside(self.content));
        Value::map(
            [(Value::text("role"), Value::text(self.role.name())), (Value::text("content"), content)].into(),
        )
    }
}

/// The template of one model.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    template: Template,
    /// `bos_token` and the like, as far as there are.
    marks: Vec<(String, Text)>,
}

impl ChatTemplate {
    /// Reads the template of `file`, whose tokenizer is `tokenizer`, and tries it out.
    ///
    /// # Errors
    /// [`ChatError`], when there is none, or it does not render a question.
    pub fn new(file: &Gguf<'_>, tokenizer: &Tokenizer<'_>) -> Result<Self, ChatError> {
        let source = file.get("tokenizer.chat_template").map_err(ChatError::Gguf)?;
        let template = Template::parse(source.ok_or(ChatError::NoTemplate)?)?;
        let marks = tokenizer.marks().map(|(name, text)| (name.into(), Text::inside(text))).collect();
        let this = Self { template, marks };
        this.render(&[Message { role: Role::User, content: "Hello" }], true, Some(0))?;
        Ok(this)
    }

    /// The text of a conversation; with `answer`, up to where the model's own turn begins. Templates that write the
    /// date into it take that of `now`, seconds since 1970.
    ///
    /// # Errors
    /// When the template refuses the conversation.
    pub fn render(
        &self,
        messages: &[Message<'_>],
        answer: bool,
        now: Option<u64>,
    ) -> Result<Text, TemplateError> {
        let marks = self.marks.iter();
        let mut context: Vec<_> = marks.map(|(name, text)| (name.clone(), text.clone().into())).collect();
        context.extend([
            ("messages".into(), Value::list(messages.iter().map(Message::value).collect())),
            ("add_generation_prompt".into(), Value::Bool(answer)),
            ("tools".into(), Value::None),
            ("documents".into(), Value::None),
        ]);
        self.template.render(context, now)
    }

    /// The text of a conversation whose last turn goes on: up to the end of its words. `None` where it has none, or the
    /// template does not end that turn with them.
    ///
    /// # Errors
    /// When the template refuses the conversation.
    pub fn render_open(
        &self,
        messages: &[Message<'_>],
        now: Option<u64>,
    ) -> Result<Option<Text>, TemplateError> {
        let text = self.render(messages, false, now)?;
        let words = messages.last().map_or("", |last| last.content.trim());
        let last = text.outside_ranges().last().cloned().filter(|_| !words.is_empty());
        let ends = last.filter(|last| text.as_str()[last.clone()].trim_end().ends_with(words));
        Ok(ends.map(|last| text.slice(0..last.end)))
    }

    /// The prompt of a conversation, as [`Self::render`] has it, with the begin token that the model wants.
    ///
    /// # Errors
    /// When the template refuses the conversation.
    pub fn prompt(
        &self,
        tokenizer: &Tokenizer<'_>,
        messages: &[Message<'_>],
        answer: bool,
        now: Option<u64>,
    ) -> Result<Encoding, TemplateError> {
        Ok(Self::encode(tokenizer, &self.render(messages, answer, now)?))
    }

    /// The prompt that `text` is, which was rendered, with the begin token that the model wants.
    #[must_use]
    pub fn encode(tokenizer: &Tokenizer<'_>, text: &Text) -> Encoding {
        let mut encoding = Encoding { ids: tokenizer.begin().into_iter().collect(), left_out: 0 };
        tokenizer.encode_mixed(text.as_str(), text.outside_ranges(), &mut encoding);
        // Templates may write the begin token themselves.
        tokenizer.begin_once(&mut encoding);
        encoding
    }
}
