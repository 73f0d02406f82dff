//! Recognises ChatML in the text of a Jinja template, from the expressions that the template puts out.
//!
//! Not a Jinja interpreter: a template is accepted when one of its `{{ … }}` blocks is exactly a
//! ChatML turn and another opens the answer; anything else is refused rather than guessed at.

use alloc::string::String;
use alloc::vec::Vec;

use super::{END, START};

/// What differs inside the family.
#[derive(Debug, PartialEq, Eq)]
pub struct ChatMl {
    /// Put first when a conversation does not begin with a system message.
    pub default_system: Option<String>,
}

/// A part of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A string, escapes resolved.
    Literal(String),
    /// A name or number.
    Word(String),
    /// Anything else.
    Sign(char),
}

/// Recognises `template`; `None` when it is not ChatML.
pub fn recognise(template: &str) -> Option<ChatMl> {
    let outputs: Vec<Vec<Token>> = outputs(template)?.into_iter().map(simplify).collect();
    let turn = turn();
    let opening = [Token::Literal([START, "assistant\n"].concat())];
    if !outputs.contains(&turn) || !outputs.iter().any(|output| output == &opening) {
        return None;
    }
    let default_system = outputs.iter().find_map(|output| match output.as_slice() {
        [Token::Literal(text)] => {
            let content = text.strip_prefix(START)?.strip_prefix("system\n")?;
            content.strip_suffix("\n")?.strip_suffix(END).map(String::from)
        }
        _ => None,
    });
    Some(ChatMl { default_system })
}

/// `'<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n'`, simplified.
fn turn() -> Vec<Token> {
    let literal = |text: &str| Token::Literal(text.into());
    let field = |name: &str| {
        [
            Token::Sign('+'),
            Token::Word("message".into()),
            Token::Sign('.'),
            Token::Word(name.into()),
            Token::Sign('+'),
        ]
    };
    let mut turn = Vec::from([literal(START)]);
    turn.extend(field("role"));
    turn.push(literal("\n"));
    turn.extend(field("content"));
    turn.push(literal(&[END, "\n"].concat()));
    turn
}

/// One spelling for what can be written in several: `a['b']` becomes `a.b`, `'x' + 'y'` becomes `'xy'`.
fn simplify(tokens: Vec<Token>) -> Vec<Token> {
    let mut simple: Vec<Token> = Vec::new();
    for token in tokens {
        simple.push(token);
        if let [.., Token::Sign('['), Token::Literal(key), Token::Sign(']')] = simple.as_slice() {
            let key = Token::Word(key.clone());
            simple.truncate(simple.len() - 3);
            simple.extend([Token::Sign('.'), key]);
        } else if let [.., Token::Literal(left), Token::Sign('+'), Token::Literal(right)] = simple.as_slice()
        {
            let joined = Token::Literal([left.as_str(), right.as_str()].concat());
            simple.truncate(simple.len() - 3);
            simple.push(joined);
        }
    }
    simple
}

/// The expressions of all `{{ … }}` blocks; `None` when a block or a string does not end, or when
/// text stands outside the blocks.
fn outputs(template: &str) -> Option<Vec<Vec<Token>>> {
    let mut outputs = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let (outside, block) = rest.split_at(at);
        if !outside.trim().is_empty() {
            return None;
        }
        rest = if let Some(comment) = block.strip_prefix("{#") {
            comment.split_once("#}")?.1
        } else if let Some(expression) = block.strip_prefix("{{") {
            let (tokens, rest) = tokens(expression, "}}")?;
            outputs.push(tokens);
            rest
        } else {
            tokens(block.strip_prefix("{%")?, "%}")?.1
        };
    }
    rest.trim().is_empty().then_some(outputs)
}

/// The tokens of a block up to `close`, and what follows it. The minus signs that trim white space
/// around the block are no part of it.
fn tokens<'t>(block: &'t str, close: &str) -> Option<(Vec<Token>, &'t str)> {
    let mut tokens = Vec::new();
    let mut rest = block.strip_prefix('-').unwrap_or(block);
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('-').unwrap_or(rest).strip_prefix(close) {
            return Some((tokens, after));
        }
        let first = rest.chars().next()?;
        let token;
        (token, rest) = match first {
            '\'' | '"' => literal(&rest[1..], first)?,
            _ => match rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()) {
                0 => (Token::Sign(first), &rest[first.len_utf8()..]),
                length => (Token::Word(rest[..length].into()), &rest[length..]),
            },
        };
        tokens.push(token);
    }
}

/// A string up to its closing `quote`, and what follows it.
fn literal(text: &str, quote: char) -> Option<(Token, &str)> {
    let mut content = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '\\' => match chars.next()? {
                'n' => content.push('\n'),
                't' => content.push('\t'),
                escaped @ ('\\' | '\'' | '"') => content.push(escaped),
                other => content.extend(['\\', other]),
            },
            end if end == quote => return Some((Token::Literal(content), chars.as_str())),
            character => content.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMOLLM2: &str = include_str!("../../tests/reference/chat_template.jinja");

    fn system(template: &str) -> Option<Option<String>> {
        recognise(template).map(|chatml| chatml.default_system)
    }

    #[test]
    fn finds_the_default_system_message() {
        let expected = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";
        assert_eq!(system(SMOLLM2), Some(Some(expected.into())));
    }

    #[test]
    fn knows_other_spellings() {
        let plain = r#"{%- for message in messages -%}
            {{- "<|im_start|>" + message.role + "\n" + message.content + "<|im_end|>\n" -}}
            {# a comment's '{{' #}
        {%- endfor -%}
        {%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"#;
        assert_eq!(system(plain), Some(None));
        let default = r"{%- if messages[0].role != 'system' %}{{- '<|im_start|>system\nIt\'s you.<|im_end|>\n' }}{% endif %}";
        assert_eq!(system(&[default, plain].concat()), Some(Some("It's you.".into())));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let end = "{{ '<|im_start|>assistant\n' }}";
        for template in [
            "",
            "no blocks",
            "{{ '<|im_start|>assistant\n' }}",
            "{{ 'unterminated",
            "{% for",
            "{",
            "{x",
            "{{ '<|user|>' + message['content'] }}",
            "{{'<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>' + '\n'}}",
        ] {
            assert_eq!(recognise(&[template, end].concat()), None, "{template:?}");
        }
        assert_eq!(recognise(&["text outside ", SMOLLM2].concat()), None);
    }
}
