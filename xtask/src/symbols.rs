//! Symbolised backtraces: the guest prints addresses, this module adds function, file and line.
//!
//! Kernel and engine end a backtrace line with two spaces, `at 0x` and 16 hexadecimal digits. The first line
//! of a backtrace is the program counter. The lines directly below are return addresses: each stands for the call
//! before it, since another function may begin after a call that never returns.

use addr2line::Loader;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use crate::build::Built;

/// Maximum length of a buffered line: no backtrace line is longer.
const LONGEST_LINE: usize = 512;

/// Symbols of a guest's two programs.
pub struct Symbols {
    kernel: Program,
    engine: Program,
    /// Prefix removed from source paths.
    root: String,
}

impl Symbols {
    /// Symbols of a build, loaded on first use.
    pub fn new(built: &Built, root: &Path) -> Self {
        let root = format!("{}/", root.display());
        Self {
            kernel: Program::NotLoaded(built.kernel.clone()),
            engine: Program::NotLoaded(built.engine.clone()),
            root,
        }
    }

    /// Describes an address as `function (file:line)`, with the function it is inlined into; `None` for an unknown
    /// address.
    pub fn describe(&mut self, address: u64) -> Option<String> {
        let program =
            if address < embodios_abi::layout::ENGINE_START { &mut self.kernel } else { &mut self.engine };
        describe(program.loader()?, address, &self.root)
    }
}

enum Program {
    NotLoaded(PathBuf),
    Loaded(Box<Loader>),
    /// Symbols that cannot be read; reported once, and backtraces stay without names.
    Unreadable,
}

impl Program {
    fn loader(&mut self) -> Option<&Loader> {
        if let Self::NotLoaded(path) = self {
            *self = match Loader::new(&*path) {
                Ok(loader) => Self::Loaded(Box::new(loader)),
                Err(error) => {
                    eprintln!("xtask: no symbols from {}: {error}\r", path.display());
                    Self::Unreadable
                }
            };
        }
        if let Self::Loaded(loader) = self { Some(loader) } else { None }
    }
}

fn describe(loader: &Loader, address: u64, root: &str) -> Option<String> {
    let symbol =
        || loader.find_symbol(address).map(|name| addr2line::demangle_auto(name.into(), None).into_owned());
    let mut names = Vec::new();
    if let Ok(mut frames) = loader.find_frames(address) {
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.and_then(|function| function.demangle().ok().map(Cow::into_owned));
            let Some(name) = name.or_else(symbol) else { continue };
            let mut text = without_generics(&name);
            if let Some((file, line)) = frame.location.and_then(|at| at.file.zip(at.line)) {
                let _ = write!(text, " ({}:{line})", shorten(file, root));
            }
            names.push(text);
        }
    }
    match names.as_slice() {
        [] => symbol().map(|name| without_generics(&name)),
        [only] => Some(only.clone()),
        // Of inlined functions, those between the innermost and the real one are seldom of interest.
        [inner, .., real] => Some(format!("{inner}, in {real}")),
    }
}

/// Removes generics: `Vec<T>::push::<U>` becomes `Vec::push`; a type in front, such as `<T as Trait>::method`, stays.
fn without_generics(name: &str) -> String {
    let mut short = String::new();
    let mut depth = 0;
    let mut before = ' ';
    for character in name.chars() {
        match character {
            '<' if depth > 0 || before.is_alphanumeric() || before == ':' => depth += 1,
            '>' if depth > 0 && before != '-' => depth -= 1,
            _ if depth > 0 => {}
            _ => short.push(character),
        }
        before = character;
    }
    short.trim_end_matches("::").replace("::::", "::")
}

/// Shortens a source path: relative to the workspace, to Rust's own sources or to a package.
fn shorten<'a>(file: &'a str, root: &str) -> &'a str {
    if let Some(rest) = file.strip_prefix(root) {
        return rest;
    }
    // The standard library is built in `/rustc/<commit>/library`; cargo unpacks packages into
    // `registry/src/<index>/<package>`.
    let inside =
        file.strip_prefix("/rustc/").or_else(|| file.split_once("/registry/src/").map(|parts| parts.1));
    inside.and_then(|rest| rest.split_once('/')).map_or(file, |parts| parts.1)
}

/// Filter of a guest's output that completes its backtrace lines.
pub struct Annotator<F> {
    line: Vec<u8>,
    in_backtrace: bool,
    describe: F,
}

impl<F: FnMut(u64) -> Option<String>> Annotator<F> {
    /// Creates a filter with a function from addresses to names.
    pub const fn new(describe: F) -> Self {
        Self { line: Vec::new(), in_backtrace: false, describe }
    }

