//! The files that firmware's modules are made of.
//!
//! Some firmware loads one module only, so a module may hold several files, each of which begins on a page of its own.
//! The command line names them in their order, with a size where another file follows: `module=a.gguf,1234
//! module=b.jsonl`.

use embodios_abi::command_line::{Word, words};
use embodios_arch::paging::PAGE;
use embodios_arch::{PhysAddr, PhysRange};

use crate::board::Module;

/// The word that names a file.
const MODULE: &str = "module";

/// Name of a file without one.
const NAMELESS: &str = "module";

/// The files that a command line names, given out as modules are cut into them.
pub struct Files<W> {
    words: W,
}

/// Those of `command_line`.
pub fn files(command_line: &str) -> Files<impl Iterator<Item = Word<'_>>> {
    Files { words: words(command_line) }
}

impl<'l, W: Iterator<Item = Word<'l>>> Files<W> {
    /// The files of the module that lies at `range`: each next one by name, until one takes the rest.
    pub fn of(&mut self, range: PhysRange) -> impl Iterator<Item = Module<'l>> {
        let mut left = range;
        core::iter::from_fn(move || {
            if left.length() == 0 {
                return None;
            }
            let (name, size) = self.next().unwrap_or((NAMELESS, None));
            let whole = left;
            let size = size.filter(|&size| size < whole.length()).unwrap_or(whole.length());
            let next = whole.start.0.saturating_add(size).checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
            left.start = PhysAddr(next.min(whole.end.0));
            Some(Module { name, range: PhysRange::new(whole.start.0, size), padded: false })
        })
    }

    /// The next name, without its directory, and its size if it has one.
    fn next(&mut self) -> Option<(&'l str, Option<u64>)> {
        let value = self.words.find_map(|word| word.value.filter(|_| word.name == MODULE))?;
        let sized = value.rsplit_once(',').and_then(|(path, size)| Some((path, size.parse().ok()?)));
        let (path, size) = sized.map_or((value, None), |(path, size)| (path, Some(size)));
        let name = path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(NAMELESS);
        Some((name, size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn named(line: &'static str, range: PhysRange) -> Vec<(&'static str, u64, u64)> {
        let file = |module: Module<'static>| (module.name, module.range.start.0, module.range.length());
        files(line).of(range).map(file).collect()
    }

    #[test]
    fn one_name_takes_the_whole_module() {
        let range = PhysRange::new(0x1000, 10_000);
        assert_eq!(named("log=info module=/models/a.gguf exec=x", range), [("a.gguf", 0x1000, 10_000)]);
        for line in ["", "log=debug", "module=", "module=models/", "exec=module=a"] {
            assert_eq!(named(line, range), [("module", 0x1000, 10_000)], "{line}");
        }
    }

    #[test]
    fn sizes_cut_it_at_pages() {
        let range = PhysRange::new(0x1000, 3 * PAGE + 5);
        let line = "module=a.gguf,5000 x=1 module=b.jsonl,4096 module=c";
        assert_eq!(
            named(line, range),
            [("a.gguf", 0x1000, 5000), ("b.jsonl", 0x3000, 4096), ("c", 0x4000, 5)]
        );
        // Bytes without a name are not lost, and no size reaches past the end.
        assert_eq!(named("module=a,1", range), [("a", 0x1000, 1), ("module", 0x2000, 2 * PAGE + 5)]);
        for size in ["module=a,99999999", "module=a,18446744073709551615", "module=a,12293"] {
            assert_eq!(named(size, range), [("a", 0x1000, 3 * PAGE + 5)]);
        }
        assert_eq!(named("module=a", PhysRange::new(0x1000, 0)), []);
    }

    #[test]
    fn modules_that_firmware_keeps_apart_have_a_name_each() {
        let mut files = files("module=a module=b");
        let range = PhysRange::new(0, 10);
        let names: Vec<&str> =
            [range; 3].map(|range| files.of(range).next().map_or("", |module| module.name)).into();
        assert_eq!(names, ["a", "b", "module"]);
    }
}
