//! The layout of kernel stacks: one window of addresses a core.
//!
//! Owns the numbers only; the kernel maps the stacks. A window is aligned to its size, so that any stack pointer
//! inside it tells the core. From its lowest address up:
//!
//! | offset | what |
//! | --- | --- |
//! | 0x2000, 0x6000, 0xa000 | emergency stacks, 0x2000 bytes each, with unmapped pages below and above |
//! | 0xc000 | guard, unmapped |
//! | 0x18000 | kernel stack, 0x8000 bytes; its last word holds the address of the core's [`crate::CoreLocal`] |

use crate::VirtAddr;

/// Address of the first core's window.
pub const FIRST_WINDOW: u64 = 0x180_0000_0000;
/// Bytes of a window, and its alignment.
pub const WINDOW: u64 = 0x2_0000;
/// Mapped bytes of a kernel stack. This bit is 1 in every address of it, and 0 in the guard below.
pub const STACK_SIZE: u64 = 0x8000;
/// Mapped bytes of an emergency stack.
pub const EMERGENCY_SIZE: u64 = 0x2000;
/// Emergency stacks of a core: for a stack that is used up, and for exceptions in any state (x86_64: double fault,
/// non-maskable interrupt, machine check).
pub const EMERGENCY_STACKS: u64 = 3;
/// Bytes at the end of a kernel stack that hold the block's address and keep the stack aligned.
const RESERVED: u64 = 16;

/// The window of core `index`.
#[must_use]
pub const fn window(index: usize) -> VirtAddr {
    VirtAddr(FIRST_WINDOW + index as u64 * WINDOW)
}

/// The window that a stack address lies in.
#[must_use]
pub const fn window_of(address: VirtAddr) -> VirtAddr {
    VirtAddr(address.0 & !(WINDOW - 1))
}

/// Lowest address of a window's kernel stack.
#[must_use]
pub const fn stack_bottom(window: VirtAddr) -> VirtAddr {
    VirtAddr(window.0 + WINDOW - STACK_SIZE)
}

/// Initial stack pointer of a window's kernel stack.
#[must_use]
pub const fn stack_top(window: VirtAddr) -> VirtAddr {
    VirtAddr(window.0 + WINDOW - RESERVED)
}

/// The place in a window that holds the address of its core's block.
#[must_use]
pub const fn block_pointer(window: VirtAddr) -> VirtAddr {
    VirtAddr(window.0 + WINDOW - 8)
}

/// Lowest address of a window's emergency stack `number`.
#[must_use]
pub const fn emergency_bottom(window: VirtAddr, number: u64) -> VirtAddr {
    VirtAddr(window.0 + (2 * number + 1) * EMERGENCY_SIZE)
}

/// Initial stack pointer of a window's emergency stack `number`.
#[must_use]
pub const fn emergency_top(window: VirtAddr, number: u64) -> VirtAddr {
    VirtAddr(emergency_bottom(window, number).0 + EMERGENCY_SIZE)
}

/// Whether `address` is in the guard below the kernel stack of `window`.
#[must_use]
pub fn is_guard(window: VirtAddr, address: u64) -> bool {
    (emergency_top(window, EMERGENCY_STACKS - 1).0..stack_bottom(window).0).contains(&address)
}

/// Whether `bytes` at `address` lie on a kernel stack of one of `cores` cores.
#[must_use]
pub fn contain(cores: usize, address: u64, bytes: u64) -> bool {
    let window = window_of(VirtAddr(address));
    (FIRST_WINDOW..self::window(cores).0).contains(&address)
        && address >= stack_bottom(window).0
        && address <= window.0 + WINDOW - bytes
}

const _: () =
    assert!(WINDOW.is_power_of_two() && FIRST_WINDOW.is_multiple_of(WINDOW), "a mask finds the window");
const _: () = assert!(
    2 * EMERGENCY_STACKS * EMERGENCY_SIZE + EMERGENCY_SIZE <= WINDOW - 2 * STACK_SIZE,
    "emergency stacks end below the guard, which is as large as the stack"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stack_has_unmapped_pages_below_it() {
        let window = window(5);
        let stacks = (0..EMERGENCY_STACKS)
            .map(|number| (emergency_bottom(window, number).0, emergency_top(window, number).0))
            .chain([(stack_bottom(window).0, window.0 + WINDOW)]);
        let mut free = window.0;
        for (bottom, top) in stacks {
            assert!(bottom >= free + crate::paging::PAGE, "no guard below {bottom:#x}");
            free = top;
        }
        assert_eq!(free, super::window(6).0);
    }

    #[test]
    fn a_bit_tells_the_stack_from_its_guard() {
        let window = window(3);
        for address in [stack_bottom(window).0, stack_top(window).0, block_pointer(window).0] {
            assert!(address & STACK_SIZE != 0 && !is_guard(window, address));
            assert_eq!(window_of(VirtAddr(address)), window);
        }
        for address in [stack_bottom(window).0 - 1, stack_bottom(window).0 - STACK_SIZE] {
            assert!(address & STACK_SIZE == 0 && is_guard(window, address));
        }
    }

    #[test]
    fn frame_records_are_read_from_existing_stacks_only() {
        let last = window(1);
        assert!(contain(2, stack_top(last).0 - 16, 16) && contain(2, stack_bottom(last).0, 16));
        assert!(!contain(2, last.0 + WINDOW - 8, 16), "it ends behind the stack");
        assert!(!contain(2, stack_bottom(last).0 - 16, 16) && !contain(1, stack_top(last).0 - 16, 16));
        assert!(!contain(2, 0x1000, 16));
    }
}