    /// Passes `bytes` on to `out`, with names added before the end of each backtrace line.
    ///
    /// # Errors
    /// Errors of `out`.
    pub fn pass(&mut self, bytes: &[u8], out: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut passed = 0;
        for (index, &byte) in bytes.iter().enumerate() {
            if byte == b'\r' || byte == b'\n' {
                if let Some(name) = self.name_line() {
                    out(&bytes[passed..index])?;
                    out(format!(" {name}").as_bytes())?;
                    passed = index;
                }
            } else if self.line.len() < LONGEST_LINE {
                self.line.push(byte);
            }
        }
        if passed < bytes.len() { out(&bytes[passed..]) } else { Ok(()) }
    }

    /// Ends a line and returns the name for its address, if any.
    fn name_line(&mut self) -> Option<String> {
        if self.line.is_empty() {
            // Between the two bytes of a line's end.
            return None;
        }
        let address = address_at_end(&self.line);
        let is_return = std::mem::replace(&mut self.in_backtrace, address.is_some());
        self.line.clear();
        (self.describe)(address?.saturating_sub(u64::from(is_return)))
    }
}

/// The address at the end of a backtrace line.
fn address_at_end(line: &[u8]) -> Option<u64> {
    let (front, digits) = line.split_at_checked(line.len().checked_sub(16)?)?;
    if !front.ends_with(b"  at 0x") || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotate(chunks: &[&str]) -> String {
        let mut annotator =
            Annotator::new(|address| (address == 0x20_1234).then(|| "main (a.rs:7)".to_owned()));
        let mut seen = Vec::new();
        for chunk in chunks {
            let mut out = |bytes: &[u8]| {
                seen.extend_from_slice(bytes);
                Ok(())
            };
            annotator.pass(chunk.as_bytes(), &mut out).expect("a vector takes everything");
        }
        String::from_utf8(seen).expect("text stays text")
    }

    #[test]
    fn backtrace_lines_get_names() {
        let line = "[1]   at 0x0000000000201234";
        assert_eq!(annotate(&[line, "\r\nnext\r\n"]), format!("{line} main (a.rs:7)\r\nnext\r\n"));
        assert_eq!(
            annotate(&["x\n  at 0x00000000", "00201234", "\n> "]),
            "x\n  at 0x0000000000201234 main (a.rs:7)\n> "
        );
    }

    #[test]
    fn below_the_first_line_the_call_is_meant() {
        let lines = "  at 0x0000000000201234\r\n  at 0x0000000000201235\r\n  at 0x0000000000201234\r\n";
        let named = "  at 0x0000000000201234 main (a.rs:7)\r\n  at 0x0000000000201235 main (a.rs:7)\r\n  \
                     at 0x0000000000201234\r\n";
        assert_eq!(annotate(&[lines, "between\r\n", lines]), format!("{named}between\r\n{named}"));
    }

    #[test]
    fn everything_else_is_unchanged() {
        for text in [
            "prompt> ",
            "  at 0x0000000000201235\n",
            "at 0x0000000000201234\n",
            "  at 0x00000000002012\n",
            "  at 0x0000000000201234 and more\n",
            "\r\n\r\n",
            "  at 0x000000000020123g\n",
            "é\n",
        ] {
            assert_eq!(annotate(&[text]), text);
        }
        let long = format!("{}  at 0x0000000000201234\n", "x".repeat(2 * LONGEST_LINE));
        assert_eq!(annotate(&[&long]), long);
    }

    #[test]
    fn partial_lines_pass_at_once() {
        let mut annotator = Annotator::new(|_| None);
        let mut seen = Vec::new();
        annotator
            .pass(b"embodios> ", &mut |bytes| {
                seen.extend_from_slice(bytes);
                Ok(())
            })
            .expect("a vector takes everything");
        assert_eq!(seen, b"embodios> ");
    }

    #[test]
    fn names_are_shortened() {
        for (name, short) in [
            ("core::ptr::read", "core::ptr::read"),
            ("alloc::vec::Vec<T,A>::push", "alloc::vec::Vec::push"),
            ("collect::<alloc::vec::Vec<u8>>", "collect"),
            ("map::<fn(u8) -> Vec<u8>>::call", "map::call"),
            ("<core::fmt::Arguments<'_> as Display>::fmt", "<core::fmt::Arguments as Display>::fmt"),
            ("main::{{closure}}", "main::{{closure}}"),
        ] {
            assert_eq!(without_generics(name), short);
        }
    }

    #[test]
    fn source_paths_are_shortened() {
        assert_eq!(shorten("/rustc/0123abcd/library/core/src/lib.rs", "/x/"), "library/core/src/lib.rs");
        assert_eq!(shorten("/x/kernel/src/lib.rs", "/x/"), "kernel/src/lib.rs");
        assert_eq!(
            shorten("/home/registry/src/index-0a/spin-0.12.0/src/lib.rs", "/x/"),
            "spin-0.12.0/src/lib.rs"
        );
        assert_eq!(shorten("/y/lib.rs", "/x/"), "/y/lib.rs");
    }
}
