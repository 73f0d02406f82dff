//! Panics inside jobs: contained where panics unwind (hosts), the end of the engine where they abort.

use alloc::string::String;

/// The first panic of a job's parts.
#[derive(Debug, Default)]
pub struct Caught {
    #[cfg(feature = "std")]
    first: std::sync::Mutex<Option<Panic>>,
}

/// A panic that a worker's part ended with.
#[derive(Debug)]
pub struct Panic {
    /// The worker.
    pub worker: usize,
    #[cfg(feature = "std")]
    payload: alloc::boxed::Box<dyn core::any::Any + Send>,
}

#[cfg(feature = "std")]
impl Caught {
    /// Runs a worker's part.
    pub fn run(&self, worker: usize, part: impl FnOnce()) {
        // Work that the part leaves half done is the business of the code that is told of the panic.
        if let Err(payload) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(part)) {
            self.slot().get_or_insert(Panic { worker, payload });
        }
    }

    /// The first panic since the last call.
    pub fn take(&self) -> Option<Panic> {
        self.slot().take()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Panic>> {
        self.first.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(feature = "std")]
impl Panic {
    /// The panic's message.
    pub fn message(&self) -> String {
        let text = self.payload.downcast_ref::<&str>().map(|text| String::from(*text));
        text.or_else(|| self.payload.downcast_ref::<String>().cloned()).unwrap_or_default()
    }

    /// Goes on with it.
    pub fn resume(self) -> ! {
        std::panic::resume_unwind(self.payload)
    }
}

#[cfg(not(feature = "std"))]
impl Caught {
    /// Runs a worker's part.
    pub fn run(&self, _worker: usize, part: impl FnOnce()) {
        part();
    }

    /// Nothing: a panic does not come back.
    pub const fn take(&self) -> Option<Panic> {
        None
    }
}

#[cfg(not(feature = "std"))]
impl Panic {
    /// The panic's message.
    pub const fn message(&self) -> String {
        String::new()
    }

    /// Goes on with it.
    pub fn resume(self) -> ! {
        panic!("worker {} panicked", self.worker)
    }
}
