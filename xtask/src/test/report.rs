//! The report of all test runs: a table and a closing line.

use std::fmt;
use std::time::Duration;

/// One test run: the host's, or one boot.
#[derive(Debug)]
pub struct TestRun {
    /// Name of the run.
    pub name: String,
    /// Tests that passed.
    pub passed: u32,
    /// Tests that failed; at least one for an aborted run.
    pub failed: u32,
    /// Duration.
    pub time: Duration,
    /// Faults beyond single tests, and omissions.
    pub notes: Vec<String>,
}

/// All runs.
#[derive(Debug, Default)]
pub struct TestReport {
    rows: Vec<TestRun>,
}

impl TestReport {
    /// Adds a run.
    pub fn add(&mut self, row: TestRun) {
        self.rows.push(row);
    }

    /// Whether tests ran and none failed.
    pub fn passed(&self) -> bool {
        let (passed, failed) = self.sums();
        passed > 0 && failed == 0
    }

    fn sums(&self) -> (u32, u32) {
        self.rows.iter().fold((0, 0), |(passed, failed), row| (passed + row.passed, failed + row.failed))
    }
}

impl fmt::Display for TestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(3);
        writeln!(f, "\n{:<width$}  passed  failed  seconds", "run")?;
        for row in &self.rows {
            let seconds = row.time.as_secs_f64();
            write!(f, "{:<width$}  {:>6}  {:>6}  {seconds:>7.1}", row.name, row.passed, row.failed)?;
            writeln!(f, "{}{}", if row.notes.is_empty() { "" } else { "  " }, row.notes.join("; "))?;
        }
        let (passed, failed) = self.sums();
        writeln!(f, "\n{passed} passed, {failed} failed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, passed: u32, failed: u32) -> TestRun {
        TestRun {
            name: name.to_owned(),
            passed,
            failed,
            time: Duration::from_millis(1500),
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_closing_line_stands_alone_and_adds_up() {
        let mut report = TestReport::default();
        assert!(!report.passed(), "no tests are no success");
        report.add(row("host", 20, 0));
        report.add(row("x86_64, 1 core", 7, 0));
        assert!(report.passed());
        report.add(TestRun { notes: vec!["the kernel panicked".to_owned()], ..row("x86_64, 2 cores", 3, 1) });
        assert!(!report.passed());
        let text = report.to_string();
        assert_eq!(text.lines().last(), Some("30 passed, 1 failed"));
        assert!(text.contains("x86_64, 2 cores       3       1      1.5  the kernel panicked\n"), "{text}");
    }
}
