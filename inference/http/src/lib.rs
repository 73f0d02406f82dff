//! HTTP/1.1 (RFC 9112) for one connection of a server: requests from bytes, answers to bytes.
//!
//! Does no input or output, and knows no routes.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
