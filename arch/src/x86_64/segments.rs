//! Segment descriptors, task state and the stacks it names, one set a core.
//!
//! Selectors are chosen for hypervisors that fix the user ones: CS 0x33 and SS 0x2b.

use crate::contract::CoreLocal;
use crate::stacks;
use core::arch::asm;
use core::cell::UnsafeCell;
use x86_64::VirtAddr;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::tss::TaskStateSegment;

/// Ring-0 code.
pub const KERNEL_CODE: u16 = 0x10;
/// Ring-0 data.
pub const KERNEL_DATA: u16 = 0x18;
/// Ring-3 data and stack.
pub const USER_DATA: u16 = 0x28 | 3;
/// Ring-3 code.
pub const USER_CODE: u16 = 0x30 | 3;
/// An empty entry.
pub const NO_SEGMENT: u16 = 0x38 | 3;
/// Task state; takes two entries.
const TASK_STATE: u16 = 0x40;

/// 64-bit flat segments (3.4.5): accessed, so that loading them writes nothing.
pub const CODE_0: u64 = 0x00af_9b00_0000_ffff;
/// Ring-0 data.
pub const DATA_0: u64 = 0x00cf_9300_0000_ffff;
const DATA_3: u64 = 0x00cf_f300_0000_ffff;
const CODE_3: u64 = 0x00af_fb00_0000_ffff;

/// A core's descriptor table and task state.
pub struct CoreState {
    descriptors: UnsafeCell<[u64; 10]>,
    task: UnsafeCell<TaskStateSegment>,
}

// SAFETY: written once, in `load`, by the core it belongs to; afterwards only the processor reads it.
unsafe impl Sync for CoreState {}

impl Default for CoreState {
    fn default() -> Self {
        Self {
            descriptors: UnsafeCell::new([0, 0, CODE_0, DATA_0, 0, DATA_3, CODE_3, 0, 0, 0]),
            task: UnsafeCell::new(TaskStateSegment::new()),
        }
    }
}

/// Fills and loads this core's tables.
pub fn load(local: &'static CoreLocal) {
    let task = local.arch.task.get();
    // SAFETY: this core is the only user of its state, and has not loaded it yet.
    unsafe {
        (*task).privilege_stack_table[0] = VirtAddr::new_truncate(stacks::stack_top(local.stacks).0);
        for number in 0..stacks::EMERGENCY_STACKS {
            (*task).interrupt_stack_table[number as usize] =
                VirtAddr::new_truncate(stacks::emergency_top(local.stacks, number).0);
        }
        // No port is open to ring 3: the map starts past the limit.
        (*task).iomap_base = size_of::<TaskStateSegment>() as u16;
        let (low, high) = task_descriptor(task as u64);
        let descriptors = &mut *local.arch.descriptors.get();
        descriptors[usize::from(TASK_STATE) / 8] = low;
        descriptors[usize::from(TASK_STATE) / 8 + 1] = high;
        let pointer = DescriptorTablePointer {
            limit: size_of::<[u64; 10]>() as u16 - 1,
            base: VirtAddr::new_truncate(descriptors.as_ptr() as u64),
        };
        x86_64::instructions::tables::lgdt(&pointer);
    }
    // SAFETY: the selectors name flat ring-0 segments of the table just loaded; `retfq` pops the pushed words.
    unsafe {
        asm!(
            "push {code}",
            "lea {scratch}, [rip + 2f]",
            "push {scratch}",
            "retfq",
            "2:",
            "mov ss, {data:x}",
            "mov ds, {data:x}",
            "mov es, {data:x}",
            "mov fs, {zero:x}",
            "mov gs, {zero:x}",
            "ltr {task:x}",
            // Reset leaves a table at address 0, of which ring 3 would see what firmware left there (8.2.1, 10.1.1).
            "lldt {zero:x}",
            code = const KERNEL_CODE as u64,
            scratch = out(reg) _,
            data = in(reg) u64::from(KERNEL_DATA),
            zero = in(reg) 0u64,
            task = in(reg) u64::from(TASK_STATE),
        );
    }
}

/// A descriptor of an available 64-bit task state at `base` (8.2.3).
const fn task_descriptor(base: u64) -> (u64, u64) {
    let limit = size_of::<TaskStateSegment>() as u64 - 1;
    let low = limit | (base & 0xff_ffff) << 16 | 0x89 << 40 | (base >> 24 & 0xff) << 56;
    (low, base >> 32)
}
