//! A core's place by CPUID (SDM 9.9, "Programming considerations for hardware multi-threading capable processors",
//! and volume 2, CPUID). Pure: CPUID's answers are handed in, so that host tests reach it.

use crate::topology::{Caches, CoreTopology, FULL_CAPACITY};

/// Registers EAX, EBX, ECX, EDX.
pub type Answer = [u32; 4];

/// Level types of leaves 0x0b and 0x1f.
const END: u32 = 0;
const HYPER_THREADS: u32 = 1;
/// Most levels that are asked for; there are six types.
const LEVELS: u32 = 8;
/// Most caches that are asked for.
const CACHES: u32 = 8;
/// Types of caches in leaf 4: data and unified.
const DATA: u32 = 1;
const UNIFIED: u32 = 3;
/// Core type of leaf 0x1a, EAX[31:24]: an efficiency core.
const EFFICIENT: u32 = 0x20;
/// CPUID gives no number for the classes' speeds: half is about what efficiency cores do in vector arithmetic.
const EFFICIENT_CAPACITY: u32 = FULL_CAPACITY / 2;

/// The place of the core that `cpuid(leaf, sub-leaf)` is asked on. Leaves that the processor does not have are asked
/// for only where `highest`, the largest basic leaf, allows it.
pub fn read(highest: u32, cpuid: impl Fn(u32, u32) -> Answer) -> CoreTopology {
    let ask = |leaf, sub_leaf| if leaf <= highest { cpuid(leaf, sub_leaf) } else { [0; 4] };
    let levels = [0x1f, 0x0b].into_iter().find(|&leaf| ask(leaf, 0)[1] != 0);
    let (id, thread_bits, package_bits) = match levels {
        Some(leaf) => from_levels(|level| ask(leaf, level)),
        None => from_counts(ask(1, 0), ask(4, 0)),
    };
    let is_efficient = ask(7, 0)[3] & 1 << 15 != 0 && ask(0x1a, 0)[0] >> 24 == EFFICIENT;
    CoreTopology {
        package: shifted(id, package_bits),
        core: shifted(id, thread_bits).into(),
        thread: id - (shifted(id, thread_bits) << thread_bits),
        capacity: if is_efficient { EFFICIENT_CAPACITY } else { FULL_CAPACITY },
        caches: caches(id, |index| ask(4, index)),
    }
}

fn shifted(id: u32, bits: u32) -> u32 {
    id.checked_shr(bits).unwrap_or(0)
}

/// Leaves 0x0b and 0x1f: the id, the bits of it that number hyper-threads, and those below the package.
fn from_levels(ask: impl Fn(u32) -> Answer) -> (u32, u32, u32) {
    let (mut thread_bits, mut package_bits) = (0, 0);
    for level in 0..LEVELS {
        let [shift, _, kind, _] = ask(level);
        match kind >> 8 & 0xff {
            END => break,
            HYPER_THREADS => thread_bits = shift & 0x1f,
            _ => {}
        }
        package_bits = shift & 0x1f;
    }
    (ask(0)[3], thread_bits, package_bits)
}

/// Leaves 1 and 4 of older processors: the numbers of ids of a package and a core.
fn from_counts(leaf1: Answer, leaf4: Answer) -> (u32, u32, u32) {
    let bits = |count: u32| count.max(1).next_power_of_two().ilog2();
    let has_threads = leaf1[3] & 1 << 28 != 0;
    let in_package = if has_threads { leaf1[1] >> 16 & 0xff } else { 1 };
    let package_bits = bits(in_package);
    let core_bits = if leaf4[0] == 0 { package_bits } else { bits((leaf4[0] >> 26) + 1) };
    (leaf1[1] >> 24, package_bits.saturating_sub(core_bits), package_bits)
}

