//! Every variant of the kernels gives the bits of the portable one, and those are the right numbers.

use std::collections::HashMap;
use std::slice;

use embodios_kernels::activations::Activations;
use embodios_kernels::matrix::{Layout, Matrix, WeightType};
use embodios_kernels::tiles::{TILE, Tiles};
use embodios_kernels::{KEYS, Kernels, Precision, Vectors};
use proptest::prelude::*;
use serde::Deserialize;

/// A matrix of any type: type, columns, rows and bytes, with scales that are numbers.
fn matrices() -> impl Strategy<Value = (WeightType, usize, usize, Vec<u8>)> {
    let kinds = prop::sample::select(WeightType::ALL);
    (kinds, 1usize..25, 1usize..40, any::<u64>()).prop_map(|(kind, size, rows, seed)| {
        let format = kind.tensor_type();
        // Whole blocks; floats in any number, also not a multiple of the lanes.
        let columns = if format.block() == 1 { size * 9 } else { size * format.block() as usize };
        let row_bytes = columns / format.block() as usize * format.block_bytes() as usize;
        let mut data = noise(seed, row_bytes * rows);
        match kind {
            WeightType::F32 => data.chunks_exact_mut(4).for_each(|float| tame(float, 3)),
            WeightType::F16 | WeightType::BF16 => data.chunks_exact_mut(2).for_each(|float| tame(float, 1)),
            _ => {
                // Where the scale stands; two bytes on is the minimum, or levels that do not mind.
                let scale = match kind {
                    WeightType::Q2K => 80,
                    WeightType::Q3K => 108,
                    WeightType::Q6K => 208,
                    _ => 0,
                };
                for block in data.chunks_exact_mut(format.block_bytes() as usize) {
                    tame(block, scale + 1);
                    if let Some(minimum) = block.get_mut(scale + 2..scale + 4) {
                        tame(minimum, 1);
                    }
                }
            }
        }
        (kind, columns, rows, data)
    })
}

/// Makes a float finite: clears the highest bit of the exponent, in byte `byte`.
fn tame(float: &mut [u8], byte: usize) {
    float[byte] &= !0x40;
}

/// Bytes by SplitMix64.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let words = (1..).map(|step: u64| {
        let mut word = seed.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    });
    words.flat_map(u64::to_le_bytes).take(length).collect()
}

fn floats(seed: u64, length: usize) -> Vec<f32> {
    noise(seed, length * 2)
        .chunks_exact(2)
        .map(|bytes| f32::from(i16::from_le_bytes([bytes[0], bytes[1]])) / 4096.0)
        .collect()
}

fn activations(values: &[f32]) -> Activations {
    let mut input = Activations::new(values.len()).unwrap();
    input.set(Kernels::PORTABLE, values.len(), |out| out.copy_from_slice(values));
    input
}

