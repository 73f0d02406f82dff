//! The tokenizer against published ids, against a naive merger, and there and back again.

use std::collections::HashMap;

use embodios_fixtures::build::Builder;
use embodios_fixtures::{STORY, smollm2};
use embodios_gguf::{Gguf, Strings};
use embodios_text::tokenizer::{Encoding, ParseSpecial, TextStream, TokenReader, Tokenizer};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    text: String,
    parse_special: bool,
    ids: Vec<u32>,
}

#[test]
#[ignore = "needs smollm2-135m"]
fn smollm2_ids_equal_the_reference() {
    let bytes = smollm2();
    let file = Gguf::parse(&bytes).unwrap();
    let tokenizer = Tokenizer::new(&file).unwrap();
    let reference: Reference =
        serde_json::from_str(include_str!("../../fixtures/reference/tokenizer.json")).unwrap();
    assert_eq!(reference.items.len(), 59);
    for item in reference.items {
        let special = if item.parse_special { ParseSpecial::Yes } else { ParseSpecial::No };
        let mut encoding = Encoding::default();
        tokenizer.encode(&item.text, special, &mut encoding);
        assert_eq!(encoding.ids, item.ids, "{:?}", item.text);
    }
}

#[test]
#[ignore = "needs smollm2-135m"]
fn smollm2_says_which_bytes_it_lacks() {
    let bytes = smollm2();
    let tokenizer = Tokenizer::new(&Gguf::parse(&bytes).unwrap()).unwrap();
    let encoding = tokenizer.prompt("a\u{4}b", ParseSpecial::No);
    assert_eq!((tokenizer.text(&encoding.ids).as_str(), encoding.left_out), ("ab", 1));
    // `<|endoftext|>`, `<|im_end|>`, and `<reponame>`, a mark of files beside each other at which llama.cpp ends as
    // well.
    assert_eq!(tokenizer.ends(), [0, 2, 4]);
    assert_eq!(tokenizer.special("<|im_start|>"), Some(1));
}

#[derive(Deserialize)]
struct Prompt {
    prompt: String,
    prompt_ids_with_bos: Vec<u32>,
    q8_0: Greedy,
}

#[derive(Deserialize)]
struct Greedy {
    greedy_ids: Vec<u32>,
    text: String,
}

#[test]
fn story_prompts_and_answers_equal_the_reference() {
    let file = Gguf::parse(STORY).unwrap();
    let tokenizer = Tokenizer::new(&file).unwrap();
    let reference: Vec<Prompt> =
        serde_json::from_str(include_str!("../../fixtures/reference/story.json")).unwrap();
    assert!(!reference.is_empty());
    for item in reference {
        assert_eq!(tokenizer.prompt(&item.prompt, ParseSpecial::No).ids, item.prompt_ids_with_bos);
        assert_eq!(tokenizer.text(&item.q8_0.greedy_ids), item.q8_0.text);
    }
}

/// Merges by rank in the plainest way there is: look at every pair, join the best, begin again.
struct Naive {
    ranks: HashMap<(String, String), usize>,
    ids: HashMap<String, u32>,
}

impl Naive {
    fn new(file: &Gguf<'_>) -> Self {
        let strings = |key| {
            let strings: Strings = file.required(key).unwrap();
            strings.map(|text| String::from_utf8(text.to_vec()).unwrap()).collect::<Vec<String>>()
        };
        let pair = |merge: String| {
            let (left, right) = merge.split_once(' ').unwrap();
            (left.to_owned(), right.to_owned())
        };
        let merges = strings("tokenizer.ggml.merges").into_iter().map(pair);
        Self {
            ranks: merges.zip(0..).collect(),
            ids: strings("tokenizer.ggml.tokens").into_iter().zip(0..).collect(),
        }
    }

    /// Ids of a word without spaces and digits, so that the pre-tokenizer leaves it whole.
    fn ids(&self, word: &str) -> Vec<u32> {
        let mut pieces: Vec<String> = word.chars().map(String::from).collect();
        loop {
            let rank = |at: usize| self.ranks.get(&(pieces[at].clone(), pieces[at + 1].clone()));
            let best = (1..pieces.len()).map(|at| at - 1).filter(|&at| rank(at).is_some());
            let Some(at) = best.min_by_key(|&at| rank(at)) else { break };
            let right = pieces.remove(at + 1);
            pieces[at].push_str(&right);
        }
        pieces.iter().map(|piece| self.ids[piece]).collect()
    }
}

