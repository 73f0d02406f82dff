//! Reasons for refusing a model.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use embodios_gguf::memory::OutOfMemory;
use embodios_gguf::{GgufError, TensorType};
use embodios_kernels::matrix::WeightType;

use super::ARCHITECTURES;

/// A model that cannot be computed.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelError {
    /// The file is damaged, or lacks a key or a tensor.
    Gguf(GgufError),
    /// An architecture that is not known.
    UnsupportedArchitecture(String),
    /// A weight type that the kernels do not know.
    UnsupportedType {
        /// Tensor name.
        tensor: String,
        /// Its type.
        kind: TensorType,
    },
    /// A vector in another type than F32.
    NotF32 {
        /// Tensor name.
        tensor: String,
        /// Its type.
        kind: TensorType,
    },
    /// A tensor whose shape contradicts the metadata.
    Shape {
        /// Tensor name.
        tensor: String,
        /// Its shape.
        found: Vec<u64>,
        /// The shape that the metadata asks for.
        wanted: Vec<usize>,
    },
    /// A tensor that is no part of the architecture.
    UnusedTensor {
        /// Tensor name.
        tensor: String,
    },
    /// A key whose value makes no sense or is not supported.
    Value {
        /// Key.
        key: String,
        /// Its value, as text.
        value: String,
        /// The values that would be accepted.
        wanted: String,
    },
    /// An unknown key below the architecture's name, which may change what is computed.
    UnknownKey {
        /// Key.
        key: String,
    },
    /// Not enough memory.
    OutOfMemory(OutOfMemory),
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gguf(error) => error.fmt(f),
            Self::UnsupportedArchitecture(name) => {
                write!(f, "architecture {name:?} is not supported; supported:")?;
                ARCHITECTURES.iter().enumerate().try_for_each(|(index, known)| {
                    write!(f, "{} {}", if index > 0 { "," } else { "" }, known.name)
                })
            }
            Self::UnsupportedType { tensor, kind } => {
                write!(f, "tensor {tensor:?} is of type {kind}; supported:")?;
                WeightType::ALL.iter().try_for_each(|known| write!(f, " {}", known.tensor_type()))
            }
            Self::NotF32 { tensor, kind } => {
                write!(f, "tensor {tensor:?} is of type {kind}; supported for vectors: F32")
            }
            Self::Shape { tensor, found, wanted } => {
                write!(f, "tensor {tensor:?} has shape {found:?}; the metadata asks for {wanted:?}")
            }
            Self::UnusedTensor { tensor } => {
                write!(f, "tensor {tensor:?} is no part of this architecture as it is known here")
            }
            Self::Value { key, value, wanted } => write!(f, "key {key:?} is {value}; wanted {wanted}"),
            Self::UnknownKey { key } => {
                write!(f, "key {key:?} is not known here, and may change what the model computes")
            }
            Self::OutOfMemory(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ModelError {}

impl From<GgufError> for ModelError {
    fn from(error: GgufError) -> Self {
        Self::Gguf(error)
    }
}

impl From<OutOfMemory> for ModelError {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory(error)
    }
}
