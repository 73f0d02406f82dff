//! Hyper-parameters from the metadata of a GGUF file.

use alloc::format;
use alloc::string::{String, ToString};

use super::{Architecture, ModelError};
use crate::gguf::Gguf;

/// Hyper-parameters, consistent with each other.
#[derive(Clone, Debug)]
pub struct Config {
    /// `general.architecture`.
    pub architecture: &'static Architecture,
    /// Number of tokens.
    pub vocabulary: usize,
    /// Length of the vector that passes through the layers.
    pub embedding: usize,
    /// Length of the feed-forward part's inner vector.
    pub feed_forward: usize,
    /// Number of layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads, a divisor of the query heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_length: usize,
    /// Leading elements of a head that are rotated: even.
    pub rotated: usize,
    /// Positions that the model was trained for.
    pub context: usize,
    /// Added to the mean square under the root of a norm.
    pub epsilon: f32,
    /// Base of the rotation frequencies.
    pub rope_base: f32,
    /// What the rotation angles are divided by.
    pub rope_scale: f32,
    /// Layers that do not see all positions, where there are any.
    pub window: Option<Window>,
}

/// Which layers see only the latest positions, and how they rotate.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Positions that they see, the current one included.
    pub length: usize,
    /// Of so many layers in a row, the last sees all positions.
    pub period: usize,
    /// Base of their rotation frequencies.
    pub rope_base: f32,
}

impl Window {
    /// Whether it applies to layer `index`.
    #[must_use]
    pub const fn applies_to(&self, index: usize) -> bool {
        !(index + 1).is_multiple_of(self.period)
    }
}

impl Config {
    /// Reads the metadata; `embedding_shape` is that of the token embedding, whose second dimension is the
    /// vocabulary.
    pub(super) fn read(gguf: &Gguf<'_>, embedding_shape: &[u64]) -> Result<Self, ModelError> {
        let name: &str = gguf.required("general.architecture")?;
        let Some(architecture) = Architecture::from_name(name) else {
            return Err(ModelError::UnsupportedArchitecture(name.chars().take(80).collect()));
        };
        let keys = Keys { gguf, architecture: name };
        keys.refuse_unsupported()?;
        let embedding = keys.number("embedding_length")?;
        let heads = keys.number("attention.head_count")?;
        let kv_heads = keys.number_or("attention.head_count_kv", heads)?;
        keys.check("attention.head_count_kv", kv_heads, heads.is_multiple_of(kv_heads), || {
            format!("a divisor of the {heads} heads")
        })?;
        let head_length = keys.number_or("attention.key_length", embedding / heads)?;
        keys.check("attention.key_length", head_length, head_length > 0, || {
            format!("at least 1; {embedding} elements make {heads} heads")
        })?;
        let value_length = keys.number_or("attention.value_length", head_length)?;
        keys.check("attention.value_length", value_length, value_length == head_length, || {
            format!("the key length, {head_length}")
        })?;
        let rotated = keys.number_or("rope.dimension_count", head_length)?;
        keys.check("rope.dimension_count", rotated, rotated <= head_length && rotated % 2 == 0, || {
            format!("an even number up to {head_length}")
        })?;
        Ok(Self {
            architecture,
            vocabulary: embedding_shape.get(1).map_or(1, |&rows| rows as usize),
            embedding,
            feed_forward: keys.number("feed_forward_length")?,
            layers: keys.number("block_count")?,
            heads,
            kv_heads,
            head_length,
            rotated,
            context: keys.number("context_length")?,
            epsilon: keys.positive("attention.layer_norm_rms_epsilon", None)?,
            rope_base: keys.positive("rope.freq_base", Some(10_000.0))?,
            rope_scale: keys.rope_scale()?,
            window: keys.window(architecture)?,
        })
    }
}

/// Keys below the architecture's name.
struct Keys<'g, 'a> {
    gguf: &'g Gguf<'a>,
    architecture: &'g str,
}

impl Keys<'_, '_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    /// A number of at least 1.
    fn number(&self, key: &str) -> Result<usize, ModelError> {
        let value: u32 = self.gguf.required(&self.name(key))?;
        self.check(key, value as usize, value > 0, || "at least 1".into())?;
        Ok(value as usize)
    }

    fn number_or(&self, key: &str, default: usize) -> Result<usize, ModelError> {
        match self.gguf.get::<u32>(&self.name(key))? {
            Some(_) => self.number(key),
            None => Ok(default),
        }
    }

    fn positive(&self, key: &str, default: Option<f32>) -> Result<f32, ModelError> {
        let value = match (self.gguf.get(&self.name(key))?, default) {
            (Some(value), _) | (None, Some(value)) => value,
            (None, None) => self.gguf.required(&self.name(key))?,
        };
        self.check(key, value, value > 0.0 && value.is_finite(), || "a positive number".into())?;
        Ok(value)
    }

    /// As the format has it, a factor without a type means linear scaling.
    fn rope_scale(&self) -> Result<f32, ModelError> {
        let key = "rope.scaling.type";
        match self.gguf.get::<&str>(&self.name(key))? {
            Some("none") => Ok(1.0),
            Some("linear") | None => self.positive("rope.scaling.factor", Some(1.0)),
            Some(other) => {
                Err(self.refusal(key, other.chars().take(80).collect::<String>(), "none or linear".into()))
            }
        }
    }

    fn window(&self, architecture: &Architecture) -> Result<Option<Window>, ModelError> {
        let length = self.gguf.get::<u32>(&self.name("attention.sliding_window"))?.unwrap_or(0);
        let Some(local) = architecture.local.filter(|_| length > 0) else { return Ok(None) };
        Ok(Some(Window {
            length: length as usize,
            period: self.number_or("attention.sliding_window_pattern", local.period)?,
            rope_base: self.positive("rope.freq_base_swa", Some(local.rope_base))?,
        }))
    }

    /// Keys that change what is computed in ways no description here has.
    fn refuse_unsupported(&self) -> Result<(), ModelError> {
        let experts = self.gguf.get::<u32>(&self.name("expert_count"))?.unwrap_or(0);
        self.check("expert_count", experts, experts == 0, || "0: no mixture of experts".into())?;
        let key = "final_logit_softcapping";
        let cap = self.gguf.get::<f32>(&self.name(key))?.unwrap_or(0.0);
        self.check(key, cap, cap == 0.0, || "0: no capped logits".into())
    }

    fn check(
        &self,
        key: &str,
        value: impl ToString,
        accepted: bool,
        wanted: impl FnOnce() -> String,
    ) -> Result<(), ModelError> {
        if accepted { Ok(()) } else { Err(self.refusal(key, value, wanted())) }
    }

    fn refusal(&self, key: &str, value: impl ToString, wanted: String) -> ModelError {
        ModelError::Value { key: self.name(key), value: value.to_string(), wanted }
    }
}
