//! The table for people and the JSON for machines.

use std::fmt::Write as _;

use serde::Serialize;

use crate::machine::Machine;
use crate::probe::{Limits, Shares};
use crate::stats::{Spread, permille};

/// How many names of what limits a figure are shown.
const LIMITS_SHOWN: usize = 7;

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    pub name: String,
    pub unit: &'static str,
    /// One for each run.
    pub values: Vec<u64>,
    pub spread: Spread,
    pub reference: Option<Reference>,
    pub limits: Limits,
}

/// What a figure is compared with, run by run.
#[derive(Debug, Clone, Serialize)]
pub struct Reference {
    pub name: String,
    /// In thousandths.
    pub ratio: Spread,
    /// What the ratio is to be, in thousandths.
    pub aim: Option<Aim>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    AtLeast(u64),
    AtMost(u64),
}

impl Figure {
    pub fn new(name: &str, unit: &'static str, values: Vec<u64>) -> Self {
        Self {
            name: name.to_owned(),
            unit,
            spread: Spread::of(&values),
            values,
            reference: None,
            limits: Limits::default(),
        }
    }

    #[must_use]
    pub fn against(mut self, name: &str, reference: &[u64], aim: Option<Aim>) -> Self {
        let ratios: Vec<u64> = self
            .values
            .iter()
            .zip(reference)
            .map(|(value, reference)| permille(*value, *reference))
            .collect();
        self.reference = Some(Reference {
            name: name.to_owned(),
            ratio: Spread::of(&ratios),
            aim,
        });
        self
    }

    #[must_use]
    pub fn limited_by(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub runs: usize,
    pub figures: Vec<Figure>,
    /// What else was found, in sentences.
    pub notes: Vec<String>,
}

impl Report {
    /// The table, as Markdown.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| figure | median | min–max | ratio (min–max) | to | aim | processors, of all of them |\n|---|--:|--:|--:|---|--:|---|\n",
        );
        for figure in &self.figures {
            let Spread { median, min, max } = figure.spread;
            let (ratio, to, aim) = match &figure.reference {
                None => (String::new(), "", String::new()),
                Some(reference) => {
                    let Spread { median, min, max } = reference.ratio;
                    let ratio = format!("{} ({}–{})", times(median), times(min), times(max));
                    (
                        ratio,
                        reference.name.as_str(),
                        reference.aim.map(aim_text).unwrap_or_default(),
                    )
                }
            };
            // Writing into a string cannot fail.
            let _infallible = writeln!(
                text,
                "| {} | {}{} | {}–{} | {ratio} | {to} | {aim} | {} |",
                figure.name,
                grouped(median),
                figure.unit,
                grouped(min),
                grouped(max),
                percentages(&figure.limits.cpu),
            );
        }
        text
    }

    /// What PostgreSQL's backends were seen at, figure by figure.
    pub fn waits(&self) -> String {
        let mut text = String::new();
        for figure in self
            .figures
            .iter()
            .filter(|figure| !figure.limits.postgres.is_empty())
        {
            let _infallible = writeln!(
                text,
                "- {}: {}",
                figure.name,
                percentages(&figure.limits.postgres)
            );
        }
        text
    }
}

fn aim_text(aim: Aim) -> String {
    match aim {
        Aim::AtLeast(permille) => format!("≥ {}", times(permille)),
        Aim::AtMost(permille) => format!("≤ {}", times(permille)),
    }
}

fn percentages(shares: &Shares) -> String {
    let shown: Vec<String> = shares
        .iter()
        .take(LIMITS_SHOWN)
        .map(|(name, share)| format!("{name} {} %", (share + 5) / 10))
        .collect();
    shown.join(", ")
}

/// 1234 permille are `1.23`.
pub fn times(permille: u64) -> String {
    if permille >= 100_000 {
        return (permille / 1000).to_string();
    }
    format!("{}.{:02}", permille / 1000, permille % 1000 / 10)
}

/// Thousands apart.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_run_by_run() {
        let figure = Figure::new("a", "/s", vec![10, 40, 90]).against("b", &[10, 20, 30], None);
        assert_eq!(figure.reference.unwrap().ratio.median, 2000);
    }

    #[test]
    fn numbers_as_people_read_them() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(12), "12");
        assert_eq!(times(38_049), "38.04");
    }
}