/// Leaf 4. Cores share a cache whose ids are equal above as many bits as it takes to number the sharers.
fn caches(id: u32, ask: impl Fn(u32) -> Answer) -> Caches {
    let mut caches = Caches::default();
    for index in 0..CACHES {
        let [kind, shape, sets, _] = ask(index);
        if kind & 0x1f == 0 {
            break;
        }
        if matches!(kind & 0x1f, DATA | UNIFIED) {
            let field = |shift: u32, mask: u32| u64::from(shape >> shift & mask) + 1;
            let bytes = field(22, 0x3ff) * field(12, 0x3ff) * field(0, 0xfff) * (u64::from(sets) + 1);
            let sharers = (kind >> 14 & 0xfff) + 1;
            caches.add(kind >> 5 & 7, bytes, shifted(id, sharers.next_power_of_two().ilog2()).into());
        }
    }
    caches
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache's leaf: type, level, sharers, bytes (64-byte lines, one way, one partition).
    fn cache(kind: u32, level: u32, sharers: u32, bytes: u32) -> Answer {
        [kind | level << 5 | (sharers - 1) << 14, 63, bytes / 64 - 1, 0]
    }

    #[test]
    fn two_threads_a_core_and_four_cores_a_package() {
        let place = |id: u32| {
            read(0x1f, |leaf, sub_leaf| match (leaf, sub_leaf) {
                (0x0b | 0x1f, 0) => [1, 2, 1 << 8, id],
                (0x0b | 0x1f, 1) => [3, 8, 2 << 8 | 1, id],
                (4, 0) => cache(DATA, 1, 2, 32 << 10),
                (4, 1) => cache(2, 1, 2, 64 << 10),
                (4, 2) => cache(UNIFIED, 2, 2, 1 << 20),
                (4, 3) => cache(UNIFIED, 3, 8, 16 << 20),
                _ => [0; 4],
            })
        };
        for (id, package, core, thread) in [(0, 0, 0, 0), (1, 0, 0, 1), (7, 0, 3, 1), (12, 1, 6, 0)] {
            let found = place(id);
            assert_eq!((found.package, found.core, found.thread), (package, core, thread), "id {id}");
            assert_eq!(found.caches.kib, [32, 1024, 16384]);
            assert_eq!(found.caches.last_level, Some(package.into()), "one last level a package");
            assert_eq!(found.capacity, FULL_CAPACITY);
        }
    }

    #[test]
    fn dies_count_to_the_package_where_leaf_1f_names_them() {
        let found = read(0x1f, |leaf, level| match (leaf, level) {
            (0x1f, 0) => [1, 2, 1 << 8, 0x2b],
            (0x1f, 1) => [3, 8, 2 << 8, 0x2b],
            (0x1f, 2) => [5, 32, 5 << 8, 0x2b],
            (0x0b, 0) => [0, 1, 1 << 8, 0],
            _ => [0; 4],
        });
        assert_eq!((found.package, found.core, found.thread), (1, 0x15, 1));
    }

    #[test]
    fn efficiency_cores_are_slower() {
        let capacity = |kind: u32| {
            read(0x1f, |leaf, _| match leaf {
                7 => [0, 0, 0, 1 << 15],
                0x1a => [kind << 24, 0, 0, 0],
                _ => [0; 4],
            })
            .capacity
        };
        assert_eq!(capacity(0x40), FULL_CAPACITY);
        assert!(capacity(0x20) < FULL_CAPACITY);
    }

    #[test]
    fn old_processors_count_ids() {
        // Four ids a package, two cores: so two threads a core; id 6.
        let found = read(4, |leaf, _| match leaf {
            1 => [0, 6 << 24 | 4 << 16, 0, 1 << 28],
            4 => [1 << 26 | DATA | 1 << 5, 63, 511, 0],
            _ => [0; 4],
        });
        assert_eq!((found.package, found.core, found.thread), (1, 3, 0));
        // One core, nothing said.
        let found = read(1, |_, _| [0, 2 << 24, 0, 0]);
        assert_eq!((found.package, found.core, found.thread), (2, 2, 0));
        assert_eq!(found.caches, Caches::default());
    }
}
