//! The atomics that threads meet through: those of `core`, or, when the pool's protocols are model-checked
//! (`--cfg shuttle`), stand-ins whose every access is a point where another thread may run.

#[cfg(not(shuttle))]
pub use core::{hint::spin_loop, sync::atomic};
#[cfg(shuttle)]
pub use shuttle::{hint::spin_loop, sync::atomic};
