//! A model's file in memory that suits streaming: large pages, where the system has them, as the kernel gives models; and
//! its matrices as kernels want them.

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use memmap2::{Advice, MmapMut};

use crate::matrix::Layout;
use crate::model::{ModelError, quantized};

/// A large page, in bytes.
const LARGE_PAGE: usize = 2 << 20;

/// Zeroed memory, by choice in large pages.
pub(super) fn memory(length: usize) -> io::Result<MmapMut> {
    let bytes = MmapMut::map_anon(length)?;
    // A system without large pages refuses; small ones serve too.
    let _ = bytes.advise(Advice::HugePage);
    Ok(bytes)
}

/// Reads a whole file, on all cores that this process may use: fresh large pages take longer than their bytes.
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
    let share = length.div_ceil(cores()).next_multiple_of(LARGE_PAGE);
    thread::scope(|scope| {
        let shares = bytes.chunks_mut(share).zip((0..).step_by(share));
        let reads = shares.map(|(bytes, start)| scope.spawn(move || file.read_exact_at(bytes, start as u64)));
        let reads: Vec<_> = reads.collect();
        reads
            .into_iter()
            .try_for_each(|read| read.join().unwrap_or_else(|_| Err(io::Error::other("a reader panicked"))))
    })?;
    Ok(bytes)
}

/// Brings all quantised tensors of a model's file from rows into `layout`, in place, on all cores that this process may use.
///
/// # Errors
/// As [`crate::model::lay_out`].
pub fn lay_out(file: &mut [u8], layout: Layout) -> Result<(), ModelError> {
    if layout == Layout::Rows {
        return Ok(());
    }
    let tensors = &Mutex::new(quantized(file)?.into_iter());
    // Nobody panics with the lock.
    let next = || tensors.lock().ok()?.next();
    let work = || core::iter::from_fn(next).try_for_each(|tensor| tensor.lay_out(layout));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores()).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(done) => Ok(done?),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// Cores that this process may use.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}