/// Rows as the kernels want them.
fn repacked(kernels: Kernels, kind: WeightType, columns: usize, rows: &[u8]) -> Vec<u8> {
    let mut data = rows.to_vec();
    kernels.layout().apply(kind, columns, &mut data).unwrap();
    data
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn the_best_variant_is_not_the_portable_one() {
    let names: Vec<_> = Kernels::available().map(|kernels| kernels.to_string()).collect();
    println!("{names:?}");
    assert_eq!(names.last().unwrap(), "portable");
    #[cfg(target_arch = "x86_64")]
    assert_eq!(names.iter().any(|name| name == "AVX2"), is_x86_feature_detected!("avx2"));
}

/// Weights of every format from random bytes, against the Python package `gguf`.
#[test]
fn dequantized_weights_have_the_reference_bits() {
    #[derive(Deserialize)]
    struct Dequantized {
        bytes: String,
        weights: String,
    }
    fn bytes(hex: &str) -> Vec<u8> {
        let digits = |index| u8::from_str_radix(&hex[index..index + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digits).collect()
    }
    let reference: HashMap<String, Dequantized> =
        serde_json::from_str(include_str!("../../fixtures/reference/dequantized.json")).unwrap();
    for &kind in WeightType::ALL.iter().filter(|kind| **kind != WeightType::F32) {
        let item = &reference[kind.tensor_type().name()];
        let (data, wanted) = (bytes(&item.bytes), bytes(&item.weights));
        let columns = wanted.len() / 4;
        let mut weights = vec![0.0f32; columns];
        Matrix::new(kind, columns, 1, &data).dequantize_row(0, &mut weights);
        let found: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
        assert!(found == wanted, "{kind:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    /// Of numbers of all sizes, zeros and infinities, in blocks of one size each or of any.
    #[test]
    fn levels_are_the_same(length in 1usize..400, block_exponent in prop::option::of(0u8..=255), seed: u64) {
        let values: Vec<f32> = noise(seed, 4 * length).as_chunks().0.iter().map(|&word| {
            let float = f32::from_le_bytes(word);
            let exponent = block_exponent.map_or(float.to_bits() >> 23 & 0xff, u32::from);
            let value = f32::from_bits(float.to_bits() & 0x807f_ffff | exponent << 23);
            if value.is_nan() { f32::INFINITY.copysign(value) } else { value }
        }).collect();
        let levels = |kernels: Kernels| {
            let mut input = Activations::new(length).unwrap();
            input.set(kernels, length, |out| out.copy_from_slice(&values));
            // Bits, so that a scale that is no number is equal to itself.
            (input.scale().to_bits(), format!("{:?}", input.groups()))
        };
        for kernels in Kernels::available() {
            prop_assert_eq!(levels(kernels), levels(Kernels::PORTABLE), "{}", kernels);
        }
    }

    #[test]
    fn products_have_the_same_bits((kind, columns, rows, data) in matrices(), seed: u64, first in 0usize..40) {
        let input = activations(&floats(seed, columns));
        let first = first % rows;
        let product = |kernels: Kernels, first: usize| {
            let data = repacked(kernels, kind, columns, &data);
            let matrix = Matrix::new(kind, columns, rows, &data).with_layout(kernels.layout());
            let mut out = vec![f32::NAN; rows - first];
            kernels.multiply(&matrix, first, slice::from_ref(&input), &mut out);
            out
        };
        for kernels in Kernels::available() {
            // In tiles rows are taken from the first of one.
            let first = if kernels.layout() == Layout::Tiles { first / TILE * TILE } else { first };
            let portable = product(Kernels::PORTABLE, first);
            prop_assert_eq!(bits(&product(kernels, first)), bits(&portable), "{} {:?}", kernels, kind);
        }
    }

    #[test]
    fn many_inputs_give_the_bits_of_each((kind, columns, rows, data) in matrices(), seed: u64, count in 1usize..15) {
        let in_rows = Matrix::new(kind, columns, rows, &data);
        let inputs: Vec<_> = (0..count as u64).map(|i| activations(&floats(seed ^ i, columns))).collect();
        for kernels in Kernels::available() {
            let data = repacked(kernels, kind, columns, &data);
            let matrix = Matrix::new(kind, columns, rows, &data).with_layout(kernels.layout());
            let mut tiles = Tiles::new(rows, count).unwrap();
            kernels.multiply(&matrix, 0, &inputs, tiles.begin(count, count));
            for (token, input) in inputs.iter().enumerate() {
                let (mut wanted, mut found) = (vec![0.0; rows], vec![f32::NAN; rows]);
                Kernels::PORTABLE.multiply(&in_rows, 0, slice::from_ref(input), &mut wanted);
                tiles.copy_rows(token, 0, &mut found);
                prop_assert_eq!(bits(&found), bits(&wanted), "{} {:?} {}", kernels, kind, token);
            }
        }
    }

    #[test]
    fn products_are_right((kind, columns, rows, data) in matrices(), seed: u64) {
        let matrix = Matrix::new(kind, columns, rows, &data);
        let values = floats(seed, columns);
        let input = activations(&values);
        let mut out = vec![0.0; rows];
        Kernels::PORTABLE.multiply(&matrix, 0, slice::from_ref(&input), &mut out);
        let mut weights = vec![0.0; columns];
        for (row, result) in out.into_iter().enumerate() {
            matrix.dequantize_row(row, &mut weights);
            let products = weights.iter().zip(&values).map(|(w, x)| f64::from(*w) * f64::from(*x));
            let (exact, size) = products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()));
            // The sum that half a step of every level, and rounding, may add up to.
            let largest = values.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
            let weight: f64 = weights.iter().map(|w| f64::from(w.abs())).sum();
            let tolerance = weight * f64::from(largest) / 16_256.0 + size * 1e-4;
            prop_assert!((f64::from(result) - exact).abs() <= tolerance, "{:?}: {} {}", kind, result, exact);
        }
    }

    #[test]
    fn attention_has_the_same_bits(length in 1usize..140, runs in 1usize..6, count in 1usize..7, seed: u64) {
        let positions = runs * KEYS;
        let (queries, vectors) = (floats(seed, length * count), floats(!seed, length * positions));
        for precision in [Precision::Half, Precision::Single] {
            let mut keys = vec![0; vectors.len() * precision.bytes()];
            let mut values = keys.clone();
            precision.encode(&vectors, &mut values);
            for (position, key) in vectors.chunks_exact(length).enumerate() {
                let run = &mut keys[position / KEYS * KEYS * length * precision.bytes()..];
                precision.encode_in_run(key, position % KEYS, &mut run[..KEYS * length * precision.bytes()]);
            }
            let [keys, values] = [&keys, &values].map(|bytes| Vectors { precision, bytes });
            let stride = positions + 3;
            let run = |kernels: Kernels, queries: &[f32]| {
                let (mut scores, mut out) = (vec![0.0; count * stride], vec![0.25; queries.len()]);
                let scores = &mut scores[..queries.len() / length * stride];
                kernels.score(queries, length, &keys, 0.125, scores, stride);
                kernels.weighted_sum(scores, stride, &values, length, &mut out);
                (bits(scores), bits(&out))
            };
            let portable = run(Kernels::PORTABLE, &queries);
            let one_by_one = queries.chunks_exact(length).map(|query| run(Kernels::PORTABLE, query).1);
            prop_assert_eq!(&one_by_one.flatten().collect::<Vec<_>>(), &portable.1);
            for kernels in Kernels::available() {
                prop_assert_eq!(&run(kernels, &queries), &portable, "{}", kernels);
            }
        }
    }

    #[test]
    fn scores_are_right(length in 1usize..100, seed: u64) {
        let (query, key) = (floats(seed, length), floats(!seed, length));
        let mut bytes = vec![0; KEYS * length * 4];
        Precision::Single.encode_in_run(&key, 5, &mut bytes);
        let mut scores = [f32::NAN; KEYS];
        let keys = Vectors { precision: Precision::Single, bytes: &bytes };
        Kernels::PORTABLE.score(&query, length, &keys, 0.5, &mut scores, KEYS);
        let products = query.iter().zip(&key).map(|(q, k)| f64::from(*q) * f64::from(*k) * 0.5);
        let (exact, size) = products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()));
        prop_assert!((f64::from(scores[5]) - exact).abs() <= size * 1e-5, "{} {}", scores[5], exact);
        prop_assert!(scores.iter().enumerate().all(|(index, score)| index == 5 || *score == 0.0));
    }
}
