//! Detection of vector instructions beyond the baseline.

/// An instruction set that is there. The only way to have one is [`Isa::available`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// The baseline.
    Neon,
    /// The baseline and FEAT_DotProd.
    DotProduct,
    /// Those and FEAT_I8MM.
    MatrixProduct,
}

impl Isa {
    /// The processor's instruction sets, best first.
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        let [dot_product, matrix_product] = detect();
        [
            (dot_product && matrix_product, Self::MatrixProduct),
            (dot_product, Self::DotProduct),
            (true, Self::Neon),
        ]
        .into_iter()
        .filter_map(|(there, isa)| there.then_some(isa))
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Neon => "NEON",
            Self::DotProduct => "NEON dot-product",
            Self::MatrixProduct => "NEON matrix-product",
        }
    }
}

/// ID_AA64ISAR0_EL1.DP and ID_AA64ISAR1_EL1.I8MM (Arm ARM). Linux and EMBODIOS answer the reads for their programs;
/// elsewhere they would be undefined instructions.
#[cfg(target_os = "linux")]
fn detect() -> [bool; 2] {
    let (zero, one): (u64, u64);
    // SAFETY: the system answers the reads.
    unsafe {
        core::arch::asm!(
            "mrs {}, id_aa64isar0_el1",
            "mrs {}, id_aa64isar1_el1",
            out(reg) zero,
            out(reg) one,
            options(nomem, nostack, preserves_flags)
        );
    }
    [zero >> 44 & 0xf != 0, one >> 52 & 0xf != 0]
}

#[cfg(not(target_os = "linux"))]
fn detect() -> [bool; 2] {
    [cfg!(target_feature = "dotprod"), cfg!(target_feature = "i8mm")]
}