proptest! {
    #[test]
    fn words_merge_as_the_naive_way_says(word in "[a-z]{1,40}|[atheinds]{1,60}") {
        let file = Gguf::parse(STORY).unwrap();
        let mut encoding = Encoding::default();
        Tokenizer::new(&file).unwrap().encode(&word, ParseSpecial::No, &mut encoding);
        prop_assert_eq!(encoding.ids, Naive::new(&file).ids(&word));
    }

    #[test]
    fn a_reader_shows_the_text_before_the_first_stop(
        text in "[abé ]{0,30}",
        stops in proptest::collection::vec("[abé ]{0,4}", 0..4),
    ) {
        let tokenizer = Tokenizer::new(&Gguf::parse(STORY).unwrap()).unwrap();
        let mut encoding = Encoding::default();
        tokenizer.encode(&text, ParseSpecial::No, &mut encoding);
        let mut reader = TokenReader::new(&tokenizer, &stops);
        let mut shown = String::new();
        encoding.ids.iter().for_each(|&id| shown += reader.push(id));
        let stopped = reader.stopped();
        shown += &reader.finish();
        let found = |stop: &String| text.find(stop.as_str()).map(|at| (at + stop.len(), at));
        let first = stops.iter().filter(|stop| !stop.is_empty()).filter_map(found).min();
        prop_assert_eq!(shown, &text[..first.map_or(text.len(), |(_, at)| at)]);
        prop_assert_eq!(stopped, first.is_some());
    }

    #[test]
    fn decoding_gives_the_text_back(text in any::<String>(), special in any::<bool>()) {
        let text = text.replace("<|endoftext|>", "");
        let tokenizer = Tokenizer::new(&Gguf::parse(STORY).unwrap()).unwrap();
        let special = if special { ParseSpecial::Yes } else { ParseSpecial::No };
        let encoding = tokenizer.prompt(&text, special);
        prop_assert_eq!(encoding.left_out, 0);

        let mut stream = TextStream::default();
        let mut streamed = String::new();
        for &id in &encoding.ids {
            let mut bytes = Vec::new();
            tokenizer.decode(id, &mut bytes);
            stream.push(&bytes, &mut streamed);
        }
        stream.finish(&mut streamed);
        prop_assert_eq!(&streamed, &text);
        prop_assert_eq!(tokenizer.text(&encoding.ids), text);
    }
}

#[test]
fn a_reader_holds_back_what_may_become_a_stop_text() {
    let tokenizer = Tokenizer::new(&Gguf::parse(STORY).unwrap()).unwrap();
    let stops = ["<end>".to_owned(), "\n\n".to_owned()];
    let read = |pieces: &[&str]| {
        let mut reader = TokenReader::new(&tokenizer, &stops);
        let mut shown = Vec::new();
        for piece in pieces {
            let mut text = String::new();
            let mut encoding = Encoding::default();
            tokenizer.encode(piece, ParseSpecial::No, &mut encoding);
            encoding.ids.iter().for_each(|&id| text += reader.push(id));
            shown.push(text);
        }
        let stopped = reader.stopped();
        shown.push(reader.finish());
        (shown, stopped)
    };
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    assert_eq!(read(&["a <e", "nd", "> b", "c"]), (texts(&["a ", "", "", "", ""]), true));
    assert_eq!(read(&["a <e", "nd", "s> b", "<"]), (texts(&["a ", "", "<ends> b", "", "<"]), false));
    assert_eq!(read(&["a\n", "<\n", "\n"]), (texts(&["a", "\n<", "", ""]), true));
}

#[test]
fn special_tokens_are_text_unless_asked_for() {
    let file = Gguf::parse(STORY).unwrap();
    let tokenizer = Tokenizer::new(&file).unwrap();
    assert_eq!(tokenizer.prompt("<|endoftext|>", ParseSpecial::Yes).ids, [0, 0]);
    let plain = tokenizer.prompt("<|endoftext|>", ParseSpecial::No).ids;
    assert!(plain.len() > 2 && !plain[1..].contains(&0));
    assert_eq!(tokenizer.text(&plain), "<|endoftext|>");
}

#[test]
fn a_long_word_takes_no_quadratic_time() {
    let tokenizer = Tokenizer::new(&Gguf::parse(STORY).unwrap()).unwrap();
    let word = "the".repeat(100_000);
    assert_eq!(tokenizer.text(&tokenizer.prompt(&word, ParseSpecial::No).ids), word);
}

/// A SentencePiece vocabulary: control tokens, two bytes, then pieces with falling scores.
const PIECES: [&str; 15] =
    ["<unk>", "<s>", "</s>", "<0xC3>", "<0xA4>", "<mark>", "▁", "a", "b", "c", "ab", "bc", "▁a", "▁ab", "▁▁"];
const TYPES: [i32; 15] = [2, 3, 3, 6, 6, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1];

