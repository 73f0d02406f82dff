//! The command `chat`: a conversation that keeps its turns.

use alloc::string::String;
use alloc::vec::Vec;

use embodios_engine::batch::Outcome;
use embodios_text::chat::{ChatError, Role};

use super::Console;
use super::answer::finished;
use super::command::{ParseError, split_word};
use super::error::CommandError;
use super::loaded::Loaded;
use super::options::{Options, TEXT_OPTIONS, quoted_text};

/// Begins a conversation anew, and gives it instructions.
const NEW: &str = "--new";
const SYSTEM: &str = "--system";

/// A turn of the person, and what goes before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn<'l> {
    /// Whether all that was said before is forgotten.
    pub is_new: bool,
    /// Instructions of a new conversation.
    pub system: Option<String>,
    /// What the person says; `None` only for a new conversation.
    pub said: Option<(Options, &'l str)>,
}

impl<'l> Turn<'l> {
    /// Understands `[--new] [--system TEXT] [OPTIONS] TEXT`, in which instructions of several words stand in quotes.
    /// TEXT may be missing behind the first two.
    pub fn parse(mut rest: &'l str, tokens: usize) -> Result<Self, ParseError> {
        let (mut is_new, mut system) = (false, None);
        loop {
            let (word, after) = split_word(rest);
            match word {
                NEW => (is_new, rest) = (true, after),
                SYSTEM => {
                    let (text, after) = match after.strip_prefix('"') {
                        Some(quoted) => quoted_text(quoted)?,
                        None => {
                            let (word, after) = split_word(after);
                            (word.into(), after)
                        }
                    };
                    if text.is_empty() {
                        return Err(ParseError::NoText(SYSTEM));
                    }
                    (is_new, system, rest) = (true, Some(text), after.trim_start());
                }
                _ => break,
            }
        }
        let said = match (is_new, rest) {
            (true, "") => None,
            _ => Some(Options::parse("chat", TEXT_OPTIONS, tokens, rest)?),
        };
        Ok(Self { is_new, system, said })
    }
}

/// All that was said.
#[derive(Debug, Default)]
pub struct Conversation(Vec<(Role, String)>);

impl Console<'_> {
    /// Answers a turn, showing what comes as it comes.
    pub(super) fn chat(&mut self, turn: Turn<'_>) -> Result<(), CommandError> {
        let Loaded { chat, tokenizer, .. } = *self.loaded.as_ref()?;
        let template = chat.as_ref().map_err(Clone::clone)?;
        let Turn { is_new, system, said } = turn;
        if is_new {
            self.conversation.0.clear();
            self.conversation.0.extend(system.map(|text| (Role::System, text)));
        }
        let Some((options, text)) = said else { return Ok(()) };
        let turns = self.conversation.0.iter().map(|(role, text)| role.says(text));
        let messages: Vec<_> = turns.chain([Role::User.says(text)]).collect();
        let prompt =
            template.prompt(tokenizer, &messages, true, self.unix_time()).map_err(ChatError::Template)?;
        let outcome = self.show_continuation(&options, prompt)?;
        let Outcome { text: answer, finish, .. } = outcome;
        // What was stopped was said all the same; what failed was not.
        if !finish.is_failure() {
            self.conversation.0.extend([(Role::User, text.into()), (Role::Assistant, answer)]);
        }
        finished(finish)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_begins_anew_where_that_is_said() {
        let parse = |line| Turn::parse(line, 9);
        let text = |line| parse(line).map(|turn| (turn.is_new, turn.system, turn.said.map(|(_, text)| text)));
        assert_eq!(text("hi there"), Ok((false, None, Some("hi there"))));
        assert_eq!(text("--new hi"), Ok((true, None, Some("hi"))));
        assert_eq!(text("--new"), Ok((true, None, None)));
        assert_eq!(
            text("--system \"Be \\\"brief\\\".\" -n 3 hi"),
            Ok((true, Some("Be \"brief\".".into()), Some("hi")))
        );
        assert_eq!(text("--system Rhyme."), Ok((true, Some("Rhyme.".into()), None)));
        assert_eq!(parse("--system"), Err(ParseError::NoText(SYSTEM)));
        assert_eq!(parse(""), Err(ParseError::NoText("chat")));
        assert!(parse("--system \"open").is_err() && parse("--old hi").is_err());
    }
}
