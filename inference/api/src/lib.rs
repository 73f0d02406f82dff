//! The OpenAI API: the meaning of its requests' fields, and the form of its answers and streams.
//!
//! Does no input or output, and knows no connections.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
