use std::str::FromStr;

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{NotificationId, OrderId, UserId};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::domain::{Channel, NewNotification, Status, Summary};

/// Puts a notification in, due at once. `false` when there is one about this step of the order.
pub(crate) async fn insert(conn: &mut PgConnection, new: &NewNotification) -> Result<bool, StoreError> {
    let kind = new.content.occasion.kind();
    let done = sqlx::query(
        "INSERT INTO notifications (notification_id, event_id, order_id, order_sequence, customer_id, kind,
                                    channel, recipient, subject, content, traceparent, status,
                                    next_attempt_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)
         ON CONFLICT (order_id, order_sequence, kind, channel) DO NOTHING",
    )
    .bind(new.notification_id.as_uuid())
    .bind(new.event_id.as_uuid())
    .bind(new.order_id.as_uuid())
    .bind(new.order_sequence)
    .bind(new.customer_id.as_uuid())
    .bind(kind.as_str())
    .bind(Channel::Email.as_str())
    .bind(new.recipient.as_str())
    .bind(kind.subject(new.order_id))
    .bind(Json(&new.content))
    .bind(new.traceparent.as_deref())
    .bind(Status::Pending.as_str())
    .bind(new.created_at)
    .execute(conn)
    .await
    .op("notifications.insert")?;
    Ok(done.rows_affected() == 1)
}

/// The newest notifications of a customer, from `before` on downwards.
pub(crate) async fn list(
    pool: &PgPool,
    customer: UserId,
    before: Option<NotificationId>,
    limit: u32,
) -> Result<Vec<Summary>, StoreError> {
    let rows = sqlx::query(
        "SELECT notification_id, order_id, kind, channel, status, subject, created_at, sent_at
         FROM notifications
         WHERE customer_id = $1 AND ($2::uuid IS NULL OR notification_id < $2)
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
        subject: row.try_get("subject").op(OP)?,
        created_at: row.try_get("created_at").op(OP)?,
        sent_at: row.try_get("sent_at").op(OP)?,
    })
}

fn named<T: FromStr>(row: &PgRow, id: Uuid, column: &'static str) -> Result<T, StoreError> {
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
