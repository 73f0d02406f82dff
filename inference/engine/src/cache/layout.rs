//! The layout of a block of keys and values, and their precision.

use embodios_gguf::memory::OutOfMemory;
use embodios_kernels::{KV_BLOCK, Precision};

use super::CacheError;
use crate::model::Model;

/// Layout of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockLayout {
    pub precision: Precision,
    pub kv_heads: usize,
    /// Bytes of a head's key or value at one position.
    pub vector: usize,
    /// Bytes of a block.
    pub block: usize,
}

impl BlockLayout {
    /// The layout for a model.
    ///
    /// # Errors
    /// When a block has more bytes than there are addresses.
    pub fn new(model: &Model<'_>) -> Result<Self, CacheError> {
        let (config, precision) = (&model.config, precision_for(model));
        let (kv_heads, vector) = (config.kv_heads, config.head_length * precision.bytes());
        let heads = config.layers.checked_mul(kv_heads);
        let block = heads.and_then(|heads| heads.checked_mul(2 * KV_BLOCK)?.checked_mul(vector));
        let too_much = OutOfMemory { what: "cache", bytes: usize::MAX };
        let block = block.ok_or(CacheError::OutOfMemory(too_much))?;
        Ok(Self { precision, kv_heads, vector, block })
    }

    /// Bytes of the keys, or of the values, of a head in a block.
    pub const fn run(&self) -> usize {
        KV_BLOCK * self.vector
    }

    /// First byte of a head's keys; its values follow.
    pub const fn start(&self, layer: usize, head: usize) -> usize {
        (layer * self.kv_heads + head) * 2 * self.run()
    }
}

/// Half precision for quantised weights, which are coarser; single for floats.
fn precision_for(model: &Model<'_>) -> Precision {
    let quantized = model.layers.iter().all(|layer| layer.key.kind().is_quantized());
    if quantized { Precision::Half } else { Precision::Single }
}
