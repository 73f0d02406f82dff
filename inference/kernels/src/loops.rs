//! Small operations on floats, compiled for the widest vectors of every instruction set: each operation by itself has
//! the same bits at every width.
//!
//! They are functions, not closures, which a compiler may leave outside of what is compiled for an instruction set.

use core::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::Variant;
use super::{KV_BLOCK, Kernels, Precision};
use crate::activations::Group;
use crate::vector::Activation;
use crate::{activations, online_softmax, vector};

macro_rules! loops {
    ($(fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? = $function:path;)*) => {
        impl Kernels {
            $(
                #[doc = concat!("[`", stringify!($function), "`].")]
                pub fn $name(self, $($argument: $type),*) $(-> $result)? {
                    #[cfg(target_arch = "x86_64")]
                    if let Variant::X86(isa) = self.0 {
                        #[target_feature(enable = "avx2,f16c")]
                        fn avx2($($argument: $type),*) $(-> $result)? {
                            $function($($argument),*)
                        }
                        #[target_feature(enable = "avx2,f16c,avx512f,avx512bw,avx512vl")]
                        fn avx512($($argument: $type),*) $(-> $result)? {
                            $function($($argument),*)
                        }
                        // SAFETY: an `Isa` exists only where the processor and the system have its instructions.
                        return unsafe {
                            match isa {
                                super::x86::Isa::Avx2 | super::x86::Isa::AvxVnni => avx2($($argument),*),
                                super::x86::Isa::Avx512Vnni => avx512($($argument),*),
                            }
                        };
                    }
                    $function($($argument),*)
                }
            )*
        }
    };
}

loops! {
    fn rms_norm(x: &[f32], weights: &[f32], epsilon: f32, out: &mut [f32]) = vector::rms_norm;
    fn rms_norm_each(runs: &mut [f32], weights: &[f32], epsilon: f32) = vector::rms_norm_each;
    fn gated(activation: Activation, gate: &mut [f32], up: &[f32]) = vector::gated;
    fn add(x: &mut [f32], y: &[f32]) = vector::add;
    fn softmax_weights_of_blocks(scores: &mut [[f32; KV_BLOCK]], seen: &[Range<usize>], states: &mut [(f32, f32)])
        = vector::softmax_weights_of_blocks;
    fn merge_partial(partial: &mut [f32], block: &[f32], state: (f32, f32)) = online_softmax::merge;
    fn merge_partials(blocks: &[f32], stride: usize, partial: &mut [f32]) = online_softmax::merge_all;
    fn finish_partial(partial: &[f32], out: &mut [f32]) = online_softmax::finish;
    fn encode(precision: Precision, numbers: &[f32], out: &mut [u8]) = Precision::encode;
    fn encode_in_run(precision: Precision, key: &[f32], index: usize, run: &mut [u8]) = Precision::encode_in_run;
    fn quantize_by_loops(values: &[f32], groups: &mut [Group]) -> f32 = activations::quantize;
}
