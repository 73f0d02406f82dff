//! GGUF files, whole and damaged: which ones are accepted, and that every rejection names the fault and its place.

use embodios_fixtures::STORY;
use embodios_fixtures::build::Builder;
use embodios_gguf::{Gguf, Scalars, Strings, TensorType};
use proptest::prelude::*;

fn sample() -> Vec<u8> {
    Builder::default()
        .string("general.architecture", "llama")
        .key("count", 4, &7u32.to_le_bytes())
        .key("wide", 10, &u64::MAX.to_le_bytes())
        .key("epsilon", 6, &1e-5f32.to_le_bytes())
        .key("flag", 7, &[1])
        .strings("tokens", &["one", ""])
        .floats("scores", &[0.5, -2.0])
        .tensor("a", &[32, 2], 8, 0)
        .tensor("b", &[3], 0, 96)
        .data(96 + 12)
        .build()
}

/// The message of the rejection of `file`.
fn rejection(file: &[u8]) -> String {
    Gguf::parse(file).expect_err("a rejection").to_string()
}

#[test]
fn values_and_tensors_are_found() {
    let file = sample();
    let gguf = Gguf::parse(&file).unwrap();
    assert_eq!(gguf.required::<&str>("general.architecture").unwrap(), "llama");
    assert_eq!(gguf.required::<u32>("count").unwrap(), 7);
    assert_eq!(gguf.required::<f32>("epsilon").unwrap(), 1e-5);
    assert!(gguf.required::<bool>("flag").unwrap());
    let strings: Vec<_> = gguf.required::<Strings>("tokens").unwrap().collect();
    assert_eq!(strings, [&b"one"[..], b""]);
    let floats = gguf.required::<Scalars<f32>>("scores").unwrap();
    assert_eq!(floats.iter().collect::<Vec<_>>(), [0.5, -2.0]);
    assert_eq!((floats.get(1), floats.get(2)), (Some(-2.0), None));
    assert_eq!(gguf.get::<u32>("absent").unwrap(), None);
    let a = gguf.required_tensor("a").unwrap();
    assert_eq!((a.kind, a.shape(), a.data.len()), (TensorType::Q8_0, &[32, 2][..], 68));
    assert_eq!(gguf.tensor("b").unwrap().data.len(), 12);
    assert!(gguf.tensor("c").is_none());
}

#[test]
fn the_story_model_is_read() {
    let gguf = Gguf::parse(STORY).unwrap();
    assert_eq!(gguf.version(), 3);
    assert_eq!(gguf.required::<u32>("llama.block_count").unwrap(), 6);
    assert_eq!(gguf.required::<Strings>("tokenizer.ggml.tokens").unwrap().len(), 1024);
    assert_eq!(gguf.required_tensor("token_embd.weight").unwrap().shape(), [128, 1024]);
}

#[test]
fn wrong_look_ups_name_the_key() {
    let file = sample();
    let gguf = Gguf::parse(&file).unwrap();
    let message = gguf.required::<u32>("absent").unwrap_err().to_string();
    assert_eq!(message, "key \"absent\" is missing");
    let message = gguf.required::<u32>("epsilon").unwrap_err().to_string();
    assert!(message.contains("\"epsilon\"") && message.contains("F32") && message.contains("at offset"));
    let message = gguf.required::<u32>("wide").unwrap_err().to_string();
    assert!(message.contains("\"wide\"") && message.contains("18446744073709551615"), "{message}");
    assert!(gguf.required::<Strings>("scores").is_err());
    let message = gguf.required_tensor("gone").unwrap_err().to_string();
    assert_eq!(message, "tensor \"gone\" is missing");
}