fn sentence_piece(scores: [f32; 15], space_prefix: bool) -> Vec<u8> {
    Builder::default()
        .string("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", &PIECES)
        .integers("tokenizer.ggml.token_type", &TYPES)
        .floats("tokenizer.ggml.scores", &scores)
        .key("tokenizer.ggml.add_space_prefix", 7, &[space_prefix.into()])
        .build()
}

const FALLING: [f32; 15] =
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0, -8.0, -9.0];

/// Texts of the tokens of a prompt.
fn pieces(file: &[u8], text: &str, special: ParseSpecial) -> Vec<&'static str> {
    let tokenizer = Tokenizer::new(&Gguf::parse(file).unwrap()).unwrap();
    tokenizer.prompt(text, special).ids.iter().map(|&id| PIECES[id as usize]).collect()
}

#[test]
fn sentence_piece_merges_the_best_score_first() {
    let file = sentence_piece(FALLING, true);
    let pieces = |text| pieces(&file, text, ParseSpecial::No);
    assert_eq!(pieces("abc"), ["<s>", "▁ab", "c"]);
    assert_eq!(pieces("a  ab"), ["<s>", "▁a", "▁", "▁ab"]);
    assert_eq!(pieces(""), ["<s>"]);
    let mut scores = FALLING;
    scores[11] = -1.0;
    let file = sentence_piece(scores, true);
    assert_eq!(self::pieces(&file, "abc", ParseSpecial::No), ["<s>", "▁a", "bc"]);
}

#[test]
fn sentence_piece_falls_back_to_bytes() {
    let file = sentence_piece(FALLING, true);
    assert_eq!(pieces(&file, "ä", ParseSpecial::No), ["<s>", "▁", "<0xC3>", "<0xA4>"]);
    let tokenizer = Tokenizer::new(&Gguf::parse(&file).unwrap()).unwrap();
    let encoding = tokenizer.prompt("aäz a", ParseSpecial::No);
    assert_eq!((encoding.left_out, tokenizer.text(&encoding.ids).as_str()), (1, "aä a"));
}

#[test]
fn a_space_stands_in_front_of_text_behind_special_tokens() {
    let text = "a<mark>b</s>c";
    let plain = sentence_piece(FALLING, false);
    assert_eq!(pieces(&plain, text, ParseSpecial::Yes), ["<s>", "a", "<mark>", "b", "</s>", "c"]);
    let spaced = sentence_piece(FALLING, true);
    let expected = ["<s>", "▁a", "<mark>", "▁", "b", "</s>", "▁", "c"];
    assert_eq!(pieces(&spaced, text, ParseSpecial::Yes), expected);
    // The text that spells a control token is not that token, and its other characters have no token here.
    assert_eq!(pieces(&spaced, text, ParseSpecial::No), ["<s>", "▁a", "<mark>", "▁", "b", "c"]);
}

#[test]
fn every_token_has_a_score_and_a_type() {
    let refusal = |scores: &[f32], types: &[i32]| {
        let file = Builder::default()
            .string("tokenizer.ggml.model", "llama")
            .strings("tokenizer.ggml.tokens", &["<unk>", "<s>"])
            .floats("tokenizer.ggml.scores", scores)
            .integers("tokenizer.ggml.token_type", types)
            .build();
        Tokenizer::new(&Gguf::parse(&file).unwrap()).err().map(|error| error.to_string())
    };
    let message = |text: &str| Some(text.to_owned());
    assert_eq!(refusal(&[0.0; 2], &[2, 3]), None);
    assert_eq!(refusal(&[0.0; 3], &[2, 3]), message("tokenizer.ggml.scores has 3 entries for 2 tokens"));
    assert_eq!(refusal(&[0.0; 2], &[2]), message("tokenizer.ggml.token_type has 1 entries for 2 tokens"));
}

#[test]
fn long_text_takes_no_quadratic_time_in_sentence_piece() {
    let file = sentence_piece(FALLING, true);
    let tokenizer = Tokenizer::new(&Gguf::parse(&file).unwrap()).unwrap();
    let text = "abc ab  a".repeat(50_000);
    assert_eq!(tokenizer.text(&tokenizer.prompt(&text, ParseSpecial::No).ids), text);
}

#[test]
fn an_unknown_tokenizer_is_named() {
    let replaced = |from: &[u8], to: &[u8]| {
        let mut bytes = STORY.to_vec();
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        bytes[at..at + from.len()].copy_from_slice(to);
        let file = Gguf::parse(&bytes).unwrap();
        Tokenizer::new(&file).err().unwrap().to_string()
    };
    let message = replaced(b"smollm", b"xmollm");
    let start = "tokenizer.ggml.pre is \"xmollm\"; supported: default gpt-2 ";
    assert!(message.starts_with(start), "{message}");
    assert_eq!(
        replaced(b"gpt2", b"gpt3"),
        "tokenizer.ggml.model is \"gpt3\"; supported: \"gpt2\" (byte-level BPE), \"llama\" (SentencePiece)"
    );
    assert_eq!(replaced(b"ggml.merges", b"ggml.merge5"), "key \"tokenizer.ggml.merges\" is missing");
    assert_eq!(
        replaced(b"bos_token_id\x04\0\0\0\0\0\0\0", b"bos_token_id\x04\0\0\0\0\x04\0\0"),
        "tokenizer.ggml.bos_token_id is 1024, past the vocabulary of 1024 tokens"
    );
}

