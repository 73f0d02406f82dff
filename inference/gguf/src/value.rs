//! Metadata values: how they are read, and their conversion into Rust types without copying.

use core::fmt;
use core::marker::PhantomData;

use crate::Fault;
use crate::error::SHOWN;
use crate::reader::{Reader, without_nul};

/// Arrays of arrays down to this depth are accepted (and skipped over); none in use goes past 2.
const MAX_DEPTH: u32 = 4;

/// The types of metadata values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the format's own")]
pub enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

impl ValueType {
    fn from_number(number: u32) -> Result<Self, Fault> {
        Ok(match number {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::String,
            9 => Self::Array,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return Err(Fault::UnknownValueType(number)),
        })
    }

    /// Bytes of a value, `None` where they vary.
    const fn size(self) -> Option<u64> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::String | Self::Array => None,
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A value as it stands in the file.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// An integer of any width and sign.
    Integer(ValueType, i128),
    /// A 32-bit or 64-bit float.
    Float(ValueType, f64),
    /// A boolean.
    Bool(bool),
    /// Text, as bytes: nothing but what asks for UTF-8 checks it.
    String(&'a [u8]),
    /// An array: element type, number of elements, their bytes.
    Array(ValueType, u64, &'a [u8]),
}

impl<'a> Value<'a> {
    /// Reads type and value.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let kind = ValueType::from_number(reader.u32()?)?;
        Self::read_as(kind, reader)
    }

    /// Reads a value of type `kind`.
    fn read_as(kind: ValueType, reader: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(match kind {
            ValueType::U8 => Self::Integer(kind, u8::from_le_bytes(reader.array()?).into()),
            ValueType::I8 => Self::Integer(kind, i8::from_le_bytes(reader.array()?).into()),
            ValueType::U16 => Self::Integer(kind, u16::from_le_bytes(reader.array()?).into()),
            ValueType::I16 => Self::Integer(kind, i16::from_le_bytes(reader.array()?).into()),
            ValueType::U32 => Self::Integer(kind, u32::from_le_bytes(reader.array()?).into()),
            ValueType::I32 => Self::Integer(kind, i32::from_le_bytes(reader.array()?).into()),
            ValueType::U64 => Self::Integer(kind, u64::from_le_bytes(reader.array()?).into()),
            ValueType::I64 => Self::Integer(kind, i64::from_le_bytes(reader.array()?).into()),
            ValueType::F32 => Self::Float(kind, f32::from_le_bytes(reader.array()?).into()),
            ValueType::F64 => Self::Float(kind, f64::from_le_bytes(reader.array()?)),
            ValueType::Bool => Self::Bool(truth(reader.array::<1>()?[0])?),
            ValueType::String => Self::String(without_nul(reader.string()?)),
            ValueType::Array => {
                let element = ValueType::from_number(reader.u32()?)?;
                let count = reader.u64()?;
                let mut end = reader.clone();
                skip_array(&mut end, element, count, MAX_DEPTH)?;
                Self::Array(element, count, reader.take(end.offset() - reader.offset())?)
            }
        })
    }

    /// The elements of an array; of any other value the value itself.
    pub fn elements(self) -> impl Iterator<Item = Self> {
        let (mut reader, kind, count) = match self {
            Self::Array(element, count, bytes) => (Reader::new(bytes), Some(element), count),
            _ => (Reader::new(&[]), None, 1),
        };
        // Parsing walked all of them, so that none is cut off.
        (0..count).map_while(move |_| match kind {
            Some(kind) => Self::read_as(kind, &mut reader).ok(),
            None => Some(self),
        })
    }

    /// The value's type.
    #[must_use]
    pub const fn kind(&self) -> ValueType {
        match self {
            Self::Integer(kind, _) | Self::Float(kind, _) => *kind,
            Self::Bool(_) => ValueType::Bool,
            Self::String(_) => ValueType::String,
            Self::Array(..) => ValueType::Array,
        }
    }

    const fn wrong_type(&self, wanted: &'static str) -> Fault {
        let found = match self {
            Self::Array(element, ..) => *element,
            _ => self.kind(),
        };
        Fault::WrongType { found, wanted }
    }
}

const fn truth(byte: u8) -> Result<bool, Fault> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Fault::NotBool(other)),
    }
}

impl fmt::Display for Value<'_> {
    /// An array as its type and length, text with its first characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(_, number) => number.fmt(f),
            Self::Float(ValueType::F32, number) => (*number as f32).fmt(f),
            Self::Float(_, number) => number.fmt(f),
            Self::Bool(truth) => truth.fmt(f),
            Self::String(text) => {
                write!(f, "\"{}\"", text[..text.len().min(SHOWN)].escape_ascii())?;
                f.write_str(if text.len() > SHOWN { "..." } else { "" })
            }
            Self::Array(element, count, _) => write!(f, "an array of {count} {element}"),
        }
    }
}

