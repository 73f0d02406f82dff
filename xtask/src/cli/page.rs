//! Options of `cargo xtask page`. Owns no behaviour beyond parsing.

use clap::Args;
use std::path::PathBuf;

/// Options of `cargo xtask page`.
#[derive(Args)]
pub struct PageOptions {
    /// Model: a name of `cargo xtask model list`, or a GGUF file
    #[arg(long, default_value = "tinystory", value_name = "NAME|PATH")]
    pub model: String,
    /// Directory of the pictures [default: target/embodios/page]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
