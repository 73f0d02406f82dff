//! How much memory a machine has, and whether a model fits into it.

use anyhow::{Context, Result, ensure};
use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use crate::arch::Arch;

const MIB: u64 = 1 << 20;

/// What kernel and engine need beside the model, in bytes.
const RESERVE: u64 = 16 * MIB;

/// QEMU's `virt` puts a module half the memory, at most so many bytes, above the memory's start
/// (`arm_load_kernel` of its `hw/arm/boot.c`); what lies below cannot hold it.
const VIRT_OFFSET: u64 = 128 * MIB;

/// QEMU's `-m` value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySize {
    bytes: u64,
}

impl MemorySize {
    /// What a machine has when nothing is said.
    pub const DEFAULT: Self = Self { bytes: 512 * MIB };

    /// Whether firmware can load `file` on a machine of `arch` and leave room for kernel and engine.
    ///
    /// # Errors
    /// When it cannot, with what to pass; and when there is no such file.
    pub fn check_module(self, arch: Arch, file: &Path) -> Result<()> {
        let name = file.display();
        let size = fs::metadata(file).with_context(|| format!("cannot read {name}"))?.len();
        let needed = Self::needed(arch, size);
        let megabytes = size as f64 / MIB as f64;
        ensure!(
            self.bytes >= needed.bytes,
            "{name}: a file of {megabytes:.1} MiB does not fit a machine with {} MiB of memory; \
             pass --memory {needed} or more",
            self.bytes / MIB,
        );
        Ok(())
    }

    /// The least memory of a machine that gets a module of `size` bytes, in steps of 16 MiB: on x86_64 the engine makes a copy
    /// of a model, laid out for its kernels.
    fn needed(arch: Arch, size: u64) -> Self {
        let beside = match arch {
            Arch::X86_64 => size.saturating_add(RESERVE),
            Arch::Aarch64 => size.clamp(RESERVE, VIRT_OFFSET),
        };
        Self { bytes: size.saturating_add(beside).div_ceil(16 * MIB).saturating_mul(16 * MIB) }
    }
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
                Ok(Self { bytes: u64::from(number) * unit })
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
        let path = directory.path().join("big.gguf");
        File::create(&path).and_then(|file| file.set_len(94 * MIB)).expect("it is writable");
        for (arch, enough, less) in [(Arch::X86_64, "208M", "207M"), (Arch::Aarch64, "192M", "191M")] {
            assert!(size(enough).check_module(arch, &path).is_ok(), "{arch}");
            let error = size(less).check_module(arch, &path).expect_err("too little").to_string();
            for part in ["big.gguf", "94.0 MiB", less.trim_end_matches('M'), &format!("--memory {enough}")] {
                assert!(error.contains(part), "{error}");
            }
        }
        assert!(size("1G").check_module(Arch::X86_64, &directory.path().join("none")).is_err());
    }

    #[test]
    fn no_size_overflows() {
        assert!(MemorySize::needed(Arch::X86_64, u64::MAX).bytes > MemorySize::DEFAULT.bytes);
        assert_eq!(MemorySize::needed(Arch::Aarch64, 300 * MIB), size("432M"));
    }
}
