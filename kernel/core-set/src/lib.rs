//! A set of cores by dense index, and its text form (`0`, `1-3,8`).
//!
//! A value without behaviour: it knows neither which cores exist nor which are online, and neither the
//! kernel nor the engine. Both use it, and its words cross the ABI between them.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use smallvec::{SmallVec, smallvec};

/// One more than the largest index that a set holds: as many cores as the address space has room for stacks.
pub const MAX_CORES: usize = 1 << 16;

const BITS: usize = u64::BITS as usize;
/// Words that a set holds without memory of its own: 256 cores.
const INLINE: usize = 4;

/// A set of cores. Equal sets compare equal however they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CoreSet {
    /// Bit `c % 64` of word `c / 64` stands for core `c`. The last word is never 0.
    words: SmallVec<[u64; INLINE]>,
}

impl CoreSet {
    /// The set without a core.
    #[must_use]
    pub const fn new() -> Self {
        Self { words: SmallVec::new_const() }
    }

    /// The cores `0..count`.
    ///
    /// # Panics
    /// When that is more than [`MAX_CORES`].
    #[must_use]
    pub fn first(count: usize) -> Self {
        assert!(count <= MAX_CORES, "{count} cores of at most {MAX_CORES}");
        let mut words = smallvec![u64::MAX; count / BITS];
        if !count.is_multiple_of(BITS) {
            words.push((1 << (count % BITS)) - 1);
        }
        Self { words }
    }

    /// The set whose bits are `words`; `None` when one is past [`MAX_CORES`].
    #[must_use]
    pub fn from_words(words: &[u64]) -> Option<Self> {
        let used = words.iter().rposition(|&word| word != 0).map_or(0, |last| last + 1);
        (used <= MAX_CORES / BITS).then(|| Self { words: SmallVec::from_slice(&words[..used]) })
    }

    /// The set as bits: core `c` is bit `c % 64` of word `c / 64`.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Adds a core.
    ///
    /// # Panics
    /// When it is not below [`MAX_CORES`].
    pub fn insert(&mut self, core: usize) {
        assert!(core < MAX_CORES, "core {core} of at most {MAX_CORES}");
        if self.words.len() <= core / BITS {
            self.words.resize(core / BITS + 1, 0);
        }
        self.words[core / BITS] |= 1 << (core % BITS);
    }

    /// Takes a core out. Result: whether it was there.
    pub fn remove(&mut self, core: usize) -> bool {
        let present = self.contains(core);
        if present {
            self.words[core / BITS] &= !(1 << (core % BITS));
            while self.words.last() == Some(&0) {
                self.words.pop();
            }
        }
        present
    }

    /// Whether a core is in it.
    #[must_use]
    pub fn contains(&self, core: usize) -> bool {
        self.words.get(core / BITS).is_some_and(|word| word >> (core % BITS) & 1 == 1)
    }

    /// Number of cores.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether it has no core.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The cores in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let without_lowest = |word: &u64| Some(word & (word - 1)).filter(|&rest| rest != 0);
            let rests = core::iter::successors(Some(word).filter(|&word| word != 0), without_lowest);
            rests.map(move |rest| index * BITS + rest.trailing_zeros() as usize)
        })
    }

    /// The cores that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.iter().filter(|&core| other.contains(core)).collect()
    }

    /// The cores that are in this set and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.iter().filter(|&core| !other.contains(core)).collect()
    }

    /// Whether every core of this set is in the other.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        let others = other.words.iter().copied().chain(core::iter::repeat(0));
        self.words.iter().zip(others).all(|(word, other)| word & !other == 0)
    }
}

impl FromIterator<usize> for CoreSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cores: I) -> Self {
        let mut set = Self::new();
        cores.into_iter().for_each(|core| set.insert(core));
        set
    }
}

impl fmt::Display for CoreSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut separator = "";
        for start in self.iter().filter(|&core| core == 0 || !self.contains(core - 1)) {
            let last = (start..).take_while(|&core| self.contains(core)).last().unwrap_or(start);
            match last - start {
                0 => write!(f, "{separator}{start}")?,
                _ => write!(f, "{separator}{start}-{last}")?,
            }
            separator = ",";
        }
        Ok(())
    }
}

/// The error for a text that is no set of cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseCoreSetError {
    /// The part that is at fault.
    pub part: String,
}

impl fmt::Display for ParseCoreSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part } = self;
        write!(f, "\"{part}\" is no core or range of cores (as in 0,2-3; below {MAX_CORES})")
    }
}

impl core::error::Error for ParseCoreSetError {}

impl FromStr for CoreSet {
    type Err = ParseCoreSetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut set = Self::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse().ok().filter(|&core: &usize| digits && core < MAX_CORES)
            };
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => {
                    (first..=last).for_each(|core| set.insert(core))
                }
                _ => return Err(ParseCoreSetError { part: part.into() }),
            }
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn texts_and_sets() {
        for (text, cores, shown) in [
            ("0", &[0][..], "0"),
            ("1-3,8", &[1, 2, 3, 8], "1-3,8"),
            ("8,2,1,0", &[0, 1, 2, 8], "0-2,8"),
            ("63-64,200", &[63, 64, 200], "63-64,200"),
        ] {
            let set: CoreSet = text.parse().unwrap();
            assert!(set.iter().eq(cores.iter().copied()), "{text}");
            assert_eq!(set.to_string(), shown);
        }
        for (text, part) in
            [("", ""), ("1,,2", ""), ("3-1", "3-1"), ("1,x", "x"), ("+1", "+1"), ("0-65536", "0-65536")]
        {
            assert_eq!(text.parse::<CoreSet>(), Err(ParseCoreSetError { part: part.into() }), "{text}");
        }
        for count in [0, 1, 63, 64, 65, 300] {
            assert!(CoreSet::first(count).iter().eq(0..count), "the first {count}");
        }
        assert_eq!(CoreSet::from_words(&[0, 0]), Some(CoreSet::new()));
        assert_eq!(CoreSet::from_words(&[1; MAX_CORES / BITS + 1]), None);
    }

    proptest! {
        #[test]
        fn is_a_set(
            a in proptest::collection::btree_set(0usize..300, 0..40),
            b in proptest::collection::btree_set(0usize..300, 0..40),
        ) {
            let (x, y): (CoreSet, CoreSet) = (a.iter().copied().collect(), b.iter().copied().collect());
            prop_assert!(x.iter().eq(a.iter().copied()));
            prop_assert_eq!(x.len(), a.len());
            prop_assert_eq!(x.is_subset(&y), a.is_subset(&b));
            prop_assert!(x.intersection(&y).iter().eq(a.intersection(&b).copied()));
            let difference: BTreeSet<_> = a.difference(&b).copied().collect();
            prop_assert!(x.difference(&y).iter().eq(difference.iter().copied()));
            let mut z = x.clone();
            for &core in &b {
                prop_assert_eq!(z.remove(core), a.contains(&core));
            }
            prop_assert_eq!(&z, &x.difference(&y));
            prop_assert_eq!(CoreSet::from_words(x.words()), Some(x.clone()));
            if !x.is_empty() {
                prop_assert_eq!(x.to_string().parse(), Ok(x));
            }
        }
    }
}
