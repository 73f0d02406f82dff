//! The story model with a chat template, which its own file has none of.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::PathBuf;

use crate::arch::Arch;
use crate::model::Model;
use crate::test::scenario;
use crate::workspace::Workspace;

/// The name by which it is served.
pub const NAME: &str = "story-chat";

/// A template of turns in plain words: the story model has no marks for turns.
const TEMPLATE: &str = "{% for message in messages %}{{ message.role }}: {{ message.content | trim }}\n{% endfor %}\
    {% if add_generation_prompt %}assistant: {% endif %}";
const KEY: &str = "tokenizer.chat_template";
/// GGUF's number for a string.
const STRING: u32 = 8;
/// Bytes of magic, version and number of tensors, which the number of keys follows; then the keys.
const COUNT: usize = 16;
const KEYS: usize = 24;
/// Tensors keep their places relative to it.
const ALIGNMENT: usize = 32;

/// Writes the file for a boot.
///
/// # Errors
/// When the story model cannot be read, or the file not written.
pub fn write(workspace: &Workspace, arch: Arch) -> Result<(Model, PathBuf)> {
    let story = fs::read(workspace.story_model()).context("cannot read the story model")?;
    let path = scenario::file(workspace, arch, &format!("{NAME}.gguf"), &with_template(&story)?)?;
    Ok((Model::File(path.clone()), path))
}

/// The file with another key in front of its own. The key has as many bytes as leave all tensors where they are.
fn with_template(file: &[u8]) -> Result<Vec<u8>> {
    ensure!(file.starts_with(b"GGUF") && file.len() > KEYS, "the story model is no GGUF file");
    let (head, keys) = file.split_at(KEYS);
    let count = u64::from_le_bytes(head[COUNT..].try_into().context("eight bytes")?);
    let bytes = 8 + KEY.len() + 4 + 8 + TEMPLATE.len();
    // Blanks inside a tag are no text.
    let blanks = " ".repeat(bytes.next_multiple_of(ALIGNMENT) - bytes);
    let template = TEMPLATE.replacen("{% for", &format!("{{%{blanks} for"), 1);
    let mut with = head[..COUNT].to_vec();
    with.extend((count + 1).to_le_bytes());
    with.extend((KEY.len() as u64).to_le_bytes());
    with.extend(KEY.as_bytes());
    with.extend(STRING.to_le_bytes());
    with.extend((template.len() as u64).to_le_bytes());
    with.extend(template.as_bytes());
    with.extend(keys);
    Ok(with)
}

#[cfg(test)]
mod tests {
    use super::*;
    use embodios_gguf::Gguf;

    #[test]
    fn the_file_has_a_template_and_is_the_same_otherwise() {
        let story = Workspace::find().expect("the tests run in it").story_model();
        let story = fs::read(story).expect("the story model");
        let with = with_template(&story).expect("a GGUF file");
        assert_eq!((with.len() - story.len()) % ALIGNMENT, 0);
        let (story, with) = (Gguf::parse(&story).expect("whole"), Gguf::parse(&with).expect("whole"));
        let template: &str = with.required(KEY).expect("a template");
        assert!(template.starts_with("{%") && template.ends_with("{% endif %}"));
        assert_eq!(with.entries().count(), story.entries().count() + 1);
        let bytes =
            |file: &Gguf<'_>| -> Vec<Vec<u8>> { file.tensors().map(|one| one.data.to_vec()).collect() };
        assert_eq!(bytes(&with), bytes(&story));
    }
}
