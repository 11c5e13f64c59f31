use crate::checkout::Sample;
use crate::probe::{self, Limits};
use crate::report::{Aim, Figure};
use crate::stats::Summary;

/// The rate that the platform is to reach; its reference where no peer can be run.
const WANTED_PER_SECOND: u64 = 500;
const WANTED_P95_US: u64 = 1_000_000;

pub(super) fn all(clients: usize, fast: &[Sample], slow: &[Sample], open: &[Sample]) -> Vec<Figure> {
    let mut figures = closed(clients, "provider 0 ms", fast, true);
    figures.extend(of_slow(clients, slow, fast));
    figures.extend(of_open(open));
    figures
}

fn pick(samples: &[Sample], value: fn(&Summary) -> u64) -> Vec<u64> {
    samples.iter().map(|sample| value(&sample.summary)).collect()
}

fn limits(samples: &[Sample]) -> Limits {
    let limits: Vec<Limits> = samples.iter().map(|sample| sample.limits.clone()).collect();
    probe::mean(&limits)
}

fn closed(clients: usize, name: &str, samples: &[Sample], with_aim: bool) -> Vec<Figure> {
    let rate = Figure::new(
        &format!("checkouts, {clients} clients, {name}"),
        "/s",
        pick(samples, |summary| summary.per_second),
    )
    .limited_by(limits(samples));
    let wanted = vec![WANTED_PER_SECOND; samples.len()];
    let rate = if with_aim {
        rate.against("500/s", &wanted, Some(Aim::AtLeast(1000)))
    } else {
        rate
    };
    vec![
        rate,
        Figure::new(
            &format!("  {name}: p50"),
            " µs",
            pick(samples, |summary| summary.p50_us),
        ),
        Figure::new(
            &format!("  {name}: p95"),
            " µs",
            pick(samples, |summary| summary.p95_us),
        ),
        Figure::new(
            &format!("  {name}: p99"),
            " µs",
            pick(samples, |summary| summary.p99_us),
        ),
    ]
}

fn of_slow(clients: usize, slow: &[Sample], fast: &[Sample]) -> Vec<Figure> {
    let mut lines = closed(clients, "provider 300 ms", slow, false);
    let reference = pick(fast, |summary| summary.per_second);
    if let Some(first) = lines.first_mut() {
        *first = first.clone().against("provider 0 ms", &reference, None);
    }
    lines
}

fn of_open(open: &[Sample]) -> Vec<Figure> {
    let name = "provider 300 ms, arriving at half the 0 ms rate";
    let p95 = pick(open, |summary| summary.p95_us);
    let wanted = vec![WANTED_P95_US; open.len()];
    vec![
        Figure::new(
            &format!("checkouts, {name}"),
            "/s",
            pick(open, |summary| summary.per_second),
        )
        .limited_by(limits(open)),
        Figure::new(
            "  at half the rate: p50",
            " µs",
            pick(open, |summary| summary.p50_us),
        ),
        Figure::new("  at half the rate: p95", " µs", p95).against("1 s", &wanted, Some(Aim::AtMost(1000))),
        Figure::new(
            "  at half the rate: p99",
            " µs",
            pick(open, |summary| summary.p99_us),
        ),
    ]
}
