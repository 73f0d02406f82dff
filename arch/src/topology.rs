//! The place of a core: its package, its physical core, its class, its caches. Raw numbers as hardware or firmware
//! give them; the kernel makes them dense.

/// Capacity of a core that hardware and firmware put into no class, or into the fastest. Only its relation to others
/// counts: the kernel brings capacities to the ABI's scale.
pub const FULL_CAPACITY: u32 = 1024;

/// A core's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreTopology {
    /// Its package.
    pub package: u32,
    /// Its physical core; hyper-threads share it. Unique in the machine.
    pub core: u64,
    /// Number of this hyper-thread within its physical core.
    pub thread: u32,
    /// Speed beside other classes of cores. Only the relation counts.
    pub capacity: u32,
    /// Its caches.
    pub caches: Caches,
}

impl CoreTopology {
    /// The place of a core of which nothing is known.
    pub const UNKNOWN: Self = Self {
        package: 0,
        core: 0,
        thread: 0,
        capacity: FULL_CAPACITY,
        caches: Caches { kib: [0; 3], last_level: None },
    };
}

/// A core's data caches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caches {
    /// KiB of levels 1 to 3; 0 where there is none or nothing is known.
    pub kib: [u32; 3],
    /// A number that cores with the same last level have in common; `None` when nothing is known.
    pub last_level: Option<u64>,
}

impl Caches {
    /// Notes a cache of a level, which cores with the same `group` share.
    pub fn add(&mut self, level: u32, bytes: u64, group: u64) {
        if let Some(kib) = (level as usize).checked_sub(1).and_then(|index| self.kib.get_mut(index)) {
            *kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX);
            let is_last = self.kib[level as usize..].iter().all(|&kib| kib == 0);
            self.last_level = if is_last { Some(group) } else { self.last_level };
        }
    }
}
