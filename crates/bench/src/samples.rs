//! Loads whose every answer must be the wanted one, and what several of them came to.

use anyhow::{Context as _, Result, ensure};
use ferrocart_stack::Stack;

use crate::load::HttpLoad;
use crate::probe::{self, Limits, Probe};
use crate::report::{Figure, grouped};
use crate::stats::Summary;

/// Drives a load; `others` are processes that the stack does not know.
pub async fn drive(
    stack: &Stack,
    others: &[(&str, u32)],
    name: &str,
    load: HttpLoad,
) -> Result<(Summary, Limits)> {
    let wanted = load.wanted;
    let probe = Probe::start(stack, others);
    let summary = load.drive().await.with_context(|| name.to_owned())?.summary;
    let limits = probe.finish().await?;
    eprintln!(
        "    {name}: {}/s, p50 {} µs, p99 {} µs",
        grouped(summary.per_second),
        summary.p50_us,
        summary.p99_us
    );
    let unwanted = summary.total() - summary.answered(wanted);
    ensure!(
        unwanted == 0,
        "{name}: {unwanted} answers are not {wanted}: {:?}",
        summary.answers
    );
    Ok((summary, limits))
}

/// One contestant's loads, run by run.
#[derive(Debug, Default)]
pub struct Samples(Vec<(Summary, Limits)>);

impl Samples {
    pub fn push(&mut self, sample: (Summary, Limits)) {
        self.0.push(sample);
    }

    pub fn per_second(&self) -> Vec<u64> {
        self.0.iter().map(|(summary, _)| summary.per_second).collect()
    }

    pub fn p50_us(&self) -> Vec<u64> {
        self.0.iter().map(|(summary, _)| summary.p50_us).collect()
    }

    pub fn p99_us(&self) -> Vec<u64> {
        self.0.iter().map(|(summary, _)| summary.p99_us).collect()
    }

    /// The rate, and whose the processors were.
    pub fn rate(&self, name: &str) -> Figure {
        let limits: Vec<Limits> = self.0.iter().map(|(_, limits)| limits.clone()).collect();
        Figure::new(name, "/s", self.per_second()).limited_by(probe::mean(&limits))
    }
}
