//! The options of commands that make tokens: single letters with a value, in front of the text.

use alloc::string::String;
use alloc::vec::Vec;
use core::str::FromStr;

use embodios_engine::batch::{MOST_LIKELIEST, Request};
use embodios_kernels::Kernels;
use embodios_text::sample::Sampling;

use super::command::{ParseError, split_word};

/// Letters that a command which shows text takes, one that runs many requests, and one that shows token ids.
pub const TEXT_OPTIONS: &str = "ntkpmrsxlc";
pub const BATCH_OPTIONS: &str = "ntkpmrsxc";
pub const HASH_OPTIONS: &str = "ncvd";

/// Options of a text's continuation.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// At most this many tokens.
    pub tokens: usize,
    /// Sampling parameters.
    pub sampling: Sampling,
    /// Texts that the continuation ends before.
    pub stops: Vec<String>,
    /// Show each token with its probability and those of so many likeliest ones.
    pub probabilities: Option<usize>,
    /// Workers; `None` for one on every core.
    pub cores: Option<usize>,
    /// The kernels' variant; `None` for the one in use.
    pub kernels: Option<Kernels>,
    /// Tokens of the prompt that are taken at a time; `None` for all.
    pub piece: Option<usize>,
}

impl Options {
    /// Greedy, at most `tokens` tokens, on every core.
    pub const fn new(tokens: usize) -> Self {
        Self {
            tokens,
            sampling: Sampling::GREEDY,
            stops: Vec::new(),
            probabilities: None,
            cores: None,
            kernels: None,
            piece: None,
        }
    }

    /// The request that continues `prompt`, unless one of the tokens `end` comes up.
    pub fn request(&self, prompt: Vec<u32>, end: Vec<u32>) -> Request {
        let (limit, sampling, stops) = (self.tokens, self.sampling, self.stops.clone());
        let bias = Vec::new();
        Request { prompt, limit, end, sampling, bias, stops, log_probabilities: self.probabilities }
    }

    /// Reads options off the front of `rest`; the remainder is the text. `--` ends the options, for text
    /// that begins with a minus sign.
    ///
    /// # Errors
    /// [`ParseError`], which names the option at fault, or says that no text is left.
    pub fn parse<'l>(
        command: &'static str,
        allowed: &str,
        tokens: usize,
        mut rest: &'l str,
    ) -> Result<(Self, &'l str), ParseError> {
        let mut options = Self::new(tokens);
        let mut used = String::new();
        while rest.starts_with('-') {
            let (word, after) = split_word(rest);
            if word == "--" {
                options.check(&used)?;
                return if after.is_empty() {
                    Err(ParseError::NoText(command))
                } else {
                    Ok((options, after))
                };
            }
            let letter = word[1..].chars().next().filter(|&letter| allowed.contains(letter));
            let Some(letter) = letter else {
                return Err(ParseError::Option { command, option: word.into() });
            };
            if used.contains(letter) && letter != 'x' {
                return Err(ParseError::Twice(letter));
            }
            used.push(letter);
            let value = rest[1 + letter.len_utf8()..].trim_start();
            rest = match value.strip_prefix('"').filter(|_| letter == 'x') {
                Some(quoted) => {
                    let (stop, after) = quoted_text(quoted)?;
                    options.stops.push(stop);
                    after.trim_start()
                }
                None => {
                    let (value, after) = split_word(value);
                    options.set(letter, value)?;
                    after
                }
            };
        }
        options.check(&used)?;
        if rest.is_empty() {
            return Err(ParseError::NoText(command));
        }
        refuse_behind(allowed, rest)?;
        Ok((options, rest))
    }

    /// Refuses options that would do nothing: which token is likeliest depends on none of them.
    fn check(&self, used: &str) -> Result<(), ParseError> {
        let idle = used.chars().find(|&letter| "kpms".contains(letter) && self.sampling.temperature == 0.0);
        idle.map_or(Ok(()), |option| Err(ParseError::Idle(option)))
    }

    fn set(&mut self, option: char, value: &str) -> Result<(), ParseError> {
        let Self { sampling, .. } = self;
        match option {
            'n' => self.tokens = number(option, value, "a number of at least 1", |&n| n > 0)?,
            't' => {
                let fits = |n: &f32| (0.0..=100.0).contains(n);
                sampling.temperature = number(option, value, "a number from 0 to 100", fits)?;
            }
            'k' => sampling.top_k = number(option, value, "a whole number", |_| true)?,
            'p' => {
                let fits = |&n: &f32| n > 0.0 && n <= 1.0;
                sampling.top_p = number(option, value, "a number above 0, to 1", fits)?;
            }
            'm' => {
                let fits = |n: &f32| (0.0..=1.0).contains(n);
                sampling.min_p = number(option, value, "a number from 0 to 1", fits)?;
            }
            'r' => {
                let fits = |&n: &f32| n > 0.0 && n <= 100.0;
                sampling.repetition = number(option, value, "a number above 0, to 100", fits)?;
            }
            's' => sampling.seed = number(option, value, "a whole number", |_| true)?,
            'x' if value.is_empty() => {
                let (wanted, found) = ("a text", String::new());
                return Err(ParseError::Value { option, wanted, found });
            }
            'x' => self.stops.push(value.into()),
            'l' => {
                let count = number(option, value, "a number from 0 to 100", |&n| n <= MOST_LIKELIEST)?;
                self.probabilities = Some(count);
            }
            'v' => {
                let kernels = Kernels::named(value).map_err(|_| {
                    let wanted = "the name of kernels for this processor, with - for spaces";
                    ParseError::Value { option, wanted, found: value.into() }
                })?;
                self.kernels = Some(kernels);
            }
            'd' => self.piece = Some(number(option, value, "a number of at least 1", |&n| n > 0)?),
            _ => self.cores = Some(number(option, value, "a number of at least 1", |&n| n > 0)?),
        }
        Ok(())
    }
}

