//! Accounting of the counts at marks. Knows nothing of the emulator.

use embodios_abi::Mark;
use serde::Serialize;
use std::ops::{Add, Sub};

/// Instructions of one core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Those of the engine.
    pub engine: u64,
    /// Those of the kernel.
    pub kernel: u64,
}

impl Count {
    const fn total(self) -> u64 {
        self.engine + self.kernel
    }
}

impl Add for Count {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { engine: self.engine + other.engine, kernel: self.kernel + other.kernel }
    }
}

impl Sub for Count {
    type Output = Self;
    /// 0 where `other` is more: a core's count is read while it runs.
    fn sub(self, other: Self) -> Self {
        Self {
            engine: self.engine.saturating_sub(other.engine),
            kernel: self.kernel.saturating_sub(other.kernel),
        }
    }
}

/// A measured part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The counts of each core.
    pub cores: Vec<Count>,
    /// The critical path: the sum over phases of the busiest core's count in each.
    pub critical: Count,
    /// Of that, phases in which one core was alone: those between a meeting and the next parting.
    pub alone: Count,
    /// Number of phases.
    pub phases: u64,
}

/// All parts so far.
#[derive(Debug, Default, Serialize)]
pub struct Ledger {
    parts: Vec<Part>,
    #[serde(skip)]
    open: Option<Open>,
}

/// The part that is being measured.
#[derive(Debug)]
struct Open {
    part: Part,
    /// The cores' counts when the phase began.
    before: Vec<Count>,
    /// Whether cores work apart.
    apart: bool,
}

impl Ledger {
    /// Nothing so far.
    pub const fn new() -> Self {
        Self { parts: Vec::new(), open: None }
    }

    /// Takes note of a mark, with all cores' counts. A part that begins inside another replaces it: the guest gave
    /// that one up. Phases outside parts belong to none.
    pub fn mark(&mut self, mark: Mark, now: Vec<Count>) {
        match mark {
            Mark::Begin => {
                let part = Part { cores: vec![Count::default(); now.len()], ..Part::default() };
                self.open = Some(Open { part, before: now, apart: false });
            }
            Mark::Phase => {
                if let Some(open) = &mut self.open {
                    open.end_phase(now);
                    open.apart = !open.apart;
                }
            }
            Mark::End => {
                if let Some(mut open) = self.open.take() {
                    open.end_phase(now);
                    self.parts.push(open.part);
                }
            }
        }
    }
}

impl Open {
    fn end_phase(&mut self, now: Vec<Count>) {
        let mut busiest = Count::default();
        for ((core, &before), &now) in self.part.cores.iter_mut().zip(&self.before).zip(&now) {
            let count = now - before;
            *core = *core + count;
            if count.total() > busiest.total() {
                busiest = count;
            }
        }
        self.part.critical = self.part.critical + busiest;
        if !self.apart {
            self.part.alone = self.part.alone + busiest;
        }
        self.part.phases += 1;
        self.before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(counts: &[u64]) -> Vec<Count> {
        counts.iter().map(|&engine| Count { engine, kernel: 0 }).collect()
    }

    fn parts(marks: &[(Mark, &[u64])]) -> Vec<Part> {
        let mut ledger = Ledger::new();
        marks.iter().for_each(|&(mark, counts)| ledger.mark(mark, engine(counts)));
        ledger.parts
    }

    #[test]
    fn the_critical_path_is_the_busiest_core_of_each_phase() {
        let parts = parts(&[
            (Mark::Begin, &[100, 7]),
            (Mark::Phase, &[110, 7]),
            (Mark::Phase, &[140, 57]),
            (Mark::End, &[145, 58]),
        ]);
        // 10 alone, then 30 beside 50, then 5 beside 1.
        let [part] = parts.as_slice() else { panic!("{parts:?}") };
        assert_eq!(part.critical.engine, 10 + 50 + 5);
        assert_eq!(part.alone.engine, 10 + 5);
        assert_eq!(part.cores, engine(&[45, 51]));
        assert_eq!(part.phases, 3);
    }

    #[test]
    fn the_kernels_share_belongs_to_the_busiest_core() {
        let mut ledger = Ledger::new();
        ledger.mark(Mark::Begin, vec![Count::default(); 2]);
        let counts = [Count { engine: 10, kernel: 5 }, Count { engine: 12, kernel: 1 }];
        ledger.mark(Mark::End, counts.to_vec());
        assert_eq!(ledger.parts[0].critical, counts[0]);
        assert_eq!(
            serde_json::to_string(&ledger).unwrap(),
            r#"{"parts":[{"cores":[{"engine":10,"kernel":5},{"engine":12,"kernel":1}],"#.to_owned()
                + r#""critical":{"engine":10,"kernel":5},"alone":{"engine":10,"kernel":5},"phases":1}]}"#
        );
    }

    #[test]
    fn four_shares_are_as_uneven_as_they_are() {
        // Shares of 4, 8, 12 and 16: 40 in all, 16 on the critical path.
        let parts = parts(&[(Mark::Begin, &[0; 4]), (Mark::Phase, &[0; 4]), (Mark::End, &[4, 8, 12, 16])]);
        let all: u64 = parts[0].cores.iter().map(|count| count.total()).sum();
        assert_eq!((all, parts[0].critical.total()), (40, 16));
    }

    #[test]
    fn only_whole_parts_are_kept() {
        let parts = parts(&[
            (Mark::Phase, &[1]),
            (Mark::End, &[2]),
            (Mark::Begin, &[3]),
            (Mark::Begin, &[10]),
            (Mark::End, &[12]),
            (Mark::Begin, &[20]),
        ]);
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].cores, engine(&[2]));
    }
}
