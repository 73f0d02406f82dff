//! Damaged model files by the hundred thousand, and chat templates made at random: no panic, no allocation beyond a
//! bound, whatever the bytes say.
//!
//! The files are mutations of a small model that is complete, so that damage reaches the tokenizer and the model
//! as well as the parser. `EMBODIOS_FUZZ_RUNS` sets how many are tried (default 200,000) and `EMBODIOS_FUZZ_SEED`
//! where the random numbers begin.

mod templates;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use embodios_engine::model::{Model, repack};
use embodios_gguf::Gguf;
use embodios_kernels::matrix;
use embodios_text::chat::ChatTemplate;
use embodios_text::tokenizer::{ParseSpecial, Tokenizer};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Most bytes that all parts together may allocate for one file: 64 a byte of it.
const BYTES_A_BYTE: usize = 64;
/// Most changes to one file.
const MAX_CHANGES: u64 = 6;

/// The system's allocator, with the calling thread's live bytes, their peak and all it ever asked for beside it.
struct Counting;

std::thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static MADE: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every request goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.get().wrapping_add(layout.size());
        LIVE.set(live);
        MADE.set(MADE.get() + layout.size());
        PEAK.set(PEAK.get().max(live));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get().wrapping_sub(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// GGUF value types.
const U32: u32 = 4;
const F32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const I32: u32 = 5;

/// Width of the model, and of its feed-forward layer.
const WIDTH: u64 = 32;

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn entry(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&string(key), &kind.to_le_bytes()[..], value].concat()
}

fn strings(key: &str, texts: &[&str]) -> Vec<u8> {
    let items: Vec<u8> = texts.iter().flat_map(|text| string(text)).collect();
    let value = [&STRING.to_le_bytes()[..], &(texts.len() as u64).to_le_bytes(), &items].concat();
    entry(key, ARRAY, &value)
}

/// A whole llama model of one layer; the second value is where its tensors' data begins.
fn model() -> (Vec<u8>, usize) {
    let tokens = ["<end>", "a", "b", "c", "Ġ", "ab", "abc", "Ġa", "1", "."];
    let types: Vec<u8> =
        [3i32, 1, 1, 1, 1, 1, 1, 1, 1, 1].iter().flat_map(|kind| kind.to_le_bytes()).collect();
    let number = |key: &str, value: u32| entry(key, U32, &value.to_le_bytes());
    let template = "{% for message in messages %}{{'<|im_start|>' + message['role']}}{% endfor %}";
    let entries = [
        entry("general.architecture", STRING, &string("llama")),
        number("llama.block_count", 1),
        number("llama.context_length", 64),
        number("llama.embedding_length", WIDTH as u32),
        number("llama.feed_forward_length", WIDTH as u32),
        number("llama.attention.head_count", 2),
        number("llama.attention.head_count_kv", 1),
        entry("llama.attention.layer_norm_rms_epsilon", F32, &1e-5f32.to_le_bytes()),
        entry("tokenizer.ggml.model", STRING, &string("gpt2")),
        entry("tokenizer.ggml.pre", STRING, &string("smollm")),
        strings("tokenizer.ggml.tokens", &tokens),
        entry(
            "tokenizer.ggml.token_type",
            ARRAY,
            &[&I32.to_le_bytes()[..], &10u64.to_le_bytes(), &types].concat(),
        ),
        strings("tokenizer.ggml.merges", &["a b", "ab c", "Ġ a"]),
        number("tokenizer.ggml.bos_token_id", 0),
        number("tokenizer.ggml.eos_token_id", 0),
        entry("tokenizer.ggml.add_bos_token", BOOL, &[1]),
        entry("tokenizer.chat_template", STRING, &string(template)),
    ];
    let vocabulary = tokens.len() as u64;
    let half = WIDTH / 2;
    let tensors: [(&str, &[u64]); 11] = [
        ("token_embd.weight", &[WIDTH, vocabulary]),
        ("output_norm.weight", &[WIDTH]),
        ("blk.0.attn_norm.weight", &[WIDTH]),
        ("blk.0.attn_q.weight", &[WIDTH, WIDTH]),
        ("blk.0.attn_k.weight", &[WIDTH, half]),
        ("blk.0.attn_v.weight", &[WIDTH, half]),
        ("blk.0.attn_output.weight", &[WIDTH, WIDTH]),
        ("blk.0.ffn_norm.weight", &[WIDTH]),
        ("blk.0.ffn_gate.weight", &[WIDTH, WIDTH]),
        ("blk.0.ffn_up.weight", &[WIDTH, WIDTH]),
        ("blk.0.ffn_down.weight", &[WIDTH, WIDTH]),
    ];
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend((entries.len() as u64).to_le_bytes());
    file.extend(entries.concat());
    let mut offset = 0u64;
    for (name, shape) in tensors {
        file.extend(string(name));
        file.extend((shape.len() as u32).to_le_bytes());
        shape.iter().for_each(|length| file.extend(length.to_le_bytes()));
        file.extend(0u32.to_le_bytes());
        file.extend(offset.to_le_bytes());
        offset += shape.iter().product::<u64>() * 4;
    }
    let data = file.len().next_multiple_of(32);
    file.resize(data + offset as usize, 0);
    (file, data)
}

