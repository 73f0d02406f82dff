//! The report of `cargo xtask acceptance`: criteria and their findings as text, JSON and Markdown.
//!
//! Owns the forms; the findings are `criteria`'s.

use serde::Serialize;
use std::fmt::{self, Write};

use super::provenance::Provenance;

/// Verdict on a finding or a criterion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The figure meets its threshold.
    Met,
    /// It does not.
    Missed,
    /// Not measured on this machine or with these options.
    NotMeasuredHere {
        /// Reason for the missing figure.
        reason: String,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Met => f.write_str("met"),
            Self::Missed => f.write_str("missed"),
            Self::NotMeasuredHere { reason } => write!(f, "not measured here: {reason}"),
        }
    }
}

/// One figure with its threshold.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Name of the figure.
    pub what: String,
    /// Machine and its cores.
    pub machine: String,
    /// The measured value; `None` if not measured.
    pub value: Option<String>,
    /// The threshold to meet.
    #[serde(rename = "bar")]
    pub threshold: String,
    /// Verdict on the value.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Finding {
    /// A finding with a value.
    pub fn judged(
        what: impl Into<String>,
        machine: impl Into<String>,
        value: impl Into<String>,
        threshold: impl Into<String>,
        met: bool,
    ) -> Self {
        Self {
            what: what.into(),
            machine: machine.into(),
            value: Some(value.into()),
            threshold: threshold.into(),
            verdict: if met { Verdict::Met } else { Verdict::Missed },
        }
    }

    /// A finding without a value.
    pub fn not_measured(
        what: impl Into<String>,
        machine: impl Into<String>,
        threshold: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        let verdict = Verdict::NotMeasuredHere { reason: reason.into() };
        Self { what: what.into(), machine: machine.into(), value: None, threshold: threshold.into(), verdict }
    }
}

/// One of the six criteria.
#[derive(Debug, Serialize)]
pub struct Criterion {
    /// Number, from 1 on.
    pub number: usize,
    /// The requirement.
    pub title: &'static str,
    /// Findings that show it.
    #[serde(rename = "lines")]
    pub findings: Vec<Finding>,
}

impl Criterion {
    /// Missed if any finding is; not measured if none has a value.
    pub fn verdict(&self) -> Verdict {
        let any = |verdict: &Verdict| self.findings.iter().any(|finding| finding.verdict == *verdict);
        if any(&Verdict::Missed) {
            Verdict::Missed
        } else if any(&Verdict::Met) {
            Verdict::Met
        } else {
            Verdict::NotMeasuredHere { reason: "none of its findings has a figure".to_owned() }
        }
    }
}

/// The report.
#[derive(Debug, Serialize)]
pub struct AcceptanceReport {
    /// Provenance of the figures.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// Criteria by number.
    pub criteria: Vec<Criterion>,
}

impl AcceptanceReport {
    /// Whether no criterion is missed.
    pub fn passed(&self) -> bool {
        self.criteria.iter().all(|criterion| criterion.verdict() != Verdict::Missed)
    }

    /// The report as a Markdown page.
    pub fn markdown(&self) -> String {
        let mut page = "# Acceptance\n\nThe six criteria, measured by one command.\n\n".to_owned();
        for (name, value) in self.provenance.named() {
            page += &format!("- {name}: {value}\n");
        }
        page += "\n| criterion | verdict |\n| --- | --- |\n";
        for criterion in &self.criteria {
            page += &row(&[&format!("{}. {}", criterion.number, criterion.title), &criterion.verdict()]);
        }
        for criterion in &self.criteria {
            page += &format!("\n## {}. {}\n\n", criterion.number, criterion.title);
            page += "| what | where | measured | threshold | verdict |\n| --- | --- | --- | --- | --- |\n";
            for Finding { what, machine, value, threshold, verdict } in &criterion.findings {
                page += &row(&[what, machine, &value.as_deref().unwrap_or("-"), threshold, verdict]);
            }
        }
        page
    }
}

/// A row of a table, with characters escaped that would end a cell.
fn row(cells: &[&dyn fmt::Display]) -> String {
    let cells = cells.iter().map(|cell| cell.to_string().replace('|', "\\|").replace('\n', " "));
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

impl fmt::Display for AcceptanceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('\n')?;
        for (name, value) in self.provenance.named() {
            writeln!(f, "{name}: {value}")?;
        }
        for criterion in &self.criteria {
            writeln!(f, "\n{}. {}: {}", criterion.number, criterion.title, criterion.verdict())?;
            for Finding { what, machine, value, threshold, verdict } in &criterion.findings {
                let value = value.as_deref().unwrap_or("-");
                writeln!(f, "   {machine}: {what}: {value}; threshold: {threshold}; {verdict}")?;
            }
        }
        let missed = self.criteria.iter().filter(|criterion| criterion.verdict() == Verdict::Missed).count();
        writeln!(f, "\n{} criteria, {missed} missed", self.criteria.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: Vec<Finding>) -> AcceptanceReport {
        let criteria = vec![Criterion { number: 1, title: "cores", findings }];
        AcceptanceReport { provenance: Provenance::default(), criteria }
    }

    #[test]
    fn one_missed_finding_fails_and_a_missing_figure_does_not() {
        let met = Finding::judged("a", "m", "4", "4", true);
        let missed = Finding::judged("b", "m", "3", "4", false);
        let none = Finding::not_measured("c", "m", "4", "no such machine");
        let verdict = |findings: &[&Finding]| {
            let report = report(findings.iter().map(|&finding| finding.clone()).collect());
            (report.passed(), report.criteria[0].verdict().to_string())
        };
        assert_eq!(verdict(&[&met, &none]), (true, "met".to_owned()));
        assert_eq!(verdict(&[&met, &missed, &none]), (false, "missed".to_owned()));
        assert_eq!(
            verdict(&[&none]),
            (true, "not measured here: none of its findings has a figure".to_owned())
        );
    }

    #[test]
    fn all_forms_say_the_same() {
        let report = report(vec![
            Finding::judged("a|b", "m", "3", "4", false),
            Finding::not_measured("c", "m", "4", "no such machine"),
        ]);
        let page = report.markdown();
        assert!(page.contains("\n| 1. cores | missed |\n"), "{page}");
        assert!(page.contains("\n| a\\|b | m | 3 | 4 | missed |\n"), "{page}");
        assert!(page.contains("\n| c | m | - | 4 | not measured here: no such machine |\n"), "{page}");
        let text = report.to_string();
        assert!(text.contains("   m: a|b: 3; threshold: 4; missed\n"), "{text}");
        assert!(text.ends_with("\n1 criteria, 1 missed\n"), "{text}");
        let json = serde_json::to_value(&report).expect("strings");
        let findings = &json["criteria"][0]["lines"];
        assert_eq!((&findings[0]["verdict"], &findings[0]["value"]), (&"missed".into(), &"3".into()));
        assert_eq!(findings[1]["reason"], "no such machine");
    }
}
