//! The transactional outbox: an event is committed with the change that it tells of, and published
//! afterwards by the relay of kafka-kit.
//!
//! Rows of one key must be inserted in the order of their changes. That holds when the aggregate's row
//! is locked before its event is appended: ids are then handed out in the order of the commits.

use ferrocart_contracts::{Envelope, Event, Topic};
use ferrocart_telemetry::current_traceparent;
use ferrocart_types::{EventId, SharedClock, SharedIds, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::error::{StoreError, StoreResultExt};

/// An event and the topic it goes to.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxEvent {
    pub topic: Topic,
    pub envelope: Envelope,
}

/// Wraps a service's messages into envelopes.
#[derive(Clone)]
pub struct Publisher {
    service: &'static str,
    clock: SharedClock,
    ids: SharedIds,
}

impl Publisher {
    pub fn new(service: &'static str, clock: SharedClock, ids: SharedIds) -> Self {
        Self { service, clock, ids }
    }

    /// The event as of now, within the current trace.
    pub fn event<E: Event>(&self, event: &E) -> OutboxEvent {
        let envelope = Envelope::new(self.service, EventId(self.ids.next()), self.clock.now(), event)
            .with_traceparent(current_traceparent());
        OutboxEvent {
            topic: E::TOPIC,
            envelope,
        }
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

/// A row that waits to be published.
#[derive(Debug, Clone)]
pub struct Pending {
    pub id: i64,
    pub topic: String,
    pub key: String,
    pub envelope: Envelope,
}

/// Appends events in the given order, in one statement.
pub async fn append(conn: &mut PgConnection, events: &[OutboxEvent]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let envelopes = || events.iter().map(|event| &event.envelope);
    let topics: Vec<&str> = events.iter().map(|event| event.topic.name()).collect();
    let keys: Vec<&str> = envelopes().map(|envelope| envelope.subject.as_str()).collect();
    let ids: Vec<Uuid> = envelopes().map(|envelope| envelope.id.as_uuid()).collect();
    let types: Vec<&str> = envelopes().map(|envelope| envelope.event_type.as_str()).collect();
    let sources: Vec<&str> = envelopes().map(|envelope| envelope.source.as_str()).collect();
    let times: Vec<Timestamp> = envelopes().map(|envelope| envelope.time).collect();
    let sequences: Vec<i64> = envelopes().map(|envelope| envelope.sequence).collect();
    let traceparents: Vec<Option<&str>> = envelopes()
        .map(|envelope| envelope.traceparent.as_deref())
        .collect();
    let payloads: Vec<&[u8]> = envelopes().map(|envelope| envelope.payload.as_ref()).collect();
    let done = sqlx::query(
        "INSERT INTO outbox (topic, key, event_id, event_type, source, occurred_at, sequence, traceparent, payload)
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::uuid[], $4::text[], $5::text[],
                              $6::timestamptz[], $7::bigint[], $8::text[], $9::bytea[])",
    )
    .bind(topics)
    .bind(keys)
    .bind(ids)
    .bind(types)
    .bind(sources)
    .bind(times)
    .bind(sequences)
    .bind(traceparents)
    .bind(payloads)
    .execute(conn)
    .await
    .op("outbox.append")?;
    let expected = u64::try_from(events.len()).unwrap_or(u64::MAX);
    if done.rows_affected() == expected {
        Ok(())
    } else {
        Err(StoreError::RowCount {
            operation: "outbox.append",
            expected,
            actual: done.rows_affected(),
        })
    }
}

/// The oldest rows, in order.
pub async fn oldest(conn: &mut PgConnection, limit: i64) -> Result<Vec<Pending>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, topic, key, event_id, event_type, source, occurred_at, sequence, traceparent, payload
         FROM outbox ORDER BY id LIMIT $1",
    )
    .bind(limit)
    .fetch_all(conn)
    .await
    .op("outbox.oldest")?;
    rows.iter()
        .map(pending)
        .collect::<Result<_, _>>()
        .op("outbox.oldest")
}

/// Removes rows that the broker has acknowledged.
pub async fn remove(conn: &mut PgConnection, ids: &[i64]) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM outbox WHERE id = ANY($1)")
        .bind(ids)
        .execute(conn)
        .await
        .op("outbox.remove")?;
    Ok(())
}

/// How many rows wait, and since when the oldest does.
pub async fn backlog(conn: &mut PgConnection) -> Result<(i64, Option<Timestamp>), StoreError> {
    let row = sqlx::query("SELECT count(*), min(occurred_at) FROM outbox")
        .fetch_one(conn)
        .await
        .op("outbox.backlog")?;
    Ok((
        row.try_get(0).op("outbox.backlog")?,
        row.try_get(1).op("outbox.backlog")?,
    ))
}

fn pending(row: &PgRow) -> Result<Pending, sqlx::Error> {
    let key: String = row.try_get("key")?;
    let payload: Vec<u8> = row.try_get("payload")?;
    Ok(Pending {
        id: row.try_get("id")?,
        topic: row.try_get("topic")?,
        envelope: Envelope {
            id: EventId(row.try_get("event_id")?),
            event_type: row.try_get("event_type")?,
            source: row.try_get("source")?,
            subject: key.clone(),
            time: row.try_get("occurred_at")?,
            sequence: row.try_get("sequence")?,
            traceparent: row.try_get("traceparent")?,
            payload: payload.into(),
        },
        key,
    })
}
