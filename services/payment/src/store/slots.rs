use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{OrderId, PaymentId, Timestamp};
use sqlx::{PgConnection, Row};

/// What stands in an order's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    Payment(PaymentId),
    /// The order was given up before it was paid.
    Tombstone,
}

/// Puts up the sign that the order will not be paid. `false` when its place is taken already.
pub async fn entomb(
    conn: &mut PgConnection,
    order: OrderId,
    reason: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO order_slots (order_id, reason, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(order.as_uuid())
    .bind(reason)
    .bind(now)
    .execute(conn)
    .await
    .op("slots.entomb")?;
    Ok(done.rows_affected() == 1)
}

pub async fn find(conn: &mut PgConnection, order: OrderId) -> Result<Option<Slot>, StoreError> {
    const OP: &str = "slots.find";
    let row = sqlx::query("SELECT payment_id FROM order_slots WHERE order_id = $1")
        .bind(order.as_uuid())
        .fetch_optional(conn)
        .await
        .op(OP)?;
    row.map(|row| {
        let payment: Option<uuid::Uuid> = row.try_get("payment_id").op(OP)?;
        Ok(payment.map_or(Slot::Tombstone, |id| Slot::Payment(PaymentId(id))))
    })
    .transpose()
}

/// Forgets tombstones older than `until`, at most `limit` a call: no order is paid that late.
pub async fn forget_tombstones(
    conn: &mut PgConnection,
    until: Timestamp,
    limit: i64,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM order_slots WHERE order_id IN
           (SELECT order_id FROM order_slots WHERE payment_id IS NULL AND created_at < $1 LIMIT $2)",
    )
    .bind(until)
    .bind(limit)
    .execute(conn)
    .await
    .op("slots.forget_tombstones")?;
    Ok(done.rows_affected())
}
