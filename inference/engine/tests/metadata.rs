//! Metadata keys: every one that the field knows is read, harmless or refused by name, and unknown ones of the
//! architecture are refused.

mod common;

use embodios_engine::model::keys::{Class, Wanted, class};
use embodios_engine::model::{ARCHITECTURES, Model, Pattern};
use embodios_gguf::Gguf;
use embodios_kernels::matrix::Layout;
use embodios_text::chat::{ChatError, ChatTemplate};
use embodios_text::tokenizer::Tokenizer;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use common::tiny::{ARRAY, BOOL, F32, I32, LAYERS, STRING, Tiny, U32, array, strings};

/// Keys known to the Python package `gguf` 0.19.0 (`constants.py`), and the older files' `rope.scale_linear`.
const KNOWN: &str = include_str!("../../fixtures/reference/metadata_keys.txt");

const NAMES: [&str; 4] = ["llama", "qwen2", "qwen3", "gemma3"];

/// All keys that are known, below one architecture's name.
fn known(architecture: &str) -> Vec<String> {
    KNOWN.lines().map(|key| key.replace("{arch}", architecture)).collect()
}

/// The contents of a file that decide what is computed: hyper-parameters, layers, rotations, tokens and texts.
fn opened(file: &[u8]) -> Result<String, String> {
    let gguf = Gguf::parse(file).map_err(|error| error.to_string())?;
    let model = Model::load(&gguf, Layout::Rows).map_err(|error| error.to_string())?;
    let tokenizer = Tokenizer::new(&gguf).map_err(|error| error.to_string())?;
    let chat = match ChatTemplate::new(&gguf, &tokenizer) {
        Err(error @ (ChatError::Gguf(_) | ChatError::Template(_))) => return Err(error.to_string()),
        chat => format!("{chat:?}"),
    };
    let layers: Vec<_> = model.layers.iter().map(|layer| (layer.window, layer.rotation)).collect();
    let ids = tokenizer.prompt("abc a1.", embodios_text::tokenizer::ParseSpecial::No).ids;
    Ok(format!("{:?} {layers:?} {:?} {ids:?} {:?} {chat}", model.config, model.rotations, tokenizer.ends()))
}

/// The message with which a file is refused.
fn refusal(tiny: &Tiny) -> String {
    opened(&tiny.build()).expect_err("a refusal")
}

#[test]
fn every_known_key_has_a_class() {
    assert_eq!(ARCHITECTURES.map(|architecture| architecture.name), NAMES);
    for architecture in NAMES {
        for key in known(architecture) {
            assert!(class(architecture, &key).is_some(), "{key} is neither read, harmless nor refused");
        }
    }
}

#[test]
fn what_is_said_to_be_read_is_read() {
    // No key is an array of arrays.
    let nested = array(ARRAY, &[[0; 12]]);
    let mut count = 0;
    for key in known("gemma3") {
        if !matches!(class("gemma3", &key), Some(Class::Read)) {
            continue;
        }
        count += 1;
        // Some are read with one kind of tokenizer only.
        let refused = ["gpt2", "llama"].iter().any(|tokenizer| {
            let mut tiny = Tiny::new("gemma3");
            tiny.text("tokenizer.ggml.model", tokenizer).set(&key, ARRAY, &nested);
            opened(&tiny.build()).is_err_and(|error| error.contains(&key))
        });
        assert!(refused, "{key} is not read");
    }
    assert!(count > 25, "{count}");
}

#[test]
fn what_is_read_counts() {
    let plain = opened(&Tiny::new("gemma3").build());
    let number = |value: u32| (U32, value.to_le_bytes().to_vec());
    let float = |value: f32| (F32, value.to_le_bytes().to_vec());
    for (key, (kind, value)) in [
        ("block_count", number(1)),
        ("context_length", number(32)),
        ("embedding_length", number(16)),
        ("feed_forward_length", number(16)),
        ("attention.head_count", number(1)),
        ("attention.head_count_kv", number(2)),
        ("attention.key_length", number(32)),
        ("attention.value_length", number(32)),
        ("attention.layer_norm_rms_epsilon", float(1e-6)),
        ("attention.sliding_window", number(4)),
        ("attention.sliding_window_pattern", number(2)),
        ("rope.dimension_count", number(8)),
        ("rope.freq_base", float(5_000.0)),
        ("rope.freq_base_swa", float(5_000.0)),
        ("rope.scale_linear", float(2.0)),
        ("rope.scaling.factor", float(2.0)),
    ] {
        let key = format!("gemma3.{key}");
        assert!(matches!(class("gemma3", &key), Some(Class::Read)), "{key}");
        assert_ne!(opened(&Tiny::new("gemma3").set(&key, kind, &value).build()), plain, "{key}");
    }
}

