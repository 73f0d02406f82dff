//! A model's file in memory that suits streaming: large pages, where the system has them, as the kernel gives models;
//! and work on all cores that a process may use.

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use memmap2::{Advice, MmapMut};

/// A large page, in bytes.
const LARGE_PAGE: usize = 2 << 20;

/// Zeroed memory, by choice in large pages.
pub(super) fn memory(length: usize) -> io::Result<MmapMut> {
    let bytes = MmapMut::map_anon(length)?;
    // A system without large pages refuses; small ones serve too.
    let _ = bytes.advise(Advice::HugePage);
    Ok(bytes)
}

/// Reads a whole file, on all cores that this process may use: fresh large pages take longer than their bytes. Each
/// core takes a page after the other, since some come sooner than others.
///
/// # Errors
/// When it cannot be read, is empty, or becomes shorter meanwhile.
pub fn read(path: &Path) -> io::Result<MmapMut> {
    let file = &File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    if length == 0 {
        return Err(io::Error::other("the file is empty"));
    }
    let mut bytes = memory(length)?;
    let pages = bytes.chunks_mut(LARGE_PAGE).zip((0..).step_by(LARGE_PAGE));
    each_on_all_cores(pages, |(bytes, start)| file.read_exact_at(bytes, start))?;
    Ok(bytes)
}

/// Calls `work` with each of `items`, on all cores that this process may use. A core for which it fails takes no more,
/// and the error of one is the result.
///
/// # Errors
/// Those of `work`.
pub fn each_on_all_cores<T: Send, E: Send>(
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let items = &Mutex::new(items);
    // No thread panics while it holds the lock.
    let next = || items.lock().ok()?.next();
    let all = || core::iter::from_fn(next).try_for_each(&work);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores()).map(|_| scope.spawn(all)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Cores that this process may use.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}
