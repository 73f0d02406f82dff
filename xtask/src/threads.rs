//! Threads of a scope: their ends, and work that several of them share.

use anyhow::Result;
use std::ops::Range;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};

/// The result of a thread; its panic goes on here.
pub fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload))
}

/// Does `work` with each number, on so many threads at once.
///
/// # Errors
/// The first thread's. A thread ends at its error, and the others do the rest.
pub fn each(threads: u64, numbers: Range<u64>, work: impl Fn(u64) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicU64::new(numbers.start);
    let thread = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= numbers.end {
                return Ok(());
            }
            work(number)?;
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(thread)).collect();
        threads.into_iter().try_for_each(join)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::ensure;
    use std::sync::Mutex;

    #[test]
    fn each_number_is_done_once_and_an_error_is_told() {
        let done = Mutex::new(Vec::new());
        each(4, 3..50, |number| {
            done.lock().expect("no panic").push(number);
            Ok(())
        })
        .expect("no error");
        let mut done = done.into_inner().expect("no panic");
        done.sort_unstable();
        assert_eq!(done, Vec::from_iter(3..50));
        let error = each(4, 0..50, |number| {
            ensure!(number != 20, "not {number}");
            Ok(())
        });
        assert_eq!(error.expect_err("one fails").to_string(), "not 20");
    }
}
