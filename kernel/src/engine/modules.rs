//! Maps modules read-only with the largest pages; the bytes beside them on their edge pages stay unseen.

use crate::board::Module;
use crate::memory::{Memory, MemoryError};
use alloc::vec::Vec;
use embodios_abi::Span;
use embodios_abi::layout::{self, LARGE_PAGE};
use embodios_arch::paging::{Access, PAGE};
use embodios_arch::{PhysAddr, PhysRange, VirtAddr};

/// Modules keep their address modulo this, so that the largest pages fit inside them.
const WINDOW: u64 = 1 << 30;

/// Maps `modules` one after the other from [`layout::MODULES`]; the span of each one's bytes.
///
/// # Errors
/// [`MemoryError`].
pub fn map(memory: &mut Memory, modules: &[Module<'_>]) -> Result<Vec<Span>, MemoryError> {
    let mut window = layout::MODULES;
    let mut spans = Vec::with_capacity(modules.len());
    for module in modules {
        let range = module.range;
        let shift = window + (range.start.0 % WINDOW);
        let mapped = if module.padded { range.widen(LARGE_PAGE) } else { range };
        for piece in pieces(mapped) {
            let virt = shift + (piece.start.0 - range.start.0);
            let page = virt / PAGE * PAGE;
            if piece.start.0 % PAGE == 0 && piece.end.0 % PAGE == 0 {
                memory.map_for_engine(VirtAddr(page), piece, Access::engine(false, false))?;
            } else {
                let copy = memory.copy_edge(piece)?;
                memory.map_for_engine(VirtAddr(page), copy, Access::engine(false, false))?;
            }
        }
        spans.push(Span { address: shift, count: range.length() });
        window = (shift + range.length() + WINDOW).next_multiple_of(WINDOW);
    }
    Ok(spans)
}

/// A range cut into the whole pages in its middle and the partial pages at its ends.
fn pieces(range: PhysRange) -> impl Iterator<Item = PhysRange> {
    let PhysRange { start: PhysAddr(start), end: PhysAddr(end) } = range;
    let first = start.next_multiple_of(PAGE).min(end);
    let last = (end / PAGE * PAGE).max(first);
    [start..first, first..last, last..end]
        .into_iter()
        .filter(|piece| !piece.is_empty())
        .map(|piece| PhysRange { start: PhysAddr(piece.start), end: PhysAddr(piece.end) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_cover_the_range_and_only_edges_are_partial(start in 0u64..20_000, length in 0u64..20_000) {
            let range = PhysRange::new(start, length);
            let all: Vec<_> = pieces(range).collect();
            prop_assert_eq!(all.iter().map(|piece| piece.length()).sum::<u64>(), length);
            let mut at = start;
            for piece in &all {
                prop_assert_eq!(piece.start.0, at);
                at = piece.end.0;
                let whole = piece.start.0 % PAGE == 0 && piece.end.0 % PAGE == 0;
                let one_page = piece.start.0 / PAGE == (piece.end.0 - 1) / PAGE;
                prop_assert!(whole || one_page);
            }
        }
    }
}
