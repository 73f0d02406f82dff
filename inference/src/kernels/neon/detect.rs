//! Which vector instructions the processor has beyond the baseline.

/// An instruction set that is there. The only way to have one is [`Isa::available`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernels) enum Isa {
    /// The baseline.
    Neon,
    /// The baseline and FEAT_DotProd.
    DotProduct,
}

impl Isa {
    /// What there is, best first.
    pub(in crate::kernels) fn available() -> impl Iterator<Item = Self> {
        has_dot_product().then_some(Self::DotProduct).into_iter().chain([Self::Neon])
    }

    pub(in crate::kernels) const fn name(self) -> &'static str {
        match self {
            Self::Neon => "NEON",
            Self::DotProduct => "NEON dot-product",
        }
    }
}

/// ID_AA64ISAR0_EL1.DP (Arm ARM). Linux and EMBODIOS answer the read for their programs; elsewhere it would be an
/// undefined instruction.
#[cfg(target_os = "linux")]
fn has_dot_product() -> bool {
    let features: u64;
    // SAFETY: the system answers the read.
    unsafe {
        core::arch::asm!("mrs {}, id_aa64isar0_el1", out(reg) features, options(nomem, nostack, preserves_flags));
    }
    features >> 44 & 0xf != 0
}

#[cfg(not(target_os = "linux"))]
fn has_dot_product() -> bool {
    cfg!(target_feature = "dotprod")
}