/// A byte-level vocabulary of single characters with `e`, an accent and both as one, and no merges.
fn byte_level(pre: &str) -> Builder {
    Builder::default()
        .string("tokenizer.ggml.model", "gpt2")
        .string("tokenizer.ggml.pre", pre)
        .strings("tokenizer.ggml.tokens", &["e", "Ì", "ģ", "Ã", "©", "<|end|>"])
        .strings("tokenizer.ggml.merges", &[])
        .key("tokenizer.ggml.add_bos_token", 7, &[0])
}

#[test]
fn text_is_composed_where_the_model_was_trained_on_composed_text() {
    for (pre, composed) in [
        ("qwen2", true),
        ("stablelm2", true),
        ("command-r", true),
        ("gpt-neox", true),
        ("mpt", true),
        ("olmo", true),
        ("gpt-2", false),
        ("llama-bpe", false),
        ("smollm", false),
        ("deepseek-r1-qwen", false),
        ("default", false),
    ] {
        let file = byte_level(pre).build();
        let tokenizer = Tokenizer::new(&Gguf::parse(&file).unwrap()).unwrap();
        let expected: &[u32] = if composed { &[3, 4] } else { &[0, 1, 2] };
        assert_eq!(tokenizer.prompt("e\u{301}", ParseSpecial::No).ids, expected, "{pre}");
        assert_eq!(tokenizer.prompt("\u{e9}", ParseSpecial::No).ids, [3, 4], "{pre}");
    }
}

#[test]
fn every_key_is_read_or_harmless_or_refused() {
    let with = |key: &str, kind: u32, value: &[u8]| {
        let file = byte_level("gpt-2").key(key, kind, value).build();
        let result = Tokenizer::new(&Gguf::parse(&file).unwrap()).map(|tokenizer| tokenizer.ends().to_vec());
        result.map_err(|error| error.to_string())
    };
    assert_eq!(with("tokenizer.ggml.fim_pre_token_id", 4, &[0; 4]), Ok(vec![5]));
    assert_eq!(with("tokenizer.ggml.fim_pad_token_id", 4, &[1, 0, 0, 0]), Ok(vec![1, 5]));
    let ids = [&5u32.to_le_bytes()[..], &2u64.to_le_bytes(), &[3, 0, 0, 0, 4, 0, 0, 0]].concat();
    assert_eq!(with("tokenizer.ggml.eos_token_ids", 9, &ids), Ok(vec![3, 4, 5]));
    assert_eq!(with("tokenizer.ggml.add_eos_token", 7, &[0]), Ok(vec![5]));
    let refused = with("tokenizer.ggml.add_eos_token", 7, &[1]).unwrap_err();
    assert_eq!(refused, "tokenizer.ggml.add_eos_token is not false, which is not supported");
    let refused = with("tokenizer.ggml.normalizer.lowercase", 7, &[1]).unwrap_err();
    assert_eq!(refused, "the key \"tokenizer.ggml.normalizer.lowercase\" is not supported");
    assert_eq!(with("tokenizer.huggingface.json", 7, &[1]), Ok(vec![5]));
}

#[test]
fn special_tokens_of_phi3_take_the_white_space_behind_them() {
    let ids = |name: &str, text: &str| {
        let file = Builder::default()
            .string("general.name", name)
            .string("tokenizer.ggml.model", "llama")
            .strings("tokenizer.ggml.tokens", &["<unk>", "<s>", "</s>", "▁", "a", "\n", "<|user|>"])
            .floats("tokenizer.ggml.scores", &[0.0; 7])
            .integers("tokenizer.ggml.token_type", &[2, 3, 3, 1, 1, 1, 3])
            .key("tokenizer.ggml.add_bos_token", 7, &[0])
            .build();
        let tokenizer = Tokenizer::new(&Gguf::parse(&file).unwrap()).unwrap();
        tokenizer.prompt(text, ParseSpecial::Yes).ids
    };
    assert_eq!(ids("Phi-3 mini", "<|user|>\n a<|user|> \n"), [6, 3, 4, 6]);
    assert_eq!(ids("phi3", "<s>\na"), [1, 3, 5, 4]);
    assert_eq!(ids("other", "<|user|>\na"), [6, 3, 5, 4]);
}
