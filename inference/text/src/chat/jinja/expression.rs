//! Words into expressions, by precedence climbing.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::{self, Vec};
use core::iter::Peekable;

use super::ast::{Arguments, Expression, Literal, Located, Operator, Step};
use super::error::{Problem, TemplateError};
use super::lexer::Word;
use crate::chat::text::Text;

/// Expressions inside expressions.
const MAX_NESTING: u32 = 24;

/// Binding strength of operators: `or` the least, comparisons more than `not`.
const WEAKEST: u8 = 1;
const COMPARISON: u8 = 3;

/// The words of one block, taken from the left.
pub struct Words {
    words: Peekable<vec::IntoIter<Word>>,
    line: u32,
    nesting: u32,
}

impl Words {
    /// All of `words`, which stand in `line`.
    pub fn new(words: Vec<Word>, line: u32) -> Self {
        Self { words: words.into_iter().peekable(), line, nesting: 0 }
    }

    pub const fn line(&self) -> u32 {
        self.line
    }

    fn unexpected(&mut self, wanted: &'static str) -> TemplateError {
        let found = self.words.peek().map_or_else(|| "the end of the block".into(), Word::show);
        Problem::Unexpected { found, wanted }.at(self.line)
    }

    /// Takes the sign, if it is next.
    pub fn take_sign(&mut self, sign: &str) -> bool {
        self.words.next_if(|word| matches!(word, Word::Sign(next) if *next == sign)).is_some()
    }

    /// Takes the keyword, if it is next.
    pub fn take_name(&mut self, name: &str) -> bool {
        self.words.next_if(|word| matches!(word, Word::Name(next) if next == name)).is_some()
    }

    /// The sign, which has to be next.
    pub fn sign(&mut self, sign: &'static str) -> Result<(), TemplateError> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.unexpected(sign)) }
    }

    /// The keyword, which has to be next.
    pub fn keyword(&mut self, name: &'static str) -> Result<(), TemplateError> {
        if self.take_name(name) { Ok(()) } else { Err(self.unexpected(name)) }
    }

    /// The name that has to be next.
    pub fn name(&mut self, wanted: &'static str) -> Result<String, TemplateError> {
        match self.words.next_if(|word| matches!(word, Word::Name(_))) {
            Some(Word::Name(name)) => Ok(name),
            _ => Err(self.unexpected(wanted)),
        }
    }

    /// One name or several, with commas.
    pub fn names(&mut self) -> Result<Vec<String>, TemplateError> {
        let brackets = self.take_sign("(");
        let mut names = Vec::from([self.name("the name of a variable")?]);
        while self.take_sign(",") {
            names.push(self.name("the name of a variable")?);
        }
        if brackets {
            self.sign(")")?;
        }
        Ok(names)
    }

