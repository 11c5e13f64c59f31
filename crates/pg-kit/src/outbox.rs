//! The transactional outbox: an event is committed with the change that it tells of, and published
//! afterwards by the relay of kafka-kit.
//!
//! Rows of one key must be inserted in the order of their changes. That holds when the aggregate's row
//! is locked before its event is appended: ids are then handed out in the order of the commits.

use std::collections::HashMap;

use bytes::Bytes;
use ferrocart_contracts::{Envelope, Event, Topic};
use ferrocart_telemetry::current_traceparent;
use ferrocart_types::{EventId, SharedClock, SharedIds, Timestamp};
use prost::Message as _;
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

/// A row that waits to be published: one or more events of one key, in order.
#[derive(Debug, Clone)]
pub struct Pending {
    pub id: i64,
    pub topic: String,
    pub key: String,
    pub envelopes: Vec<Envelope>,
}

/// Events of one key for one row of the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Packed {
    pub key: String,
    pub count: i32,
    pub bytes: Vec<u8>,
}

/// What `packed` holds. Source and time stand in the row, the subject is its key.
#[derive(Clone, PartialEq, prost::Message)]
struct PackedEvents {
    #[prost(message, repeated, tag = "1")]
    events: Vec<PackedEvent>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PackedEvent {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    event_type: String,
    #[prost(int64, tag = "3")]
    sequence: i64,
    #[prost(string, optional, tag = "4")]
    traceparent: Option<String>,
    #[prost(bytes = "bytes", tag = "5")]
    payload: Bytes,
}

/// Packs events by their keys, each key's in the given order. All must be of one source and time, which the
/// caller writes into the rows.
pub fn pack(envelopes: &[Envelope]) -> Vec<Packed> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<(&str, PackedEvents)> = Vec::new();
    for envelope in envelopes {
        let key = envelope.subject.as_str();
        let place = *places.entry(key).or_insert_with(|| {
            groups.push((key, PackedEvents::default()));
            groups.len() - 1
        });
        if let Some((_, packed)) = groups.get_mut(place) {
            packed.events.push(PackedEvent {
                id: envelope.id.as_uuid().as_bytes().to_vec(),
                event_type: envelope.event_type.clone(),
                sequence: envelope.sequence,
                traceparent: envelope.traceparent.clone(),
                payload: envelope.payload.clone(),
            });
        }
    }
    let packed = groups.into_iter().map(|(key, packed)| Packed {
        key: key.to_owned(),
        count: i32::try_from(packed.events.len()).unwrap_or(i32::MAX),
        bytes: packed.encode_to_vec(),
    });
    packed.collect()
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

/// The oldest rows, in order: as many as hold `events_max` events, but at least one.
pub async fn oldest(conn: &mut PgConnection, events_max: i64) -> Result<Vec<Pending>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, topic, key, event_id, event_type, source, occurred_at, sequence, traceparent, payload, packed
         FROM (SELECT *, sum(event_count) OVER (ORDER BY id) - event_count AS before
               FROM (SELECT * FROM outbox ORDER BY id LIMIT $1) AS first) AS counted
         WHERE before < $1 ORDER BY id",
    )
    .bind(events_max)
    .fetch_all(conn)
    .await
    .op("outbox.oldest")?;
    rows.iter().map(pending).collect()
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

/// How many events wait, and since when the oldest does.
pub async fn backlog(conn: &mut PgConnection) -> Result<(i64, Option<Timestamp>), StoreError> {
    let row = sqlx::query("SELECT COALESCE(sum(event_count), 0)::bigint, min(occurred_at) FROM outbox")
        .fetch_one(conn)
        .await
        .op("outbox.backlog")?;
    Ok((
        row.try_get(0).op("outbox.backlog")?,
        row.try_get(1).op("outbox.backlog")?,
    ))
}

/// How an outbox stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    /// Events that wait; of more than 100,000 rows, those of the oldest 100,000.
    pub events: i64,
    /// How long the oldest has waited, by the database's clock; 0 when none does.
    pub oldest_seconds: f64,
    /// What the table takes on disk, its indexes and dead rows included.
    pub table_bytes: f64,
}

/// Measures the outbox; cheap enough for every few seconds, however much is in it.
pub async fn size(conn: &mut PgConnection) -> Result<Size, StoreError> {
    const OP: &str = "outbox.size";
    let row = sqlx::query(
        "SELECT COALESCE(sum(event_count), 0)::bigint,
                COALESCE(GREATEST(extract(epoch FROM now() - min(occurred_at)), 0), 0)::float8,
                pg_total_relation_size('outbox')::float8
         FROM (SELECT event_count, occurred_at FROM outbox ORDER BY id LIMIT 100000) AS first",
    )
    .fetch_one(conn)
    .await
    .op(OP)?;
    Ok(Size {
        events: row.try_get(0).op(OP)?,
        oldest_seconds: row.try_get(1).op(OP)?,
        table_bytes: row.try_get(2).op(OP)?,
    })
}

fn pending(row: &PgRow) -> Result<Pending, StoreError> {
    const OP: &str = "outbox.oldest";
    let id: i64 = row.try_get("id").op(OP)?;
    let key: String = row.try_get("key").op(OP)?;
    let packed: Option<&[u8]> = row.try_get("packed").op(OP)?;
    let envelopes = match packed {
        Some(packed) => unpack(row, &key, packed)?,
        None => vec![single(row, &key).op(OP)?],
    };
    Ok(Pending {
        id,
        topic: row.try_get("topic").op(OP)?,
        key,
        envelopes,
    })
}

fn single(row: &PgRow, key: &str) -> Result<Envelope, sqlx::Error> {
    Ok(Envelope {
        id: EventId(row.try_get("event_id")?),
        event_type: row.try_get("event_type")?,
        source: row.try_get("source")?,
        subject: key.to_owned(),
        time: row.try_get("occurred_at")?,
        sequence: row.try_get("sequence")?,
        traceparent: row.try_get("traceparent")?,
        payload: row.try_get::<Vec<u8>, _>("payload")?.into(),
    })
}

fn unpack(row: &PgRow, key: &str, packed: &[u8]) -> Result<Vec<Envelope>, StoreError> {
    const OP: &str = "outbox.unpack";
    let id: i64 = row.try_get("id").op(OP)?;
    let corrupt = |reason: String| StoreError::Corrupt {
        table: "outbox",
        column: "packed",
        row: id.to_string(),
        reason,
    };
    let source: String = row.try_get("source").op(OP)?;
    let time: Timestamp = row.try_get("occurred_at").op(OP)?;
    let packed = PackedEvents::decode(packed).map_err(|error| corrupt(error.to_string()))?;
    let envelopes = packed.events.into_iter().map(|event| {
        let id = Uuid::from_slice(&event.id).map_err(|error| corrupt(error.to_string()))?;
        Ok(Envelope {
            id: EventId(id),
            event_type: event.event_type,
            source: source.clone(),
            subject: key.to_owned(),
            time,
            sequence: event.sequence,
            traceparent: event.traceparent,
            payload: event.payload,
        })
    });
    envelopes.collect()
}
