//! The table of metadata keys: those that the Python package `gguf`, llama.cpp and older files know, each with its
//! class.

use super::Class::{Harmless, Only, Read};
use super::Wanted::{Absent, Bool, Numbers, Own, Text};
use super::{Class, Wanted};
use crate::model::Config;

/// A key, or the beginning of some, with its class.
type Row = (&'static str, Class);

const ZERO: Class = Only(Numbers(&[0.0]));
const ONE: Class = Only(Numbers(&[1.0]));
/// A factor whose 0 says that it is not set.
const FACTOR: Class = Only(Numbers(&[0.0, 1.0]));
const FALSE: Class = Only(Bool(false));
const OTHER_MODELS: Class = Only(Absent("it belongs to models of another kind"));
const HEAD: Class = Only(Own(|config| config.head_length as f64));

const YARN_ONLY: Class =
    Harmless("YaRN alone looks at it, which rope.scaling.type and yarn_ext_factor would be refused for");
const OTHER_TOKENIZERS: Class = Harmless("tokenizers of other kinds alone look at it, and these are refused");
const ABOUT_QUANTIZING: Class =
    Harmless("it tells how the file was made; tensors name their types themselves");

/// Keys below the architecture's name.
pub(super) const ARCHITECTURE: &[Row] = &[
    ("vocab_size", Harmless("the token embedding's shape says it")),
    ("context_length", Read),
    ("embedding_length", Read),
    ("embedding_length_out", Only(Own(|config| config.embedding as f64))),
    ("features_length", OTHER_MODELS),
    ("block_count", Read),
    ("feed_forward_length", Read),
    ("use_parallel_residual", FALSE),
    ("tensor_data_layout", Only(Text(&["reference", "Meta AI original pth"]))),
    ("n_deepstack_layers", ZERO),
    ("nextn_predict_layers", ZERO),
    ("pooling_type", Harmless("it is about embeddings of texts, which are not given out")),
    ("logit_scale", FACTOR),
    ("residual_scale", FACTOR),
    ("embedding_scale", Only(Own(embedding_scale))),
    ("attn_logit_softcapping", ZERO),
    ("final_logit_softcapping", ZERO),
    ("swin_norm", FALSE),
    ("activation_sparsity_scale", OTHER_MODELS),
    ("altup.active_idx", OTHER_MODELS),
    ("altup.num_inputs", OTHER_MODELS),
    ("embedding_length_per_layer_input", ZERO),
    ("swiglu_clamp_exp", ZERO),
    ("swiglu_clamp_shexp", ZERO),
    ("dense_2_feat_in", ZERO),
    ("dense_2_feat_out", ZERO),
    ("dense_3_feat_in", ZERO),
    ("dense_3_feat_out", ZERO),
    // Encoders and decoders.
    ("decoder_start_token_id", OTHER_MODELS),
    ("decoder_block_count", ZERO),
    ("classifier.output_labels", OTHER_MODELS),
    // Mixtures of experts.
    ("leading_dense_block_count", ZERO),
    ("expert_feed_forward_length", ZERO),
    ("expert_shared_feed_forward_length", ZERO),
    ("expert_chunk_feed_forward_length", ZERO),
    ("expert_count", ZERO),
    ("expert_used_count", ZERO),
    ("expert_shared_count", ZERO),
    ("expert_group_count", ZERO),
    ("expert_group_used_count", ZERO),
    ("expert_weights_scale", FACTOR),
    ("expert_weights_norm", FALSE),
    ("expert_gating_func", ZERO),
    ("expert_group_scale", FACTOR),
    ("experts_per_group", ZERO),
    ("moe_every_n_layers", ZERO),
    ("moe_latent_size", ZERO),
    ("interleave_moe_layer_step", ZERO),
    ("router_logit_softcapping", ZERO),
    // Attention.
    ("attention.head_count", Read),
    ("attention.head_count_kv", Read),
    ("attention.key_length", Read),
    ("attention.value_length", Read),
    ("attention.layer_norm_rms_epsilon", Read),
    (
        "attention.layer_norm_epsilon",
        Harmless("norms are by the root mean square, whose epsilon has a key of its own"),
    ),
    ("attention.group_norm_epsilon", OTHER_MODELS),
    ("attention.group_norm_groups", ZERO),
    ("attention.causal", Only(Bool(true))),
    ("attention.max_alibi_bias", ZERO),
    ("attention.clamp_kqv", ZERO),
    ("attention.q_lora_rank", ZERO),
    ("attention.kv_lora_rank", ZERO),
    ("attention.decay_lora_rank", ZERO),
    ("attention.iclr_lora_rank", ZERO),
    ("attention.value_residual_mix_lora_rank", ZERO),
    ("attention.gate_lora_rank", ZERO),
    ("attention.relative_buckets_count", ZERO),
    ("attention.sliding_window", Read),
    // Of no effect, as the local base is, where the architecture has no window: its length is refused there.
    ("attention.sliding_window_pattern", Read),
    ("attention.scale", Only(Own(|config| (config.architecture.score_scale)(config).into()))),
    ("attention.output_scale", FACTOR),
    ("attention.temperature_length", ZERO),
    ("attention.temperature_scale", ZERO),
    ("attention.key_length_mla", ZERO),
    ("attention.value_length_mla", ZERO),
    ("attention.key_length_swa", HEAD),
    ("attention.value_length_swa", HEAD),
    ("attention.shared_kv_layers", ZERO),
    ("attention.indexer.head_count", ZERO),
    ("attention.indexer.key_length", ZERO),
    ("attention.indexer.top_k", ZERO),
    ("full_attention_interval", FACTOR),
    // Rotations.
    ("rope.dimension_count", Read),
    ("rope.dimension_count_swa", Only(Own(|config| config.rotated as f64))),
    ("rope.dimension_sections", ZERO),
    ("rope.freq_base", Read),
    ("rope.freq_base_swa", Read),
    ("rope.scale_linear", Read),
    ("rope.scaling.type", Read),
    ("rope.scaling.factor", Read),
    ("rope.scaling.alpha", FACTOR),
    ("rope.scaling.attn_factor", ONE),
    ("rope.scaling.original_context_length", YARN_ONLY),
    ("rope.scaling.finetuned", Harmless("it tells how the model was made")),
    ("rope.scaling.yarn_log_multiplier", ZERO),
    // Below 0: not set.
    ("rope.scaling.yarn_ext_factor", Only(Numbers(&[0.0, -1.0]))),
    ("rope.scaling.yarn_attn_factor", ONE),
    ("rope.scaling.yarn_beta_fast", YARN_ONLY),
    ("rope.scaling.yarn_beta_slow", YARN_ONLY),
    // Recurrent and convolutional layers.
    ("rescale_every_n_layers", ZERO),
    ("time_mix_extra_dim", ZERO),
    ("time_decay_extra_dim", ZERO),
    ("token_shift_count", ZERO),
    ("ssm.conv_kernel", ZERO),
    ("ssm.inner_size", ZERO),
    ("ssm.state_size", ZERO),
    ("ssm.time_step_rank", ZERO),
    ("ssm.group_count", ZERO),
    ("ssm.dt_b_c_rms", FALSE),
    ("kda.head_dim", ZERO),
    ("wkv.head_size", ZERO),
    ("posnet.embedding_length", ZERO),
    ("posnet.block_count", ZERO),
    ("convnext.embedding_length", ZERO),
    ("convnext.block_count", ZERO),
    ("shortconv.l_cache", ZERO),
];

fn embedding_scale(config: &Config) -> f64 {
    if config.architecture.scaled_embedding { libm::sqrt(config.embedding as f64) } else { 1.0 }
}

/// Other keys, by their whole name.
pub(super) const FILE: &[Row] = &[
    ("general.architecture", Read),
    ("general.alignment", Read),
    ("general.type", Only(Text(&["model"]))),
    ("general.quantization_version", Only(Numbers(&[2.0]))),
    ("general.file_type", ABOUT_QUANTIZING),
    ("split.no", ZERO),
    ("split.count", Only(Wanted::Whole)),
    ("split.tensors.count", Harmless("split.count says whether the file is all of the model")),
    ("diffusion.shift_logits", OTHER_MODELS),
    ("tokenizer.chat_template", Read),
    ("tokenizer.rwkv.world", OTHER_TOKENIZERS),
    ("tokenizer.huggingface.json", Harmless("the same tokenizer in another form")),
    ("tokenizer.chat_templates", Harmless("names of templates beside the one that is read")),
];

/// Beginnings of other keys.
pub(super) const BEGINNINGS: &[Row] = &[
    ("general.", Harmless("it tells what the model is and where it comes from")),
    ("tokenizer.chat_template.", Harmless("a template beside the one that is read")),
    ("tokenizer.", Harmless("the keys below tokenizer.ggml say how text is cut")),
    ("quantize.", ABOUT_QUANTIZING),
    // Of files that are no language model.
    ("adapter.", OTHER_MODELS),
    ("imatrix.", OTHER_MODELS),
    ("clip.", OTHER_MODELS),
    // Parameters of layers whose key has no architecture before it.
    ("xielu.", OTHER_MODELS),
    ("", Harmless("what a model computes is said below its architecture's name")),
];