#[test]
fn every_rejection_says_what_and_where() {
    let one = || Builder::default().data(96 + 12);
    let cases: [(Vec<u8>, &str); 17] = [
        (b"GGML\x03\0\0\0".to_vec(), "header at offset 0: not a GGUF file: begins with \"GGML\""),
        (b"GGUF\x01\0\0\0".to_vec(), "header at offset 4: version 1 is not supported"),
        (b"GGUF\0\0\0\x03".to_vec(), "header at offset 4: big-endian"),
        (b"GGUF\x03\0\0\0\x01".to_vec(), "header at offset 8: needs 8 bytes where the file has 1"),
        (one().key("k", 13, &[]).build(), "key \"k\" at offset 24: unknown value type 13"),
        (one().key("k", 7, &[2]).build(), "key \"k\" at offset 24: boolean holds 2"),
        (one().key("k", 4, &[0; 4]).key("k", 4, &[0; 4]).build(), "key \"k\" at offset 41: appears twice"),
        (
            one().key("general.alignment", 4, &48u32.to_le_bytes()).build(),
            "key \"general.alignment\" at offset 24: alignment 48 is not a power of two",
        ),
        (one().tensor("t", &[], 0, 0).build(), "tensor \"t\" at offset 24: 0 dimensions"),
        (one().tensor("t", &[1; 5], 0, 0).build(), "tensor \"t\" at offset 24: 5 dimensions"),
        (one().tensor("t", &[0], 0, 0).build(), "tensor \"t\" at offset 24: impossible shape"),
        (one().tensor("t", &[1 << 32, 1 << 32], 0, 0).build(), "tensor \"t\" at offset 24: impossible shape"),
        (one().tensor("t", &[1], 4, 0).build(), "tensor \"t\" at offset 24: unknown tensor type 4"),
        (one().tensor("t", &[33], 8, 0).build(), "rows of 33 elements are not whole blocks of 32 (Q8_0)"),
        (one().tensor("t", &[1], 0, 8).build(), "data offset 8 is not a multiple of the alignment 32"),
        (
            one().tensor("t", &[1 << 40], 0, 0).build(),
            "tensor \"t\" at offset 24: data of 4398046511104 bytes from",
        ),
        (
            one().tensor("t", &[9], 0, 0).tensor("u", &[9], 0, 32).build(),
            "tensor \"u\" at offset 57: data overlaps that of tensor \"t\"",
        ),
    ];
    for (file, expected) in cases {
        let message = rejection(&file);
        assert!(message.contains(expected), "got: {message}\nexpected: {expected}");
    }
    let twice = one().tensor("t", &[1], 0, 0).tensor("t", &[1], 0, 32).build();
    assert!(rejection(&twice).contains("tensor \"t\" at offset 57: appears twice"));
    assert!(rejection(&one().tensor("t", &[1], 0, u64::MAX - 31).build()).contains("does not fit the file"));
}

#[test]
fn counts_near_the_top_are_refused_at_once() {
    for count in [u64::MAX, u64::MAX - 1, 1 << 63, 1 << 40] {
        for field in [8, 16] {
            let mut file = sample();
            file[field..field + 8].copy_from_slice(&count.to_le_bytes());
            let message = rejection(&file);
            assert!(message.contains(&format!("header at offset {field}: claims {count}")), "{message}");
        }
        for element in [0u32, 4, 8, 9, 12] {
            let mut array = element.to_le_bytes().to_vec();
            array.extend(count.to_le_bytes());
            let message = rejection(&Builder::default().key("k", 9, &array).build());
            assert!(message.contains("key \"k\" at offset 24: claims"), "{message}");
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    // An array of one array, which a single copy repeats: quick under Miri too.
    let level = [&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat();
    let array = level.repeat(100_000);
    assert!(rejection(&Builder::default().key("k", 9, &array).build()).contains("nested too deep"));
}

#[test]
fn every_truncation_is_refused() {
    let file = sample();
    for length in 0..file.len() {
        assert!(Gguf::parse(&file[..length]).is_err(), "accepted {length} of {} bytes", file.len());
    }
    // Where the story model's data begins, found as the first byte any of its tensors covers.
    let gguf = Gguf::parse(STORY).unwrap();
    let data: usize = gguf.tensors().map(|tensor| tensor.data.as_ptr().addr()).min().unwrap();
    let directory = data - STORY.as_ptr().addr();
    for length in (0..directory).step_by(997).chain([directory, STORY.len() - 1]) {
        assert!(Gguf::parse(&STORY[..length]).is_err(), "accepted {length} bytes");
    }
}

/// Walks everything a parsed file offers.
fn walk(gguf: &Gguf) {
    for (key, _) in gguf.entries() {
        let _ = gguf.get::<u32>(key);
        let _ = gguf.get::<f32>(key);
        if let Ok(Some(strings)) = gguf.get::<Strings>(key) {
            assert_eq!(strings.len(), strings.count());
        }
        if let Ok(Some(numbers)) = gguf.get::<Scalars<i32>>(key) {
            assert_eq!(numbers.iter().count(), numbers.len());
        }
    }
    for tensor in gguf.tensors() {
        assert!(!tensor.data.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn mutated_files_never_panic(changes in prop::collection::vec((0usize..420, any::<u8>()), 1..8)) {
        let mut file = sample();
        for (at, byte) in changes {
            let at = at % file.len();
            file[at] = byte;
        }
        if let Ok(gguf) = Gguf::parse(&file) {
            walk(&gguf);
        }
    }

    #[test]
    fn mutated_numbers_never_panic(
        at in 8usize..400,
        number in prop_oneof![any::<u64>(), (0u32..64).prop_map(|s| u64::MAX >> s)],
    ) {
        let mut file = sample();
        file[at..at + 8].copy_from_slice(&number.to_le_bytes());
        if let Ok(gguf) = Gguf::parse(&file) {
            walk(&gguf);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let file = [b"GGUF\x03\0\0\0".as_slice(), &bytes].concat();
        if let Ok(gguf) = Gguf::parse(&file) {
            walk(&gguf);
        }
    }
}
