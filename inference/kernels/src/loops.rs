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
use crate::{activations, found, vector};

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
    fn weigh_pages(scores: &mut [[f32; KV_BLOCK]], seen: &[Range<usize>], weighed: &mut [(f32, f32)])
        = vector::weigh_pages;
    fn add_found(found: &mut [f32], page: &[f32], weighed: (f32, f32)) = found::add;
    fn add_up(pages: &[f32], stride: usize, found: &mut [f32]) = found::add_up;
    fn finish_found(found: &[f32], out: &mut [f32]) = found::finish;
    fn encode(precision: Precision, numbers: &[f32], out: &mut [u8]) = Precision::encode;
    fn encode_in_run(precision: Precision, key: &[f32], index: usize, run: &mut [u8]) = Precision::encode_in_run;
    fn quantize_by_loops(values: &[f32], groups: &mut [Group]) -> f32 = activations::quantize;
}
