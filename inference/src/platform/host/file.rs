//! A model's file in memory that suits streaming: large pages, where the system has them, as the kernel gives models.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use memmap2::{Advice, MmapMut};

/// Reads a whole file.
///
/// # Errors
/// When it cannot be read, is empty, or becomes shorter meanwhile.
pub fn read(path: &Path) -> io::Result<MmapMut> {
    let mut file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    if length == 0 {
        return Err(io::Error::other("the file is empty"));
    }
    let mut bytes = MmapMut::map_anon(length)?;
    // A system without large pages refuses; small ones serve too.
    let _ = bytes.advise(Advice::HugePage);
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
