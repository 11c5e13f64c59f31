//! Writes events as services do: with the change that they tell of, in one transaction, several writers at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use ferrocart_contracts::Topic;
use ferrocart_contracts::v1::StockUpdated;
use ferrocart_pg_kit::outbox::{OutboxEvent, Publisher, append, pack};
use ferrocart_types::{SystemClock, SystemIds};
use futures::future::try_join_all;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sqlx::{PgConnection, PgPool};

const WRITERS: u64 = 4;
const KEYS: u32 = 300;
const KEYS_OF_A_CHANGE_MAX: usize = 12;
const EVENTS_OF_A_KEY_MAX: usize = 3;
/// Of 20 transactions one is undone: its events must never be seen.
const UNDONE_ONE_IN: u32 = 20;
/// Of 4 transactions one packs its events, as the inventory does.
const PACKED_ONE_IN: u32 = 4;
/// So far the writers may be ahead of the consumers, as a part of all events: a kill is to hit everybody at work.
const AHEAD_ONE_IN: u64 = 10;
const WAIT: Duration = Duration::from_millis(20);

pub(super) struct Writer {
    pool: PgPool,
    publisher: Publisher,
    events: u64,
    written: Arc<AtomicU64>,
    applied: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn new(pool: &PgPool, events: u64, applied: Arc<AtomicU64>) -> Self {
        Self {
            pool: pool.clone(),
            publisher: Publisher::new("inventory", Arc::new(SystemClock), Arc::new(SystemIds)),
            events,
            written: Arc::default(),
            applied,
        }
    }

    pub(super) async fn run(self, seed: u64) -> Result<()> {
        sqlx::query("INSERT INTO aggregates SELECT 'key-' || n, 0 FROM generate_series(0, $1) AS n")
            .bind(i64::from(KEYS - 1))
            .execute(&self.pool)
            .await
            .context("the aggregates")?;
        let writers = (0..WRITERS).map(|number| self.write(ChaCha8Rng::seed_from_u64(seed ^ number)));
        try_join_all(writers).await?;
        Ok(())
    }

    /// At least as many as are wanted, all writers together.
    async fn write(&self, mut chance: ChaCha8Rng) -> Result<()> {
        loop {
            let written = self.written.load(Ordering::Relaxed);
            if written >= self.events {
                return Ok(());
            }
            if written > self.applied.load(Ordering::Relaxed) + self.events / AHEAD_ONE_IN {
                tokio::time::sleep(WAIT).await;
                continue;
            }
            let changes = changes(&mut chance);
            let packed = chance.random_ratio(1, PACKED_ONE_IN);
            let undone = chance.random_ratio(1, UNDONE_ONE_IN);
            let mut tx = self.pool.begin().await.context("begin")?;
            let events = change(&mut tx, &changes).await?;
            let events: Vec<OutboxEvent> = events.iter().map(|event| self.publisher.event(event)).collect();
            if packed {
                append_packed(&mut tx, &events).await?;
            } else {
                append(&mut tx, &events).await?;
            }
            if undone {
                tx.rollback().await.context("roll back")?;
            } else {
                tx.commit().await.context("commit")?;
                self.written
                    .fetch_add(u64::try_from(events.len())?, Ordering::Relaxed);
            }
        }
    }
}

/// Keys, each with how many events it gets.
fn changes(chance: &mut ChaCha8Rng) -> Vec<(String, usize)> {
    let count = chance.random_range(1..=KEYS_OF_A_CHANGE_MAX);
    let keys: BTreeSet<u32> = (0..count).map(|_| chance.random_range(0..KEYS)).collect();
    keys.into_iter()
        .map(|key| (format!("key-{key}"), chance.random_range(1..=EVENTS_OF_A_KEY_MAX)))
        .collect()
}

/// Locks the aggregates, in one order everywhere, and moves them on.
async fn change(conn: &mut PgConnection, changes: &[(String, usize)]) -> Result<Vec<StockUpdated>> {
    let keys: Vec<&str> = changes.iter().map(|(key, _)| key.as_str()).collect();
    let locked: Vec<(String, i64)> =
        sqlx::query_as("SELECT key, sequence FROM aggregates WHERE key = ANY($1) ORDER BY key FOR UPDATE")
            .bind(&keys)
            .fetch_all(&mut *conn)
            .await
            .context("lock")?;
    let mut events = Vec::new();
    for (key, sequence) in locked {
        let count = changes.iter().find(|(changed, _)| *changed == key);
        let count = i64::try_from(count.map_or(0, |(_, count)| *count))?;
        events.extend((1..=count).map(|step| StockUpdated {
            sku_id: key.clone(),
            version: sequence + step,
            reason: "SET".to_owned(),
            ..StockUpdated::default()
        }));
        sqlx::query("UPDATE aggregates SET sequence = sequence + $2 WHERE key = $1")
            .bind(&key)
            .bind(count)
            .execute(&mut *conn)
            .await
            .context("change")?;
    }
    Ok(events)
}

async fn append_packed(conn: &mut PgConnection, events: &[OutboxEvent]) -> Result<()> {
    let Some(first) = events.first() else {
        return Ok(());
    };
    let envelopes: Vec<_> = events.iter().map(|event| event.envelope.clone()).collect();
    for packed in pack(&envelopes) {
        sqlx::query(
            "INSERT INTO outbox (topic, source, occurred_at, key, event_count, packed) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(Topic::Inventory.name())
        .bind(&first.envelope.source)
        .bind(first.envelope.time)
        .bind(packed.key)
        .bind(packed.count)
        .bind(packed.bytes)
        .execute(&mut *conn)
        .await
        .context("append a packed row")?;
    }
    Ok(())
}
