//! What was busy during a load, and what PostgreSQL waited for: the answer to "what limits this figure".

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ferrocart_stack::{Component, Stack};
use serde::Serialize;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::cpu;
use crate::stats::permille;

const SAMPLE_EVERY: Duration = Duration::from_millis(100);
/// Shares below this are left out, in permille of all processors.
const SHARE_MIN: u64 = 10;

/// Shares in permille, the largest first.
pub type Shares = Vec<(String, u64)>;

#[derive(Debug, Clone, Default, Serialize)]
pub struct Limits {
    /// Of all processors.
    pub cpu: Shares,
    /// Of the times that a backend was seen at work: on a processor, or waiting for what.
    pub postgres: Shares,
}

pub struct Probe {
    roots: BTreeMap<String, i32>,
    before: BTreeMap<String, Duration>,
    own: (Duration, Duration),
    machine: Duration,
    began: Instant,
    stop: oneshot::Sender<()>,
    waits: JoinHandle<Result<BTreeMap<String, u64>>>,
}

/// The components' processes by name, and those that the benchmark itself has started.
pub fn roots(stack: &Stack, others: &[(&str, u32)]) -> BTreeMap<String, i32> {
    let components = Component::all().into_iter().filter_map(|component| {
        let pid = stack.process(component).pid()?;
        Some((component.name().to_owned(), pid))
    });
    let others = others
        .iter()
        .filter_map(|(name, pid)| Some(((*name).to_owned(), i32::try_from(*pid).ok()?)));
    components.chain(others).collect()
}

impl Probe {
    pub fn start(stack: &Stack, others: &[(&str, u32)]) -> Self {
        let (stop, stopped) = oneshot::channel();
        let url = stack.postgres_admin_url();
        let roots = roots(stack, others);
        Self {
            before: cpu::of_families(&roots),
            own: cpu::of_this_process(),
            machine: cpu::of_the_machine(),
            began: Instant::now(),
            waits: ferrocart_telemetry::spawn("wait-events", sample(url, stopped)),
            roots,
            stop,
        }
    }

    pub async fn finish(self) -> Result<Limits> {
        let lasted = self.began.elapsed();
        let machine = cpu::of_the_machine().saturating_sub(self.machine);
        let after = cpu::of_families(&self.roots);
        let own = cpu::of_this_process();
        let mut used: BTreeMap<String, Duration> = after
            .into_iter()
            .map(|(name, used)| {
                let before = self.before.get(&name).copied().unwrap_or_default();
                (name, used.saturating_sub(before))
            })
            .collect();
        used.insert("bench".to_owned(), own.0.saturating_sub(self.own.0));
        used.insert("core in process".to_owned(), own.1.saturating_sub(self.own.1));
        let ours: Duration = used.values().sum();
        used.insert("not ours".to_owned(), machine.saturating_sub(ours));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let all = lasted * u32::try_from(cores).unwrap_or(1);
        let cpu = used
            .into_iter()
            .map(|(name, used)| (name, permille(micros(used), micros(all))));
        let cpu = largest_first(cpu.filter(|(_, share)| *share >= SHARE_MIN).collect());
        // The sampler ends when its sender is gone.
        drop(self.stop);
        let waits = self.waits.await.context("the sampler panicked")??;
        let seen = waits.values().sum();
        let postgres = waits
            .into_iter()
            .map(|(name, count)| (name, permille(count, seen)));
        Ok(Limits {
            cpu,
            postgres: largest_first(postgres.filter(|(_, share)| *share >= 3 * SHARE_MIN).collect()),
        })
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn largest_first(mut shares: Shares) -> Shares {
    shares.sort_by_key(|(_, share)| std::cmp::Reverse(*share));
    shares
}

async fn sample(url: String, mut stopped: oneshot::Receiver<()>) -> Result<BTreeMap<String, u64>> {
    let mut connection = PgConnection::connect(&url).await.context("the sampler")?;
    let mut seen = BTreeMap::new();
    while stopped.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT coalesce(datname, backend_type) || ' ' || coalesce(wait_event_type || ':' || wait_event, 'running'),
                    count(*)
             FROM pg_stat_activity
             WHERE pid <> pg_backend_pid() AND (state = 'active' OR backend_type <> 'client backend')
               AND coalesce(wait_event_type, '') NOT IN ('Activity', 'Timeout')
             GROUP BY 1",
        )
        .fetch_all(&mut connection)
        .await
        .context("sample the wait events")?;
        for (what, count) in rows {
            *seen.entry(what).or_default() += u64::try_from(count).unwrap_or(0);
        }
        tokio::time::sleep(SAMPLE_EVERY).await;
    }
    connection.close().await.context("close the sampler")?;
    Ok(seen)
}

/// The means over several loads, name by name.
pub fn mean(of: &[Limits]) -> Limits {
    let mean = |pick: fn(&Limits) -> &Shares| {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for limits in of {
            for (name, share) in pick(limits) {
                *sums.entry(name.clone()).or_default() += share;
            }
        }
        let count = u64::try_from(of.len()).unwrap_or(1).max(1);
        largest_first(sums.into_iter().map(|(name, sum)| (name, sum / count)).collect())
    };
    Limits {
        cpu: mean(|limits| &limits.cpu),
        postgres: mean(|limits| &limits.postgres),
    }
}
