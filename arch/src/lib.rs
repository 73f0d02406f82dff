//! The architecture contract and its implementations.
#![no_std]
