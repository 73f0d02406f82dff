//! Topology of the cores, in dense numbers. Owns the numbering; hardware and firmware say what there is.

use alloc::vec::Vec;
use embodios_abi::FULL_CAPACITY;
use embodios_arch::CoreTopology;

/// A core's place, as the engine is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of its package.
    pub package: u32,
    /// Number of its physical core.
    pub physical: u32,
    /// Number of this hyper-thread within its physical core.
    pub thread: u32,
    /// Speed beside the fastest class, which has [`FULL_CAPACITY`].
    pub capacity: u32,
    /// KiB of its caches of levels 1 to 3; 0 where nothing is known.
    pub caches_kib: [u32; 3],
    /// Number of its last-level cache.
    pub last_level: u32,
}

/// Numbers packages, physical cores and last-level caches in the order in which they first come.
#[must_use]
pub fn number(cores: &[CoreTopology]) -> Vec<Place> {
    let fastest = cores.iter().map(|core| core.capacity).max().unwrap_or(0).max(1);
    let mut places: Vec<Place> = Vec::with_capacity(cores.len());
    let (mut packages, mut physical, mut caches) = (0, 0, 0);
    for core in cores {
        // The cores before this one, with their places.
        let find = |is_same: &dyn Fn(&CoreTopology) -> bool| {
            cores.iter().zip(&places).find(|(other, _)| is_same(other)).map(|(_, place)| *place)
        };
        let package = find(&|other| other.package == core.package);
        let twin = find(&|other| (other.package, other.core) == (core.package, core.core));
        // Nothing known: one for each package.
        let last_level = |core: &CoreTopology| (core.package, core.caches.last_level);
        let neighbour = find(&|other| last_level(other) == last_level(core));
        places.push(Place {
            package: known_or_next(package.map(|place| place.package), &mut packages),
            physical: known_or_next(twin.map(|place| place.physical), &mut physical),
            thread: core.thread,
            capacity: (u64::from(core.capacity) * u64::from(FULL_CAPACITY) / u64::from(fastest)) as u32,
            caches_kib: core.caches.kib,
            last_level: known_or_next(neighbour.map(|place| place.last_level), &mut caches),
        });
    }
    places
}

/// The number that is known, or the next one.
fn known_or_next(known: Option<u32>, next: &mut u32) -> u32 {
    known.unwrap_or_else(|| {
        *next += 1;
        *next - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use embodios_arch::Caches;

    #[test]
    fn sparse_numbers_become_dense_and_the_fastest_class_full() {
        let core = |package, core, thread, capacity, last_level| CoreTopology {
            package,
            core,
            thread,
            capacity,
            caches: Caches { kib: [32, 512, 0], last_level },
        };
        let places = number(&[
            core(4, 0x200, 0, 446, None),
            core(4, 0x200, 1, 446, None),
            core(4, 0x201, 0, 892, None),
            core(9, 0x201, 0, 223, Some(1)),
        ]);
        let found: Vec<_> =
            places.iter().map(|p| (p.package, p.physical, p.thread, p.capacity, p.last_level)).collect();
        assert_eq!(found, [(0, 0, 0, 512, 0), (0, 0, 1, 512, 0), (0, 1, 0, 1024, 0), (1, 2, 0, 256, 1)]);
        assert_eq!(places[0].caches_kib, [32, 512, 0]);
        assert!(number(&[]).is_empty());
    }
}
