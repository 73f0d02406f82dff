//! Synchronisation primitives: the lock, the flag, and statics that hold them. When waiting and waking are
//! model-checked (`--cfg shuttle`), stand-ins whose every use is a point where another core may go on, and statics that
//! begin anew in each run of a model.

#[cfg(not(shuttle))]
pub use core::sync::atomic::AtomicBool;
#[cfg(not(shuttle))]
use embodios_arch::{Arch, Architecture};
#[cfg(shuttle)]
pub use shuttle::sync::atomic::AtomicBool;

/// A lock whose waiters let an emulator run its holder.
#[cfg(not(shuttle))]
pub type Mutex<T> = spin::mutex::Mutex<T, Relax>;

/// The spin hint of a core while another one holds a lock.
#[cfg(not(shuttle))]
pub struct Relax;

#[cfg(not(shuttle))]
impl spin::RelaxStrategy for Relax {
    fn relax() {
        Arch::relax();
    }
}

/// The model checker's lock, without its poisoning.
#[cfg(shuttle)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

#[cfg(shuttle)]
impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> shuttle::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(not(shuttle))]
macro_rules! shared {
    ($name:ident: $type:ty = $value:expr) => {
        static $name: $type = $value;
    };
}
#[cfg(shuttle)]
macro_rules! shared {
    ($name:ident: $type:ty = $value:expr) => {
        shuttle::lazy_static! {
            static ref $name: $type = $value;
        }
    };
}
pub(crate) use shared;
