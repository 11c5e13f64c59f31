//! Messages on their way to endpoints: the queue, and the log of what was tried.

use std::str::FromStr;

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{EndpointId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::domain::{DeliveryStatus, EventType, NewMessage};
use crate::webhook::Sealed;

pub(crate) async fn insert_messages(conn: &mut PgConnection, new: &[&NewMessage]) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO webhook_messages (message_id, merchant_id, event_type, body, traceparent, created_at)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])",
    )
    .bind(new.iter().map(|new| new.message_id).collect::<Vec<_>>())
    .bind(
        new.iter()
            .map(|new| new.merchant_id.as_uuid())
            .collect::<Vec<_>>(),
    )
    .bind(new.iter().map(|new| new.event_type.as_str()).collect::<Vec<_>>())
    .bind(new.iter().map(|new| new.body.as_str()).collect::<Vec<_>>())
    .bind(
        new.iter()
            .map(|new| new.traceparent.as_deref())
            .collect::<Vec<_>>(),
    )
    .bind(new.iter().map(|new| new.created_at).collect::<Vec<_>>())
    .execute(&mut *conn)
    .await
    .op("webhook_messages.insert")?;
    for new in new {
        for (delivery, endpoint) in &new.deliveries {
            insert_delivery(conn, *delivery, new.message_id, *endpoint, new.created_at).await?;
        }
    }
    Ok(())
}

/// One more delivery of a message, due at once. Nothing is done when the endpoint has just been deleted.
async fn insert_delivery(
    conn: &mut PgConnection,
    delivery: Uuid,
    message: Uuid,
    endpoint: EndpointId,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO webhook_deliveries (delivery_id, message_id, endpoint_id, status, next_attempt_at, created_at)
         SELECT $1, $2, endpoint_id, 'PENDING', $4, $4 FROM webhook_endpoints WHERE endpoint_id = $3 FOR KEY SHARE",
    )
    .bind(delivery)
    .bind(message)
    .bind(endpoint.as_uuid())
    .bind(now)
    .execute(conn)
    .await
    .op("webhook_deliveries.insert")?;
    Ok(())
}

/// Delivers the message of that delivery once more. `false` when there is no such delivery.
pub(crate) async fn redeliver(
    conn: &mut PgConnection,
    endpoint: EndpointId,
    of: Uuid,
    delivery: Uuid,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO webhook_deliveries (delivery_id, message_id, endpoint_id, status, next_attempt_at, created_at)
         SELECT $3, message_id, endpoint_id, 'PENDING', $4, $4
         FROM webhook_deliveries WHERE delivery_id = $2 AND endpoint_id = $1",
    )
    .bind(endpoint.as_uuid())
    .bind(of)
    .bind(delivery)
    .bind(now)
    .execute(conn)
    .await
    .op("webhook_deliveries.redeliver")?;
    Ok(done.rows_affected() == 1)
}

/// A delivery in the hands of this replica.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) delivery_id: Uuid,
    pub(crate) message_id: Uuid,
    pub(crate) endpoint_id: EndpointId,
    pub(crate) event_type: String,
    pub(crate) url: String,
    pub(crate) body: String,
    pub(crate) traceparent: Option<String>,
    /// This one included.
    pub(crate) attempts: u32,
    pub(crate) secret: Sealed,
    pub(crate) previous: Option<(Sealed, Timestamp)>,
}

/// How much may be under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) in_all: u32,
    pub(crate) per_endpoint: u32,
}

/// Takes what is due until `lease_until`. No endpoint gets more than its share at a time, and one that fails gets one:
/// those that are slow or away do not hold up the others.
pub(crate) async fn claim_deliveries(
    pool: &PgPool,
    lease: Uuid,
    now: Timestamp,
    lease_until: Timestamp,
    room: Room,
) -> Result<Vec<Due>, StoreError> {
    let rows = sqlx::query(
        "WITH busy AS MATERIALIZED (
             SELECT endpoint_id, count(*) AS under_way FROM webhook_deliveries
             WHERE lease IS NOT NULL AND status = 'PENDING' AND next_attempt_at > $2 GROUP BY endpoint_id),
         due AS MATERIALIZED (
             SELECT d.delivery_id FROM webhook_endpoints e LEFT JOIN busy USING (endpoint_id)
             CROSS JOIN LATERAL (
                 SELECT delivery_id, next_attempt_at FROM webhook_deliveries d
                 WHERE d.endpoint_id = e.endpoint_id AND d.status = 'PENDING' AND d.next_attempt_at <= $2
                 ORDER BY d.next_attempt_at
                 LIMIT greatest(0, CASE WHEN e.failures > 0 THEN 1 ELSE $5 END - coalesce(busy.under_way, 0))
                 FOR UPDATE SKIP LOCKED) d
             WHERE e.status = 'ENABLED'
             ORDER BY d.next_attempt_at LIMIT $4)
         UPDATE webhook_deliveries d SET lease = $1, next_attempt_at = $3, attempts = d.attempts + 1
         FROM due, webhook_messages m, webhook_endpoints e
         WHERE d.delivery_id = due.delivery_id AND m.message_id = d.message_id AND e.endpoint_id = d.endpoint_id
         RETURNING d.delivery_id, d.message_id, d.endpoint_id, m.event_type, e.url, m.body, m.traceparent, d.attempts,
                   e.secret, e.previous_secret, e.previous_until",
    )
    .bind(lease)
    .bind(now)
    .bind(lease_until)
    .bind(i64::from(room.in_all))
    .bind(i64::from(room.per_endpoint))
    .fetch_all(pool)
    .await
    .op("webhook_deliveries.claim")?;
    rows.iter().map(due).collect()
}

