//! What came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ferrocart_stack::Service;

use crate::case::{Case, Kind};

/// What came of one case.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) case: Case,
    pub(crate) fired: bool,
    /// From the fault to the end of everything.
    pub(crate) took: Duration,
    pub(crate) violations: Vec<String>,
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub(crate) outcomes: Vec<Outcome>,
    /// Beside the cases: duplicates, storms.
    pub(crate) others: Vec<(String, Vec<String>)>,
}

impl Report {
    /// Everything that is not as promised, and every point that was never reached.
    pub fn violations(&self) -> Vec<String> {
        let of_cases = self.outcomes.iter().flat_map(|outcome| {
            let missed = (!outcome.fired).then(|| format!("{}: never fired", outcome.case));
            let broken = outcome
                .violations
                .iter()
                .map(|violation| format!("{}: {violation}", outcome.case));
            broken.chain(missed)
        });
        let of_others = self.others.iter().flat_map(|(what, violations)| {
            violations
                .iter()
                .map(move |violation| format!("{what}: {violation}"))
        });
        of_cases.chain(of_others).collect()
    }

    pub fn is_clean(&self) -> bool {
        self.violations().is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: BTreeMap<(Service, Kind), (usize, usize, usize, Duration)> = BTreeMap::new();
        for outcome in &self.outcomes {
            let row = rows.entry((outcome.case.service, outcome.case.kind)).or_default();
            row.0 += 1;
            row.1 += usize::from(outcome.fired);
            row.2 += outcome.violations.len();
            row.3 = row.3.max(outcome.took);
        }
        if !rows.is_empty() {
            writeln!(f, "service    fault    cases  fired  violations  slowest end")?;
        }
        for ((service, kind), (cases, fired, violations, slowest)) in &rows {
            let ms = slowest.as_millis();
            writeln!(
                f,
                "{:<10} {kind:<8} {cases:>5}  {fired:>5}  {violations:>10}  {ms:>8} ms",
                service.name()
            )?;
        }
        for (what, violations) in &self.others {
            writeln!(f, "{what}: {} violations", violations.len())?;
        }
        for violation in self.violations() {
            writeln!(f, "VIOLATION {violation}")?;
        }
        write!(f, "{} violations", self.violations().len())
    }
}
