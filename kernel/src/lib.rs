//! The portable kernel.
#![no_std]
