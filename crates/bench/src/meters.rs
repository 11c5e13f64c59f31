//! What one checkout costs: commits by database, flushes of the log, HTTP calls by service, processor time by
//! process.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ferrocart_stack::{Service, Stack};
use sqlx::{Connection as _, PgConnection};

use crate::report::times;
use crate::stats::{Spread, permille};
use crate::{cpu, probe};

/// A difference as small as this between two readings is the platform's own ticking.
const STILL: u64 = 40;
const SHOWN_MIN: u64 = 50;
/// In permille of one processor.
const IDLE_SHOWN_MIN: u64 = 3;

#[derive(Debug, Clone)]
pub struct Meters {
    at: Instant,
    lasted: Duration,
    counts: BTreeMap<String, u64>,
    /// In microseconds, by process.
    used_us: BTreeMap<String, u64>,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            at: Instant::now(),
            lasted: Duration::ZERO,
            counts: BTreeMap::new(),
            used_us: BTreeMap::new(),
        }
    }
}

impl Meters {
    pub async fn read(stack: &Stack) -> Result<Self> {
        let mut counts = BTreeMap::new();
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .context("a client")?;
        for service in Service::ALL {
            let url = format!("{}/metrics", stack.url(service));
            let text = http.get(url).send().await?.text().await.context("metrics")?;
            for line in text.lines() {
                if let Some((name, count)) = calls(service.name(), line) {
                    *counts.entry(name).or_default() += count;
                }
            }
        }
        let mut admin = PgConnection::connect(&stack.postgres_admin_url())
            .await
            .context("connect for the meters")?;
        let commits: Vec<(String, i64)> = sqlx::query_as(
            "SELECT 'commits ' || datname, xact_commit FROM pg_stat_database
             WHERE datname NOT LIKE 'template%' AND datname <> 'postgres'
             UNION ALL SELECT 'log flushes', wal_sync FROM pg_stat_wal",
        )
        .fetch_all(&mut admin)
        .await
        .context("read PostgreSQL's statistics")?;
        admin.close().await.context("close")?;
        for (name, count) in commits {
            counts.insert(name, u64::try_from(count).unwrap_or(0));
        }
        let mut used_us: BTreeMap<String, u64> = cpu::of_families(&probe::roots(stack, &[]))
            .into_iter()
            .map(|(name, used)| (name, micros(used)))
            .collect();
        used_us.insert("bench".to_owned(), micros(cpu::of_this_process().0));
        Ok(Self {
            at: Instant::now(),
            lasted: Duration::ZERO,
            counts,
            used_us,
        })
    }

    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            at: self.at,
            lasted: self.at - before.at,
            counts: difference(&self.counts, &before.counts),
            used_us: difference(&self.used_us, &before.used_us),
        }
    }

    /// Takes off what goes on anyway in that time.
    #[must_use]
    pub fn without(&self, idle: &Self) -> Self {
        let ticks = |of: &BTreeMap<String, u64>| {
            let scaled = of.iter().map(|(name, ticks)| {
                let ticks = u128::from(*ticks) * self.lasted.as_millis() / idle.lasted.as_millis().max(1);
                (name.clone(), u64::try_from(ticks).unwrap_or(u64::MAX))
            });
            scaled.collect()
        };
        Self {
            at: self.at,
            lasted: self.lasted,
            counts: difference(&self.counts, &ticks(&idle.counts)),
            used_us: difference(&self.used_us, &ticks(&idle.used_us)),
        }
    }

    /// What goes on in a second, in permille of one processor.
    pub fn idle_note(&self) -> String {
        let per_second = self.used_us.iter().map(|(name, used)| {
            let used = u128::from(*used) / self.lasted.as_millis().max(1);
            (name.as_str(), u64::try_from(used).unwrap_or(u64::MAX))
        });
        let mut shares: Vec<(&str, u64)> = per_second.filter(|(_, share)| *share >= IDLE_SHOWN_MIN).collect();
        shares.sort_by_key(|(_, share)| std::cmp::Reverse(*share));
        let sum: u64 = shares.iter().map(|(_, share)| share).sum();
        format!(
            "checkout: one processor's share that the platform takes when nobody shops: {} ({})",
            percent(sum),
            join(
                shares
                    .iter()
                    .map(|(name, share)| format!("{name} {}", percent(*share)))
            )
        )
    }

    pub fn stands_still(&self, before: &Self) -> bool {
        self.since(before).counts.values().all(|count| *count <= STILL)
    }
}

