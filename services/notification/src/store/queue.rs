//! The table as a queue: replicas take what is due for the time of a lease, and write down how it went.

use std::collections::HashSet;

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{NotificationId, OrderId, Timestamp, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use super::notifications::{corrupt, named};
use crate::domain::{Channel, Content, Locale, Recipient, Status, Tried};

/// A notification in the hands of this replica.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    pub(crate) order_id: Option<OrderId>,
    pub(crate) customer_id: UserId,
    pub(crate) recipient: Recipient,
    pub(crate) locale: Locale,
    pub(crate) subject: String,
    pub(crate) content: Content,
    pub(crate) traceparent: Option<String>,
    pub(crate) tried: Tried,
}

/// What was taken: one row each. A row that cannot be read must not keep the others from being sent.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) notification_id: NotificationId,
    pub(crate) claimed: Result<Claimed, StoreError>,
}

/// Takes what is due by this channel, the longest due first, at most `limit`, until the lease ends. The notifications of
/// one order leave in the order of its life: one is held back while an earlier one is pending.
pub(crate) async fn claim(
    pool: &PgPool,
    channel: Channel,
    (lease, lease_until): (Uuid, Timestamp),
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Taken>, StoreError> {
    let rows = sqlx::query(
        "WITH due AS (
             SELECT n.notification_id FROM notifications n
             WHERE n.status = 'PENDING' AND n.channel = $5 AND n.next_attempt_at <= $2
               AND NOT EXISTS (SELECT 1 FROM notifications earlier
                               WHERE earlier.order_id = n.order_id AND earlier.channel = n.channel
                                 AND earlier.status = 'PENDING'
                                 AND earlier.order_sequence < n.order_sequence)
             ORDER BY n.next_attempt_at LIMIT $4
             FOR UPDATE OF n SKIP LOCKED)
         UPDATE notifications n SET lease = $1, next_attempt_at = $3, attempts = n.attempts + 1
         FROM due WHERE n.notification_id = due.notification_id
         RETURNING n.notification_id, n.order_id, n.customer_id, n.channel, n.recipient, n.locale, n.subject, n.content, n.traceparent,
                   n.attempts, n.refusals, n.created_at",
    )
    .bind(lease)
    .bind(now)
    .bind(lease_until)
    .bind(i64::from(limit))
    .bind(channel.as_str())
    .fetch_all(pool)
    .await
    .op("notifications.claim")?;
    rows.iter().map(taken).collect()
}

fn taken(row: &PgRow) -> Result<Taken, StoreError> {
    let id: Uuid = row.try_get("notification_id").op("notifications.claim")?;
    Ok(Taken {
        notification_id: NotificationId(id),
        claimed: claimed(row, id),
    })
}

fn claimed(row: &PgRow, id: Uuid) -> Result<Claimed, StoreError> {
    const OP: &str = "notifications.claim";
    let recipient: &str = row.try_get("recipient").op(OP)?;
    let content: serde_json::Value = row.try_get("content").op(OP)?;
    let count = |column: &'static str| -> Result<u32, StoreError> {
        let count: i32 = row.try_get(column).op(OP)?;
        u32::try_from(count).map_err(|_| corrupt(id, column, "is negative"))
    };
    Ok(Claimed {
        order_id: row.try_get::<Option<Uuid>, _>("order_id").op(OP)?.map(OrderId),
        customer_id: UserId(row.try_get("customer_id").op(OP)?),
        recipient: Recipient::parse(named(row, id, "channel")?, recipient)
            .map_err(|reason| corrupt(id, "recipient", reason))?,
        locale: named(row, id, "locale")?,
        subject: row.try_get("subject").op(OP)?,
        content: serde_json::from_value(content)
            .map_err(|error| corrupt(id, "content", error.to_string()))?,
        traceparent: row.try_get("traceparent").op(OP)?,
        tried: Tried {
            attempts: count("attempts")?,
            refusals: count("refusals")?,
            created_at: row.try_get("created_at").op(OP)?,
        },
    })
}

/// They are out. That holds even where the lease has ended meanwhile, so the lease is not asked for.
/// Answers which were not said to be out before.
pub(crate) async fn mark_sent(
    conn: &mut PgConnection,
    sent: &[(NotificationId, Timestamp)],
) -> Result<HashSet<NotificationId>, StoreError> {
    let marked: Vec<Uuid> = sqlx::query_scalar(
        "UPDATE notifications SET status = 'SENT', sent_at = sent.at, lease = NULL, last_error = NULL
         FROM UNNEST($1::uuid[], $2::timestamptz[]) AS sent (notification_id, at)
         WHERE notifications.notification_id = sent.notification_id AND status <> 'SENT'
         RETURNING notifications.notification_id",
    )
    .bind(sent.iter().map(|(id, _)| id.as_uuid()).collect::<Vec<_>>())
    .bind(sent.iter().map(|(_, at)| *at).collect::<Vec<_>>())
    .fetch_all(conn)
    .await
    .op("notifications.mark_sent")?;
    Ok(marked.into_iter().map(NotificationId).collect())
}

/// How a try ended that did not succeed.
#[derive(Debug)]
pub(crate) enum Setback {
    /// To be tried again.
    Reschedule { at: Timestamp, refusals: u32 },
    /// Given up, after so many refusals; `None` leaves the count as it is.
    GiveUp { refusals: Option<u32> },
}

/// Writes down that a try did not succeed, and why. `false` when the lease has gone to another replica,
/// whose word counts then.
pub(crate) async fn set_back(
    pool: &PgPool,
    id: NotificationId,
    lease: Uuid,
    setback: &Setback,
    error: &str,
) -> Result<bool, StoreError> {
    let (status, at, refusals) = match *setback {
        Setback::Reschedule { at, refusals } => (Status::Pending, Some(at), Some(refusals)),
        Setback::GiveUp { refusals } => (Status::Failed, None, refusals),
    };
    let done = sqlx::query(
        "UPDATE notifications SET status = $3, next_attempt_at = coalesce($4, next_attempt_at),
                refusals = coalesce($5, refusals), last_error = $6, lease = NULL
         WHERE notification_id = $1 AND lease = $2 AND status = 'PENDING'",
    )
    .bind(id.as_uuid())
    .bind(lease)
    .bind(status.as_str())
    .bind(at)
    .bind(refusals.map(|refusals| i32::try_from(refusals).unwrap_or(i32::MAX)))
    .bind(error)
    .execute(pool)
    .await
    .op("notifications.set_back")?;
    Ok(done.rows_affected() == 1)
}

/// How much waits, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) pending: i64,
    pub(crate) failed: i64,
    pub(crate) oldest: Option<Timestamp>,
}

pub(crate) async fn backlog(pool: &PgPool) -> Result<Backlog, StoreError> {
    const OP: &str = "notifications.backlog";
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM notifications WHERE status = 'PENDING') AS pending,
                (SELECT count(*) FROM notifications WHERE status = 'FAILED') AS failed,
                (SELECT min(created_at) FROM notifications WHERE status = 'PENDING') AS oldest",
    )
    .fetch_one(pool)
    .await
    .op(OP)?;
    Ok(Backlog {
        pending: row.try_get("pending").op(OP)?,
        failed: row.try_get("failed").op(OP)?,
        oldest: row.try_get("oldest").op(OP)?,
    })
}
