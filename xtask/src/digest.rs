//! SHA-256 of files, in hexadecimal digits.

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Digest of a file.
///
/// # Errors
/// When it cannot be read.
pub fn of_file(path: &Path) -> Result<String> {
    let read = || of_copy(&mut File::open(path)?, &mut io::sink());
    read().with_context(|| format!("cannot read {}", path.display()))
}

/// Copies all bytes and returns their digest.
///
/// # Errors
/// Errors of either side.
pub fn of_copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => {
                hash.update(&buffer[..count]);
                to.write_all(&buffer[..count])?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        let mut copy = Vec::new();
        let digest = of_copy(&mut "abc".as_bytes(), &mut copy).expect("memory is readable");
        // FIPS 180-4, example of a one-block message.
        assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(copy, b"abc");
    }
}