#[test]
fn an_unknown_key_is_refused_below_the_architecture_and_harmless_elsewhere() {
    for architecture in NAMES {
        let plain = opened(&Tiny::new(architecture).build()).expect("a model");
        let key = format!("{architecture}.attention.fancy");
        let error = refusal(Tiny::new(architecture).set(&key, U32, &[0; 4]));
        assert!(error.contains(&format!("key {key:?} is not known here")), "{error}");
        let key = "tokenizer.ggml.fancy";
        let error = refusal(Tiny::new(architecture).set(key, U32, &[0; 4]));
        assert!(error.contains(&format!("key {key:?} is not known here")), "{error}");
        for key in ["general.fancy", "tokenizer.fancy", "vendor.note", "fancy", "llamas.causal"] {
            assert_eq!(opened(&Tiny::new(architecture).set(key, U32, &[0; 4]).build()), Ok(plain.clone()));
        }
    }
}

#[test]
fn keys_that_change_what_is_computed_are_refused_by_name() {
    let one = 1u32.to_le_bytes();
    let number = |value: f32| value.to_le_bytes().to_vec();
    let cases: [(&str, u32, Vec<u8>, &str); 15] = [
        ("attention.causal", BOOL, vec![0], "is false; wanted true"),
        ("attention.causal", U32, one.to_vec(), "is 1; wanted true"),
        ("rope.scaling.attn_factor", F32, number(1.2), "is 1.2; wanted 1"),
        (
            "rope.scaling.type",
            STRING,
            [&4u64.to_le_bytes()[..], b"yarn"].concat(),
            "is yarn; wanted none or linear",
        ),
        ("rope.scaling.yarn_ext_factor", F32, number(1.0), "is 1; wanted 0 or -1"),
        ("rope.scale_linear", F32, number(-2.0), "is -2; wanted a positive number"),
        ("attention.scale", F32, number(0.5), "is 0.5; wanted 0.25, which goes with"),
        ("attention.max_alibi_bias", F32, number(8.0), "is 8; wanted 0"),
        ("logit_scale", F32, number(0.5), "is 0.5; wanted 0 or 1"),
        ("expert_count", U32, one.to_vec(), "is 1; wanted 0"),
        (
            "feed_forward_length",
            ARRAY,
            array(U32, &[32u32, 64].map(u32::to_le_bytes)),
            "an array of 2 U32; wanted the same number",
        ),
        (
            "attention.head_count",
            ARRAY,
            array(U32, &[2u32].map(u32::to_le_bytes)),
            "an array of 1 U32; wanted the same number",
        ),
        (
            "attention.head_count_kv",
            ARRAY,
            array(F32, &[[0; 4]; 2]),
            "an array of 2 F32; wanted the same number",
        ),
        (
            "attention.sliding_window_pattern",
            ARRAY,
            array(BOOL, &[[1]]),
            "an array of 1 Bool; wanted a number, or",
        ),
        ("classifier.output_labels", ARRAY, strings(&["good"]), "an array of 1 String; wanted no such key"),
    ];
    for (key, kind, value, expected) in cases {
        let key = format!("gemma3.{key}");
        let error = refusal(Tiny::new("gemma3").set(&key, kind, &value));
        assert!(
            error.starts_with(&format!("key {key:?} {expected}"))
                || error.contains(expected) && error.contains(&key),
            "{error}"
        );
    }
    let error = refusal(Tiny::new("llama").set("llama.attention.sliding_window", U32, &8u32.to_le_bytes()));
    assert!(
        error
            .contains("\"llama.attention.sliding_window\" is 8; wanted 0, or no less than the context of 64"),
        "{error}"
    );
    for (key, kind, value) in [("add_eos_token", BOOL, [1, 0, 0, 0]), ("add_sep_token", BOOL, [1, 0, 0, 0])] {
        let key = format!("tokenizer.ggml.{key}");
        let error = refusal(Tiny::new("llama").set(&key, kind, &value[..1]));
        assert!(error.contains(&format!("key {key:?} is true; wanted false")), "{error}");
    }
}

