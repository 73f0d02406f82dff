//! Words of the kernel's command line: how the line is divided, and every word with its reader.
//!
//! Words are separated by white space. `exec=` takes the rest of the line.

/// Most modules of a boot, the built-in model among them.
pub const MAX_MODULES: usize = 8;

/// Name of the built-in model's module.
pub const BUILT_IN_MODEL: &str = "tinystory-1.3M-q8_0.gguf";

/// The word that allows what an engine may not do otherwise: a list of [`ALLOW_POWER`] and [`ALLOW_TESTS`].
pub const ALLOW: &str = "allow";
/// In the list of [`ALLOW`]: [`crate::Call::Power`].
pub const ALLOW_POWER: &str = "power";
/// In the list of [`ALLOW`]: [`crate::Call::SelfTest`] and [`crate::Call::TestHook`].
pub const ALLOW_TESTS: &str = "tests";

/// The word that names a virtio-mmio device, as Linux has it: `SIZE@ADDRESS:LINE[:ID]`.
pub const VIRTIO_MMIO: &str = "virtio_mmio.device";

/// The word that takes the rest of the line.
const REST: &str = "exec";

/// The reader of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The kernel.
    Kernel,
    /// The engine's console.
    Engine,
    /// Both.
    Both,
}

/// Every word, by its name, with its reader.
pub const WORDS: [(&str, Reader); 20] = [
    (ALLOW, Reader::Kernel),
    ("log", Reader::Kernel),
    ("hook.absent", Reader::Kernel),
    ("module", Reader::Kernel),
    (VIRTIO_MMIO, Reader::Kernel),
    ("housekeeping", Reader::Both),
    ("model", Reader::Engine),
    ("kernels", Reader::Engine),
    ("spin", Reader::Engine),
    ("workers", Reader::Engine),
    ("ip", Reader::Engine),
    ("port", Reader::Engine),
    ("api-key", Reader::Engine),
    ("time", Reader::Engine),
    ("quiet", Reader::Engine),
    ("terminal", Reader::Engine),
    ("flow-control", Reader::Engine),
    ("keep-going", Reader::Engine),
    ("script", Reader::Engine),
    (REST, Reader::Engine),
];

/// A word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'l> {
    /// All of it.
    pub text: &'l str,
    /// The part before the first `=`.
    pub name: &'l str,
    /// The part after it, where there is one.
    pub value: Option<&'l str>,
}

impl<'l> Word<'l> {
    fn new(text: &'l str) -> Self {
        match text.split_once('=') {
            Some((name, value)) => Self { text, name, value: Some(value) },
            None => Self { text, name: text, value: None },
        }
    }

    /// Its reader; `None` for an unknown word.
    #[must_use]
    pub fn reader(&self) -> Option<Reader> {
        WORDS.iter().find(|(name, _)| *name == self.name).map(|&(_, reader)| reader)
    }
}

/// The words of `line`, in their order.
pub fn words(line: &str) -> impl Iterator<Item = Word<'_>> {
    let mut rest = line;
    core::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return None;
        }
        let end = rest.bytes().position(|byte| byte.is_ascii_whitespace()).unwrap_or(rest.len());
        let mut word = Word::new(&rest[..end]);
        if let (REST, Some(_)) = (word.name, word.value) {
            word = Word { text: rest, name: word.name, value: Some(&rest[word.name.len() + 1..]) };
        }
        rest = &rest[word.text.len()..];
        Some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_takes_the_rest() {
        let line = "  log=debug quiet\tmodule=a=b,5 exec=cpus; generate log=x  ";
        let mut words = words(line).map(|word| (word.name, word.value));
        assert_eq!(words.next(), Some(("log", Some("debug"))));
        assert_eq!(words.next(), Some(("quiet", None)));
        assert_eq!(words.next(), Some(("module", Some("a=b,5"))));
        assert_eq!(words.next(), Some(("exec", Some("cpus; generate log=x  "))));
        assert_eq!(words.next(), None);
        assert_eq!(super::words(" ").next(), None);
    }

    #[test]
    fn unknown_words_have_no_reader() {
        let reader = |word| words(word).next().and_then(|word| word.reader());
        assert_eq!(reader("log=info"), Some(Reader::Kernel));
        assert_eq!(reader("exec=x"), Some(Reader::Engine));
        for unknown in ["lgo=info", "log2", "=x", "moduIe=a"] {
            assert_eq!(reader(unknown), None, "{unknown}");
        }
    }
}
