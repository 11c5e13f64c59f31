use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use ferrocart_failpoint::{Pass, Site};
use ferrocart_pg_kit::outbox::{self, Pending};
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::record;
use crate::settings::KafkaSettings;

/// How many events are under way to the broker at once, but for a last row that holds more.
const BATCH_MAX: i64 = 4_000;
/// How often an outbox is looked at that nobody poked: for events of other replicas, and of a replica
/// that died between its commit and its poke.
const POLL: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_millis(500);
/// How often it is measured what an outbox holds.
const MEASURE: Duration = Duration::from_secs(5);
/// How long a batch may take. Then all of it that is not acknowledged is taken back at once and published anew, by this
/// replica or another one that reaches the broker.
const PUBLISH_MAX: Duration = Duration::from_secs(10);
/// After it published, a relay lets this long pass since it last looked before it looks again: a lone event goes out
/// at once, and of many those of so long share a query, a request to the broker and a removal.
const GATHER: Duration = Duration::from_millis(50);
/// PostgreSQL's advisory lock that makes the relay of a database the only one: "fc-relay".
const LOCK: i64 = 0x6663_2D72_656C_6179;

/// Tells the relay that something was committed.
#[derive(Debug, Clone, Default)]
pub struct RelayHandle {
    poked: Arc<Notify>,
}

impl RelayHandle {
    /// Call it after the commit. Missing it costs 200 ms, not the event.
    pub fn poke(&self) {
        self.poked.notify_one();
    }
}

/// Publishes the outbox of one database. Every replica runs one; the one that holds the database's
/// advisory lock works, the others stand by.
pub struct Relay {
    pool: PgPool,
    settings: KafkaSettings,
    service: &'static str,
    handle: RelayHandle,
}

impl Relay {
    pub fn new(pool: PgPool, settings: &KafkaSettings, service: &'static str) -> Self {
        Self {
            pool,
            settings: settings.clone(),
            service,
            handle: RelayHandle::default(),
        }
    }

    pub fn handle(&self) -> RelayHandle {
        self.handle.clone()
    }