    /// Nothing may be left.
    pub fn finish(mut self) -> Result<(), TemplateError> {
        match self.words.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the block")),
        }
    }

    /// An expression and its line.
    pub fn located(&mut self) -> Result<Located, TemplateError> {
        Ok(Located { line: self.line, expression: self.expression()? })
    }

    /// As [`Self::located`], for an expression that an `if` behind it is no part of.
    pub fn located_value(&mut self) -> Result<Located, TemplateError> {
        Ok(Located { line: self.line, expression: self.binary(WEAKEST)? })
    }

    /// An expression, or several with commas, which make a list.
    pub fn tuple(&mut self) -> Result<Expression, TemplateError> {
        let first = self.expression()?;
        if !self.take_sign(",") {
            return Ok(first);
        }
        let mut all = Vec::from([first]);
        while self.words.peek().is_some() {
            all.push(self.expression()?);
            if !self.take_sign(",") {
                break;
            }
        }
        Ok(Expression::List(all))
    }

    /// A whole expression.
    pub fn expression(&mut self) -> Result<Expression, TemplateError> {
        let mut branches = Vec::new();
        loop {
            let value = self.binary(WEAKEST)?;
            if !self.take_name("if") {
                return Ok(if branches.is_empty() {
                    value
                } else {
                    Expression::Conditional(branches, Some(Box::new(value)))
                });
            }
            branches.push((value, self.binary(WEAKEST)?));
            if !self.take_name("else") {
                return Ok(Expression::Conditional(branches, None));
            }
        }
    }

    /// Values and the operators between them that bind at least as strongly as `weakest`.
    fn binary(&mut self, weakest: u8) -> Result<Expression, TemplateError> {
        self.deeper()?;
        let mut first = if weakest <= COMPARISON && self.take_name("not") {
            Expression::Not(Box::new(self.binary(COMPARISON)?))
        } else {
            self.unary(true)?
        };
        let mut rest = Vec::new();
        while let Some((operator, strength)) = self.operator(weakest) {
            let right = self.binary(strength + 1)?;
            if strength != COMPARISON {
                rest.push((operator, right));
                continue;
            }
            let left = chain(first, core::mem::take(&mut rest));
            let mut compared = Vec::from([(operator, right)]);
            while let Some((operator, strength)) = self.operator(COMPARISON) {
                compared.push((operator, self.binary(strength + 1)?));
            }
            first = Expression::Comparison(Box::new(left), compared);
        }
        self.nesting -= 1;
        Ok(chain(first, rest))
    }

    /// Goes one level deeper.
    fn deeper(&mut self) -> Result<(), TemplateError> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(Problem::Bound("expressions are nested too deep").at(self.line));
        }
        Ok(())
    }

    /// Takes the next operator if it binds at least as strongly as `weakest`.
    fn operator(&mut self, weakest: u8) -> Option<(Operator, u8)> {
        use Operator as O;
        let (operator, strength) = match self.words.peek()? {
            Word::Name(name) => match name.as_str() {
                "or" => (O::Or, WEAKEST),
                "and" => (O::And, 2),
                "in" => (O::In, COMPARISON),
                "not" => (O::NotIn, COMPARISON),
                _ => return None,
            },
            Word::Sign(sign) => match *sign {
                "==" => (O::Equal, COMPARISON),
                "!=" => (O::NotEqual, COMPARISON),
                "<" => (O::Less, COMPARISON),
                "<=" => (O::LessEqual, COMPARISON),
                ">" => (O::Greater, COMPARISON),
                ">=" => (O::GreaterEqual, COMPARISON),
                "+" => (O::Add, 4),
                "-" => (O::Subtract, 4),
                "~" => (O::Join, 5),
                "*" => (O::Multiply, 6),
                "/" => (O::Divide, 6),
                "//" => (O::FloorDivide, 6),
                "%" => (O::Remainder, 6),
                _ => return None,
            },
            _ => return None,
        };
        if strength < weakest {
            return None;
        }
        self.words.next();
        // Behind a value, `not` can only begin `not in`.
        if operator == O::NotIn && !self.take_name("in") {
            return None;
        }
        Some((operator, strength))
    }

    /// A value with its signs in front and all that follows it; without `filters`, up to a filter or a test.
    fn unary(&mut self, filters: bool) -> Result<Expression, TemplateError> {
        let negative = self.take_sign("-");
        let value = if negative || self.take_sign("+") {
            self.deeper()?;
            let value = Box::new(self.unary(false)?);
            self.nesting -= 1;
            Expression::Signed { negative, value }
        } else {
            self.primary()?
        };
        let mut steps = Vec::new();
        loop {
            steps.push(if self.take_sign(".") {
                self.attribute()?
            } else if self.take_sign("[") {
                self.index()?
            } else if self.take_sign("(") {
                Step::Call(self.arguments()?)
            } else if filters && self.take_sign("|") {
                let name = self.name("the name of a filter")?;
                let arguments = if self.take_sign("(") { self.arguments()? } else { Arguments::default() };
                Step::Filter(name, arguments)
            } else if filters && self.take_name("is") {
                self.test()?
            } else {
                return Ok(if steps.is_empty() {
                    value
                } else {
                    Expression::Postfix(Box::new(value), steps)
                });
            });
        }
    }

    /// Reads the attribute after `.`.
    fn attribute(&mut self) -> Result<Step, TemplateError> {
        match self.words.next_if(|word| matches!(word, Word::Integer(_))) {
            Some(Word::Integer(number)) => Ok(Step::Index(Expression::Literal(Literal::Integer(number)))),
            _ => Ok(Step::Attribute(self.name("the name of an attribute")?)),
        }
    }

    fn primary(&mut self) -> Result<Expression, TemplateError> {
        let Some(word) = self.words.next() else { return Err(self.unexpected("a value")) };
        Ok(match word {
            Word::Text(mut text) => {
                while let Some(Word::Text(more)) = self.words.next_if(|word| matches!(word, Word::Text(_))) {
                    text.push_str(&more);
                }
                Expression::Literal(Literal::Text(Arc::new(Text::inside(&text))))
            }
            Word::Integer(number) => Expression::Literal(Literal::Integer(number)),
            Word::Float(number) => Expression::Literal(Literal::Float(number)),
            Word::Name(name) => match name.as_str() {
                "true" | "True" => Expression::Literal(Literal::Bool(true)),
                "false" | "False" => Expression::Literal(Literal::Bool(false)),
                "none" | "None" => Expression::Literal(Literal::None),
                _ => Expression::Name(name),
            },
            Word::Sign("(") => {
                if self.take_sign(")") {
                    return Ok(Expression::List(Vec::new()));
                }
                let first = self.expression()?;
                if !self.take_sign(",") {
                    self.sign(")")?;
                    return Ok(first);
                }
                let mut all = self.list(")")?;
                all.insert(0, first);
                Expression::List(all)
            }
            Word::Sign("[") => Expression::List(self.list("]")?),
            Word::Sign("{") => Expression::Map(self.map()?),
            found => {
                return Err(Problem::Unexpected { found: found.show(), wanted: "a value" }.at(self.line));
            }
        })
    }

    fn list(&mut self, close: &'static str) -> Result<Vec<Expression>, TemplateError> {
        let mut values = Vec::new();
        while !self.take_sign(close) {
            values.push(self.expression()?);
            if !self.take_sign(",") {
                self.sign(close)?;
                break;
            }
        }
        Ok(values)
    }

    fn map(&mut self) -> Result<Vec<(Expression, Expression)>, TemplateError> {
        let mut entries = Vec::new();
        while !self.take_sign("}") {
            let key = self.expression()?;
            self.sign(":")?;
            entries.push((key, self.expression()?));
            if !self.take_sign(",") {
                self.sign("}")?;
                break;
            }
        }
        Ok(entries)
    }

    /// Reads the index or slice after `[`.
    fn index(&mut self) -> Result<Step, TemplateError> {
        let mut parts = [None, None, None];
        let mut part = 0;
        while !self.take_sign("]") {
            if self.take_sign(":") {
                part += 1;
            } else if let Some(place @ None) = parts.get_mut(part) {
                *place = Some(self.expression()?);
            } else {
                return Err(self.unexpected("]"));
            }
        }
        match (part, parts) {
            (0, [Some(index), ..]) => Ok(Step::Index(index)),
            (0, _) => Err(self.unexpected("an index")),
            (_, parts) => Ok(Step::Slice(parts)),
        }
    }

    /// Reads the arguments after `(` of a call.
    fn arguments(&mut self) -> Result<Arguments, TemplateError> {
        let mut arguments = Arguments::default();
        while !self.take_sign(")") {
            match self.expression()? {
                Expression::Name(name) if self.take_sign("=") => {
                    arguments.named.push((name, self.expression()?));
                }
                value => arguments.positional.push(value),
            }
            if !self.take_sign(",") {
                self.sign(")")?;
                break;
            }
        }
        Ok(arguments)
    }

    /// Reads the test after `is`.
    fn test(&mut self) -> Result<Step, TemplateError> {
        let negated = self.take_name("not");
        let name = self.name("the name of a test")?;
        let mut arguments = Arguments::default();
        if self.take_sign("(") {
            arguments = self.arguments()?;
        } else if self.begins_value() {
            arguments.positional.push(self.unary(false)?);
        }
        Ok(Step::Test { name, arguments, negated })
    }

    /// Whether the next word can only be the argument of a test.
    fn begins_value(&mut self) -> bool {
        match self.words.peek() {
            Some(Word::Name(name)) => {
                !matches!(name.as_str(), "and" | "or" | "not" | "if" | "else" | "is" | "in")
            }
            Some(Word::Text(_) | Word::Integer(_) | Word::Float(_)) => true,
            Some(Word::Sign(sign)) => matches!(*sign, "[" | "{"),
            None => false,
        }
    }
}

/// `first`, and operations on it and further ones.
fn chain(first: Expression, rest: Vec<(Operator, Expression)>) -> Expression {
    if rest.is_empty() { first } else { Expression::Chain(Box::new(first), rest) }
}
