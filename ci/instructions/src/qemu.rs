//! The part of QEMU's plugin interface that is used here, declared by hand (`qemu-plugin.h` is not in every
//! distribution): API 1, of QEMU 4.2 to 8.2, or API 3 and later, of QEMU 9.1 and later, which differ in how an
//! instruction's bytes are read.

use std::ffi::{c_char, c_int, c_uint, c_void};

/// The API that this is built for.
pub const API: c_int = if cfg!(feature = "api-3") { 3 } else { 1 };

/// `qemu_plugin_id_t`.
pub type Id = u64;

/// `qemu_info_t`, for the emulation of a whole machine.
#[repr(C)]
pub struct Info {
    /// The guest's architecture by QEMU's name.
    pub target_name: *const c_char,
    /// The oldest API offered.
    pub oldest: c_int,
    /// The newest API offered.
    pub newest: c_int,
    /// Whether a whole machine is emulated.
    pub system_emulation: bool,
    /// Cores at the start.
    pub cores: c_int,
    /// Cores that there can come to be.
    pub max_cores: c_int,
}

/// A translated block; QEMU's own.
#[repr(C)]
pub struct Block {
    _opaque: [u8; 0],
}

/// An instruction of a block; QEMU's own.
#[repr(C)]
pub struct Instruction {
    _opaque: [u8; 0],
}

/// A callback on core `core`, with the word that was registered.
pub type Executed = extern "C" fn(core: c_uint, word: *mut c_void);

/// `QEMU_PLUGIN_CB_NO_REGS`: a callback that reads no registers of the guest.
pub const NO_REGISTERS: c_int = 0;

unsafe extern "C" {
    #[link_name = "qemu_plugin_register_vcpu_tb_trans_cb"]
    pub fn on_translation(plugin: Id, call: extern "C" fn(Id, *mut Block));
    #[link_name = "qemu_plugin_register_vcpu_tb_exec_cb"]
    pub fn on_block(block: *mut Block, call: Executed, flags: c_int, word: *mut c_void);
    #[link_name = "qemu_plugin_register_vcpu_insn_exec_cb"]
    pub fn on_instruction(instruction: *mut Instruction, call: Executed, flags: c_int, word: *mut c_void);
    #[link_name = "qemu_plugin_register_atexit_cb"]
    pub fn at_exit(plugin: Id, call: extern "C" fn(Id, *mut c_void), word: *mut c_void);
    #[link_name = "qemu_plugin_tb_n_insns"]
    pub fn instructions(block: *const Block) -> usize;
    #[link_name = "qemu_plugin_tb_vaddr"]
    pub fn address(block: *const Block) -> u64;
    #[link_name = "qemu_plugin_tb_get_insn"]
    pub fn instruction(block: *const Block, index: usize) -> *mut Instruction;
    #[link_name = "qemu_plugin_insn_size"]
    fn size(instruction: *const Instruction) -> usize;
    #[cfg(not(feature = "api-3"))]
    #[link_name = "qemu_plugin_insn_data"]
    fn data(instruction: *const Instruction) -> *const u8;
    #[cfg(feature = "api-3")]
    #[link_name = "qemu_plugin_insn_data"]
    fn data(instruction: *const Instruction, buffer: *mut u8, length: usize) -> usize;
}

/// The most bytes that an instruction has, on any architecture.
const LONGEST: usize = 16;

/// Calls `read` with an instruction's bytes.
///
/// # Safety
/// The instruction must be one of the block that is being translated.
pub unsafe fn with_bytes<R>(instruction: *const Instruction, read: impl FnOnce(&[u8]) -> R) -> R {
    let mut bytes = [0u8; LONGEST];
    // SAFETY: the caller vouches for the instruction.
    let length = unsafe { size(instruction) }.min(LONGEST);
    #[cfg(not(feature = "api-3"))]
    // SAFETY: QEMU's copy of the instruction is as long as it says, and lives while the block is translated.
    unsafe {
        std::ptr::copy_nonoverlapping(data(instruction), bytes.as_mut_ptr(), length);
    }
    #[cfg(feature = "api-3")]
    // SAFETY: QEMU writes no more than `length` bytes.
    let length = unsafe { data(instruction, bytes.as_mut_ptr(), length) }.min(length);
    read(&bytes[..length])
}