/// Refuses a text with a word that would be an option in front of it.
fn refuse_behind(allowed: &str, text: &str) -> Result<(), ParseError> {
    let is_option = |word: &&str| {
        let mut letters = word.strip_prefix('-').unwrap_or_default().chars();
        let known = letters.next().is_some_and(|letter| allowed.contains(letter));
        known && letters.as_str().chars().all(|rest| rest.is_ascii_digit() || rest == '.')
    };
    match text.split_whitespace().find(is_option) {
        Some(word) => Err(ParseError::Behind(word.into())),
        None => Ok(()),
    }
}

/// The text up to the next quotation mark, and what follows that.
pub fn quoted_text(text: &str) -> Result<(String, &str), ParseError> {
    let mut content = String::new();
    let mut chars = text.chars();
    while let Some(character) = chars.next() {
        match character {
            '"' => return Ok((content, chars.as_str())),
            '\\' => match chars.next() {
                Some('n') => content.push('\n'),
                Some('t') => content.push('\t'),
                Some(other) => content.push(other),
                None => break,
            },
            other => content.push(other),
        }
    }
    Err(ParseError::Value {
        option: 'x',
        wanted: "a text that ends with a quotation mark",
        found: text.into(),
    })
}

/// The value of an option as a number that fits.
///
/// # Errors
/// [`ParseError::Value`].
pub fn number<T: FromStr>(
    option: char,
    value: &str,
    wanted: &'static str,
    fits: impl FnOnce(&T) -> bool,
) -> Result<T, ParseError> {
    match value.parse() {
        Ok(number) if fits(&number) => Ok(number),
        Err(_) if is_number(value) => Err(ParseError::TooLarge(value.into())),
        _ => Err(ParseError::Value { option, wanted, found: value.into() }),
    }
}

/// Whether `word` is a whole number, whatever its size.
pub fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    fn parse(rest: &str) -> Result<(Options, &str), String> {
        Options::parse("chat", TEXT_OPTIONS, 9, rest).map_err(|error| error.to_string())
    }

    #[test]
    fn options_stand_in_front() {
        let sampling = Sampling {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repetition: 1.1,
            seed: 7,
            ..Sampling::GREEDY
        };
        let options = Options { tokens: 5, sampling, cores: Some(2), ..Options::new(0) };
        assert_eq!(parse("-n 5 -t0.8 -k 40 -p .95 -m .05 -r1.1 -s 7 -c 2 -- -hi"), Ok((options, "-hi")));
        assert_eq!(parse("Once  upon - a -- time"), Ok((Options::new(9), "Once  upon - a -- time")));
        assert_eq!(parse("-- Once  upon -n 3"), Ok((Options::new(9), "Once  upon -n 3")));
        assert_eq!(parse("a -nice -z -5 -N 3"), Ok((Options::new(9), "a -nice -z -5 -N 3")));
    }

    #[test]
    fn options_behind_the_text_are_no_text() {
        for (rest, word) in
            [("Once upon -n 3", "-n"), ("a -t0.8", "-t0.8"), ("a -x", "-x"), ("-n 3 a -c 2 b", "-c")]
        {
            let error = parse(rest).unwrap_err();
            assert_eq!(
                error,
                format!(
                    "{word:?} stands behind the text; options go in front of it, and -- before a text with such words"
                )
            );
        }
    }

    #[test]
    fn options_that_would_do_nothing_are_refused() {
        for rest in ["-s 7 a", "-k 40 a", "-p .9 a", "-m .1 -- a", "-t 0 -s 7 a"] {
            assert!(
                parse(rest).unwrap_err().ends_with(" does nothing without -t: the likeliest token is taken"),
                "{rest}"
            );
        }
    }

    #[test]
    fn stop_texts_may_be_quoted() {
        let (options, text) = parse(r#"-x STOP -x"a \"b\"\n" -x ". " -l 3 -- "x""#).unwrap();
        assert_eq!(options.stops, ["STOP", "a \"b\"\n", ". "]);
        assert_eq!((options.probabilities, text), (Some(3), "\"x\""));
    }

    #[test]
    fn a_hash_may_be_of_any_variant_and_division() {
        let parse = |rest| Options::parse("hash", HASH_OPTIONS, 9, rest).map_err(|error| error.to_string());
        let (options, text) = parse("-v portable -d 3 -c 2 x").unwrap();
        assert_eq!(
            (options.kernels, options.piece, options.cores),
            (Some(Kernels::PORTABLE), Some(3), Some(2))
        );
        assert_eq!(text, "x");
        assert!(parse("-v abacus x").unwrap_err().contains("found \"abacus\""));
        assert!(parse("-d 0 x").is_err());
    }

    #[test]
    fn errors_name_the_option() {
        for (rest, error) in [
            ("-n 3 ", "chat: no text given"),
            ("-n 0 x", "-n wants a number of at least 1, found \"0\""),
            ("-n 99999999999999999999 x", "99999999999999999999 is too large a number"),
            ("-n", "-n wants a number of at least 1, found \"\""),
            ("-t NaN x", "-t wants a number from 0 to 100, found \"NaN\""),
            ("-m 1.5 x", "-m wants a number from 0 to 1, found \"1.5\""),
            ("-r 0 x", "-r wants a number above 0, to 100, found \"0\""),
            ("-x", "-x wants a text, found \"\""),
            ("-x \"abc", "-x wants a text that ends with a quotation mark, found \"abc\""),
            ("- x", "chat has no option \"-\""),
            ("-ü x", "chat has no option \"-ü\""),
        ] {
            assert_eq!(parse(rest).unwrap_err(), error);
        }
    }
}
