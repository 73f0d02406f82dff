//! Pieces into statements.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::{self, Vec};

use super::ast::{For, Located, Macro, Statement, Target};
use super::error::{Problem, TemplateError};
use super::expression::Words;
use super::lexer::{Content, Piece, normalized, pieces};
use crate::chat::text::Text;

/// Blocks inside blocks.
const MAX_NESTING: u32 = 24;

/// Understands a whole template.
pub fn parse(source: &str) -> Result<Vec<Statement>, TemplateError> {
    let source = normalized(source);
    let mut parser = Parser { pieces: pieces(&source)?.into_iter(), nesting: 0, loops: 0, line: 1 };
    let (statements, _) = parser.body(&[])?;
    Ok(statements)
}

struct Parser<'s> {
    pieces: vec::IntoIter<Piece<'s>>,
    nesting: u32,
    /// Loops around what comes next.
    loops: u32,
    line: u32,
}

/// The block that ended a body: its keyword and what follows that.
struct End {
    keyword: String,
    words: Words,
}

impl Parser<'_> {
    /// Statements up to a block of one of the keywords in `ends`; up to the end of the template when there are none.
    fn body(&mut self, ends: &[&str]) -> Result<(Vec<Statement>, Option<End>), TemplateError> {
        let opened = self.line;
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(Problem::Bound("blocks are nested too deep").at(opened));
        }
        let mut statements = Vec::new();
        while let Some(Piece { line, content }) = self.pieces.next() {
            self.line = line;
            match content {
                Content::Text(text) => statements.push(Statement::Text(Text::inside(text))),
                Content::Output(words) => {
                    let mut words = Words::new(words, line);
                    let mut value = words.located()?;
                    words.finish()?;
                    value.expression.drop_safe();
                    statements.push(Statement::Output(value));
                }
                Content::Block(words) => {
                    let mut words = Words::new(words, line);
                    let keyword = words.name("a statement")?;
                    if ends.contains(&keyword.as_str()) {
                        self.nesting -= 1;
                        return Ok((statements, Some(End { keyword, words })));
                    }
                    self.statement(&keyword, words, &mut statements)?;
                }
            }
        }
        if ends.is_empty() { Ok((statements, None)) } else { Err(Problem::Unclosed("a block").at(opened)) }
    }

    /// A body that one block can end.
    fn body_until(&mut self, end: &str) -> Result<Vec<Statement>, TemplateError> {
        let (body, end) = self.body(&[end])?;
        end.map_or(Ok(()), |end| end.words.finish())?;
        Ok(body)
    }

    fn statement(
        &mut self,
        keyword: &str,
        words: Words,
        statements: &mut Vec<Statement>,
    ) -> Result<(), TemplateError> {
        let line = words.line();
        let statement = match keyword {
            "if" => self.condition(words)?,
            "for" => self.repetition(words)?,
            "set" => self.assignment(words)?,
            "macro" => self.definition(words)?,
            "break" | "continue" if self.loops == 0 => {
                let wanted = "a loop around it";
                return Err(Problem::Unexpected { found: keyword.into(), wanted }.at(line));
            }
            "break" => words.finish().map(|()| Statement::Break)?,
            "continue" => words.finish().map(|()| Statement::Continue)?,
            // Marks what a model is trained on; says nothing here.
            "generation" => {
                words.finish()?;
                statements.extend(self.body_until("endgeneration")?);
                return Ok(());
            }
            other => return Err(Problem::Unsupported { kind: "statement", name: other.into() }.at(line)),
        };
        statements.push(statement);
        Ok(())
    }

    fn condition(&mut self, mut words: Words) -> Result<Statement, TemplateError> {
        let mut branches = Vec::new();
        let mut otherwise = Vec::new();
        loop {
            let condition = words.located()?;
            words.finish()?;
            let (body, end) = self.body(&["elif", "else", "endif"])?;
            branches.push((condition, body));
            match end {
                Some(End { keyword, words: next }) if keyword == "elif" => words = next,
                Some(End { keyword, words }) => {
                    words.finish()?;
                    if keyword == "else" {
                        otherwise = self.body_until("endif")?;
                    }
                    return Ok(Statement::If { branches, otherwise });
                }
                None => return Ok(Statement::If { branches, otherwise }),
            }
        }
    }

    fn repetition(&mut self, mut words: Words) -> Result<Statement, TemplateError> {
        let targets = words.names()?;
        words.keyword("in")?;
        let items = words.located_value()?;
        let condition = if words.take_name("if") { Some(words.located()?) } else { None };
        words.finish()?;
        self.loops += 1;
        let (body, end) = self.body(&["else", "endfor"])?;
        self.loops -= 1;
        let otherwise = match end {
            Some(End { keyword, words }) if keyword == "else" => {
                words.finish()?;
                self.body_until("endfor")?
            }
            _ => Vec::new(),
        };
        Ok(Statement::For(Box::new(For { targets, items, condition, body, otherwise })))
    }

    fn assignment(&mut self, mut words: Words) -> Result<Statement, TemplateError> {
        let mut names = words.names()?;
        if words.take_sign(".") {
            let namespace = names.swap_remove(0);
            let name = words.name("the name of a variable")?;
            words.sign("=")?;
            let line = words.line();
            let value = Located { line, expression: words.tuple()? };
            words.finish()?;
            return Ok(Statement::Set { target: Target::Attribute { namespace, name }, value });
        }
        if words.take_sign("=") {
            let line = words.line();
            let value = Located { line, expression: words.tuple()? };
            words.finish()?;
            return Ok(Statement::Set { target: Target::Names(names), value });
        }
        words.finish()?;
        let body = self.body_until("endset")?;
        Ok(Statement::SetBlock { name: names.swap_remove(0), body })
    }

    fn definition(&mut self, mut words: Words) -> Result<Statement, TemplateError> {
        let name = words.name("the name of a macro")?;
        words.sign("(")?;
        let mut parameters = Vec::new();
        while !words.take_sign(")") {
            let name = words.name("the name of a parameter")?;
            let default = if words.take_sign("=") { Some(words.expression()?) } else { None };
            parameters.push((name, default));
            if !words.take_sign(",") {
                words.sign(")")?;
                break;
            }
        }
        words.finish()?;
        let loops = core::mem::take(&mut self.loops);
        let body = self.body_until("endmacro")?;
        self.loops = loops;
        Ok(Statement::Macro(Arc::new(Macro { name, parameters, body })))
    }
}
