//! A complete model of two layers, of any architecture, whose keys can be set one by one.

use embodios_engine::model::Architecture;
use embodios_fixtures::build::{Builder, put_string};

/// GGUF value types.
pub const U32: u32 = 4;
pub const I32: u32 = 5;
pub const F32: u32 = 6;
pub const BOOL: u32 = 7;
pub const STRING: u32 = 8;
pub const ARRAY: u32 = 9;

const WIDTH: u64 = 32;
const HEAD: u64 = 16;
pub const LAYERS: u64 = 2;
const TOKENS: [&str; 10] = ["<end>", "a", "b", "c", "Ġ", "ab", "abc", "Ġa", "1", "."];

/// Keys in the order in which they came, each with its type and value.
pub struct Tiny {
    architecture: &'static str,
    /// Rows of the token embedding.
    pub vocabulary: u64,
    keys: Vec<(String, u32, Vec<u8>)>,
}

impl Tiny {
    /// With a byte-level tokenizer.
    pub fn new(architecture: &'static str) -> Self {
        let mut tiny = Self { architecture, vocabulary: TOKENS.len() as u64, keys: Vec::new() };
        tiny.text("general.architecture", architecture);
        for (key, value) in [
            ("block_count", LAYERS as u32),
            ("context_length", 64),
            ("embedding_length", WIDTH as u32),
            ("feed_forward_length", WIDTH as u32),
            ("attention.head_count", 2),
            ("attention.head_count_kv", 1),
        ] {
            tiny.set(&format!("{architecture}.{key}"), U32, &value.to_le_bytes());
        }
        let epsilon = format!("{architecture}.attention.layer_norm_rms_epsilon");
        tiny.set(&epsilon, F32, &1e-5f32.to_le_bytes());
        if Architecture::from_name(architecture).is_some_and(|known| known.local.is_some()) {
            tiny.set(&format!("{architecture}.attention.sliding_window"), U32, &8u32.to_le_bytes());
        }
        tiny.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "smollm");
        tiny.set("tokenizer.ggml.tokens", ARRAY, &strings(&TOKENS));
        tiny.set(
            "tokenizer.ggml.token_type",
            ARRAY,
            &array(I32, &[3i32, 1, 1, 1, 1, 1, 1, 1, 1, 1].map(i32::to_le_bytes)),
        );
        tiny.set("tokenizer.ggml.scores", ARRAY, &array(F32, &[[0; 4]; TOKENS.len()]));
        tiny.set("tokenizer.ggml.merges", ARRAY, &strings(&["a b", "ab c", "Ġ a"]));
        for key in ["bos", "eos", "eot", "eom"] {
            tiny.set(&format!("tokenizer.ggml.{key}_token_id"), U32, &[0; 4]);
        }
        tiny.text("tokenizer.chat_template", "{{ messages[0]['content'] }}");
        tiny
    }

    /// Sets a key, in its old place if it is there.
    pub fn set(&mut self, key: &str, kind: u32, value: &[u8]) -> &mut Self {
        match self.keys.iter_mut().find(|(name, ..)| name == key) {
            Some(entry) => (entry.1, entry.2) = (kind, value.to_vec()),
            None => self.keys.push((key.to_owned(), kind, value.to_vec())),
        }
        self
    }

    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        let mut bytes = Vec::new();
        put_string(&mut bytes, value);
        self.set(key, STRING, &bytes)
    }

    pub fn remove(&mut self, key: &str) -> &mut Self {
        self.keys.retain(|(name, ..)| name != key);
        self
    }

    /// The file.
    pub fn build(&self) -> Vec<u8> {
        let mut builder = Builder::default();
        for (key, kind, value) in &self.keys {
            builder = builder.key(key, *kind, value);
        }
        let mut offset = 0;
        for (name, shape) in self.tensors() {
            builder = builder.tensor(&name, &shape, 0, offset);
            offset += (4 * shape.iter().product::<u64>()).next_multiple_of(32);
        }
        builder.data(offset as usize).build()
    }

    fn tensors(&self) -> Vec<(String, Vec<u64>)> {
        let architecture = Architecture::from_name(self.architecture).expect("one that is known");
        let square = [WIDTH, WIDTH];
        let mut tensors = vec![
            ("token_embd.weight".to_owned(), vec![WIDTH, self.vocabulary]),
            ("output_norm.weight".to_owned(), vec![WIDTH]),
        ];
        for layer in 0..LAYERS {
            let mut add =
                |name: &str, shape: &[u64]| tensors.push((format!("blk.{layer}.{name}"), shape.to_vec()));
            add("attn_norm.weight", &[WIDTH]);
            add("ffn_norm.weight", &[WIDTH]);
            add("attn_q.weight", &square);
            add("attn_k.weight", &[WIDTH, HEAD]);
            add("attn_v.weight", &[WIDTH, HEAD]);
            for name in ["attn_output.weight", "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"] {
                add(name, &square);
            }
            if architecture.qkv_bias == embodios_engine::model::Presence::Required {
                add("attn_q.bias", &[WIDTH]);
                add("attn_k.bias", &[HEAD]);
                add("attn_v.bias", &[HEAD]);
            }
            if architecture.head_norms {
                add("attn_q_norm.weight", &[HEAD]);
                add("attn_k_norm.weight", &[HEAD]);
            }
            if architecture.post_norms {
                add("post_attention_norm.weight", &[WIDTH]);
                add("post_ffw_norm.weight", &[WIDTH]);
            }
        }
        tensors
    }
}

/// An array as a value.
pub fn array<const N: usize>(element: u32, elements: &[[u8; N]]) -> Vec<u8> {
    [&element.to_le_bytes()[..], &(elements.len() as u64).to_le_bytes(), elements.as_flattened()].concat()
}

/// An array of texts.
pub fn strings(texts: &[&str]) -> Vec<u8> {
    let mut bytes = [STRING.to_le_bytes().as_slice(), &(texts.len() as u64).to_le_bytes()].concat();
    texts.iter().for_each(|text| put_string(&mut bytes, text));
    bytes
}
