//! Events at a steady rate, whatever becomes of those before.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use ferrocart_kafka_kit::{BatchHandler, Consumer, HandleError, Received, RelayHandle, ensure_topics};
use ferrocart_pg_kit::outbox::{OutboxEvent, append};
use ferrocart_pg_kit::{StoreError, inbox, run_tx};
use ferrocart_types::{Clock as _, EventId, SystemClock};
use futures::future::try_join_all;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::{Bench, CONNECTIONS, DEADLINE, PER_SECOND, TOPICS, events};
use crate::probe::{Limits, Probe};
use crate::stats::{per_second, percentile};

const GROUP: &str = "bench";
/// As the order service reads.
const BATCH_MAX: usize = 500;
/// Go first, to have the group's members and all connections ready.
const WARM_UP: usize = 200;
const POLL: Duration = Duration::from_millis(10);
/// Of its rate a load may miss so much.
const RATE_PERCENT_MIN: u64 = 98;

pub(super) struct Sample {
    pub(super) per_second: u64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) longest_us: u64,
    pub(super) limits: Limits,
}

/// When each event was committed and applied, in microseconds from the beginning; 0 is not yet.
struct Times {
    began: Instant,
    places: HashMap<EventId, usize>,
    committing: Vec<AtomicU32>,
    applied: Vec<AtomicU32>,
    again: AtomicUsize,
}

impl Times {
    fn of(events: &[OutboxEvent]) -> Self {
        let places = events.iter().enumerate();
        let unset = || events.iter().map(|_| AtomicU32::new(0)).collect();
        Self {
            began: Instant::now(),
            places: places.map(|(place, event)| (event.envelope.id, place)).collect(),
            committing: unset(),
            applied: unset(),
            again: AtomicUsize::new(0),
        }
    }

    fn now(&self) -> u32 {
        u32::try_from(self.began.elapsed().as_micros()).unwrap_or(u32::MAX)
    }

    fn apply(&self, id: EventId) {
        let time = self.places.get(&id).and_then(|place| self.applied.get(*place));
        let before = time.map(|time| time.swap(self.now(), Ordering::Relaxed));
        if before != Some(0) {
            self.again.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn until_applied(&self, count: usize) -> Result<()> {
        let waiting = Instant::now();
        let is_applied = |time: &AtomicU32| time.load(Ordering::Relaxed) > 0;
        while !self.applied.iter().take(count).all(is_applied) {
            ensure!(
                waiting.elapsed() < DEADLINE,
                "events are not applied after {DEADLINE:?}"
            );
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

pub(super) async fn measure(bench: &Bench, run: usize) -> Result<Sample> {
    let kafka = bench.kafka(&format!("steady-{run}"));
    ensure_topics(&kafka, Some((GROUP, TOPICS))).await?;
    let every = Duration::from_secs(1) / PER_SECOND;
    let lasts = bench.options.lasts();
    let count = usize::try_from(lasts.as_millis() / every.as_millis())?;
    let all = Arc::new(events(WARM_UP + count));
    let times = Arc::new(Times::of(&all));
    let relay = bench.relay(&kafka);
    let stop = CancellationToken::new();
    let apply = Apply {
        pool: bench.pool.clone(),
        times: Arc::clone(&times),
    };
    let consumer = Consumer::new(&kafka, GROUP, TOPICS)?.run_batches(apply, BATCH_MAX, stop.clone());
    let consumer = ferrocart_telemetry::spawn("consumer", consumer);
    let writer = Writer {
        pool: bench.pool.clone(),
        relay: relay.handle.clone(),
        events: all,
        times: Arc::clone(&times),
    };
    writer.write(0..WARM_UP, every).await?;
    times.until_applied(WARM_UP).await?;
    let probe = Probe::start(&bench.stack, &[]);
    let took = writer.write(WARM_UP..WARM_UP + count, every).await?;
    times.until_applied(WARM_UP + count).await?;
    let limits = probe.finish().await?;
    stop.cancel();
    consumer.await.context("the consumer panicked")??;
    relay.stop().await?;
    let reached = per_second(u64::try_from(count)?, took);
    let wanted = u64::from(PER_SECOND);
    ensure!(
        reached * 100 >= wanted * RATE_PERCENT_MIN,
        "{reached} events a second were written, not {wanted}"
    );
    let again = times.again.load(Ordering::Relaxed);
    ensure!(
        again == 0,
        "{again} events were applied that were unknown or applied before"
    );
    Ok(sum_up(&times, reached, limits))
}

fn sum_up(times: &Times, per_second: u64, limits: Limits) -> Sample {
    let each = times.committing.iter().zip(&times.applied).skip(WARM_UP);
    let mut took: Vec<u32> = each
        .map(|(from, to)| {
            to.load(Ordering::Relaxed)
                .saturating_sub(from.load(Ordering::Relaxed))
        })
        .collect();
    took.sort_unstable();
    Sample {
        per_second,
        p50_us: percentile(&took, 500),
        p99_us: percentile(&took, 990),
        longest_us: percentile(&took, 1_000),
        limits,
    }
}

struct Writer {
    pool: PgPool,
    relay: RelayHandle,
    events: Arc<Vec<OutboxEvent>>,
    times: Arc<Times>,
}

impl Writer {
    /// Each event when it is due, by as many connections as a service has but for some that others need.
    async fn write(&self, places: Range<usize>, every: Duration) -> Result<Duration> {
        let turns = Turns {
            began: tokio::time::Instant::now(),
            every,
            next: AtomicUsize::new(places.start),
            places,
        };
        try_join_all((0..CONNECTIONS - 4).map(|_| self.take_turns(&turns))).await?;
        Ok(turns.began.elapsed())
    }

    async fn take_turns(&self, turns: &Turns) -> Result<()> {
        loop {
            let place = turns.next.fetch_add(1, Ordering::Relaxed);
            if place >= turns.places.end {
                return Ok(());
            }
            let due = turns.every * u32::try_from(place - turns.places.start)?;
            tokio::time::sleep_until(turns.began + due).await;
            let mut tx = self.pool.begin().await.context("begin")?;
            append(&mut tx, std::slice::from_ref(&self.events[place])).await?;
            self.times.committing[place].store(self.times.now(), Ordering::Relaxed);
            tx.commit().await.context("commit")?;
            self.relay.poke();
        }
    }
}

/// Which event is whose.
struct Turns {
    began: tokio::time::Instant,
    every: Duration,
    next: AtomicUsize,
    places: Range<usize>,
}

struct Apply {
    pool: PgPool,
    times: Arc<Times>,
}

#[async_trait]
impl BatchHandler for Apply {
    async fn handle_batch(&self, events: &[Received]) -> Result<(), HandleError> {
        let ids: Vec<EventId> = events.iter().map(|event| event.envelope.id).collect();
        let fresh = run_tx::<_, StoreError, _>(&self.pool, "apply", |conn| {
            let ids = ids.clone();
            Box::pin(async move { inbox::record_many(conn, GROUP, &ids, SystemClock.now()).await })
        })
        .await
        .map_err(|error| HandleError::Wait(error.into()))?;
        for id in fresh {
            self.times.apply(id);
        }
        Ok(())
    }
}
