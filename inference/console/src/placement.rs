//! Cores that get a worker when none are asked for.

use alloc::vec::Vec;

use embodios_pool::platform::{Core, CoreSet};

/// The online cores in the order in which workers take them: one of each physical core, the fastest class first, then
/// the hyper-threads that share theirs with an earlier one.
pub fn preference(cores: &[Core]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..cores.len()).filter(|&index| cores[index].online).collect();
    let shares = |index: usize| {
        let same = |other: &Core| other.online && other.physical == cores[index].physical;
        cores[..index].iter().any(same)
    };
    order.sort_by_key(|&index| (shares(index), core::cmp::Reverse(cores[index].capacity)));
    order
}

/// One core of each physical one; without the housekeeping cores if they are `apart` and others are there.
pub fn automatic(cores: &[Core], apart: bool) -> CoreSet {
    let free = |index: &usize| !(apart && cores[*index].housekeeping);
    let mut taken = Vec::new();
    let mut set = CoreSet::new();
    let order = preference(cores);
    let candidates = match order.iter().any(&free) {
        true => order.into_iter().filter(free).collect(),
        false => order,
    };
    for index in candidates {
        let physical = cores[index].physical;
        if !taken.contains(&physical) {
            taken.push(physical);
            set.insert(index);
        }
    }
    set
}

/// The cores for the console, and for threads beside the workers.
pub fn housekeeping(cores: &[Core]) -> CoreSet {
    let cores = cores.iter().enumerate();
    cores.filter(|(_, core)| core.housekeeping && core.online).map(|(index, _)| index).collect()
}

/// The first `count` cores of `set` in the order of [`preference`]; `None` when there are not so many.
pub fn first(cores: &[Core], set: &CoreSet, count: usize) -> Option<CoreSet> {
    let order = preference(cores).into_iter().filter(|&index| set.contains(index));
    let chosen: CoreSet = order.take(count).collect();
    (chosen.len() == count).then_some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cores as `(physical core, capacity)`.
    fn cores(list: &[(u32, u16)]) -> Vec<Core> {
        let core = |(index, &(physical, capacity)): (usize, &(u32, u16))| Core {
            hardware_id: index as u64,
            online: true,
            package: 0,
            physical,
            capacity,
            housekeeping: index == 0,
        };
        list.iter().enumerate().map(core).collect()
    }

    #[test]
    fn one_worker_a_physical_core_the_fastest_first() {
        let threads = cores(&[(0, 1024), (0, 1024), (1, 1024), (1, 1024)]);
        assert_eq!(preference(&threads), [0, 2, 1, 3]);
        assert_eq!(automatic(&threads, false), "0,2".parse().unwrap());
        assert_eq!(automatic(&threads, true), "1-2".parse().unwrap());
        let mut classes = cores(&[(0, 400), (1, 400), (2, 1024), (3, 700)]);
        assert_eq!(preference(&classes), [2, 3, 0, 1]);
        assert_eq!(first(&classes, &"0-2".parse().unwrap(), 2), Some("0,2".parse().unwrap()));
        assert_eq!(first(&classes, &"0-2".parse().unwrap(), 4), None);
        classes[2].online = false;
        assert_eq!(automatic(&classes, false), "0-1,3".parse().unwrap());
        assert_eq!(automatic(&cores(&[(0, 1024)]), true), "0".parse().unwrap());
    }
}
