use std::collections::HashSet;
use std::str::FromStr;

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{NotificationId, OrderId, UserId};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::domain::{Kind, NewNotification, Status, Summary};

/// Puts notifications in, due at once. Answers which were put in: there is one about each step of an order by each channel.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    new: &[&NewNotification],
) -> Result<HashSet<NotificationId>, StoreError> {
    let kinds = || new.iter().map(|new| new.content.occasion.kind());
    let subjects = new
        .iter()
        .map(|new| new.content.occasion.subject(new.locale, new.order_id));
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO notifications (notification_id, event_id, order_id, order_sequence, customer_id, kind,
                                    recipient, subject, content, traceparent, created_at, locale, channel, status,
                                    next_attempt_at)
         SELECT *, $14, created_at
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::uuid[], $6::text[], $7::text[],
                     $8::text[], $9::jsonb[], $10::text[], $11::timestamptz[], $12::text[], $13::text[])
              AS new (notification_id, event_id, order_id, order_sequence, customer_id, kind, recipient, subject,
                      content, traceparent, created_at, locale, channel)
         ON CONFLICT (order_id, order_sequence, kind, channel) DO NOTHING RETURNING notification_id",
    )
    .bind(new.iter().map(|new| new.notification_id.as_uuid()).collect::<Vec<_>>())
    .bind(new.iter().map(|new| new.event_id.as_uuid()).collect::<Vec<_>>())
    .bind(new.iter().map(|new| new.order_id.map(|id| id.as_uuid())).collect::<Vec<_>>())
    .bind(new.iter().map(|new| new.order_sequence).collect::<Vec<_>>())
    .bind(new.iter().map(|new| new.customer_id.as_uuid()).collect::<Vec<_>>())
    .bind(kinds().map(Kind::as_str).collect::<Vec<_>>())
    .bind(new.iter().map(|new| new.recipient.as_str()).collect::<Vec<_>>())
    .bind(subjects.collect::<Vec<_>>())
    .bind(new.iter().map(|new| Json(&new.content)).collect::<Vec<_>>())
    .bind(new.iter().map(|new| new.traceparent.as_deref()).collect::<Vec<_>>())
    .bind(new.iter().map(|new| new.created_at).collect::<Vec<_>>())
    .bind(new.iter().map(|new| new.locale.as_str()).collect::<Vec<_>>())
    .bind(new.iter().map(|new| new.recipient.channel().as_str()).collect::<Vec<_>>())
    .bind(Status::Pending.as_str())
    .fetch_all(conn)
    .await
    .op("notifications.insert")?;
    Ok(ids.into_iter().map(NotificationId).collect())
}

/// The newest notifications of a customer about orders, from `before` on downwards.
pub(crate) async fn list(
    pool: &PgPool,
    customer: UserId,
    before: Option<NotificationId>,
    limit: u32,
) -> Result<Vec<Summary>, StoreError> {
    let rows = sqlx::query(
        "SELECT notification_id, order_id, kind, channel, status, locale, subject, created_at, sent_at
         FROM notifications
         WHERE customer_id = $1 AND order_id IS NOT NULL AND ($2::uuid IS NULL OR notification_id < $2)
         ORDER BY notification_id DESC LIMIT $3",
    )
    .bind(customer.as_uuid())
    .bind(before.map(|id| id.as_uuid()))
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await
    .op("notifications.list")?;
    rows.iter().map(summary).collect()
}

fn summary(row: &PgRow) -> Result<Summary, StoreError> {
    const OP: &str = "notifications.list";
    let id: Uuid = row.try_get("notification_id").op(OP)?;
    Ok(Summary {
        notification_id: NotificationId(id),
        order_id: OrderId(row.try_get("order_id").op(OP)?),
        kind: named(row, id, "kind")?,
        channel: named(row, id, "channel")?,
        status: named(row, id, "status")?,
        locale: named(row, id, "locale")?,
        subject: row.try_get("subject").op(OP)?,
        created_at: row.try_get("created_at").op(OP)?,
        sent_at: row.try_get("sent_at").op(OP)?,
    })
}

pub(super) fn named<T: FromStr>(row: &PgRow, id: Uuid, column: &'static str) -> Result<T, StoreError> {
    let text: &str = row.try_get(column).op("notifications.read")?;
    text.parse()
        .map_err(|_| corrupt(id, column, format!("`{text}` is unknown")))
}

pub(super) fn corrupt(id: Uuid, column: &'static str, reason: impl Into<String>) -> StoreError {
    StoreError::Corrupt {
        table: "notifications",
        column,
        row: id.to_string(),
        reason: reason.into(),
    }
}
