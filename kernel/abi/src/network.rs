//! The network device, shared between kernel and engine: a virtio-net device (virtio 1.2, 5.1) with static descriptors.
//!
//! Descriptor `i` of each queue is buffer `i` of that queue for good, so that the engine names no memory: it writes
//! indices of buffers, and the worst of them stop the device, which is reset for the next engine. A buffer begins with
//! [`HEADER`] bytes of `virtio_net_hdr`, then comes the frame.

use bytemuck::{Pod, Zeroable};

/// Buffers of a queue, and entries of each ring.
pub const QUEUE: usize = 128;
/// Bytes of a buffer.
pub const BUFFER: usize = 2048;
/// Bytes in front of a frame (virtio 1.2, 5.1.6).
pub const HEADER: usize = 12;

/// The queue of received frames, for [`crate::Call::Submit`].
pub const RECEIVE: u64 = 0;
/// The queue of frames to send, for [`crate::Call::Submit`].
pub const TRANSMIT: u64 = 1;

/// A network device. Rings are laid out as virtio 1.2, 2.7 has them.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct NetworkInfo {
    /// MAC address, in the first six bytes.
    pub mac: [u8; 8],
    /// Address of the first buffer, of [`QUEUE`] to receive and then as many to send. The engine may write all of them.
    pub buffers: u64,
    /// Address of the available ring of receive, which the engine writes: buffers are made available there, and bit 0
    /// of its flags asks for no interrupts. A fresh engine finds it empty.
    pub receive_available: u64,
    /// Address of the used ring of receive, read-only.
    pub receive_used: u64,
    /// Address of the used ring of transmit, read-only.
    pub transmit_used: u64,
    /// Address of a `u32` that the kernel increments, and wakes, at each interrupt of the device. The engine may
    /// write it too.
    pub event: u64,
}

/// The word by which [`crate::Call::Submit`] names a buffer to send and its bytes, header included.
#[must_use]
pub const fn encode_buffer(buffer: u32, length: u32) -> u64 {
    (buffer as u64) | (length as u64) << 32
}

/// The buffer and the bytes that a word names.
#[must_use]
pub const fn decode_buffer(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}
