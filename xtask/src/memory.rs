//! Memory of a machine, and the check that a model fits it, by the engine's own sizing.

use anyhow::{Context, Result, ensure};
use embodios_gguf::Gguf;
use embodios_gguf::sizing::Needs;
use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use crate::arch::Arch;

const MIB: u64 = 1 << 20;

/// Memory of kernel and engine beside modules and the engine's model, in bytes: images, heaps, tables, and the unused
/// parts of large pages. With one core and the embedded model, the least that works is 18 MiB on x86_64 and 12 on
/// AArch64.
const RESERVE: u64 = 18 * MIB;

/// Minimum memory: with less, firmware fails silently.
const LEAST: u64 = 8 * MIB;

/// Bytes of stacks and tables for each core.
const PER_CORE: u64 = MIB / 4;

/// Bytes for keys and values of requests that are served at the same time.
const CONTEXTS: u64 = 512 * MIB;

/// Maximum offset of a module in QEMU's `virt`, which loads it half the memory, at most this, above the memory's
/// start (`arm_load_kernel` of its `hw/arm/boot.c`); the memory below cannot hold it.
const VIRT_OFFSET: u64 = 128 * MIB;

/// Alignment of files within a module.
const PAGE: usize = 4096;

/// Memory of a machine, as QEMU's `-m` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySize {
    bytes: u64,
}

impl MemorySize {
    /// Default memory.
    pub const DEFAULT: Self = Self { bytes: 512 * MIB };

    /// Checks that firmware can load `file` on a machine of `arch` with `cores` cores and leaves room for kernel and
    /// engine with the model in it.
    ///
    /// # Errors
    /// When it does not fit, with the `--memory` to pass, or the file cannot be read.
    pub fn check_module(self, arch: Arch, cores: u32, file: &Path) -> Result<()> {
        let name = file.display();
        let bytes = fs::read(file).with_context(|| format!("cannot read {name}"))?;
        let model = model_needs(arch, cores as usize, &bytes);
        let needed = Self::needed(arch, cores, bytes.len() as u64, model.map_or(0, |needs| needs.total()));
        let megabytes = bytes.len() as f64 / MIB as f64;
        let model = model.map_or(String::new(), |needs| format!(", whose model needs {needs},"));
        ensure!(
            self.bytes >= needed.bytes,
            "{name}: a file of {megabytes:.1} MiB{model} does not fit a machine with {} MiB of memory; \
             pass --memory {needed} or more",
            self.bytes / MIB,
        );
        Ok(())
    }

    /// Memory for serving the model in `file` to several clients at once: no less than the default.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn for_serving(arch: Arch, cores: u32, file: Option<&Path>) -> Result<Self> {
        let Some(file) = file else { return Ok(Self::DEFAULT) };
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let model = model_needs(arch, cores as usize, &bytes).map_or(0, |needs| needs.total());
        let needed = Self::needed(arch, cores, bytes.len() as u64, model);
        Ok(Self { bytes: Self::DEFAULT.bytes.max(needed.bytes + CONTEXTS) })
    }

    /// The least memory for a module of `size` bytes and an engine that needs `engine` bytes beside it, in steps of 4
    /// MiB.
    fn needed(arch: Arch, cores: u32, size: u64, engine: u64) -> Self {
        let beside = engine.saturating_add(RESERVE).saturating_add(u64::from(cores) * PER_CORE);
        let beside = match arch {
            Arch::X86_64 => beside,
            Arch::Aarch64 => beside.max(size.min(VIRT_OFFSET)),
        };
        Self { bytes: size.saturating_add(beside).div_ceil(4 * MIB).saturating_mul(4 * MIB) }
    }
}

/// Memory that the engine needs for the model in a module, or for the largest of several. `None` without a usable
/// model, which the engine reports.
fn model_needs(arch: Arch, cores: usize, module: &[u8]) -> Option<Needs> {
    // On some x86_64 processors the kernels need no copy either, but that is known only in the machine.
    let copy = arch == Arch::X86_64;
    let starts = (0..module.len()).step_by(PAGE).filter(|&start| module[start..].starts_with(b"GGUF"));
    let needs = starts.filter_map(|start| {
        let file = &module[start..];
        Some(Needs::of(&Gguf::parse(file).ok()?, file.len(), copy, cores))
    });
    needs.max_by_key(Needs::total)
}

impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}M", self.bytes / MIB)
    }
}

impl FromStr for MemorySize {
    type Err = String;

    /// A number followed by `M` or `G`.
    fn from_str(text: &str) -> Result<Self, String> {
        let unit = match text.as_bytes().last() {
            Some(b'M') => MIB,
            Some(b'G') => 1024 * MIB,
            _ => 0,
        };
        let digits = text.strip_suffix(['M', 'G']).unwrap_or_default();
        match digits.parse::<u32>() {
            Ok(number @ 1..) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(Self { bytes: u64::from(number) * unit })
                    .filter(|size| size.bytes >= LEAST)
                    .ok_or_else(|| format!("less than {} MiB cannot hold the kernel's image", LEAST / MIB))
            }
            _ => Err("expected a number with M or G, such as 512M or 2G".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn size(text: &str) -> MemorySize {
        text.parse().expect(text)
    }

    #[test]
    fn sizes_are_checked() {
        assert_eq!(size("512M"), MemorySize::DEFAULT);
        assert_eq!(size("2G").to_string(), "2048M");
        for bad in ["", "M", "512", "0M", "+1G", "1T", "-1G", "1.5G", "1é"] {
            assert!(bad.parse::<MemorySize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_that_does_not_fit_says_what_would() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("big.jsonl");
        File::create(&path).and_then(|file| file.set_len(50 * MIB)).expect("it is writable");
        for (arch, enough, less) in [(Arch::X86_64, "72M", "71M"), (Arch::Aarch64, "100M", "99M")] {
            assert!(size(enough).check_module(arch, 1, &path).is_ok(), "{arch}");
            let error = size(less).check_module(arch, 1, &path).expect_err("too little").to_string();
            for part in [
                "big.jsonl",
                "50.0 MiB does not fit",
                less.trim_end_matches('M'),
                &format!("--memory {enough}"),
            ] {
                assert!(error.contains(part), "{error}");
            }
        }
        assert!(size("1G").check_module(Arch::X86_64, 1, &directory.path().join("none")).is_err());
    }

    #[test]
    fn the_engine_says_what_a_model_needs() {
        let story =
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../inference/models/tinystory-1.3M-q8_0.gguf"));
        for (arch, enough, less) in [(Arch::X86_64, "24M", "20M"), (Arch::Aarch64, "24M", "20M")] {
            assert!(size(enough).check_module(arch, 2, story).is_ok(), "{arch}");
            let error = size(less).check_module(arch, 2, story).expect_err("too little").to_string();
            assert!(error.contains("whose model needs") && error.contains("for a session"), "{error}");
        }
        // Also after another file in a module.
        let model = std::fs::read(story).expect("the story model");
        let joined = [&[b' '; PAGE][..], &model].concat();
        assert_eq!(model_needs(Arch::X86_64, 2, &joined), model_needs(Arch::X86_64, 2, &model));
        assert_eq!(model_needs(Arch::X86_64, 2, b"GGUF and no more"), None);
    }

    #[test]
    fn no_size_overflows() {
        assert!(MemorySize::needed(Arch::X86_64, 1, u64::MAX, u64::MAX).bytes > MemorySize::DEFAULT.bytes);
        assert_eq!(MemorySize::needed(Arch::Aarch64, 4, 300 * MIB, 0), size("428M"));
    }
}
