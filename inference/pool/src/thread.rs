//! A thread that runs a closure: how one gets through the platform's single word.

use alloc::boxed::Box;

use crate::platform::{CoreSet, Platform, PlatformError, ThreadId};

type Body = Box<dyn FnOnce() + Send>;

/// Starts a thread on `cores` that calls `body` and ends.
///
/// # Errors
/// When the platform refuses.
pub fn start_thread(
    platform: &dyn Platform,
    cores: &CoreSet,
    body: impl FnOnce() + Send + 'static,
) -> Result<ThreadId, PlatformError> {
    // A closure's address has two words, that of its box one.
    let body: *mut Body = Box::into_raw(Box::new(Box::new(body)));
    platform.start_thread(cores, run, body.expose_provenance()).inspect_err(|_| {
        // SAFETY: made from a box above; no thread was started that would take it.
        drop(unsafe { Box::from_raw(body) });
    })
}

/// The thread. `argument` is a leaked [`Body`].
extern "C" fn run(argument: usize) {
    let body = core::ptr::with_exposed_provenance_mut::<Body>(argument);
    // SAFETY: `start_thread` leaked it for this thread alone.
    let body = unsafe { Box::from_raw(body) };
    body();
}
