//! llama.cpp's own vocabulary tests: `ggml-vocab-NAME.gguf` with texts (`.inp`) and their ids (`.out`), which
//! its source distributions carry. The files are large and not part of this project: `EMBODIOS_LLAMA_VOCABS` names
//! the directory that holds them.

use std::path::{Path, PathBuf};

use embodios_gguf::Gguf;
use embodios_text::tokenizer::{Encoding, ParseSpecial, Tokenizer};

const NAMES: [&str; 12] = [
    "command-r",
    "deepseek-coder",
    "deepseek-llm",
    "falcon",
    "gpt-2",
    "llama-bpe",
    "llama-spm",
    "mpt",
    "phi-3",
    "qwen2",
    "refact",
    "starcoder",
];

/// Between two texts.
const SEPARATOR: &str = "\n__ggml_vocab_test__\n";

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
#[ignore = "needs llama.cpp's vocabulary files, in the directory that EMBODIOS_LLAMA_VOCABS names"]
fn ids_equal_llama_cpp() {
    let directory = PathBuf::from(std::env::var_os("EMBODIOS_LLAMA_VOCABS").expect("EMBODIOS_LLAMA_VOCABS"));
    let mut failures = Vec::new();
    for name in NAMES {
        let path = |suffix: &str| directory.join(format!("ggml-vocab-{name}.gguf{suffix}"));
        let bytes = read(&path(""));
        let tokenizer = Tokenizer::new(&Gguf::parse(&bytes).unwrap()).unwrap();
        let texts = String::from_utf8(read(&path(".inp"))).unwrap();
        let ids = String::from_utf8(read(&path(".out"))).unwrap();
        let texts: Vec<&str> = texts.strip_suffix(SEPARATOR).unwrap_or(&texts).split(SEPARATOR).collect();
        let ids: Vec<&str> = ids.lines().collect();
        assert_eq!(texts.len(), ids.len(), "{name}");
        let mut equal = 0;
        for (text, ids) in texts.iter().zip(ids) {
            let expected: Vec<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
            let mut encoding = Encoding::default();
            tokenizer.encode(text, ParseSpecial::No, &mut encoding);
            if encoding.ids == expected {
                equal += 1;
            } else {
                failures.push(format!("{name}: {text:?}: {:?}, not {expected:?}", encoding.ids));
            }
        }
        println!("{name}: {equal} of {} texts equal", texts.len());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
