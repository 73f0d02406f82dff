//! Files that are there from the start. A file's kind follows from its content, whatever it is called.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// First bytes of a model's file.
const GGUF: &[u8] = b"GGUF";

/// Bytes at the start of a file in which a zero says that it is no text.
const LOOK: usize = 8192;

/// A file that is there from the start.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// Its name, without directory.
    pub name: &'static str,
    /// Its contents.
    pub bytes: &'static [u8],
}

/// Kind of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A model.
    Model,
    /// JSON lines or commands.
    Text,
    /// Nothing that the engine reads.
    Unknown,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Model => "a model (GGUF)",
            Self::Text => "text",
            Self::Unknown => "neither a model (GGUF) nor text",
        })
    }
}

impl Module {
    /// Its kind, by its first bytes.
    pub fn content(&self) -> Content {
        let start = &self.bytes[..self.bytes.len().min(LOOK)];
        match start {
            _ if start.starts_with(GGUF) => Content::Model,
            _ if start.contains(&0) => Content::Unknown,
            _ => Content::Text,
        }
    }
}

/// Reason that a module does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleError {
    /// No module has the name.
    Missing {
        /// The name.
        wanted: String,
        /// Those that there are.
        names: String,
    },
    /// It is of another kind than the one wanted.
    Other {
        /// Its name.
        name: String,
        /// Its kind.
        content: Content,
        /// The kind wanted.
        wanted: &'static str,
    },
}

impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { wanted, names } => {
                write!(f, "no module is called {wanted:?}; there are: {names}")
            }
            Self::Other { name, content, wanted } => write!(f, "{name} is {content}, not {wanted}"),
        }
    }
}

/// The module called `name`.
///
/// # Errors
/// [`ModuleError::Missing`].
pub fn named<'m>(modules: &'m [Module], name: &str) -> Result<&'m Module, ModuleError> {
    modules
        .iter()
        .find(|module| module.name == name)
        .ok_or_else(|| ModuleError::Missing { wanted: name.into(), names: names(modules) })
}

/// The bytes of the module called `name`, which is wanted as text of a kind.
///
/// # Errors
/// [`ModuleError`].
pub fn text<'m>(modules: &'m [Module], name: &str, wanted: &'static str) -> Result<&'m [u8], ModuleError> {
    let module = named(modules, name)?;
    match module.content() {
        Content::Text => Ok(module.bytes),
        content => Err(ModuleError::Other { name: name.into(), content, wanted }),
    }
}

/// The names of `modules`, for people.
pub fn names<'m>(modules: impl IntoIterator<Item = &'m Module>) -> String {
    modules.into_iter().map(|module| module.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn content_decides_not_the_name() {
        let content = |name, bytes| Module { name, bytes }.content();
        assert_eq!(content("a.jsonl", b"GGUF\x03\0\0\0"), Content::Model);
        assert_eq!(content("a.gguf", b"{}"), Content::Text);
        assert_eq!(content("a.txt", b"\x89PNG\0"), Content::Unknown);
        let modules = [Module { name: "a.jsonl", bytes: b"GGUF" }, Module { name: "b", bytes: b"\0" }];
        let error = |name| text(&modules, name, "JSON lines").unwrap_err().to_string();
        assert_eq!(error("a.jsonl"), "a.jsonl is a model (GGUF), not JSON lines");
        assert_eq!(error("b"), "b is neither a model (GGUF) nor text, not JSON lines");
        assert_eq!(error("c"), "no module is called \"c\"; there are: a.jsonl, b");
    }
}
