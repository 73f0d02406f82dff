//! Parser of the console's output: JSON objects, a line each, and the two lists of kernels in its prose.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A line of the console's `hash --json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Hash {
    /// Name of the kernels.
    pub kernels: String,
    /// Hash of all logits.
    pub logits_hash: String,
}

/// The JSON objects that are lines of `output`.
///
/// # Errors
/// When one has other fields.
pub fn objects<T: DeserializeOwned>(output: &str) -> Result<Vec<T>> {
    let lines = output.lines().map(str::trim_end).filter(|line| line.starts_with('{'));
    let object = |line| {
        serde_json::from_str(line).with_context(|| format!("unexpected JSON from the console: {line}"))
    };
    lines.map(object).collect()
}

/// The first JSON object that is a line of `output`.
///
/// # Errors
/// When there is none, or one has other fields.
pub fn object<T: DeserializeOwned>(output: &str) -> Result<T> {
    objects(output)?.into_iter().next().with_context(|| format!("no JSON from the console in\n{output}"))
}

/// Kernels in the banner's line `model ..., NAME kernels`.
pub fn kernels_in(output: &str) -> Option<&str> {
    let mut lines = output.lines().map(str::trim_end);
    let line = lines.find_map(|line| line.strip_prefix("model ")?.strip_suffix(" kernels"))?;
    Some(line.rsplit_once(", ")?.1)
}

/// Kernels in `model`'s line `kernels for this processor: A, B`, as the console's options take them.
///
/// # Errors
/// When there is no such line.
pub fn all_kernels(output: &str) -> Result<Vec<String>> {
    let line = output.lines().find_map(|line| line.trim_end().strip_prefix("kernels for this processor: "));
    let names = line.with_context(|| format!("no line `kernels for this processor` in\n{output}"))?;
    Ok(names.split(", ").map(|name| name.replace(' ', "-")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn objects_are_lines_of_their_own() {
        let output = "> bench\r\n{\"a\":1}\r\n[2 tokens]\r\n{\"a\":2}\r\n";
        let all: Vec<BTreeMap<String, u32>> = objects(output).expect("two objects");
        assert_eq!((all[0]["a"], all[1]["a"], all.len()), (1, 2, 2));
        assert_eq!(object::<BTreeMap<String, u32>>(output).expect("an object")["a"], 1);
        let missing = object::<serde_json::Value>("error: no model").expect_err("none").to_string();
        assert!(missing.contains("no model"), "{missing}");
        let other = objects::<Hash>(output).expect_err("other fields").to_string();
        assert!(other.contains("{\"a\":1}"), "{other}");
    }

    #[test]
    fn kernels_have_their_names_in_prose() {
        let output = "model a.gguf: llama, 1.3 M parameters, context 256, 64-bit SWAR kernels\r\n\
            kernels for this processor: AVX-512 VNNI, portable\r\n";
        assert_eq!(kernels_in(output), Some("64-bit SWAR"));
        assert_eq!(all_kernels(output).expect("a line"), ["AVX-512-VNNI", "portable"]);
        assert!(kernels_in("model").is_none() && all_kernels("model").is_err());
    }
}