    /// Publishes until the token is cancelled; starts anew after any failure.
    pub async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        while !cancel.is_cancelled() {
            let outcome = tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                // Never ends: every replica tells how the outbox stands, whoever leads, and if nobody does.
                () = self.measure() => return Ok(()),
                outcome = self.publish_while_leading() => outcome,
            };
            if let Err(error) = outcome {
                tracing::warn!(error = format!("{error:#}"), "the outbox relay starts anew");
            }
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(RETRY) => {}
            }
        }
        Ok(())
    }

    async fn measure(&self) {
        loop {
            match self.size().await {
                Ok(size) => {
                    let count = |number: i64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
                    metrics::gauge!("outbox_backlog").set(count(size.events));
                    metrics::gauge!("outbox_oldest_seconds").set(size.oldest_seconds);
                    metrics::gauge!("outbox_table_bytes").set(size.table_bytes);
                }
                // The relay itself tells of a database that is away.
                Err(error) => tracing::debug!(%error, "the outbox was not measured"),
            }
            tokio::time::sleep(MEASURE).await;
        }
    }

    async fn size(&self) -> anyhow::Result<outbox::Size> {
        let mut connection = self.pool.acquire().await?;
        Ok(outbox::size(&mut connection).await?)
    }

    async fn publish_while_leading(&self) -> anyhow::Result<()> {
        // The lock lives as long as its connection, which is therefore not given back to the pool.
        let mut connection = self
            .pool
            .acquire()
            .await
            .context("a connection for the relay")?
            .detach();
        let leads: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut connection)
            .await
            .context("the relay's lock")?;
        if !leads {
            return Ok(());
        }
        // All that is written here is which events need not be published any more. Losing that with a crash of
        // the database publishes them once more, which is what "at least once" is; waiting for the disk
        // would hold the next events up.
        sqlx::query("SET synchronous_commit = off")
            .execute(&mut connection)
            .await
            .context("the relay's connection")?;
        let producer = self.producer()?;
        tracing::info!(service = self.service, "this replica relays the outbox");
        loop {
            let looked = Instant::now();
            let pending = outbox::oldest(&mut connection, BATCH_MAX).await?;
            if pending.is_empty() {
                // Either is fine: a poke, or time to look.
                tokio::time::timeout(POLL, self.handle.poked.notified())
                    .await
                    .unwrap_or_default();
                continue;
            }
            let events: usize = pending.iter().map(|row| row.envelopes.len()).sum();
            let pass = ferrocart_failpoint::reach(Site::RelayPublish.before()).await?;
            let (published, failure) = self.publish(&producer, &pending).await;
            let again = ferrocart_failpoint::reach(Site::RelayPublish.after()).await?;
            if [pass, again].contains(&Pass::Twice) {
                // What was published is published again, as if its rows had not been deleted in time.
                self.publish(&producer, &pending).await;
            }
            outbox::remove(&mut connection, &published).await?;
            if let Some(failure) = failure {
                if let Some((code, reason)) = producer.client().fatal_error() {
                    anyhow::bail!("the producer is beyond repair and is replaced: {code}: {reason}");
                }
                anyhow::bail!("{failure}");
            }
            if i64::try_from(events).is_ok_and(|events| events < BATCH_MAX) {
                tokio::time::sleep(GATHER.saturating_sub(looked.elapsed())).await;
            }
        }
    }

    /// Sends all in order and waits for the broker. Answers which rows may go: those acknowledged
    /// before which no row of the same key failed, so that a key's events never overtake each other
    /// for good.
    async fn publish(&self, producer: &FutureProducer, pending: &[Pending]) -> (Vec<i64>, Option<String>) {
        // All are queued, in order, before any is waited for.
        let queued: Vec<Vec<_>> = pending
            .iter()
            .map(|row| {
                let topic = format!("{}{}", self.settings.kafka_topic_prefix, row.topic);
                let sends = row.envelopes.iter().map(|envelope| {
                    let record = FutureRecord::to(&topic)
                        .key(&row.key)
                        .payload(envelope.payload.as_ref())
                        .headers(record::headers(envelope));
                    producer.send_result(record).map_err(|(error, _)| error)
                });
                sends.collect()
            })
            .collect();
        let mut published = Vec::with_capacity(pending.len());
        let mut failed_keys = HashSet::new();
        let mut failure = None;
        let deadline = tokio::time::Instant::now() + PUBLISH_MAX;
        // One after the other: the last to be acknowledged is waited for anyway.
        for (row, sends) in pending.iter().zip(queued) {
            let mut acknowledged = !failed_keys.contains(&row.key);
            for send in sends {
                if let Err(error) = delivered(send, deadline).await {
                    acknowledged = false;
                    failed_keys.insert(&row.key);
                    failure.get_or_insert_with(|| format!("publishing to {}: {error}", row.topic));
                }
            }
            if acknowledged {
                let events = u64::try_from(row.envelopes.len()).unwrap_or_default();
                metrics::counter!("outbox_published_total").increment(events);
                published.push(row.id);
            }
        }
        (published, failure)
    }

    fn producer(&self) -> anyhow::Result<FutureProducer> {
        self.settings
            .client()
            .set("client.id", format!("ferrocart-{}-relay", self.service))
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("linger.ms", "2")
            // No message gives up by itself: of two events of a key the first would, and the second, a
            // millisecond later, reach a broker that is back. `PUBLISH_MAX` ends all of a batch at once.
            .set("delivery.timeout.ms", "0")
            .set("queue.buffering.max.messages", "50000")
            .create()
            .context("the relay's producer")
    }
}

/// What is acknowledged by then counts, also when it is looked at later.
async fn delivered(
    queued: Result<DeliveryFuture, KafkaError>,
    deadline: tokio::time::Instant,
) -> Result<(), String> {
    let delivery = queued.map_err(|error| error.to_string())?;
    match tokio::time::timeout_at(deadline, delivery).await {
        Ok(Ok(Ok(_))) => Ok(()),
        Ok(Ok(Err((error, _)))) => Err(error.to_string()),
        Ok(Err(_)) => Err("the producer went away".to_owned()),
        Err(_) => Err(format!("no acknowledgement within {PUBLISH_MAX:?}")),
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}
