//! The inbox: an event's id is recorded in the transaction that applies the event, so that a
//! redelivery changes nothing.

use std::collections::HashSet;

use ferrocart_types::{EventId, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{StoreError, StoreResultExt};

/// Records the event for the group. `true` when it is new and must be applied, `false` when it was
/// applied before.
pub async fn record(
    conn: &mut PgConnection,
    group: &str,
    event: EventId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO inbox (consumer_group, event_id, received_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(group)
    .bind(event.as_uuid())
    .bind(now)
    .execute(conn)
    .await
    .op("inbox.record")?;
    Ok(done.rows_affected() == 1)
}

/// Records events of one batch, in one statement. Answers those that are new and must be applied.
pub async fn record_many(
    conn: &mut PgConnection,
    group: &str,
    events: &[EventId],
    now: Timestamp,
) -> Result<HashSet<EventId>, StoreError> {
    // In one order everywhere: two batches that share events then never wait for each other.
    let mut ids: Vec<Uuid> = events.iter().map(EventId::as_uuid).collect();
    ids.sort_unstable();
    let new: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO inbox (consumer_group, event_id, received_at)
         SELECT $1, event_id, $3 FROM UNNEST($2::uuid[]) AS event (event_id)
         ON CONFLICT DO NOTHING RETURNING event_id",
    )
    .bind(group)
    .bind(ids)
    .bind(now)
    .fetch_all(conn)
    .await
    .op("inbox.record_many")?;
    Ok(new.into_iter().map(EventId).collect())
}

/// Forgets events that were applied before `until`; keep more than the topics retain. At most `limit`
/// rows a call, so that it never holds locks for long. Answers how many went.
pub async fn forget(conn: &mut PgConnection, until: Timestamp, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM inbox WHERE (consumer_group, event_id) IN
           (SELECT consumer_group, event_id FROM inbox WHERE received_at < $1 LIMIT $2)",
    )
    .bind(until)
    .bind(limit)
    .execute(conn)
    .await
    .op("inbox.forget")?;
    Ok(done.rows_affected())
}
