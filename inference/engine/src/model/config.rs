//! Hyper-parameters from the metadata of a GGUF file.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use embodios_gguf::memory::reserved;
use embodios_gguf::{FromValue, Gguf, Value};

use super::{Architecture, Local, ModelError};

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
    /// Divisor of the rotation angles.
    pub rope_scale: f32,
    /// Layers that do not see all positions, where there are any.
    pub window: Option<Window>,
}

/// Layers that see only the latest positions, and their rotation.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Positions that they see, the current one included.
    pub length: usize,
    /// The layers.
    pub pattern: Pattern,
    /// Base of their rotation frequencies.
    pub rope_base: f32,
}

/// Layers that have a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// All but the last of so many in a row.
    Period(usize),
    /// Those for which there is a `true`.
    Layers(Vec<bool>),
}

impl Window {
    /// Whether it applies to layer `index`.
    #[must_use]
    pub fn applies_to(&self, index: usize) -> bool {
        match &self.pattern {
            Pattern::Period(period) => !(index + 1).is_multiple_of(*period),
            Pattern::Layers(layers) => layers.get(index).is_some_and(|&local| local),
        }
    }
}

impl Config {
    /// Reads the metadata, and the vocabulary's size off the token embedding.
    pub(super) fn read(gguf: &Gguf<'_>) -> Result<Self, ModelError> {
        let name: &str = gguf.required("general.architecture")?;
        let Some(architecture) = Architecture::from_name(name) else {
            return Err(ModelError::UnsupportedArchitecture(name.chars().take(80).collect()));
        };
        let keys = Keys { gguf, architecture: name };
        let embedding_shape = gguf.required_tensor("token_embd.weight")?.shape();
        let layers = keys.number("block_count")?;
        let context = keys.number("context_length")?;
        let embedding = keys.number("embedding_length")?;
        let heads = keys.same_in_all("attention.head_count", layers, None)?;
        let kv_heads = keys.same_in_all("attention.head_count_kv", layers, Some(heads))?;
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
            feed_forward: keys.same_in_all("feed_forward_length", layers, None)?,
            layers,
            heads,
            kv_heads,
            head_length,
            rotated,
            context,
            epsilon: keys.positive("attention.layer_norm_rms_epsilon", None)?,
            rope_base: keys.positive("rope.freq_base", Some(10_000.0))?,
            rope_scale: keys.rope_scale()?,
            window: keys.window(architecture, layers, context)?,
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

    /// A number of at least 1, or an array with the same one for each layer.
    fn same_in_all(&self, key: &str, layers: usize, default: Option<usize>) -> Result<usize, ModelError> {
        let value = match (self.gguf.get::<Value<'_>>(&self.name(key))?, default) {
            (None, Some(default)) => return Ok(default),
            (Some(value @ Value::Array(..)), _) => value,
            _ => return self.number(key),
        };
        let mut elements = value.elements();
        let first = elements.next().and_then(|first| u32::from_value(first).ok()).unwrap_or(0);
        let same = |element| matches!(element, Value::Integer(_, number) if number == first.into());
        let fits = first > 0 && self.is_for_each(value, layers) && elements.all(same);
        self.check(key, value, fits, || {
            format!("the same number, at least 1, for each of the {layers} layers")
        })?;
        Ok(first as usize)
    }

    /// Whether an array has an element for each layer.
    fn is_for_each(&self, value: Value<'_>, layers: usize) -> bool {
        matches!(value, Value::Array(_, count, _) if count == layers as u64)
    }

    fn positive(&self, key: &str, default: Option<f32>) -> Result<f32, ModelError> {
        let value = match (self.gguf.get(&self.name(key))?, default) {
            (Some(value), _) | (None, Some(value)) => value,
            (None, None) => self.gguf.required(&self.name(key))?,
        };
        self.check(key, value, value > 0.0 && value.is_finite(), || "a positive number".into())?;
        Ok(value)
    }

    /// As the format has it, a factor without a type means linear scaling. Files from before there were types have the
    /// factor under an older key.
    fn rope_scale(&self) -> Result<f32, ModelError> {
        let key = "rope.scaling.type";
        match self.gguf.get::<&str>(&self.name(key))? {
            Some("none") => Ok(1.0),
            Some("linear") | None => {
                let older = self.positive("rope.scale_linear", Some(1.0))?;
                self.positive("rope.scaling.factor", Some(older))
            }
            Some(other) => {
                Err(self.refusal(key, other.chars().take(80).collect::<String>(), "none or linear".into()))
            }
        }
    }

    fn window(
        &self,
        architecture: &Architecture,
        layers: usize,
        context: usize,
    ) -> Result<Option<Window>, ModelError> {
        let key = "attention.sliding_window";
        let length = self.gguf.get::<u32>(&self.name(key))?.unwrap_or(0) as usize;
        let Some(local) = architecture.local else {
            self.check(key, length, length == 0 || length >= context, || {
                format!("0, or no less than the context of {context}: all layers see all positions here")
            })?;
            return Ok(None);
        };
        let pattern = self.pattern(&local, layers)?;
        let rope_base = self.positive("rope.freq_base_swa", Some(local.rope_base))?;
        Ok((length > 0).then_some(Window { length, pattern, rope_base }))
    }

    /// A period, or an array that says of each layer whether it has a window.
    fn pattern(&self, local: &Local, layers: usize) -> Result<Pattern, ModelError> {
        let key = "attention.sliding_window_pattern";
        let value = match self.gguf.get::<Value<'_>>(&self.name(key))? {
            Some(value @ Value::Array(..)) => value,
            _ => return Ok(Pattern::Period(self.number_or(key, local.period)?)),
        };
        let has_window = |element| match element {
            Value::Bool(local) => Some(local),
            Value::Integer(_, 0) => Some(false),
            Value::Integer(_, 1) => Some(true),
            _ => None,
        };
        let fits =
            self.is_for_each(value, layers) && value.elements().all(|element| has_window(element).is_some());
        self.check(key, value, fits, || format!("a number, or a boolean for each of the {layers} layers"))?;
        let mut pattern = reserved(layers, "window pattern")?;
        pattern.extend(value.elements().filter_map(has_window));
        Ok(Pattern::Layers(pattern))
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