fn due(row: &PgRow) -> Result<Due, StoreError> {
    const OP: &str = "webhook_deliveries.claim";
    let id: Uuid = row.try_get("delivery_id").op(OP)?;
    let previous: Option<Vec<u8>> = row.try_get("previous_secret").op(OP)?;
    let until: Option<Timestamp> = row.try_get("previous_until").op(OP)?;
    Ok(Due {
        delivery_id: id,
        message_id: row.try_get("message_id").op(OP)?,
        endpoint_id: EndpointId(row.try_get("endpoint_id").op(OP)?),
        event_type: row.try_get("event_type").op(OP)?,
        url: row.try_get("url").op(OP)?,
        body: row.try_get("body").op(OP)?,
        traceparent: row.try_get("traceparent").op(OP)?,
        attempts: count(row, id, "attempts")?,
        secret: Sealed(row.try_get("secret").op(OP)?),
        previous: previous.map(Sealed).zip(until),
    })
}

/// One line of the log.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) at: Timestamp,
    pub(crate) duration_ms: u32,
    pub(crate) status_code: Option<u16>,
    pub(crate) error: Option<String>,
}

pub(crate) async fn log_attempt(
    conn: &mut PgConnection,
    delivery: Uuid,
    attempt: &Attempt,
) -> Result<(), StoreError> {
    let whole = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    sqlx::query(
        "INSERT INTO webhook_attempts (delivery_id, attempt, at, duration_ms, status_code, error)
         SELECT delivery_id, $2, $3, $4, $5, $6 FROM webhook_deliveries WHERE delivery_id = $1 FOR KEY SHARE
         ON CONFLICT DO NOTHING",
    )
    .bind(delivery)
    .bind(whole(attempt.number))
    .bind(attempt.at)
    .bind(whole(attempt.duration_ms))
    .bind(attempt.status_code.map(i32::from))
    .bind(attempt.error.as_deref())
    .execute(conn)
    .await
    .op("webhook_attempts.insert")?;
    Ok(())
}

/// It was delivered, whoever has the lease by now and whatever was written meanwhile.
pub(crate) async fn mark_delivered(
    conn: &mut PgConnection,
    delivery: Uuid,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE webhook_deliveries SET status = 'DELIVERED', ended_at = $2, lease = NULL
         WHERE delivery_id = $1 AND status <> 'DELIVERED'",
    )
    .bind(delivery)
    .bind(now)
    .execute(conn)
    .await
    .op("webhook_deliveries.delivered")?;
    Ok(())
}

/// It was not delivered: tried again at `next`, or given up. `false` when another replica has it by now.
pub(crate) async fn mark_undelivered(
    conn: &mut PgConnection,
    delivery: Uuid,
    lease: Uuid,
    next: Option<Timestamp>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE webhook_deliveries
         SET status = CASE WHEN $3::timestamptz IS NULL THEN 'FAILED' ELSE 'PENDING' END, lease = NULL,
             next_attempt_at = coalesce($3, next_attempt_at), ended_at = CASE WHEN $3 IS NULL THEN $4 END
         WHERE delivery_id = $1 AND lease = $2 AND status = 'PENDING'",
    )
    .bind(delivery)
    .bind(lease)
    .bind(next)
    .bind(now)
    .execute(conn)
    .await
    .op("webhook_deliveries.undelivered")?;
    Ok(done.rows_affected() == 1)
}

/// A delivery as its owner sees it, with its last try.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) id: Uuid,
    pub(crate) message_id: Uuid,
    pub(crate) event_type: EventType,
    pub(crate) status: DeliveryStatus,
    pub(crate) attempts: u32,
    pub(crate) next_attempt_at: Timestamp,
    pub(crate) created_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) status_code: Option<u16>,
    pub(crate) error: Option<String>,
}

const DELIVERIES: &str = "SELECT d.delivery_id, d.message_id, m.event_type, m.body, d.status, d.attempts,
                                 d.next_attempt_at, d.created_at, d.ended_at, last.status_code, last.error
     FROM webhook_deliveries d JOIN webhook_messages m USING (message_id)
     LEFT JOIN LATERAL (SELECT status_code, error FROM webhook_attempts a WHERE a.delivery_id = d.delivery_id
                        ORDER BY attempt DESC LIMIT 1) last ON true";

