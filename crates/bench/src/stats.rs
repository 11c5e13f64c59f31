//! What a load is summed up to. Whole numbers throughout: microseconds, answers a second, permille.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The part of a load that counts: after the warm-up, before the clients stop.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub opens: Instant,
    pub closes: Instant,
}

impl Window {
    pub fn from_now(warm_up: Duration, lasts: Duration) -> Self {
        let opens = Instant::now() + warm_up;
        Self {
            opens,
            closes: opens + lasts,
        }
    }

    pub fn is_over(&self) -> bool {
        Instant::now() >= self.closes
    }
}

/// One client's notes.
#[derive(Debug, Default)]
pub struct Tally {
    /// All answers, by status; those outside of the window too.
    answers: BTreeMap<u16, u64>,
    /// Of the answers inside it, in microseconds, by status.
    took_us: BTreeMap<u16, Vec<u32>>,
}

impl Tally {
    pub fn record(&mut self, window: &Window, began: Instant, status: u16) {
        let now = Instant::now();
        *self.answers.entry(status).or_default() += 1;
        if window.opens <= now && now < window.closes {
            let took = u32::try_from((now - began).as_micros()).unwrap_or(u32::MAX);
            self.took_us.entry(status).or_default().push(took);
        }
    }

    pub fn add(&mut self, other: Self) {
        for (status, count) in other.answers {
            *self.answers.entry(status).or_default() += count;
        }
        for (status, took) in other.took_us {
            self.took_us.entry(status).or_default().extend(took);
        }
    }

    /// Sums up the answers of one status.
    pub fn sum_up(mut self, wanted: u16, lasted: Duration) -> Summary {
        let mut took = self.took_us.remove(&wanted).unwrap_or_default();
        took.sort_unstable();
        let counted = u64::try_from(took.len()).unwrap_or(u64::MAX);
        Summary {
            answers: self.answers,
            counted,
            per_second: per_second(counted, lasted),
            p50_us: percentile(&took, 500),
            p95_us: percentile(&took, 950),
            p99_us: percentile(&took, 990),
        }
    }
}

/// One load of one contestant.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Summary {
    /// All that were answered, warm-up and all, by status.
    pub answers: BTreeMap<u16, u64>,
    /// Those that count.
    pub counted: u64,
    pub per_second: u64,
    pub p50_us: u64,
    pub p95_us: u64,
    pub p99_us: u64,
}

impl Summary {
    pub fn answered(&self, status: u16) -> u64 {
        self.answers.get(&status).copied().unwrap_or(0)
    }

    pub fn total(&self) -> u64 {
        self.answers.values().sum()
    }
}

pub fn per_second(count: u64, lasted: Duration) -> u64 {
    let micros = lasted.as_micros().max(1);
    u64::try_from(u128::from(count) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

/// Of values in order; 0 of none.
pub fn percentile(sorted: &[u32], permille: usize) -> u64 {
    let rank = (sorted.len() * permille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied().map_or(0, u64::from)
}

/// `a` in thousandths of `b`; 0 where there is nothing to compare with.
pub fn permille(a: u64, b: u64) -> u64 {
    let ratio = (u128::from(a) * 1000).checked_div(u128::from(b)).unwrap_or(0);
    u64::try_from(ratio).unwrap_or(u64::MAX)
}

/// The middle of several runs, and their ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    pub median: u64,
    pub min: u64,
    pub max: u64,
}

impl Spread {
    pub fn of(values: &[u64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        Self {
            median: sorted.get(sorted.len() / 2).copied().unwrap_or(0),
            min: sorted.first().copied().unwrap_or(0),
            max: sorted.last().copied().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!(
            [500, 950, 990, 1000].map(|p| percentile(&hundred, p)),
            [50, 95, 99, 100]
        );
        assert_eq!(percentile(&[7], 500), 7);
        assert_eq!(percentile(&[], 500), 0);
    }

    #[test]
    fn only_the_window_counts_and_everything_is_kept() {
        let now = Instant::now();
        let past = Window {
            opens: now.checked_sub(Duration::from_secs(9)).unwrap(),
            closes: now.checked_sub(Duration::from_secs(8)).unwrap(),
        };
        let open = Window {
            opens: now,
            closes: now + Duration::from_mins(1),
        };
        let mut tally = Tally::default();
        tally.record(&past, now, 201);
        tally.record(&open, now, 201);
        tally.record(&open, now, 409);
        let summary = tally.sum_up(201, Duration::from_millis(500));
        assert_eq!(
            (summary.answered(201), summary.counted, summary.per_second),
            (2, 1, 2)
        );
        assert_eq!(summary.total(), 3);
    }

    #[test]
    fn the_spread_of_runs_in_any_order() {
        let expected = Spread {
            median: 3,
            min: 1,
            max: 9,
        };
        assert_eq!(Spread::of(&[9, 1, 3, 2, 8]), expected);
        assert_eq!(permille(1, 0), 0);
        assert_eq!(permille(3, 2), 1500);
    }
}
