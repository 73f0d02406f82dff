//! Layers inside the engine: the modules of `inference/engine`, each using none but those above it in the list.

/// Modules, and those that each may use.
const MODULES: [(&str, &[&str]); 9] = [
    ("prompt", &[]),
    ("logits_hash", &[]),
    ("model", &[]),
    ("rope", &["model"]),
    ("cache", &["model"]),
    ("forward", &["cache", "model", "rope"]),
    ("evaluate", &["cache", "forward", "model", "prompt"]),
    ("batch", &["cache", "forward", "logits_hash", "model", "prompt"]),
    ("json", &["batch", "cache", "evaluate", "model", "prompt"]),
];

/// Directory of the modules.
const ENGINE: &str = "inference/engine/src/";

/// Broken rules of a source file; none of a file outside the engine.
pub fn faults(name: &str, text: &str) -> Vec<String> {
    let Some(module) = name.strip_prefix(ENGINE).and_then(|rest| rest.split(['/', '.']).next()) else {
        return Vec::new();
    };
    if module == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = MODULES.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{name}: module {module} is not in the list of the engine's modules")];
    };
    let code = text.lines().map(|line| line.split("//").next().unwrap_or(line));
    let used = code.flat_map(|line| line.split("crate::").skip(1)).map(first_word);
    used.filter(|used| *used != module && !allowed.contains(used))
        .map(|used| format!("{name}: module {module} must not use {used}"))
        .collect()
}

fn first_word(text: &str) -> &str {
    text.split(|character: char| !character.is_alphanumeric() && character != '_').next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_uses_none_but_those_above_it() {
        for (index, (module, allowed)) in MODULES.iter().enumerate() {
            let above = &MODULES[..index];
            assert!(
                allowed.iter().all(|used| above.iter().any(|(name, _)| name == used)),
                "{module} uses one below it"
            );
        }
    }

    #[test]
    fn a_use_upwards_is_found() {
        let name = "inference/engine/src/cache/blocks.rs";
        assert!(faults(name, "use crate::model::Model; // as crate::batch\n").is_empty());
        assert_eq!(
            faults(name, "use crate::batch::Batch;\n"),
            [format!("{name}: module cache must not use batch")]
        );
        assert_eq!(faults("inference/engine/src/new.rs", "").len(), 1);
        assert!(faults("inference/engine/src/lib.rs", "").is_empty());
        assert!(faults("inference/text/src/chat.rs", "use crate::sample;\n").is_empty());
    }
}
