//! The architecture, chosen once. Each module has the same items:
//!
//! - `_start`: thread 0 comes from the kernel, the address of `EngineInfo` as its argument, and clears `.bss`;
//! - `thread_start`: every other thread comes from the kernel, one word as its argument;
//! - `NAME`, as the user writes it;
//! - `system_call`, `counter`, `random`, `mark`, and the primitives of [`crate::memory`].
//!
//! Both entries set the default floating-point mode (round to nearest, subnormals kept): results must
//! not depend on what ran on the core before.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub use aarch64::*;

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
compile_error!("the engine runs on x86_64 and AArch64");
