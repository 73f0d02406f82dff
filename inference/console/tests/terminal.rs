//! Text of a model's file reaches the terminal without commands to it, whichever way it takes.

#[path = "common/scripted.rs"]
mod scripted;

use embodios_console::Module;
use embodios_fixtures::STORY;

use scripted::{Session, session};

/// Characters that a terminal obeys, but line feed.
fn commands(text: &str) -> Vec<char> {
    text.chars().filter(|&c| c.is_control() && c != '\n' || matches!(c, '\u{202a}'..='\u{202e}')).collect()
}

fn replaced(file: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let at = file.windows(from.len()).position(|window| window == from).expect("it is in the file");
    file[at..at + to.len()].copy_from_slice(to);
}

/// The story model with a name, a token and a template that command the terminal.
fn commanding() -> Vec<u8> {
    let mut file = STORY.to_vec();
    replaced(&mut file, b"tinystory-1.3M", b"a\x1b]52\x07\n> power");
    // The spelling of a space and ESC, in front of what stays of a name.
    replaced(&mut file, "\u{5}\0\0\0\0\0\0\0ĠBen".as_bytes(), "\u{5}\0\0\0\0\0\0\0Ġěn".as_bytes());
    let key = "tokenizer.chat_template";
    let mut template = String::from(
        "{{ raise_exception('no\x1b[2J\n> poweroff\u{9b}1m\u{202e}') if messages[0].content != 'Hello' }}",
    );
    // Tensors stay where their alignment wants them.
    while !(8 + key.len() + 4 + 8 + template.len()).is_multiple_of(32) {
        template.push(' ');
    }
    let length = |text: &str| (text.len() as u64).to_le_bytes();
    let kind = 8u32.to_le_bytes();
    let entry = [&length(key)[..], key.as_bytes(), &kind, &length(&template), template.as_bytes()].concat();
    file.splice(24..24, entry);
    file[16] += 1;
    file
}

#[test]
fn names_complaints_and_answers_command_no_terminal() {
    let modules = [Module { name: "st\u{1b}ory\n> poweroff.gguf", bytes: commanding().leak() }];
    let typed = "model\nchat hi\ngenerate -n 20 Once upon a time\nbatch 2 Once upon a time\n\
                 batch --json 1 Once upon a time\ngenerate -n 4 -l 2 Once upon a time, there was a little boy named\n\
                 poweroff\n";
    let Session { output, .. } = session(1, &modules, "", 0, typed);
    assert_eq!(commands(&output), [], "{output}");
    assert!(
        !output.lines().any(|line| line == "> power" || line.starts_with("> poweroff\u{9b}")),
        "{output}"
    );
    for shown in [
        "model st\\x1bory\\n> poweroff.gguf: llama",
        "name a\\x1b]52\\x07\\n> power, file",
        "error: the chat template refuses: no\\x1b[2J\\n> poweroff\\x9b1m\\u{202e}",
        "named \\x1bn. \\x1bn loved",
    ] {
        assert!(output.contains(shown), "{shown}\n{output}");
    }
    assert!(output.contains("named \\u001bn."), "{output}");
}