/// The newest deliveries of an endpoint, from `before` on downwards.
pub(crate) async fn deliveries(
    pool: &PgPool,
    endpoint: EndpointId,
    status: Option<DeliveryStatus>,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Delivery>, StoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{DELIVERIES} WHERE d.endpoint_id = $1 AND ($2::text IS NULL OR d.status = $2)
           AND ($3::uuid IS NULL OR d.delivery_id < $3) ORDER BY d.delivery_id DESC LIMIT $4"
    )))
    .bind(endpoint.as_uuid())
    .bind(status.map(DeliveryStatus::as_str))
    .bind(before)
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await
    .op("webhook_deliveries.list")?;
    rows.iter().map(delivery).collect()
}

/// One delivery, the body that is sent, and all tries.
pub(crate) async fn delivery_log(
    pool: &PgPool,
    endpoint: EndpointId,
    id: Uuid,
) -> Result<Option<(Delivery, String, Vec<Attempt>)>, StoreError> {
    const OP: &str = "webhook_deliveries.read";
    let row = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{DELIVERIES} WHERE d.endpoint_id = $1 AND d.delivery_id = $2"
    )))
    .bind(endpoint.as_uuid())
    .bind(id)
    .fetch_optional(pool)
    .await
    .op(OP)?;
    let Some(row) = row else {
        return Ok(None);
    };
    let rows = sqlx::query(
        "SELECT attempt, at, duration_ms, status_code, error FROM webhook_attempts
         WHERE delivery_id = $1 ORDER BY attempt LIMIT 1000",
    )
    .bind(id)
    .fetch_all(pool)
    .await
    .op(OP)?;
    let attempt = |row: &PgRow| {
        Ok(Attempt {
            number: count(row, id, "attempt")?,
            at: row.try_get("at").op(OP)?,
            duration_ms: count(row, id, "duration_ms")?,
            status_code: status_code(row, id)?,
            error: row.try_get("error").op(OP)?,
        })
    };
    let attempts = rows.iter().map(attempt).collect::<Result<_, StoreError>>()?;
    Ok(Some((delivery(&row)?, row.try_get("body").op(OP)?, attempts)))
}

fn delivery(row: &PgRow) -> Result<Delivery, StoreError> {
    const OP: &str = "webhook_deliveries.read";
    let id: Uuid = row.try_get("delivery_id").op(OP)?;
    Ok(Delivery {
        id,
        message_id: row.try_get("message_id").op(OP)?,
        event_type: named(row, id, "event_type")?,
        status: named(row, id, "status")?,
        attempts: count(row, id, "attempts")?,
        next_attempt_at: row.try_get("next_attempt_at").op(OP)?,
        created_at: row.try_get("created_at").op(OP)?,
        ended_at: row.try_get("ended_at").op(OP)?,
        status_code: status_code(row, id)?,
        error: row.try_get("error").op(OP)?,
    })
}

fn status_code(row: &PgRow, id: Uuid) -> Result<Option<u16>, StoreError> {
    let code: Option<i32> = row.try_get("status_code").op("webhook_attempts.read")?;
    let code = code.map(u16::try_from).transpose();
    code.map_err(|_| corrupt(id, "status_code", "is no status"))
}

fn count(row: &PgRow, id: Uuid, column: &'static str) -> Result<u32, StoreError> {
    let count: i32 = row.try_get(column).op("webhook_deliveries.read")?;
    u32::try_from(count).map_err(|_| corrupt(id, column, "is negative"))
}

fn named<T: FromStr>(row: &PgRow, id: Uuid, column: &'static str) -> Result<T, StoreError> {
    let text: &str = row.try_get(column).op("webhook_deliveries.read")?;
    text.parse()
        .map_err(|_| corrupt(id, column, format!("`{text}` is unknown")))
}

fn corrupt(id: Uuid, column: &'static str, reason: impl Into<String>) -> StoreError {
    StoreError::Corrupt {
        table: "webhook_deliveries",
        column,
        row: id.to_string(),
        reason: reason.into(),
    }
}

/// How much waits to be delivered, and since when the longest could have been: of endpoints that work, because what
/// waits for one that fails is its owner's affair.
pub(crate) async fn webhook_backlog(
    pool: &PgPool,
    now: Timestamp,
) -> Result<(i64, Option<Timestamp>), StoreError> {
    const OP: &str = "webhook_deliveries.backlog";
    let row = sqlx::query(
        "SELECT count(*) AS pending,
                min(next_attempt_at) FILTER (WHERE next_attempt_at <= $1 AND e.failures = 0) AS due_since
         FROM webhook_deliveries d JOIN webhook_endpoints e USING (endpoint_id) WHERE d.status = 'PENDING'",
    )
    .bind(now)
    .fetch_one(pool)
    .await
    .op(OP)?;
    Ok((row.try_get("pending").op(OP)?, row.try_get("due_since").op(OP)?))
}

/// Forgets messages from before `until`, with their deliveries, at most `limit`.
pub(crate) async fn forget_messages(pool: &PgPool, until: Timestamp, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM webhook_messages WHERE message_id IN
           (SELECT message_id FROM webhook_messages WHERE created_at < $1 ORDER BY created_at LIMIT $2)",
    )
    .bind(until)
    .bind(limit)
    .execute(pool)
    .await
    .op("webhook_messages.forget")?;
    Ok(done.rows_affected())
}
