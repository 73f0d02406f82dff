//! A thread moved to one core, and back on every way out.

use crate::platform::{CoreSet, Platform, PlatformError, ThreadId};

/// While it lives, the thread that made it stays on one core.
pub struct Pinned {
    platform: &'static dyn Platform,
    thread: ThreadId,
    /// The thread's cores before, unless those are another's to restore.
    before: Option<CoreSet>,
}

impl Pinned {
    /// Moves the calling thread to `core`.
    ///
    /// # Errors
    /// When the platform refuses.
    pub fn new(platform: &'static dyn Platform, core: usize) -> Result<Self, PlatformError> {
        let thread = platform.current_thread();
        let before = Some(platform.affinity(thread)?);
        platform.set_affinity(thread, &CoreSet::from_iter([core]))?;
        Ok(Self { platform, thread, before })
    }

    /// Goes back, in the end, to where `earlier` would have, which no longer does.
    pub fn take_over(&mut self, earlier: &mut Self) {
        self.before = earlier.before.take();
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A thread that has ended needs no place.
            let _ = self.platform.set_affinity(self.thread, before);
        }
    }
}