/// Moves past `count` elements.
fn skip_array(reader: &mut Reader<'_>, element: ValueType, count: u64, depth: u32) -> Result<(), Fault> {
    if let Some(size) = element.size() {
        reader.check_count(count, size)?;
        let elements = reader.take(count * size)?;
        if element == ValueType::Bool {
            elements.iter().try_for_each(|&byte| truth(byte).map(|_| ()))?;
        }
        return Ok(());
    }
    // A string takes 8 bytes at least, an array 12.
    reader.check_count(count, 8)?;
    for _ in 0..count {
        if element == ValueType::String {
            reader.string()?;
        } else {
            let inner = depth.checked_sub(1).ok_or(Fault::NestedTooDeep)?;
            let element = ValueType::from_number(reader.u32()?)?;
            let count = reader.u64()?;
            skip_array(reader, element, count, inner)?;
        }
    }
    Ok(())
}

/// A type that [`crate::Gguf::get`] converts values into.
pub trait FromValue<'a>: Sized {
    /// Converts.
    ///
    /// # Errors
    /// [`Fault::WrongType`] or [`Fault::OutOfRange`].
    fn from_value(value: Value<'a>) -> Result<Self, Fault>;
}

impl<'a> FromValue<'a> for Value<'a> {
    fn from_value(value: Value<'a>) -> Result<Self, Fault> {
        Ok(value)
    }
}

impl<'a> FromValue<'a> for &'a str {
    fn from_value(value: Value<'a>) -> Result<Self, Fault> {
        match value {
            Value::String(text) => core::str::from_utf8(text).map_err(|_| Fault::NotUtf8),
            other => Err(other.wrong_type("a string")),
        }
    }
}

impl FromValue<'_> for bool {
    fn from_value(value: Value<'_>) -> Result<Self, Fault> {
        match value {
            Value::Bool(truth) => Ok(truth),
            other => Err(other.wrong_type("a boolean")),
        }
    }
}

impl FromValue<'_> for u32 {
    fn from_value(value: Value<'_>) -> Result<Self, Fault> {
        match value {
            Value::Integer(_, found) => {
                Self::try_from(found).map_err(|_| Fault::OutOfRange { found, wanted: "32 bits unsigned" })
            }
            other => Err(other.wrong_type("an integer")),
        }
    }
}

impl FromValue<'_> for f32 {
    fn from_value(value: Value<'_>) -> Result<Self, Fault> {
        match value {
            Value::Float(_, number) => Ok(number as Self),
            other => Err(other.wrong_type("a float")),
        }
    }
}

/// An array of strings, as bytes: iterated in place.
#[derive(Clone, Debug)]
pub struct Strings<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl<'a> FromValue<'a> for Strings<'a> {
    fn from_value(value: Value<'a>) -> Result<Self, Fault> {
        match value {
            // The count was checked against the file's size, so that it fits.
            Value::Array(ValueType::String, count, bytes) => {
                Ok(Self { reader: Reader::new(bytes), left: count as usize })
            }
            other => Err(other.wrong_type("an array of strings")),
        }
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        // Parsing walked all of them, so that none is cut off.
        self.reader.string().ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Strings<'_> {}

/// Numbers that stand in arrays.
pub trait Scalar: Copy {
    /// The file's type.
    const KIND: ValueType;
    /// Name of an array of it in errors.
    const ARRAY: &'static str;
    /// Bytes of one.
    const SIZE: usize;
    /// From [`Self::SIZE`] little-endian bytes.
    fn from_le(bytes: &[u8]) -> Self;
}

macro_rules! scalar {
    ($($type:ty, $kind:ident, $array:literal;)*) => {$(
        impl Scalar for $type {
            const KIND: ValueType = ValueType::$kind;
            const ARRAY: &'static str = $array;
            const SIZE: usize = size_of::<$type>();
            fn from_le(bytes: &[u8]) -> Self {
                let mut array = [0; size_of::<$type>()];
                array.copy_from_slice(bytes);
                <$type>::from_le_bytes(array)
            }
        }
    )*};
}

scalar! {
    u32, U32, "an array of u32";
    i32, I32, "an array of i32";
    f32, F32, "an array of f32";
}

/// An array of numbers, read in place (the file does not align them).
#[derive(Clone, Copy, Debug)]
pub struct Scalars<'a, T> {
    bytes: &'a [u8],
    kind: PhantomData<T>,
}

impl<'a, T: Scalar> FromValue<'a> for Scalars<'a, T> {
    fn from_value(value: Value<'a>) -> Result<Self, Fault> {
        match value {
            Value::Array(element, _, bytes) if element == T::KIND => Ok(Self { bytes, kind: PhantomData }),
            other => Err(other.wrong_type(T::ARRAY)),
        }
    }
}

impl<'a, T: Scalar> Scalars<'a, T> {
    /// Number of elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len() / T::SIZE
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Element `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<T> {
        self.bytes.chunks_exact(T::SIZE).nth(index).map(T::from_le)
    }

    /// All elements.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> + use<'a, T> {
        self.bytes.chunks_exact(T::SIZE).map(T::from_le)
    }
}