/// The depth to which a file was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    Refused,
    Parsed,
    Loaded,
}

/// Does with a file what the console does, and a little more.
fn open(file: &[u8]) -> Depth {
    let Ok(gguf) = Gguf::parse(file) else { return Depth::Refused };
    let entries = gguf.entries().count();
    let tensors: usize = gguf.tensors().map(|tensor| tensor.shape().len()).sum();
    std::hint::black_box((entries, tensors));
    if let Ok(tokenizer) = Tokenizer::new(&gguf) {
        let ids = tokenizer.prompt("abc a1. <end>", ParseSpecial::Yes).ids;
        std::hint::black_box(tokenizer.text(&ids));
        std::hint::black_box(ChatTemplate::new(&gguf, &tokenizer).is_ok());
    }
    if Model::load(&gguf, matrix::Layout::Rows).is_err() {
        return Depth::Parsed;
    }
    let mut file = file.to_vec();
    repack(&mut file, matrix::Layout::Tiles).expect("it was read before");
    let gguf = Gguf::parse(&file).expect("its directory is as before");
    assert!(Model::load(&gguf, matrix::Layout::Tiles).is_ok(), "so is its model");
    Depth::Loaded
}

/// Numbers at which lengths, counts and offsets turn over.
fn edge(random: u64) -> u64 {
    const EDGES: [u64; 12] = [
        0,
        1,
        31,
        33,
        1 << 16,
        1 << 31,
        u32::MAX as u64,
        1 << 32,
        1 << 62,
        i64::MAX as u64,
        u64::MAX - 31,
        u64::MAX,
    ];
    EDGES[(random % EDGES.len() as u64) as usize]
}

/// Changes up to [`MAX_CHANGES`] places of the first `header` bytes, and returns what was there.
fn damage(file: &mut [u8], header: usize, random: &mut Xoshiro256PlusPlus) -> Vec<(usize, [u8; 8])> {
    let changes = 1 + random.next_u64() % MAX_CHANGES;
    (0..changes)
        .map(|_| {
            let place = (random.next_u64() % (header as u64 - 8)) as usize;
            let window: &mut [u8; 8] = (&mut file[place..place + 8]).try_into().expect("8 bytes");
            let old = *window;
            match random.next_u64() % 6 {
                0 => window[0] ^= 1 << (random.next_u64() % 8),
                1 => window[0] = random.next_u64() as u8,
                2 => *window = edge(random.next_u64()).to_le_bytes(),
                3 => window[..4].copy_from_slice(&(edge(random.next_u64()) as u32).to_le_bytes()),
                4 => {
                    *window = u64::from_le_bytes(old)
                        .wrapping_add(random.next_u64() % 17)
                        .wrapping_sub(8)
                        .to_le_bytes()
                }
                _ => window.rotate_left((random.next_u64() % 8) as usize),
            }
            (place, old)
        })
        .collect()
}

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}

#[test]
fn damaged_files_are_refused_or_work() {
    let (mut file, data) = model();
    assert_eq!(open(&file), Depth::Loaded, "the undamaged model loads");
    let bound = file.len() * BYTES_A_BYTE;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(setting("EMBODIOS_FUZZ_SEED", 1));
    let mut reached = [0u64; 3];
    for _ in 0..setting("EMBODIOS_FUZZ_RUNS", 200_000) {
        let changes = damage(&mut file, data, &mut random);
        let whole = file.len();
        let length = if random.next_u64() % 8 == 0 { (random.next_u64() as usize) % whole } else { whole };
        LIVE.set(0);
        PEAK.set(0);
        reached[open(&file[..length]) as usize] += 1;
        assert!(PEAK.get() <= bound, "{} bytes were allocated for a file of {whole}", PEAK.get());
        for (place, old) in changes.into_iter().rev() {
            file[place..place + 8].copy_from_slice(&old);
        }
    }
    println!("refused {}, parsed {}, loaded {}", reached[0], reached[1], reached[2]);
    assert!(reached.iter().all(|&count| count > 0), "damage reaches every depth: {reached:?}");
}