#[test]
fn values_that_say_what_is_computed_anyway_are_accepted() {
    for architecture in NAMES {
        let plain = opened(&Tiny::new(architecture).build()).expect("a model");
        let mut same = Tiny::new(architecture);
        let own = |key: &str| format!("{architecture}.{key}");
        same.set(&own("attention.causal"), BOOL, &[1])
            .set(&own("rope.scaling.attn_factor"), F32, &1f32.to_le_bytes())
            .set(&own("attention.scale"), F32, &0.25f32.to_le_bytes())
            .set(&own("expert_count"), I32, &[0; 4])
            .set(&own("swiglu_clamp_exp"), ARRAY, &array(F32, &[[0; 4]; 2]))
            .set(
                &own("feed_forward_length"),
                ARRAY,
                &array(I32, &[32i32; LAYERS as usize].map(i32::to_le_bytes)),
            )
            .set(
                &own("attention.head_count"),
                ARRAY,
                &array(U32, &[2u32; LAYERS as usize].map(u32::to_le_bytes)),
            )
            .set(
                &own("attention.head_count_kv"),
                ARRAY,
                &array(10, &[1u64; LAYERS as usize].map(u64::to_le_bytes)),
            )
            .text("general.type", "model")
            .set("split.count", 2, &1u16.to_le_bytes());
        assert_eq!(opened(&same.build()), Ok(plain));
    }
}

#[test]
fn old_rope_keys_are_read_and_new_ones_count() {
    let scale = |old: Option<f32>, new: Option<f32>| {
        let mut tiny = Tiny::new("qwen3");
        for (key, value) in [("scale_linear", old), ("scaling.factor", new)] {
            value.map(|value| tiny.set(&format!("qwen3.rope.{key}"), F32, &value.to_le_bytes()));
        }
        let file = tiny.build();
        Model::load(&Gguf::parse(&file).unwrap(), Layout::Rows).unwrap().config.rope_scale
    };
    assert_eq!([scale(None, None), scale(Some(8.0), None), scale(Some(8.0), Some(4.0))], [1.0, 8.0, 4.0]);
}

#[test]
fn window_patterns_may_be_arrays() {
    let key = "gemma3.attention.sliding_window_pattern";
    let pattern = |tiny: &mut Tiny| {
        let file = tiny.build();
        let config = Model::load(&Gguf::parse(&file).unwrap(), Layout::Rows).unwrap().config;
        config.window.expect("a window").pattern
    };
    assert_eq!(pattern(&mut Tiny::new("gemma3")), Pattern::Period(6));
    assert_eq!(pattern(Tiny::new("gemma3").set(key, U32, &2u32.to_le_bytes())), Pattern::Period(2));
    let local = Pattern::Layers(vec![false, true]);
    assert_eq!(pattern(Tiny::new("gemma3").set(key, ARRAY, &array(BOOL, &[[0], [1]]))), local);
    let numbers = array(I32, &[0i32, 1].map(i32::to_le_bytes));
    assert_eq!(pattern(Tiny::new("gemma3").set(key, ARRAY, &numbers)), local);
    let error = refusal(Tiny::new("gemma3").set(key, ARRAY, &array(I32, &[0i32, 2].map(i32::to_le_bytes))));
    assert!(error.contains(key), "{error}");
}

#[test]
fn a_part_of_a_split_model_is_named_as_such() {
    let part = |tiny: &mut Tiny| {
        refusal(tiny.set("split.no", 2, &[1, 0]).set("split.count", 2, &[2, 0]).set(
            "split.tensors.count",
            I32,
            &[20, 0, 0, 0],
        ))
    };
    let expected = "key \"split.count\" is 2; wanted 1: this file is a part of a split model; \
                    merge the parts into one file";
    assert_eq!(part(&mut Tiny::new("llama")), expected);
    assert_eq!(part(Tiny::new("llama").remove("general.architecture")), expected);
    let error = refusal(Tiny::new("llama").text("general.type", "adapter"));
    assert_eq!(error, "key \"general.type\" is \"adapter\"; wanted \"model\"");
}

