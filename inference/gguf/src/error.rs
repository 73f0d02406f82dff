//! Reasons for refusing a file: the part at fault, its place in the file, and the fault.

use alloc::string::String;
use core::fmt;

use crate::TensorType;
use crate::ValueType;

/// Longest part of a file's own name that an error repeats, in characters.
pub(super) const SHOWN: usize = 80;

/// A rejection.
#[derive(Clone, Debug, PartialEq)]
pub struct GgufError {
    /// The part at fault.
    pub subject: Subject,
    /// Offset of its description in the file, in bytes; meaningless for [`Fault::Missing`].
    pub offset: u64,
    /// The fault.
    pub fault: Fault,
}

/// The part of the file at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The first 24 bytes.
    Header,
    /// A metadata key.
    Key(String),
    /// The n-th metadata key (from 0), whose name cannot be read.
    KeyNumber(u64),
    /// A tensor.
    Tensor(String),
    /// The n-th tensor (from 0), whose name cannot be read.
    TensorNumber(u64),
}

impl Subject {
    pub(super) fn key(name: &str) -> Self {
        Self::Key(name.chars().take(SHOWN).collect())
    }

    pub(super) fn tensor(name: &str) -> Self {
        Self::Tensor(name.chars().take(SHOWN).collect())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => write!(f, "header"),
            Self::Key(name) => write!(f, "key {name:?}"),
            Self::KeyNumber(index) => write!(f, "key number {index}"),
            Self::Tensor(name) => write!(f, "tensor {name:?}"),
            Self::TensorNumber(index) => write!(f, "tensor number {index}"),
        }
    }
}

/// A fault in a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The first four bytes are not `GGUF`.
    NotGguf([u8; 4]),
    /// Neither version 2 nor 3.
    Version(u32),
    /// The file ends first.
    Truncated {
        /// Bytes asked for.
        needed: u64,
        /// Bytes left in the file.
        left: u64,
    },
    /// A count that the rest of the file cannot hold.
    Count {
        /// The count that the file claims.
        claimed: u64,
        /// The most that fits.
        possible: u64,
    },
    /// A name longer than allowed.
    TooLong {
        /// Bytes of the name.
        length: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// Text that is not UTF-8.
    NotUtf8,
    /// A value type number that the format does not define.
    UnknownValueType(u32),
    /// A boolean other than 0 and 1.
    NotBool(u8),
    /// Arrays of arrays, deeper than any model needs.
    NestedTooDeep,
    /// The same name twice.
    Duplicate,
    /// No such key or tensor.
    Missing,
    /// The key has another type than asked for.
    WrongType {
        /// The type in the file.
        found: ValueType,
        /// The type asked for.
        wanted: &'static str,
    },
    /// An integer outside the range of the type asked for.
    OutOfRange {
        /// The number.
        found: i128,
        /// The type asked for.
        wanted: &'static str,
    },
    /// `general.alignment` is not a power of two.
    Alignment(u32),
    /// A tensor type number that is not known.
    UnknownTensorType(u32),
    /// A number of dimensions other than 1 to 4.
    Dimensions(u32),
    /// A dimension of 0, or a product of dimensions past 2^63.
    Shape([u64; 4]),
    /// Rows that are not whole blocks of the type.
    PartialBlock {
        /// Elements of a row.
        row: u64,
        /// The tensor's type.
        kind: TensorType,
    },
    /// A data offset that is not a multiple of the alignment.
    Misaligned {
        /// Offset inside the data part.
        at: u64,
        /// The file's alignment.
        alignment: u64,
    },
    /// Data past the end of the file.
    OutOfFile {
        /// First byte, from the start of the file.
        start: u64,
        /// Bytes of the tensor.
        length: u64,
        /// Bytes of the file.
        file: u64,
    },
    /// Data shared with another tensor.
    Overlap(String),
    /// No memory for the directory of a file this large.
    OutOfMemory,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGguf(found) => {
                write!(f, "not a GGUF file: begins with \"{}\"", found.escape_ascii())
            }
            Self::Version(version) if matches!(version.swap_bytes(), 1..=3) => {
                write!(f, "big-endian file; only little-endian ones are supported")
            }
            Self::Version(version) => write!(f, "version {version} is not supported; 2 and 3 are"),
            Self::Truncated { needed, left } => {
                write!(f, "needs {needed} bytes where the file has {left} left")
            }
            Self::Count { claimed, possible } => {
                write!(f, "claims {claimed} entries; the rest of the file holds at most {possible}")
            }
            Self::TooLong { length, limit } => write!(f, "name of {length} bytes; at most {limit}"),
            Self::NotUtf8 => write!(f, "text is not UTF-8"),
            Self::UnknownValueType(number) => write!(f, "unknown value type {number}"),
            Self::NotBool(byte) => write!(f, "boolean holds {byte}"),
            Self::NestedTooDeep => write!(f, "arrays nested too deep"),
            Self::Duplicate => write!(f, "appears twice"),
            Self::Missing => write!(f, "missing"),
            Self::WrongType { found, wanted } => write!(f, "is of type {found}, wanted {wanted}"),
            Self::OutOfRange { found, wanted } => write!(f, "{found} does not fit {wanted}"),
            Self::Alignment(value) => write!(f, "alignment {value} is not a power of two"),
            Self::UnknownTensorType(number) => write!(f, "unknown tensor type {number}"),
            Self::Dimensions(count) => write!(f, "{count} dimensions; 1 to 4 are allowed"),
            Self::Shape(shape) => write!(f, "impossible shape {shape:?}"),
            Self::PartialBlock { row, kind } => {
                write!(f, "rows of {row} elements are not whole blocks of {} ({kind})", kind.block())
            }
            Self::Misaligned { at, alignment } => {
                write!(f, "data offset {at} is not a multiple of the alignment {alignment}")
            }
            Self::OutOfFile { start, length, file } => {
                write!(f, "data of {length} bytes from {start} does not fit the file of {file} bytes")
            }
            Self::Overlap(other) => write!(f, "data overlaps that of tensor {other:?}"),
            Self::OutOfMemory => write!(f, "no memory left for the file's directory"),
        }
    }
}

impl fmt::Display for GgufError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fault == Fault::Missing {
            return write!(f, "{} is missing", self.subject);
        }
        write!(f, "{} at offset {}: {}", self.subject, self.offset, self.fault)
    }
}

impl core::error::Error for GgufError {}
