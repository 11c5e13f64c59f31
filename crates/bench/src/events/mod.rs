//! Events from an outbox to a consumer: how long one takes at a steady rate, and how fast a relay empties a backlog.

mod drain;
mod latency;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ferrocart_contracts::{Topic, v1};
use ferrocart_kafka_kit::{KafkaSettings, Relay, RelayHandle};
use ferrocart_pg_kit::outbox::{OutboxEvent, Publisher};
use ferrocart_pg_kit::{PgSettings, connect, migrate};
use ferrocart_stack::{Component, Components, Service, Stack};
use ferrocart_types::{IdGen as _, SystemClock, SystemIds};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::probe::Limits;
use crate::report::{Aim, Figure, grouped};

const TOPIC: Topic = Topic::Order;
const TOPICS: &[Topic] = &[TOPIC];
/// As a service has them by default.
const PARTITIONS: i32 = 12;
const CONNECTIONS: u32 = 16;
const PER_SECOND: u32 = 1_000;
/// The aims: of a relay, and of the 99th percentile.
const RELAY_PER_SECOND: u64 = 20_000;
const P99_US: u64 = 250_000;
const LINES: usize = 2;
const DEADLINE: Duration = Duration::from_mins(2);

#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub runs: usize,
    pub quick: bool,
}

impl Options {
    fn backlog(self) -> usize {
        if self.quick { 20_000 } else { 100_000 }
    }

    fn lasts(self) -> Duration {
        Duration::from_secs(if self.quick { 3 } else { 15 })
    }
}

struct Bench {
    options: Options,
    stack: Stack,
    pool: PgPool,
}

pub async fn run(options: Options) -> Result<(Vec<Figure>, Vec<String>)> {
    let bench = Bench::prepare(options).await?;
    let (mut drains, mut latencies) = (Vec::new(), Vec::new());
    // The first round is to get warm.
    for run in 0..=options.runs {
        let drain = drain::measure(&bench, run).await.context("a backlog")?;
        let latency = latency::measure(&bench, run).await.context("a steady rate")?;
        eprintln!(
            "    backlog {}/s; at {}/s p50 {} µs, p99 {} µs",
            grouped(drain.per_second),
            grouped(latency.per_second),
            grouped(latency.p50_us),
            grouped(latency.p99_us)
        );
        if run > 0 {
            drains.push(drain);
            latencies.push(latency);
        }
    }
    Ok((figures(&drains, &latencies), notes(options)))
}

fn figures(drains: &[drain::Sample], latencies: &[latency::Sample]) -> Vec<Figure> {
    let runs = drains.len();
    let limits = |of: Option<Limits>| of.unwrap_or_default();
    let of = |pick: fn(&latency::Sample) -> u64| latencies.iter().map(pick).collect::<Vec<u64>>();
    vec![
        Figure::new(
            "events of a backlog, published by a relay",
            "/s",
            drains.iter().map(|sample| sample.per_second).collect(),
        )
        .against(
            "20,000/s",
            &vec![RELAY_PER_SECOND; runs],
            Some(Aim::AtLeast(1_000)),
        )
        .limited_by(limits(drains.last().map(|sample| sample.limits.clone()))),
        Figure::new(
            "events, arriving at 1,000/s",
            "/s",
            of(|sample| sample.per_second),
        )
        .limited_by(limits(latencies.last().map(|sample| sample.limits.clone()))),
        Figure::new("  outbox to consumer: p50", " µs", of(|sample| sample.p50_us)),
        Figure::new("  outbox to consumer: p99", " µs", of(|sample| sample.p99_us)).against(
            "250 ms",
            &vec![P99_US; runs],
            Some(Aim::AtMost(1_000)),
        ),
        Figure::new(
            "  outbox to consumer: longest",
            " µs",
            of(|sample| sample.longest_us),
        ),
    ]
}

fn notes(options: Options) -> Vec<String> {
    vec![format!(
        "events: confirmed orders of {LINES} lines over {PARTITIONS} partitions; each run publishes a backlog of {} \
         events, all of which were on the topic afterwards, once, and then writes {PER_SECOND} a second for {} s, a \
         transaction each, all of which were applied, once",
        options.backlog(),
        options.lasts().as_secs()
    )]
}

impl Bench {
    async fn prepare(options: Options) -> Result<Self> {
        let stack = Stack::builder()
            .components(Components::Of(Component::STORES.to_vec()))
            .start()
            .await
            .context("bring the stores up")?;
        let settings = PgSettings {
            database_url: stack.database_url(Service::Order)?.into(),
            database_pool_max: CONNECTIONS,
            database_acquire_timeout_ms: 10_000,
            database_statement_timeout_ms: 30_000,
        };
        let pool = connect(&settings, "bench").context("a pool")?;
        migrate(&pool, &Migrator::DEFAULT)
            .await
            .context("the kit's tables")?;
        Ok(Self { options, stack, pool })
    }

    /// Topics of their own.
    fn kafka(&self, name: &str) -> KafkaSettings {
        KafkaSettings {
            kafka_brokers: self.stack.kafka_brokers(),
            kafka_topic_prefix: format!("{name}."),
            kafka_partitions: PARTITIONS,
        }
    }

    fn relay(&self, kafka: &KafkaSettings) -> Task {
        let relay = Relay::new(self.pool.clone(), kafka, "order");
        let (handle, cancel) = (relay.handle(), CancellationToken::new());
        Task {
            running: ferrocart_telemetry::spawn("relay", relay.run(cancel.clone())),
            handle,
            cancel,
        }
    }

    async fn empty(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            // The newest row goes last, and is found at once, however many dead ones lie before it.
            let newest: Option<i64> = sqlx::query_scalar("SELECT id FROM outbox ORDER BY id DESC LIMIT 1")
                .fetch_optional(&self.pool)
                .await
                .context("look at the outbox")?;
            if newest.is_none() {
                return Ok(());
            }
            if began.elapsed() > DEADLINE {
                bail!("the outbox is not empty after {DEADLINE:?}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

struct Task {
    running: JoinHandle<Result<()>>,
    handle: RelayHandle,
    cancel: CancellationToken,
}

impl Task {
    async fn stop(self) -> Result<()> {
        self.cancel.cancel();
        self.running.await.context("the relay panicked")?
    }
}

/// Confirmed orders, each of its own.
fn events(count: usize) -> Vec<OutboxEvent> {
    let publisher = Publisher::new("order", Arc::new(SystemClock), Arc::new(SystemIds));
    let money = |amount_minor| {
        Some(v1::Money {
            amount_minor,
            currency: "USD".to_owned(),
        })
    };
    let id = || SystemIds.next().to_string();
    let event = |_| {
        let line = || v1::OrderLine {
            sku_id: id(),
            product_id: id(),
            sku: "TRAIL-RUNNER-42-BLUE".to_owned(),
            title: "Trail Runner, waterproof".to_owned(),
            quantity: 1,
            unit_price: money(12_990),
        };
        let order = v1::Order {
            order_id: id(),
            customer_id: id(),
            email: "ada@example.com".to_owned(),
            lines: (0..LINES).map(|_| line()).collect(),
            total: money(25_980),
            sequence: 3,
            ..v1::Order::default()
        };
        publisher.event(&v1::OrderConfirmed {
            order: Some(order),
            ..v1::OrderConfirmed::default()
        })
    };
    (0..count).map(event).collect()
}