#[test]
fn a_string_that_ends_in_nul_is_the_one_before_it() {
    let plain = opened(&Tiny::new("llama").build()).expect("a model");
    let mut ended = Tiny::new("llama");
    ended.text("general.architecture", "llama\0").text("tokenizer.ggml.model", "gpt2\0\0");
    ended.remove("llama.context_length").set("llama.context_length\0", U32, &64u32.to_le_bytes());
    assert_eq!(opened(&ended.build()), Ok(plain));
    ended.set("llama.context_length", U32, &64u32.to_le_bytes());
    assert!(refusal(&ended).contains("appears twice"));
}

#[test]
fn text_need_not_be_unicode_where_nothing_reads_it() {
    let mut latin = Tiny::new("llama");
    latin.set("general.name", STRING, &[&4u64.to_le_bytes()[..], b"caf\xe9"].concat());
    assert!(opened(&latin.build()).is_ok());
    latin.set("tokenizer.ggml.pre", STRING, &[&4u64.to_le_bytes()[..], b"caf\xe9"].concat());
    let error = refusal(&latin);
    assert!(error.contains("\"tokenizer.ggml.pre\"") && error.contains("UTF-8"), "{error}");
}

/// A value at random, with its type and whether an element of it is a number other than those that stand for no change.
fn random_value(random: &mut Xoshiro256PlusPlus) -> (u32, Vec<u8>) {
    const SIZES: [usize; 13] = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
    let scalar = |kind: u32, random: &mut Xoshiro256PlusPlus| -> Vec<u8> {
        let small = random.next_u64() % 5;
        match kind {
            6 => [0.0, 1.0, 0.5, 1e9, f32::NAN][small as usize].to_le_bytes().to_vec(),
            7 => vec![(small % 2) as u8],
            8 => [&small.to_le_bytes()[..], &b"mode"[..small as usize]].concat(),
            12 => [0.0, 1.0, -1.0, 3.0, f64::INFINITY][small as usize].to_le_bytes().to_vec(),
            _ => {
                let value = [0, 1, 2, 77, random.next_u64()][small as usize];
                value.to_le_bytes()[..SIZES[kind as usize]].to_vec()
            }
        }
    };
    let kind = (random.next_u64() % 13) as u32;
    if kind != ARRAY {
        return (kind, scalar(kind, random));
    }
    let element = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12][(random.next_u64() % 12) as usize];
    let count = random.next_u64() % 4;
    let elements: Vec<u8> = (0..count).flat_map(|_| scalar(element, random)).collect();
    (ARRAY, [&element.to_le_bytes()[..], &count.to_le_bytes(), &elements].concat())
}

#[test]
fn any_value_of_any_key_is_read_or_harmless_or_refused_by_name() {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
    let (mut harmless, mut read, mut refused) = (0, 0, 0);
    for architecture in NAMES {
        let plain = opened(&Tiny::new(architecture).build()).expect("a model");
        for key in known(architecture) {
            let class = class(architecture, &key).expect("a class");
            for _ in 0..20 {
                let (kind, value) = random_value(&mut random);
                let result = opened(&Tiny::new(architecture).set(&key, kind, &value).build());
                match (class, result) {
                    // A value that is read may contradict another key or a tensor, which is named then.
                    (Class::Read, Err(error)) => {
                        let named = ["key \"", "tensor \"", "tokenizer.", "architecture \"", "chat template"];
                        assert!(named.iter().any(|named| error.contains(named)), "{key}: {error}");
                        refused += 1;
                    }
                    (Class::Read, Ok(_)) => read += 1,
                    (Class::Harmless(reason), result) => {
                        assert_eq!(result.as_ref(), Ok(&plain), "{key} is harmless: {reason}");
                        harmless += 1;
                    }
                    (Class::Only(wanted), Ok(found)) => {
                        assert!(!matches!(wanted, Wanted::Absent(_)), "{key} is accepted");
                        assert_eq!(found, plain, "{key} {kind} {value:?}");
                    }
                    (Class::Only(_), Err(error)) => {
                        assert!(error.contains(&format!("key {key:?} is ")), "{key}: {error}");
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(harmless > 1_000 && read > 50 && refused > 5_000, "{harmless} {read} {refused}");
}
