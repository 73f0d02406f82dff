//! The bytes of a device tree that firmware left in memory.
#![allow(unsafe_code)]

/// First word of a device tree (Devicetree Specification 0.4, 5.2).
const MAGIC: u32 = 0xd00d_feed;
/// Most bytes that a tree may claim to have. QEMU leaves room for additions: 1 MiB, and 2 MiB around a tree given
/// with `-dtb`.
const MAX_BYTES: usize = 16 << 20;

/// The device tree at this address.
///
/// # Errors
/// The reason for which there is none.
///
/// # Safety
/// Memory at the address, where it is not 0, is mapped, as much as a tree there says it has, and stays as it is.
pub unsafe fn tree_at(address: u64) -> Result<&'static [u8], &'static str> {
    if address == 0 {
        return Err("firmware left no device tree");
    }
    if !address.is_multiple_of(8) {
        return Err("the device tree is not aligned to 8 bytes");
    }
    // SAFETY: by the caller; the header's words are aligned.
    let [magic, size] = unsafe { (address as *const [u32; 2]).read() }.map(u32::from_be);
    if magic != MAGIC {
        return Err("what firmware left is no device tree");
    }
    if size as usize > MAX_BYTES {
        return Err("the device tree claims to be larger than 16 MiB");
    }
    // SAFETY: by the caller.
    Ok(unsafe { core::slice::from_raw_parts(address as *const u8, size as usize) })
}