fn difference(after: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    after
        .iter()
        .map(|(name, count)| {
            let before = before.get(name).copied().unwrap_or(0);
            (name.clone(), count.saturating_sub(before))
        })
        .collect()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn percent(permille: u64) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// A line of `http_requests_total` of anything but the probes, or of the calls to the provider.
fn calls(service: &str, line: &str) -> Option<(String, u64)> {
    let (metric, rest) = line.split_once('{')?;
    let (labels, count) = rest.rsplit_once("} ")?;
    let label = |name: &str| {
        let (_, value) = labels.split_once(&format!("{name}=\""))?;
        value.split_once('"').map(|(value, _)| value)
    };
    if metric == "psp_requests_total" {
        return Some((
            format!("call provider {}", label("operation")?),
            count.parse().ok()?,
        ));
    }
    if metric != "http_requests_total" {
        return None;
    }
    let (method, route) = (label("method")?, label("route")?);
    let own = ["/metrics", "/health/live", "/health/ready"];
    (!own.contains(&route)).then(|| {
        (
            format!("call {service} {method} {route}"),
            count.parse().unwrap_or(0),
        )
    })
}

/// In sentences, a checkout each.
pub fn describe(runs: &[Meters], checkouts: usize) -> Vec<String> {
    let checkouts = u64::try_from(checkouts).unwrap_or(1);
    let mut series: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for run in runs {
        for (name, count) in &run.counts {
            series.entry(name).or_default().push(permille(*count, checkouts));
        }
    }
    let each: Vec<(&str, u64)> = series
        .into_iter()
        .map(|(name, values)| (name, Spread::of(&values).median))
        .collect();
    let list = |prefix: &str| {
        let of = each
            .iter()
            .filter_map(|(name, each)| Some((name.strip_prefix(prefix)?, *each)));
        let of: Vec<(&str, u64)> = of.filter(|(_, each)| *each >= SHOWN_MIN).collect();
        let sum = of.iter().map(|(_, each)| each).sum();
        let parts: Vec<String> = of
            .iter()
            .map(|(name, each)| format!("{name} {}", times(*each)))
            .collect();
        format!("{} ({})", times(sum), parts.join(", "))
    };
    let used = used_each(runs, checkouts);
    let flushes = each
        .iter()
        .find(|(name, _)| *name == "log flushes")
        .map_or(0, |(_, each)| *each);
    vec![
        format!(
            "checkout: transactions ended a checkout, reading ones and the consumers' included: {}",
            list("commits ")
        ),
        format!(
            "checkout: flushes of PostgreSQL's log a checkout, at that concurrency: {}",
            times(flushes)
        ),
        format!(
            "checkout: HTTP calls a checkout, the client's own and the provider's webhooks included: {}",
            list("call ")
        ),
        format!(
            "checkout: processor time a checkout, until all that follows from it is done, without what the platform \
             takes anyway: {used}"
        ),
    ]
}

/// The medians of the runs, the largest first.
fn used_each(runs: &[Meters], checkouts: u64) -> String {
    let mut series: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for run in runs {
        for (name, used) in &run.used_us {
            series.entry(name).or_default().push(used / checkouts.max(1));
        }
    }
    let mut each: Vec<(&str, u64)> = series
        .into_iter()
        .map(|(name, values)| (name, Spread::of(&values).median))
        .collect();
    each.sort_by_key(|(_, used)| std::cmp::Reverse(*used));
    let sum: u64 = each.iter().map(|(_, used)| used).sum();
    let parts = each.iter().map(|(name, used)| format!("{name} {used}"));
    format!("{sum} µs ({})", join(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_anyway_is_taken_off_by_time() {
        let meters = |lasted, used| Meters {
            lasted: Duration::from_secs(lasted),
            used_us: BTreeMap::from([("kafka".to_owned(), used)]),
            ..Meters::default()
        };
        let idle = meters(5, 50_000);
        assert_eq!(
            idle.idle_note(),
            "checkout: one processor's share that the platform takes when nobody shops: 1.0 % (kafka 1.0 %)"
        );
        let rest = meters(10, 1_300_000).without(&idle);
        assert_eq!(used_each(&[rest], 100), "12000 µs (kafka 12000)");
    }

    #[test]
    fn calls_are_counted_by_route_and_probes_are_not() {
        let line = r#"http_requests_total{method="POST",route="/v1/checkout",status="201"} 7"#;
        assert_eq!(
            calls("order", line),
            Some(("call order POST /v1/checkout".to_owned(), 7))
        );
        assert_eq!(
            calls(
                "order",
                r#"http_requests_total{method="GET",route="/metrics",status="200"} 7"#
            ),
            None
        );
    }
}
