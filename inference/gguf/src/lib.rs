//! GGUF model files, versions 2 and 3, read in place.
//!
//! Owns the container: header, metadata, tensor directory. Every size, offset and count is checked
//! here, once, so that whatever a [`Gguf`] hands out lies inside the file. Memory use follows the
//! bytes that are really there, never a count the file claims. Knows no architecture and no
//! arithmetic.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod error;
pub mod memory;
mod reader;
pub mod sizing;
mod tensor;
mod value;

use alloc::vec::Vec;

pub use error::{Fault, GgufError, Subject};
use reader::Reader;
use tensor::{Directory, TensorInfo};
pub use tensor::{Tensor, TensorType};
pub use value::{FromValue, Scalar, Scalars, Strings, Value, ValueType};

/// Alignment of tensors when the file does not say (`general.alignment`).
const DEFAULT_ALIGNMENT: u64 = 32;
const ALIGNMENT_KEY: &str = "general.alignment";
/// Longest key the format allows, in bytes.
const MAX_KEY: u64 = 65_535;
/// Longest tensor name accepted, in bytes; the format allows 64.
const MAX_NAME: u64 = 1_024;
/// Bytes of the header and of the smallest metadata entry and tensor entry, which bound the counts.
const MIN_ENTRY: u64 = 8 + 4 + 1;
const MIN_INFO: u64 = 8 + 4 + 4 + 8;

/// One key with its value.
#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    key: &'a str,
    offset: u64,
    value: Value<'a>,
}

/// A parsed file. Keys, values and tensors borrow from its bytes.
#[derive(Debug)]
pub struct Gguf<'a> {
    version: u32,
    /// Sorted by key.
    entries: Vec<Entry<'a>>,
    tensors: Directory<'a>,
}

impl<'a> Gguf<'a> {
    /// Reads the header, all metadata and the tensor directory of `bytes`, the whole file.
    ///
    /// # Errors
    /// [`GgufError`] with the key or tensor and the file offset at fault.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, GgufError> {
        let mut reader = Reader::new(bytes);
        let header = |offset, fault| GgufError { subject: Subject::Header, offset, fault };
        let magic = reader.array::<4>().map_err(|fault| header(0, fault))?;
        if magic != *b"GGUF" {
            return Err(header(0, Fault::NotGguf(magic)));
        }
        let version = reader.u32().map_err(|fault| header(4, fault))?;
        if !matches!(version, 2 | 3) {
            return Err(header(4, Fault::Version(version)));
        }
        let tensor_count = reader.u64().map_err(|fault| header(8, fault))?;
        let entry_count = reader.u64().map_err(|fault| header(16, fault))?;
        reader.check_count(tensor_count, MIN_INFO).map_err(|fault| header(8, fault))?;
        reader.check_count(entry_count, MIN_ENTRY).map_err(|fault| header(16, fault))?;

        let entries = read_entries(&mut reader, entry_count)?;
        let alignment = read_alignment(&entries)?;
        let infos = read_infos(&mut reader, tensor_count)?;
        let tensors = Directory::new(bytes, reader.offset(), alignment, infos)?;
        Ok(Self { version, entries, tensors })
    }

    /// Format version: 2 or 3.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Keys in alphabetic order, each with its value.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + '_ {
        self.entries.iter().map(|entry| (entry.key, entry.value))
    }

    /// The value of `key`, `None` when the file has no such key.
    ///
    /// # Errors
    /// When the key is there with another type, or with a number that does not fit.
    pub fn get<T: FromValue<'a>>(&self, key: &str) -> Result<Option<T>, GgufError> {
        let Ok(index) = self.entries.binary_search_by(|entry| entry.key.cmp(key)) else {
            return Ok(None);
        };
        let entry = &self.entries[index];
        T::from_value(entry.value).map(Some).map_err(|fault| GgufError {
            subject: Subject::key(key),
            offset: entry.offset,
            fault,
        })
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// As [`Self::get`], and when the file has no such key.
    pub fn required<T: FromValue<'a>>(&self, key: &str) -> Result<T, GgufError> {
        self.get(key)?.ok_or_else(|| GgufError {
            subject: Subject::key(key),
            offset: 0,
            fault: Fault::Missing,
        })
    }

    /// All tensors, in the file's order.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &Tensor<'a>> {
        self.tensors.iter()
    }

    /// The tensor called `name`, `None` when the file has none.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&Tensor<'a>> {
        self.tensors.find(name)
    }

    /// The tensor called `name`.
    ///
    /// # Errors
    /// When the file has no such tensor.
    pub fn required_tensor(&self, name: &str) -> Result<&Tensor<'a>, GgufError> {
        self.tensor(name).ok_or_else(|| GgufError {
            subject: Subject::tensor(name),
            offset: 0,
            fault: Fault::Missing,
        })
    }
}

fn read_entries<'a>(reader: &mut Reader<'a>, count: u64) -> Result<Vec<Entry<'a>>, GgufError> {
    let mut entries: Vec<Entry<'a>> = Vec::new();
    for index in 0..count {
        let offset = reader.offset();
        let key = reader.name(MAX_KEY).map_err(|fault| GgufError {
            subject: Subject::KeyNumber(index),
            offset,
            fault,
        })?;
        let error = |fault| GgufError { subject: Subject::key(key), offset, fault };
        let value = Value::read(reader).map_err(error)?;
        entries.try_reserve(1).map_err(|_| error(Fault::OutOfMemory))?;
        entries.push(Entry { key, offset, value });
    }
    entries.sort_unstable_by(|a, b| (a.key, a.offset).cmp(&(b.key, b.offset)));
    for pair in entries.windows(2) {
        if pair[0].key == pair[1].key {
            let subject = Subject::key(pair[1].key);
            return Err(GgufError { subject, offset: pair[1].offset, fault: Fault::Duplicate });
        }
    }
    Ok(entries)
}

fn read_alignment(entries: &[Entry<'_>]) -> Result<u64, GgufError> {
    let Ok(index) = entries.binary_search_by(|entry| entry.key.cmp(ALIGNMENT_KEY)) else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    let Entry { key, offset, value } = entries[index];
    let error = |fault| GgufError { subject: Subject::key(key), offset, fault };
    let alignment = u32::from_value(value).map_err(error)?;
    if alignment.is_power_of_two() { Ok(alignment.into()) } else { Err(error(Fault::Alignment(alignment))) }
}

fn read_infos<'a>(reader: &mut Reader<'a>, count: u64) -> Result<Vec<TensorInfo<'a>>, GgufError> {
    let mut infos = Vec::new();
    for index in 0..count {
        let offset = reader.offset();
        let name = reader.name(MAX_NAME).map_err(|fault| GgufError {
            subject: Subject::TensorNumber(index),
            offset,
            fault,
        })?;
        let error = |fault| GgufError { subject: Subject::tensor(name), offset, fault };
        let info = TensorInfo::read(reader, name, offset).map_err(error)?;
        infos.try_reserve(1).map_err(|_| error(Fault::OutOfMemory))?;
        infos.push(info);
    }
    Ok(infos)
}
