//! Detection of vector instructions that the processor has **and** the system has switched on.

use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

/// An instruction set that is there. The only way to have one is [`Isa::available`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// AVX2 and F16C.
    Avx2,
    /// Those and AVX-VNNI.
    AvxVnni,
    /// Those and AVX-512 VNNI with AVX-512 BW and VL.
    Avx512Vnni,
}

// CPUID bits: Intel SDM volume 2A, CPUID, leaves 1 (ECX) and 7 (EBX, ECX; subleaf 1: EAX).
const OSXSAVE: u32 = 1 << 27;
const AVX: u32 = 1 << 28;
const F16C: u32 = 1 << 29;
const AVX2: u32 = 1 << 5;
const AVX512F: u32 = 1 << 16;
const AVX512BW: u32 = 1 << 30;
const AVX512VL: u32 = 1 << 31;
const AVX512_VNNI: u32 = 1 << 11;
const AVX_VNNI: u32 = 1 << 4;
// XCR0 bits: Intel SDM volume 1, 13.3.
const XCR0_AVX: u64 = 0b110;
const XCR0_AVX512: u64 = 0b1110_0110;

impl Isa {
    /// The processor's instruction sets, best first.
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        let [avx2, avx_vnni, avx512_vnni] = detect();
        [(avx512_vnni, Self::Avx512Vnni), (avx_vnni, Self::AvxVnni), (avx2, Self::Avx2)]
            .into_iter()
            .filter_map(|(there, isa)| there.then_some(isa))
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Avx2 => "AVX2",
            Self::AvxVnni => "AVX-VNNI",
            Self::Avx512Vnni => "AVX-512 VNNI",
        }
    }
}

fn detect() -> [bool; 3] {
    if __cpuid(0).eax < 7 {
        return [false; 3];
    }
    let needed = OSXSAVE | AVX | F16C;
    if __cpuid(1).ecx & needed != needed {
        return [false; 3];
    }
    // SAFETY: OSXSAVE says that XGETBV is enabled.
    let xcr0 = unsafe { read_xcr0() };
    let leaf7 = __cpuid_count(7, 0);
    let leaf7_1 = if leaf7.eax >= 1 { __cpuid_count(7, 1).eax } else { 0 };
    let avx2 = xcr0 & XCR0_AVX == XCR0_AVX && leaf7.ebx & AVX2 != 0;
    let avx512 = xcr0 & XCR0_AVX512 == XCR0_AVX512
        && leaf7.ebx & (AVX512F | AVX512BW | AVX512VL) == AVX512F | AVX512BW | AVX512VL
        && leaf7.ecx & AVX512_VNNI != 0;
    [avx2, avx2 && leaf7_1 & AVX_VNNI != 0, avx2 && avx512]
}

/// Safety: CR4.OSXSAVE is set.
#[target_feature(enable = "xsave")]
unsafe fn read_xcr0() -> u64 {
    // SAFETY: see above; register 0 exists on every processor with XSAVE.
    unsafe { _xgetbv(0) }
}
